"""Shapes and types are checked at every call of these packages, once this is imported: before them."""

from beartype import BeartypeConf, BeartypeHintOverrides, beartype
from jaxtyping import install_import_hook

from pertprobe.models.base import Model

CHECKED = ("pertprobe.statistics", "pertprobe.models.state.model", "pertprobe.interpret.jacobian")
WIDER = BeartypeHintOverrides({Model: object})  # a model may have a part of what the protocol lists

checked = beartype(conf=BeartypeConf(is_pep484_tower=True, hint_overrides=WIDER))  # an integer is a float

install_import_hook(CHECKED, "shape_checks.checked")
