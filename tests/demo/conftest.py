"""A small simulation that the demo's tests share."""

import pytest

from pertprobe.data.simulate import simulate, write_simulation

SIZES = {"genes": 120, "perturbations": 30, "programs": 4, "cells_per_perturbation": 30, "control_cells": 120}


@pytest.fixture(scope="session")
def small():
    return simulate(seed=1, **SIZES)


@pytest.fixture(scope="session")
def small_directory(small, tmp_path_factory):
    directory = tmp_path_factory.mktemp("simulated")
    write_simulation(small, directory)
    return directory


@pytest.fixture(scope="session")
def sizes():
    return SIZES
