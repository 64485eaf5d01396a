"""The atlas of a model: its Jacobian at the mean cell under every perturbation, kept as factors."""

from pertprobe.interpret.atlas.reading import Atlas, open_atlas
from pertprobe.interpret.atlas.writing import join_atlases, write_atlas
