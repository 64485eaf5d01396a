"""The derivative engine that all gradient probes share."""

from pertprobe.jacobian.crossing import Crossing, crossing
from pertprobe.jacobian.factored import jacobian_cores, jacobian_factors
from pertprobe.jacobian.factors import Core, Factors, Singular, cosines, gram
from pertprobe.jacobian.panel import PanelJacobian, cell_jacobians, explicit_jacobian, panel_jacobian
from pertprobe.jacobian.points import (
    Derivative,
    Point,
    cells_point,
    check_multiplicity,
    mean_cell_point,
    respond,
)
from pertprobe.jacobian.routing import feature_jacobian, routing_jacobian
from pertprobe.jacobian.signs import DiagonalEstimate, diagonal_by_signs

__all__ = [
    "Core",
    "Crossing",
    "Derivative",
    "DiagonalEstimate",
    "Factors",
    "PanelJacobian",
    "Point",
    "Singular",
    "cell_jacobians",
    "cells_point",
    "check_multiplicity",
    "cosines",
    "crossing",
    "diagonal_by_signs",
    "explicit_jacobian",
    "feature_jacobian",
    "gram",
    "jacobian_cores",
    "jacobian_factors",
    "mean_cell_point",
    "panel_jacobian",
    "respond",
    "routing_jacobian",
]
