"""Pure functions of arrays: permutation tests, intervals, similarities. Every draw comes from a generator passed in."""

from pertprobe.statistics.intervals import bootstrap_coherence, bootstrap_mean
from pertprobe.statistics.mantel import mantel
from pertprobe.statistics.multiple import benjamini_hochberg
from pertprobe.statistics.paired import PairedTest, paired_profile_test
from pertprobe.statistics.permutation import (
    MatchedSets,
    Test,
    coherence,
    matched_sets,
    mean_score,
    permutation_test,
    uniform_sets,
)
from pertprobe.statistics.published import Published, random_sets_p, rank_sum_pairs, rank_sum_triples
from pertprobe.statistics.ranks import RankScores, mid_ranks, rank_scores
from pertprobe.statistics.similarity import centred, cosine_similarity, spearman_matrix

__all__ = [
    "MatchedSets",
    "PairedTest",
    "Published",
    "RankScores",
    "Test",
    "benjamini_hochberg",
    "bootstrap_coherence",
    "bootstrap_mean",
    "centred",
    "coherence",
    "cosine_similarity",
    "mantel",
    "matched_sets",
    "mean_score",
    "mid_ranks",
    "paired_profile_test",
    "permutation_test",
    "random_sets_p",
    "rank_scores",
    "rank_sum_pairs",
    "rank_sum_triples",
    "spearman_matrix",
    "uniform_sets",
]
