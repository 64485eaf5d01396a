"""Shapes and types are checked at every call of these packages, once this is imported: before them."""

from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

CHECKED = ("pertprobe.statistics",)

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an integer is a float

install_import_hook(CHECKED, "shape_checks.checked")
