"""Models in closed form, whose Jacobians and knock-outs are known."""
