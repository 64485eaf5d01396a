"""What a probe answers in worlds of which is known what they hold."""

import numpy as np
from scipy.stats import binom
from tiny import to_test

from pertprobe.probes import load_probe
from pertprobe.probes.base import Drawing
from pertprobe.probes.declaration import declared
from pertprobe.probes.questions import Wanted
from pertprobe.statistics.null_worlds import by_strength, uniform

UNITS, SIZES = 60, (5, 10)


def false_positives(probe, statistic, folder, worlds=60, units=UNITS):
    """Return in what share of drawn worlds p is below 0.05, of uniform and of confounded programs."""
    rng, p = np.random.default_rng(0), {"uniform": [], "confounded": []}
    for i in range(worlds):
        world = load_probe(probe).null_world(Drawing(rng, units, folder=folder))
        confounder = world.confounder.to_numpy()
        places = {("uniform", n): uniform(rng, n, units) for n in SIZES}
        places |= {("confounded", n): by_strength(rng, n, confounder) for n in SIZES}
        programs = {f"{way} {n}": list(world.confounder.index[each]) for (way, n), each in places.items()}
        for row in _answers(probe, statistic, world, programs, i):
            p[row["program"].split()[0]].append(row[row["p_used"]])
    return {way: np.mean(np.array(each) < 0.05) for way, each in p.items()}


def at_most(worlds=60):
    """Return the share of false positives that 5 % of so many worlds stay below, with 0.1 % error."""
    n = worlds * len(SIZES)
    return binom.ppf(0.999, n, 0.05) / n


def planted_found(probe, statistic, folder, worlds=20, d=3.0, members=8):
    """Return in what share of drawn worlds members that are shifted by d are found, and their mean shift in sd."""
    rng, rows = np.random.default_rng(1), []
    for i in range(worlds):
        places = uniform(rng, members, UNITS)
        world = load_probe(probe).null_world(Drawing(rng, UNITS, members=places, d=d, folder=folder))
        programs = {"planted": list(world.confounder.index[places])}
        rows += _answers(probe, statistic, world, programs, i)
    found = np.mean([row[row["p_used"]] < 0.05 for row in rows])
    return found, np.mean([row["effect"] / row["unit_sd"] for row in rows])


def _answers(probe, statistic, world, programs, seed):
    """Return the rows of programs, with 199 permutations."""
    given = dict(world.given(programs))
    defaults = {name: each["default"] for name, each in declared(probe).settings.items() if "default" in each}
    settings = defaults | given.pop("settings", {})
    mine, other = given.pop("subject"), given.pop("reference", None)
    inputs = to_test(probe, mine, programs, other, settings=settings, seed=seed, **given)
    asked = [each for each in load_probe(probe).questions(inputs) if each.statistic == statistic]
    rows = [row for each in asked for row in each.rows(inputs, Wanted(False, False, False))]
    return [row for row in rows if row["program"]]
