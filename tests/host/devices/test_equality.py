# SPDX-License-Identifier: Apache-2.0
"""The integer model equals the gateware in every bit, for random programs with all options.

A failing test names its seed. ``random_program(seed)`` of :mod:`helpers.programs` is the program
that differs.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

from helpers.golden import GOLDEN, RANDOM_PROGRAMS, fingerprint
from helpers.programs import compile_case, random_case, random_program
from ornstein.hdl.config import PRESETS
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.devices.device import Outputs, open_device
from ornstein.host.physics.interface import Interface, Layer
from ornstein.host.physics.problem import BIAS, Problem
from ornstein.sim.energy import Energy, Module
from ornstein.sim.stages import Stage

COUNTED = "issued", "rank_saturations", "state_saturations"  # the model has no cycles


def assert_equal(rtl: Outputs, model: Outputs, *, counters: bool = True):
    for name in ("sums", "squares", "samples", "mean", "second"):
        np.testing.assert_array_equal(getattr(rtl, name), getattr(model, name), err_msg=name)
    if counters:
        assert {name: rtl.counters[name] for name in COUNTED} == {
            name: model.counters[name] for name in COUNTED
        }


def pair(device, program):
    """Returns the gateware and the model of the program's fabric, both loaded with the program."""
    devices = [device(f"{scheme}:{program.config.name}") for scheme in ("rtl", "model")]
    for one in devices:
        one.load(program)
    return devices


def pairs_of_blocks(rtl, model, blocks, **options):
    return zip(rtl.stream(blocks, **options), model.stream(blocks, **options), strict=True)


@pytest.fixture(scope="module")
def golden() -> list[dict]:
    return json.loads(GOLDEN.read_text())["random_programs"]


@pytest.mark.parametrize("seed", range(RANDOM_PROGRAMS))
def test_random_programs_agree(device, golden, seed):
    program, inputs = random_program(seed)
    rtl, model = pair(device, program)
    outputs = rtl.run(inputs, seed=seed)
    assert_equal(outputs, model.run(inputs, seed=seed))
    assert (
        outputs.counters["issued"] > 0 and outputs.counters["cycles"] >= outputs.counters["issued"]
    )
    assert fingerprint(program, outputs) == golden[seed]


def test_random_programs_cover_the_options():
    """The seeds reach every option of the host's problems and of the fabric."""
    programs = [random_program(seed)[0] for seed in range(60)]
    problems = [program.problem for program in programs]
    stages = [stage for problem in problems for stage in problem.stages]
    assert {program.config.name for program in programs} == {"tiny", "reference", "wide"}
    assert {problem.entry for problem in problems} == {"interface", "bias", "state"}
    assert {problem.integrator for problem in problems} == {"lm", "em"}
    assert {problem.rounding for problem in problems} == {"nearest", "stochastic"}
    assert {program.layout.chains for program in programs} == {1, 2, 4, 8}
    assert {bool(problem.energy.j4) for problem in problems} == {True, False}
    assert {len(problem.energies) for problem in problems} == {1, 2, 3}
    assert max(problem.bias_sets for problem in problems) > 1
    assert {
        len(coupling.modules) for problem in problems for coupling in problem.energy.couplings
    } == {1, 2, 3}
    for what in ("thin", "kT", "accumulate"):
        assert {bool(getattr(stage, what)) for stage in stages} == {True, False}, what
    layers = [
        layer for problem in problems if problem.interface for layer in problem.interface.layers
    ]
    assert {layer.source == "input" for layer in layers} == {True, False}
    assert {layer.activation for layer in layers} == {"silu", None}


@pytest.mark.parametrize("seed", range(1000, 1020))
def test_warm_starts_agree(device, seed):
    """A run begins with the states, the last noise and the sums of the run before."""
    program, inputs = random_program(seed)
    rtl, model = pair(device, program)
    for number, warm in enumerate((False, True, True)):
        assert_equal(
            rtl.run(inputs, seed=seed + number, warm=warm),
            model.run(inputs, seed=seed + number, warm=warm),
        )


def test_warm_starts_go_on_where_the_last_input_stopped(device):
    """A cold run of 21 steps equals a cold run of 10 steps and a warm one.

    At kT = 0 nothing but the state passes between them.
    """
    energy = Energy((Module("a", 3),), j2=0.1)
    long, short = (
        Problem(
            "cooling",
            (energy,),
            (Stage(steps, 0.0), Stage(1, 0.0, accumulate=True)),
            dt=0.5,
            entry=BIAS,
        )
        for steps in (21, 10)
    )
    bias = np.array([[1.0, -2.0, 0.5]])
    rtl, model = pair(device, compile_problem(long, PRESETS["tiny"], bias))
    expected = rtl.run(bias).sums
    program = compile_problem(short, PRESETS["tiny"], bias)
    biases = bias.repeat(program.layout.chains, axis=0)  # a warm start goes on in every chain
    for one in (rtl, model):
        one.load(program)
        first = one.run(biases).sums
        after = one.run(biases, warm=True).sums
        np.testing.assert_array_equal(after, expected.repeat(len(biases), axis=0))
        assert not np.array_equal(first, after)


@pytest.mark.parametrize("seed", range(2000, 2016))
@pytest.mark.parametrize("warm", [False, True])
def test_blocks_do_not_matter(device, seed, warm):
    """The same inputs in other blocks give the same outputs.

    All blocks but the last hold whole jobs.
    """
    case = random_case(seed)
    program = compile_case(case)
    chains = program.layout.chains
    inputs = np.resize(case.calibration, (4 * chains + 1, case.calibration.shape[1]))
    rtl, model = pair(device, program)
    results = []
    for first_rows in (
        [],
        [chains, 2 * chains, 3 * chains, 4 * chains],
        [chains, 4 * chains],
        [2 * chains],
    ):
        blocks = np.split(inputs, first_rows)
        if warm:  # all start from the same states
            for one in (rtl, model):
                one.run(inputs[:1], seed=3)
        parts = list(pairs_of_blocks(rtl, model, blocks, seed=seed, warm=warm))
        assert [len(part.mean) for part, _ in parts] == [len(block) for block in blocks]
        for number, (ours, theirs) in enumerate(parts):
            # while a block is read the next one already counts
            assert_equal(ours, theirs, counters=number == len(parts) - 1)
        results.append(Outputs.join([part for part, _ in parts]))
    for other in results[1:]:
        assert_equal(other, results[0])


@pytest.mark.parametrize("uri", ["rtl:reference", "model:reference"])
def test_same_seed_same_outputs(device, uri):
    """The seed decides the outputs, whatever ran before, also on a device opened anew.

    Another seed gives other noise.
    """
    program, inputs = next(
        found
        for found in map(random_program, range(1, 60, 3))
        if found[0].config.name == "reference" and found[0].problem.kT > 0.01
    )
    one = device(uri)
    one.load(program)
    first = one.run(inputs, seed=7)
    assert not np.array_equal(one.run(inputs, seed=8).sums, first.sums)
    one.load(random_program(4)[0])
    one.load(program)
    assert_equal(one.run(inputs, seed=7), first)
    with open_device(uri) as fresh:
        fresh.load(program)
        assert_equal(fresh.run(inputs, seed=7), first)


@pytest.mark.parametrize("seed", range(3000, 3020))
def test_overflow_agrees(device, seed):
    """Factors that no compiler would write make sums wrap and rank words and states saturate.

    Both devices count the saturations alike.
    """
    program, inputs = random_program(seed)
    rng = np.random.default_rng(seed)
    top = 1 << program.config.factor_width - 1
    program = replace(
        program, factor=rng.integers(-top, top, program.factor.shape).astype(np.int16)
    )
    rtl, model = pair(device, program)
    assert_equal(rtl.run(inputs, seed=seed), model.run(inputs, seed=seed))


def test_overflow_is_counted(device):
    """A state beyond its format is clipped, and counted once per word of units."""
    energy = Energy((Module("a", 3),), j2=0.1)
    problem = Problem("pushed", (energy,), (Stage(10, 0.0, accumulate=True),), dt=1.0, entry=BIAS)
    program = compile_problem(problem, PRESETS["tiny"], np.full((1, 3), 0.5))
    limit = 32767 * program.input_lsb[0]
    inputs = np.array([[limit, 0.0, -limit]]).repeat(program.layout.chains, axis=0)
    rtl, model = pair(device, program)
    outputs = rtl.run(inputs)
    assert_equal(outputs, model.run(inputs))
    assert outputs.counters["state_saturations"] > 0 and outputs.counters["rank_saturations"] == 0
    assert outputs.sums[0, 0] <= 10 * 32767 and outputs.sums[0, 2] >= -10 * 32768


def test_samples_outlast_the_ring(device):
    """A program streams more samples than the ring holds.

    The fabric waits for the host, and no sample is lost.
    """
    energy = Energy((Module("a", 5),), j2=0.1)
    stages = (Stage(200, 0.5, accumulate=True, thin=1),)
    problem = Problem("film", (energy,), stages, dt=1.0, entry=BIAS)
    program = compile_problem(problem, PRESETS["tiny"], np.ones((1, 5)))
    assert program.layout.sampled_words > 10 * program.config.sample_depth
    rtl, model = pair(device, program)
    outputs = rtl.run(np.ones((3, 5)))
    assert_equal(outputs, model.run(np.ones((3, 5))))
    assert outputs.samples.shape == (3, 200, 5)
    np.testing.assert_allclose(outputs.samples.mean(axis=1), outputs.mean, rtol=1e-12)


def test_a_layer_may_read_a_bias_that_is_still_a_constant(device):
    """A random program found this case: a layer reads a bias that a later layer writes.

    The layer must read the constant.
    """
    ones = np.ones((2, 1))
    interface = Interface(
        np.zeros(2),
        np.ones(2),
        (
            Layer("bias:a", ones, None, 0.3 * ones.T, "b"),
            Layer("input", ones, None, 0.5 * ones.T, "a"),
        ),
        {"a": np.array([0.4, 0.2]), "b": np.zeros(2)},
    )
    energy = Energy((Module("a", 2), Module("b", 2)), j2=0.1)
    problem = Problem(
        "order", (energy,), (Stage(100), Stage(1, accumulate=True)), dt=1.0, interface=interface
    )
    inputs = np.array([[1.0, 0.5], [-1.0, 0.25], [0.3, 0.3]])
    rtl, model = pair(device, compile_problem(problem, PRESETS["tiny"], inputs))
    outputs = rtl.run(inputs)
    assert_equal(outputs, model.run(inputs))
    np.testing.assert_allclose(outputs.mean, energy.mean(problem.biases(inputs)[:, 0]), atol=4e-3)
