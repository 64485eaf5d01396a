"""Pure functions of arrays: permutation tests, intervals, similarities. Every draw comes from a generator passed in."""

from pertprobe.statistics.mantel import mantel
from pertprobe.statistics.matched import PairedTest, paired_profile_test
from pertprobe.statistics.moments import Moments, PairSums, score_moments, tail
from pertprobe.statistics.permutation import Test, coherence, coherence_tests, mean_score, permutation_test, randomised
from pertprobe.statistics.power import benjamini_hochberg, power, smallest_effect
from pertprobe.statistics.published import Published, random_sets_p, rank_sum_pairs, rank_sum_triples
from pertprobe.statistics.ranks import RankScores, mid_ranks, rank_scores
from pertprobe.statistics.reliability import (
    Ceiling,
    bootstrap_coherence,
    bootstrap_mean,
    feature_weights,
    mean_noise_ceiling,
    noise_ceiling,
    pair_weights,
)
from pertprobe.statistics.sets import MatchedSets, matched_sets, uniform_sets
from pertprobe.statistics.similarity import centred, cosine_similarity, spearman_matrix

__all__ = [
    "Ceiling",
    "MatchedSets",
    "Moments",
    "PairSums",
    "PairedTest",
    "Published",
    "RankScores",
    "Test",
    "benjamini_hochberg",
    "bootstrap_coherence",
    "bootstrap_mean",
    "centred",
    "coherence",
    "coherence_tests",
    "cosine_similarity",
    "feature_weights",
    "mantel",
    "matched_sets",
    "mean_noise_ceiling",
    "mean_score",
    "mid_ranks",
    "noise_ceiling",
    "pair_weights",
    "paired_profile_test",
    "permutation_test",
    "power",
    "random_sets_p",
    "randomised",
    "rank_scores",
    "rank_sum_pairs",
    "rank_sum_triples",
    "score_moments",
    "smallest_effect",
    "spearman_matrix",
    "tail",
    "uniform_sets",
]
