"""What a response of a frozen map comes from."""

SOURCES = ("direct", "cells", "batch", "tokens", "bias", "opening")
"""What a response comes from: the perturbation itself ("direct") and the other parts of a prediction, all of them over
outputs that are open under both; and outputs that the perturbation opens or closes."""
