"""For authors of models: does a model keep what the protocol promises, and what will each probe make of it?"""

from pertprobe.testing.checking import check_model
from pertprobe.testing.found import ModelReport
