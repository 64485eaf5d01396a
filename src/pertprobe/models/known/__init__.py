"""Models whose kind is known, because it is what they are made of: lookup, co-variation, equations of a network."""
