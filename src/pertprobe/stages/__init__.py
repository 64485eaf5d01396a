"""What every probe goes through: measuring, joining, testing with controls, tables, verdicts; how good a model is."""
