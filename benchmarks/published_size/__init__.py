"""A stand-in of the published analysis: cells, checkpoints and splits of its sizes, whose truth is planted."""
