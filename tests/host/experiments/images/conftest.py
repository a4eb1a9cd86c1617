# SPDX-License-Identifier: Apache-2.0
"""Digits, trained parameters, and one function that runs a problem on a device."""

import pytest

from ornstein.hdl.config import REFERENCE
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.devices.device import open_device
from ornstein.host.experiments.images.digits import load_images
from ornstein.host.experiments.images.parameters import Parameters
from ornstein.host.experiments.images.run import run_images


@pytest.fixture(scope="session")
def digits():
    return load_images()


@pytest.fixture(scope="session")
def parameters():
    return Parameters.load()


@pytest.fixture(scope="session")
def answer():
    """``answer(uri, problem, inputs, calibration)``: outputs on the reference fabric."""

    def run(uri, problem, inputs, calibration, seed=1):
        program = compile_problem(problem, REFERENCE, calibration)
        with open_device(uri) as device:
            device.load(program)
            return device.run(inputs, seed=seed)

    return run


@pytest.fixture(scope="session")
def small_run(parameters):
    """(results of a small run on the integer model, what its progress was told)."""
    told = []
    images = run_images(parameters, "model", per_class=10, progress=lambda *what: told.append(what))
    return images, told
