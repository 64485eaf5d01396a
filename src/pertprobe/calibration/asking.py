"""A probe's own questions, put to whatever is to be calibrated."""

from collections.abc import Collection
from typing import Any

from pertprobe.probes import load_probe
from pertprobe.probes.base import TestInputs
from pertprobe.probes.questions import Wanted

Row = dict[str, Any]


def answers_of(inputs: TestInputs, statistics: Collection[str], *, published: bool = False) -> list[Row]:
    """Return the rows of these statistics, of the subject and of data beside it: no intervals, ceilings or raw variants.

    `published`: with the published statistic.
    """
    wanted = Wanted(interval=False, published=published, ceiling=False)
    questions = load_probe(inputs.identity["probe"]).questions(inputs)
    asked = [each for each in questions if each.statistic in statistics and each.adjustment == "centred"]
    return [row for each in asked for row in each.rows(inputs.as_role(each.role), wanted)]
