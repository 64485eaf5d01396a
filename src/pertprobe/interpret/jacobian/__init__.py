"""The derivative engine that all gradient probes share."""

from pertprobe.interpret.jacobian.factored import jacobian_cores
from pertprobe.interpret.jacobian.factors import Core, Factors, Singular, cosines, gram
from pertprobe.interpret.jacobian.hutchinson import DiagonalEstimate, block_norms, hutchinson_diagonal
from pertprobe.interpret.jacobian.panel import PanelJacobian, panel_jacobian
from pertprobe.interpret.jacobian.points import (
    Derivative,
    Place,
    Point,
    cells_point,
    check_multiplicity,
    mean_cell_point,
    mean_place,
    place,
    respond,
)
from pertprobe.interpret.jacobian.routing import feature_jacobian, routing_jacobian
