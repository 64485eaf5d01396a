"""A probe asked of its own null worlds, in small: how often does it find what is not there, and what was planted?"""

from collections import Counter

import numpy as np
from scipy.stats import binom
from tiny import to_test

from pertprobe.probes import load_probe
from pertprobe.probes.base import Drawing
from pertprobe.probes.declaration import declared
from pertprobe.probes.questions import answers
from pertprobe.seeding import generator
from pertprobe.statistics.null_worlds import by_strength, uniform

ALPHA = 0.05
SIZES = {"five": 5, "ten": 10}
"""Program -> members."""


def found(probe, worlds=200, *, confounded=False, spoilt=None, units=70):
    """Return program -> in how many null worlds it is found; `spoilt` changes what the test is given."""
    counts = Counter(dict.fromkeys(SIZES, 0))
    for number in range(worlds):
        rng = generator(number, "null world", probe, confounded)
        world = load_probe(probe).null_world(Drawing(rng, units))
        names, by = world.confounder.index.to_numpy(), world.confounder.to_numpy()
        drawn = {p: by_strength(rng, n, by) if confounded else uniform(rng, n, units) for p, n in SIZES.items()}
        counts.update(passing(probe, world, {p: names[each].tolist() for p, each in drawn.items()}, number, spoilt))
    return counts


def found_planted(probe, worlds, n, d=3.0, units=70):
    """Return in how many worlds n members shifted by d are found."""
    counts = Counter()
    for number in range(worlds):
        rng = generator(number, "planted world", probe, n)
        world = load_probe(probe).null_world(Drawing(rng, units, members=range(n), d=d))
        counts.update(passing(probe, world, {"planted": world.confounder.index[:n].tolist()}, number))
    return counts["planted"]


def passing(probe, world, programs, seed, spoilt=None):
    """Return the programs whose primary statistic has p below ALPHA."""
    given = dict(world.given(programs))
    given = given if spoilt is None else spoilt(given)
    inputs = to_test(probe, given.pop("subject"), programs, **given, seed=seed)
    primary = [each for each in load_probe(probe).questions(inputs) if each.statistic == declared(probe).primary]
    wanted = {"adjustment": "centred", "role": "subject", "evaluable": True}
    rows = [row for row in answers(inputs, declared(probe), primary) if wanted.items() <= row.items()]
    return [row["program"] for row in rows if row[row["p_used"]] < ALPHA]


def bound(worlds=200):
    """Return in how many worlds p may lie below ALPHA where nothing is to be found."""
    return int(binom.ppf(0.999, worlds, ALPHA))


def strength_shuffled(given):
    """Return what a test is given with the strength of each perturbation that of another."""
    subject = given["subject"]
    order = np.random.default_rng(0).permutation(len(subject.strength))
    strength = subject.strength.iloc[order].set_axis(subject.strength.index)
    return {**given, "subject": subject.__class__(subject.measurement, strength, subject.seen)}
