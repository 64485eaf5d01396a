"""The healthy project, made once, and one thread: children are forked from here."""

import pytest
import torch
from healthy import make_healthy

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def healthy_project(tmp_path_factory):
    """Return the folder of the healthy project, which nothing changes."""
    return make_healthy(tmp_path_factory.mktemp("healthy"))
