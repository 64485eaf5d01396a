"""What the report says, in words: every sentence is made of the tables by a function here."""

from pertprobe.report.words.answers import answer_sentence, whole_answers
from pertprobe.report.words.names import KINDS, listed
from pertprobe.report.words.remedies import kind, remedy
from pertprobe.report.words.summary import agreement_with_truth, control_answers, headline, sizes, summary
from pertprobe.report.words.verdicts import verdict_sentence
