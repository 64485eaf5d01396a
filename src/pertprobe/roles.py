"""What a measured thing is to the run: the model itself, a copy of it without its training, or a planted control."""

SUBJECT, OBSERVED, COEXPRESSION = "subject", "observed", "coexpression"
REDRAWN = ("redrawn", "shuffled")
"""The two kinds of untrained copies (methods.md, Untrained copies: the architecture null)."""
CASCADE = "cascade"
"""Copies re-drawn from the output down, a descriptive curve; their rows have the role redrawn."""
PLANTED = ("planted", "lookup", "covariation", "additive")
"""Models in closed form that stand beside the subject (methods.md, Planted models)."""


def role_of(variant: str) -> tuple[str, int]:
    """Return role and number of a variant: "redrawn_3" is ("redrawn", 3), "planted" and cascades have number 0."""
    if variant.startswith(CASCADE):
        return REDRAWN[0], 0
    name, _, number = variant.rpartition("_")
    return (name, int(number)) if number.isdigit() else (variant, 0)
