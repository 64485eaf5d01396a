"""What a measured thing is to the run: the model itself, a copy of it without its training, or a planted control."""

SUBJECT, OBSERVED, COEXPRESSION = "subject", "observed", "coexpression"
REDRAWN = ("redrawn", "shuffled")
"""The two kinds of untrained copies (methods.md, Untrained copies: the architecture null)."""
CASCADE = "cascade"
"""Copies re-drawn from the output down, a descriptive curve; their rows have the role redrawn."""
LOOKUP, COMPONENTS, AUTOENCODER, NETWORK = "lookup", "covariation_pca", "covariation_autoencoder", "network"
PLANTED = ("planted", LOOKUP, "covariation", "additive")
"""Models in closed form that stand beside the subject (methods.md, Planted models)."""
KNOWN = (LOOKUP, COMPONENTS, AUTOENCODER, NETWORK)
"""Models of known kind, fitted to the cells of the run (methods.md, Models of known kind)."""
FITTED = tuple(kind for kind in KNOWN if kind not in PLANTED)
"""Those that no planted model shares its name with: where planted ones stand too, the lookup is theirs."""
RIVALS = (COEXPRESSION, COMPONENTS, AUTOENCODER)
"""What co-variation alone answers: the subject is compared with the strongest (methods.md, Excess over rivals)."""


def role_of(variant: str) -> tuple[str, int]:
    """Return role and number of a variant: "redrawn_3" is ("redrawn", 3), "planted" and cascades have number 0."""
    if variant.startswith(CASCADE):
        return REDRAWN[0], 0
    name, _, number = variant.rpartition("_")
    return (name, int(number)) if number.isdigit() else (variant, 0)
