# SPDX-License-Identifier: Apache-2.0
"""Random programs: every option of the host's problems, on the smallest fabric that holds each.

    case = random_case(seed)                    # a Problem, calibration inputs, and inputs to run
    program = compile_case(case)                # for the first fabric in FABRICS that takes it

Nothing is drawn outside the seed, so a seed that fails in a test fails again anywhere.
"""

from dataclasses import dataclass, replace

import numpy as np

from ornstein.hdl.config import REFERENCE, TINY, WIDE, FabricConfig
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.program import Program, ProgramError
from ornstein.host.physics.interface import BIAS as BIAS_OF
from ornstein.host.physics.interface import INPUT, Interface, Layer
from ornstein.host.physics.problem import BIAS, INTERFACE, NEAREST, STATE, STOCHASTIC, Problem
from ornstein.sim.energy import Coupling, Energy, Module
from ornstein.sim.stages import EM, LM, Stage

FABRICS = TINY, REFERENCE, WIDE


@dataclass(frozen=True, eq=False)
class Case:
    """One random program and what to run it on; ``preferred`` is the first fabric to try."""

    seed: int
    problem: Problem
    preferred: FabricConfig
    calibration: np.ndarray
    inputs: np.ndarray


def random_case(seed: int) -> Case:
    """A problem that the compiler must accept: positive definite and stable by construction."""
    rng = np.random.default_rng([17, seed])
    preferred = FABRICS[seed % len(FABRICS)]
    small = preferred is TINY
    count = int(rng.integers(1, 3 if small else 5))
    modules = tuple(
        Module(name, int(rng.integers(1, 9 if small else 41))) for name in "abcd"[:count]
    )
    j2 = float(rng.uniform(0.05, 0.4))
    j4 = float(rng.uniform(0.01, 0.1)) if rng.random() < 0.2 else 0.0
    energies = tuple(
        _energy(rng, modules, j2, j4, most=2 if small else 4)
        for _ in range(int(rng.choice([1, 1, 1, 2, 3])))
    )
    fastest = max(np.linalg.eigvalsh(energy.matrix())[-1] for energy in energies)
    dt = float(min(rng.uniform(0.05, 0.75) * 2 / fastest, 0.9 / (2 * j2), 0.5 if j4 else 100))
    entry = str(rng.choice([INTERFACE, INTERFACE, BIAS, STATE]))
    sets = int(rng.integers(1, 3 if small else 4)) if entry == BIAS else 1
    units = sum(module.units for module in modules)
    problem = Problem(
        name=f"random {seed}",
        energies=energies,
        stages=_stages(rng, len(energies), sets),
        dt=dt,
        integrator=str(rng.choice([LM, EM])),
        rounding=str(rng.choice([NEAREST, STOCHASTIC])),
        entry=entry,
        interface=_interface(rng, modules, 8 if small else 40) if entry == INTERFACE else None,
        bias_sets=sets,
        offset=rng.normal(size=units) if entry == STATE and rng.random() < 0.5 else None,
    )
    inputs = rng.normal(size=(16 + int(rng.integers(1, 6)), problem.input_size))
    if entry == INTERFACE:
        inputs = problem.interface.centre + problem.interface.scale * inputs
    return Case(seed, problem, preferred, inputs, inputs[16:])


def compile_case(case: Case) -> Program:
    """The program for the preferred fabric, or for the first after it that is large enough.

    Steps so long that a step's forces do not fit any format are halved, as the refusal advises.
    """
    problem = case.problem
    for _ in range(4):
        for config in FABRICS[FABRICS.index(case.preferred) :]:
            try:
                return compile_problem(problem, config, case.calibration)
            except ProgramError as error:
                shortage = error
        assert "lower dt" in str(shortage), f"seed {case.seed}: {shortage}"
        problem = replace(problem, dt=problem.dt / 2)
    raise shortage


def random_program(seed: int) -> tuple[Program, np.ndarray]:
    """(program, inputs) of that seed."""
    case = random_case(seed)
    return compile_case(case), case.inputs


def toy_energy(*, across: float = 0.15, j4: float = 0.0) -> Energy:
    """Modules "a" of five units and "b" of three under a skip of rank two; eigenvalues of M from
    0.05 to 0.35.
    """
    rng = np.random.default_rng(0)
    factors = tuple(np.linalg.qr(rng.normal(size=(units, 2)))[0] for units in (5, 3))
    mix = np.zeros((2, 2, 2))
    mix[0, 1] = mix[1, 0] = across, -across / 2
    return Energy((Module("a", 5), Module("b", 3)), (Coupling(("a", "b"), factors, mix),), j4=j4)


def toy(**changes) -> Problem:
    """A problem of :func:`toy_energy`, driven by its biases, with the fields that ``changes``
    replaces.
    """
    stages = Stage(50, 0.01), Stage(20, 0.01, accumulate=True)
    return replace(Problem("toy", (toy_energy(),), stages, dt=1.0, entry=BIAS), **changes)


def toy_inputs(count: int = 3) -> np.ndarray:
    """Biases (count, 8) between -1 and 1."""
    return np.random.default_rng(1).uniform(-1, 1, (count, 8))


def clipping_program() -> Program:
    """A program whose state format holds three quarters of the values from its calibration inputs.

    Its quartic term flings the units that start at 100 far away in one step, and its coefficient
    fits 16 bits only beside a state that reaches up to 16. The other units start at 1 or -1.
    """
    energy = replace(toy_energy(j4=0.05), couplings=())
    calibration = np.array([[1.0] * 8, [100.0] * 4 + [-1.0] * 4])
    problem = toy(entry=STATE, energies=(energy,), stages=(Stage(1, accumulate=True),))
    return compile_problem(problem, TINY, calibration)


def _energy(rng, modules: tuple[Module, ...], j2: float, j4: float, most: int) -> Energy:
    """Couplings of one to three modules, weak enough for M to be positive definite and its
    condition below nine.
    """
    couplings = tuple(_coupling(rng, modules) for _ in range(int(rng.integers(0, most + 1))))
    leak = 2 * j2
    values = np.linalg.eigvalsh(Energy(modules, couplings, j2).matrix()) - leak
    weakest = 0.7 * leak / max(-values[0], 1e-9)
    strongest = leak * rng.uniform(0.2, 5) / max(values[-1], 1e-9)
    scale = min(1.0, weakest, strongest)
    return Energy(modules, tuple(replace(c, mix=c.mix * scale) for c in couplings), j2, j4)


def _coupling(rng, modules: tuple[Module, ...]) -> Coupling:
    size = int(rng.integers(1, min(3, len(modules)) + 1))
    members = [modules[index] for index in rng.permutation(len(modules))[:size]]
    rank = int(rng.integers(1, 10))
    factors = [
        rng.normal(size=(module.units, rank))
        * 10.0 ** rng.uniform(-1, 1, rank)
        / np.sqrt(module.units)
        for module in members
    ]
    if rng.random() < 0.15:
        factors[0][:, rng.integers(rank)] = 0  # a mode that one module does not take part in
    mix = rng.normal(size=(size, size, rank))
    mix = mix + mix.swapaxes(0, 1)
    if size == 2 and rng.random() < 0.6:  # a skip
        mix[[0, 1], [0, 1]] = 0
    return Coupling(tuple(module.name for module in members), tuple(factors), mix)


def _stages(rng, energies: int, sets: int) -> tuple[Stage, ...]:
    count = int(rng.integers(1, 5))
    averaged = int(rng.integers(count))
    return tuple(
        Stage(
            steps=int(rng.integers(1, 30)),
            kT=0.0 if rng.random() < 0.3 else float(10 ** rng.uniform(-3, 0)),
            accumulate=index == averaged or bool(rng.random() < 0.4),
            thin=int(rng.integers(1, 8)) if rng.random() < 0.4 else 0,
            energy=int(rng.integers(energies)),
            bias=int(rng.integers(sets)),
        )
        for index in range(count)
    )


def _interface(rng, modules: tuple[Module, ...], largest: int) -> Interface:
    """One to three layers, at most one with an activation; a source may be a bias that is, so far,
    a constant.
    """
    size = int(rng.integers(1, largest + 1))
    widths = {INPUT: size, **{BIAS_OF + module.name: module.units for module in modules}}
    offset = {
        module.name: rng.normal(size=module.units) * (rng.random() < 0.6) for module in modules
    }
    count = int(rng.integers(1, 4))
    activated = int(rng.integers(2 * count))
    layers = []
    for index in range(count):
        source = INPUT if rng.random() < 0.6 else str(rng.choice(list(widths)))
        target = modules[rng.integers(len(modules))]
        hidden = int(rng.integers(1, 10))
        layers.append(
            Layer(
                source,
                rng.normal(size=(widths[source], hidden)) / np.sqrt(widths[source]),
                "silu" if index == activated else None,
                rng.normal(size=(hidden, target.units))
                * (1 if source == INPUT else 0.2)
                / np.sqrt(hidden),
                target.name,
            )
        )
    return Interface(rng.normal(size=size), rng.uniform(0.5, 2, size), tuple(layers), offset)
