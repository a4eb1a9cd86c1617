# SPDX-License-Identifier: Apache-2.0
"""A hierarchy of Stable Diffusion 1.5's shape with synthetic weights, on the fabric it needs."""

from dataclasses import dataclass

import numpy as np

from ornstein.hdl.config import ULX3S, FabricConfig
from ornstein.hdl.schedule import step_cycles
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.program import Program
from ornstein.host.experiments.bench.large import SD15_CHANNELS, block_rams
from ornstein.host.experiments.common import Experiment, Runner
from ornstein.host.models.recipes import RANK
from ornstein.host.physics.couplings import chained
from ornstein.host.physics.problem import BIAS, Problem, equilibrium
from ornstein.host.physics.timestep import choose_time_step
from ornstein.sim.energy import Energy

SPECTRUM = -0.5
"""Power of the rank with which the eigenvalues of a synthetic Gram matrix W'W / 4 fall.

The Gram matrices of the default model's four convolutions fall with the powers
:data:`MEASURED_SPECTRUM` over their leading half. A density of eigenvalues with the exponent 3
gives the same power; it is the middle of the 2 to 4 that Martin reports for fully connected layers
of trained nets (Power Laws in Deep Learning 2: Universality, KDnuggets, 2018).
"""
LEADING = {"e": 0.05, "d": 0.011}
"""Leading eigenvalue of a synthetic Gram matrix by the side of its module."""
MEASURED_SPECTRUM = (-0.48, -0.54)
"""Smallest and largest power of the default model's Gram matrices."""
MEASURED_LEADING = {"e": (0.035, 0.075), "d": (0.011, 0.012)}
"""Leading eigenvalues of the default model's Gram matrices, smallest and largest, by side."""
ECP5_BLOCK_RAMS = 208
"""Block RAMs of an ECP5-85F."""

WORDS_NOTE = "of {available}"
BLOCK_RAMS_NOTE = f"of {ECP5_BLOCK_RAMS} in an ECP5-85F, by formula"
CYCLES_NOTE = "float64 column: the bound 4 sum(D) k / lanes; gateware: from the schedule"
ERROR_NOTE = (
    "mean at kT = 0 from the closed form; float64 column: the closed form with the couplings as "
    "quantized; without couplings {uncoupled:.3g}"
)


@dataclass(frozen=True)
class Large:
    """The large hierarchy on its fabric.

    Attributes
    ----------
    sizes : channels of each skip
    units, rank, steps : of the program
    words : (words taken, words of the memory) by memory
    block_rams : block RAMs of the fabric, by formula
    cycles, bound : clock cycles of a time step from the schedule, and 4 sum(sizes) rank / lanes
    eigenvalues : smallest and largest of M
    saturations : how many values saturated
    error : distance of each module's mean from the closed form, relative to the length of that
    coefficients : the same of the closed form with the couplings as they are quantized
    uncoupled : the same of the closed form for the same biases without couplings
    """

    sizes: tuple[int, ...]
    units: int
    rank: int
    steps: int
    fabric: FabricConfig
    words: dict[str, tuple[int, int]]
    block_rams: int
    cycles: float
    bound: float
    eigenvalues: tuple[float, float]
    saturations: int
    error: dict[str, float]
    coefficients: dict[str, float]
    uncoupled: dict[str, float]

    def experiment(self) -> Experiment:
        """Returns the numbers as results.json holds them."""
        found = Experiment("sd15", "The shape of Stable Diffusion 1.5")
        for module, error in self.error.items():
            found.add(
                f"model:{self.fabric.name}",
                f"{module} relative error",
                float64=self.coefficients[module],
                gateware=error,
                note=ERROR_NOTE.format(uncoupled=self.uncoupled[module]),
            )
        name = self.fabric.name
        found.add(name, "cycles a step", float64=self.bound, gateware=self.cycles, note=CYCLES_NOTE)
        for memory, (used, available) in self.words.items():
            note = WORDS_NOTE.format(available=available)
            found.add(name, f"{memory} words", gateware=used, note=note)
        found.add(name, "block RAMs", gateware=self.block_rams, note=BLOCK_RAMS_NOTE)
        return found


def synthetic_energy(
    sizes: tuple[int, ...] = SD15_CHANNELS, rank: int = RANK, seed: int = 0
) -> Energy:
    """Returns skips of those sizes, each decoder linked to the next one up, of synthetic weights.

    The factors are those of weights whose Gram matrix has random singular vectors and the
    eigenvalues ``LEADING`` rank^``SPECTRUM``. Raises EnergyError if M is not positive definite.
    """
    rng = np.random.default_rng(seed)
    values = np.arange(1, rank + 1) ** SPECTRUM
    return chained(
        {
            f"{side}{level}": np.linalg.qr(rng.normal(size=(size, rank)))[0]
            * np.sqrt(leading * values)
            for level, size in enumerate(sizes, 1)
            for side, leading in LEADING.items()
        }
    )


def synthetic_inputs(energy: Energy, count: int, seed: int = 0) -> np.ndarray:
    """Returns biases (count, units) in the span of every module's modes, where couplings act.

    Outside that span a unit only leaks.
    """
    rng = np.random.default_rng(seed)
    (coupling,) = energy.couplings
    modes = [factor / np.linalg.norm(factor, axis=0) for factor in coupling.factors]
    return np.hstack([rng.normal(size=(count, coupling.rank)) @ mode.T for mode in modes])


def large_problem(energy: Energy) -> Problem:
    """Returns the problem that relaxes ``energy`` under biases at kT = 0."""
    step = choose_time_step([energy])
    return Problem("sd15 shape", (energy,), equilibrium(step, kT=0.0), dt=step.dt, entry=BIAS)


def large_program(energy: Energy, fabric: FabricConfig = ULX3S) -> Program:
    """Compiles :func:`large_problem`. Raises ProgramError if the fabric cannot hold it."""
    return compile_problem(large_problem(energy), fabric, _calibration(energy))


def run_large(
    sizes: tuple[int, ...] = SD15_CHANNELS,
    fabric: FabricConfig = ULX3S,
    inputs: int = 2,
    seed: int = 1,
) -> Large:
    """Relaxes the synthetic hierarchy on the integer model and compares it with its closed form."""
    energy = synthetic_energy(sizes)
    biases = synthetic_inputs(energy, inputs, seed=2)
    with Runner(f"model:{fabric.name}", seed) as runner:
        run = runner.run(large_problem(energy), biases, _calibration(energy))
    program, exact, values = run.program, energy.mean(biases), energy.eigenvalues()

    def distances(states: np.ndarray) -> dict[str, float]:
        return {
            name: float(np.linalg.norm((states - exact)[:, part]) / np.linalg.norm(exact[:, part]))
            for name, part in energy.slices.items()
        }

    return Large(
        sizes=sizes,
        units=energy.units,
        rank=energy.couplings[0].rank,
        steps=program.problem.steps,
        fabric=fabric,
        words=_words(program, fabric),
        block_rams=block_rams(fabric),
        cycles=scheduled_cycles(program),
        bound=4 * sum(sizes) * energy.couplings[0].rank / fabric.lanes,
        eigenvalues=(float(values[0]), float(values[-1])),
        saturations=run.saturations or 0,
        error=distances(run.outputs.mean),
        coefficients=distances(program.realised[0].mean(biases)),
        uncoupled=distances(energy.without_couplings().mean(biases)),
    )


def scheduled_cycles(program: Program) -> float:
    """Returns the clock cycles of a time step for one input, from the schedule."""
    passes = program.schedule[-1][1]
    return step_cycles(program.config, passes) / program.layout.chains


def _calibration(energy: Energy) -> np.ndarray:
    return synthetic_inputs(energy, 8, seed=1)


def _words(program: Program, fabric: FabricConfig) -> dict[str, tuple[int, int]]:
    """Returns (words taken, words of the memory) by memory."""
    layout = program.layout
    taken = {
        "factor": len(program.factor),
        "state": layout.chains * layout.state_words,
        "drive": layout.constant_word + len(program.constants),
        "descriptor": len(program.descriptors),
    }
    return {name: (used, getattr(fabric, f"{name}_depth")) for name, used in taken.items()}
