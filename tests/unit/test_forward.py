"""Forward mode without torch's compiler."""

import subprocess
import sys

import torch
from torch.func import vmap

from pertprobe.models.forward_mode import jvp

PROGRAM = """
import sys, torch
from torch.func import vmap
from pertprobe.models.forward_mode import jvp
x, b, along = torch.randn(3, 4), torch.randn(3, 4), torch.randn(5, 3, 4)
vmap(lambda direction: jvp(lambda x: 2 * x * b + b + 1e-3, (x,), (direction,))[1])(along)
print("torch._dynamo" in sys.modules)
"""


def test_a_derivative_does_not_load_the_compiler():
    said = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "False"


def test_it_is_the_derivative_that_torch_gives():
    x, b = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    along = torch.eye(12, dtype=torch.float64).reshape(12, 3, 4)

    def function(x):
        return (x * b + b).sin() + 1e-3

    found = vmap(lambda direction: jvp(function, (x,), (direction,))[1], out_dims=-1)(along)
    assert torch.equal(found.reshape(12, 12), torch.func.jacrev(function)(x).reshape(12, 12))
