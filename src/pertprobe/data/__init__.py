"""What comes from outside: h5ad files, cells, perturbations, programs, regulons, observed responses; and simulators."""
