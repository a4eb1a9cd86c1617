# SPDX-License-Identifier: Apache-2.0
"""The float device takes the steps that the fabric takes, not those that were asked for."""

import numpy as np

from helpers.programs import toy, toy_inputs
from ornstein.hdl.config import TINY
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.devices.float import FloatDevice
from ornstein.host.devices.model import ModelDevice
from ornstein.sim.reference import relax
from ornstein.sim.stages import Stage


def test_a_transient_has_the_realised_time_step():
    """At dt = 0.03 the leak rounds to 6 of 1,024, so that the realised step is 0.0293."""
    problem = toy(dt=0.03, stages=(Stage(40), Stage(1, accumulate=True)))
    program = compile_problem(problem, TINY, toy_inputs())
    assert abs(program.dt / problem.dt - 1) > 0.02
    means = []
    for device in (FloatDevice(), ModelDevice(TINY)):
        device.load(program)
        means.append(device.run(toy_inputs()).mean)
    expected = {
        dt: relax(
            problem.energies,
            problem.biases(toy_inputs()),
            problem.stages,
            dt=dt,
            integrator=problem.integrator,
            initial=np.zeros((3, 8)),
            rng=np.random.default_rng(0),
        ).mean
        for dt in (program.dt, problem.dt)
    }
    np.testing.assert_allclose(means[0], expected[program.dt], rtol=1e-12)
    off = {dt: np.linalg.norm(means[1] - mean) for dt, mean in expected.items()}
    assert off[program.dt] < 0.3 * off[problem.dt]
