"""The derivative engine that all gradient probes share."""

from pertprobe.interpret.jacobian.factored import jacobian_cores, jacobian_factors
from pertprobe.interpret.jacobian.factors import Core, Factors, Singular, cosines, gram
from pertprobe.interpret.jacobian.hutchinson import BlockNorms, DiagonalEstimate, block_norms, hutchinson_diagonal
from pertprobe.interpret.jacobian.panel import PanelJacobian, cell_jacobians, explicit_jacobian, panel_jacobian
from pertprobe.interpret.jacobian.points import (
    Derivative,
    Point,
    cells_point,
    check_multiplicity,
    mean_cell_point,
    respond,
)
from pertprobe.interpret.jacobian.routing import feature_jacobian, routing_jacobian

__all__ = [
    "BlockNorms",
    "Core",
    "Derivative",
    "DiagonalEstimate",
    "Factors",
    "PanelJacobian",
    "Point",
    "Singular",
    "block_norms",
    "cell_jacobians",
    "cells_point",
    "check_multiplicity",
    "cosines",
    "explicit_jacobian",
    "feature_jacobian",
    "gram",
    "hutchinson_diagonal",
    "jacobian_cores",
    "jacobian_factors",
    "mean_cell_point",
    "panel_jacobian",
    "respond",
    "routing_jacobian",
]
