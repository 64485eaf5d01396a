"""Is the instrument right? False positives, power, planted and untrained models, each beside the bound it must keep."""
