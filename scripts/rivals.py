"""Fit what co-variation alone would answer to silenced genes, and models of known kind, for every model of the run."""

from pertprobe.workflow.job import job

with job(snakemake):
    from pertprobe.data.cell_sets import CellSets
    from pertprobe.data.regulons import read_regulons
    from pertprobe.models.cards import read_card
    from pertprobe.models.known.model import write_known
    from pertprobe.stages.measuring import read_measurement, write_measurement
    from pertprobe.stages.rivals import rivals_of_run

    given, params = snakemake.input, snakemake.params
    read = {"names": read_card, "cells": CellSets.load, "observed": read_measurement}
    cards, cells, observed = (
        {name: reader(path) for name, path in zip(params.models, given[what], strict=True)}
        for what, reader in read.items()
    )
    network, contexts = read_regulons(given.network) if given.network else None, map(CellSets.load, given.contexts)
    asked = params.models, params.entries, network, params.kinds, params.silenced, [*contexts], params.seed
    found = rivals_of_run(cards, cells, observed, *asked)
    outputs = zip(snakemake.output.answers, snakemake.output.known, strict=True)
    for (_, fitted), (answers, known) in zip(found, outputs, strict=True):
        write_measurement(fitted.answers, answers)
        write_known(fitted.known, known)
