"""What co-variation alone would answer to a silenced gene, as strong as it can be made from the cells of a run."""
