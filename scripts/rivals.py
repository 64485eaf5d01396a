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
    responses = lambda path: read_measurement(path)["delta_y"].to_pandas()  # noqa: E731
    read = {"names": read_card, "cells": CellSets.load, "observed": responses}
    cards, cells, observed = (
        {name: reader(path) for name, path in zip(params.models, given[what], strict=True)}
        for what, reader in read.items()
    )
    network = read_regulons(given.network) if given.network else None
    found = rivals_of_run(cards, cells, observed, params.models, params.entries, network, params.kinds, params.seed)
    outputs = zip(snakemake.output.answers, snakemake.output.known, strict=True)
    for (_, fitted), (answers, known) in zip(found, outputs, strict=True):
        write_measurement(fitted.answers, answers)
        write_known(fitted.known, known)
