# SPDX-License-Identifier: Apache-2.0
"""Where the factors of a program's couplings lie in the factor memory, and how they are replaced.

A connection of the substrate is one element of a factor. The memory holds each of them once, and a
step both projects and expands through it, so that M stays symmetric whatever the memory holds.
"""

from dataclasses import dataclass, replace

import numpy as np

from ornstein.hdl.isa import Level, Operation, Pass
from ornstein.host.compile.factors import (
    column_limit,
    expansion_fits,
    factor_top,
    padded_columns,
    projection_fits,
)
from ornstein.host.compile.program import Program, ProgramError
from ornstein.host.compile.relaxing import Side, sides_by_module
from ornstein.sim.energy import Coupling, Energy

Factors = dict[Side, np.ndarray]
"""By side of a coupling, a factor (units, rank)."""


def factor_places(program: Program, energy: int = 0) -> dict[Side, np.ndarray]:
    """Returns where the factors of an energy's couplings lie in the factor memory.

    Parameters
    ----------
    energy : index of the energy, among those of the problem

    Returns
    -------
    By side, (units, rank) positions in ``program.factor.ravel()``. It is empty if no stage relaxes
    under the energy. The places are those that the passes of its stage name.

    Raises ProgramError if the memory does not hold the factors that the program says it realises.
    """
    realised, config = program.realised[energy], program.config
    expansions = _expansions(program, energy)
    if not expansions:
        return {}
    names = [module.name for module in realised.modules]
    image, places = program.factor.ravel(), {}
    for name, sides in sides_by_module(realised).items():
        if not sides:
            continue
        words, _ = program.layout.module_parts[names.index(name)]
        expand = expansions[words]
        first = 0
        for number, place in sides:
            factor = realised.couplings[number].factors[place]
            units, modes = (np.arange(size) for size in factor.shape)
            word, lane = units // config.unit_lanes, units % config.unit_lanes
            column = first + modes
            rows = expand.factor + word[:, None] * expand.inner + column[None] // config.rank_lanes
            lanes = lane[:, None] * config.rank_lanes + column[None] % config.rank_lanes
            found = rows * config.lanes + lanes
            if found.max(initial=0) >= image.size or (image[found] != factor).any():
                raise ProgramError(
                    f"program {program.name!r} contradicts itself: its factor memory does not hold "
                    f"the factors of coupling {number} in module {name!r}; compile it again"
                )
            places[number, place] = found
            first += padded_columns(config, factor).shape[1]
    return places


def _expansions(program: Program, energy: int) -> dict[int, Pass]:
    """The passes that expand the couplings of an energy in the first chain, by the state word that
    they write first.
    """
    relaxing = [part for part in program.schedule if part[0].keep]
    for stage in program.problem.stages:
        passes, steps = relaxing[0][1], 0
        while relaxing and steps < stage.steps:
            level: Level = relaxing.pop(0)[0]
            steps += level.steps
        if stage.energy == energy:
            return {
                step.dest: step
                for step in passes
                if step.operation == Operation.EXPAND and step.coupled and not step.to_drive
            }
    return {}


def connections(program: Program) -> list[tuple[int, dict[Side, np.ndarray]]]:
    """Returns the places of all connections: for every energy that a stage uses, its index and
    :func:`factor_places`.
    """
    used = sorted({stage.energy for stage in program.problem.stages})
    return [(index, factor_places(program, index)) for index in used]


def with_factors(
    program: Program, energy: int, places: dict[Side, np.ndarray], factors: Factors
) -> Program:
    """Returns the program with other integers in place of the factors of one of its energies.

    Memory image and realised energy change alike; everything else stays as it is, the float problem
    included. Other factors than those of ``places`` (:func:`factor_places`) stay too.
    """
    image = program.factor.ravel().copy()
    for side, values in factors.items():
        image[places[side]] = values
    realised = list(program.realised)
    realised[energy] = with_coupling_factors(
        realised[energy], {side: np.asarray(value, float) for side, value in factors.items()}
    )
    return replace(program, factor=image.reshape(program.factor.shape), realised=tuple(realised))


def sums_fit(program: Program, energy: int, integers: Factors) -> bool:
    """Whether no sum over the integer factors of an energy can overflow the accumulators, whatever
    the states are.
    """
    config = program.config
    columns = {side: np.asarray(values, np.int64) for side, values in integers.items()}
    of_modules = [sides for sides in sides_by_module(program.realised[energy]).values() if sides]
    return all(projection_fits(config, side) for side in columns.values()) and all(
        expansion_fits(config, np.concatenate([columns[side] for side in sides], axis=1))
        for sides in of_modules
    )


def with_coupling_factors(energy: Energy, factors: Factors) -> Energy:
    """Returns an energy with other factors, where ``factors`` has some; the mix stays."""
    return replace(
        energy,
        couplings=tuple(
            Coupling(
                coupling.modules,
                tuple(
                    factors.get((number, place), factor)
                    for place, factor in enumerate(coupling.factors)
                ),
                coupling.mix,
            )
            for number, coupling in enumerate(energy.couplings)
        ),
    )


@dataclass(frozen=True, eq=False)
class AdjustableCouplings:
    """The couplings of a program with one energy, in the program's fixed number formats.

    A float factor f is stored as rint(f * scale). The scales are those of the compiled program, so
    that a small change of a factor changes few words of the memory.

    Attributes
    ----------
    program : the program; its float problem has the energy of the float factors
    places : see :func:`factor_places`
    scales : by side, (rank,) steps of the stored integers in a unit of the float factor
    """

    program: Program
    places: dict[Side, np.ndarray]
    scales: dict[Side, np.ndarray]

    @classmethod
    def of(cls, program: Program) -> "AdjustableCouplings":
        """Reads the couplings of a program. Raises ProgramError if it has several energies, or no
        couplings at all.
        """
        if len(program.realised) != 1 or not program.realised[0].couplings:
            raise ProgramError(
                f"program {program.name!r} has {len(program.realised)} energies and "
                f"{len(program.realised[0].couplings)} couplings; one energy with couplings is "
                "needed to adjust them"
            )
        scales = {
            (number, place): np.maximum(np.abs(factor).max(axis=0), 1.0)
            for number, coupling in enumerate(program.realised[0].couplings)
            for place, factor in enumerate(coupling.factors)
        }
        couplings = cls(program, factor_places(program), scales)
        return replace(couplings, program=couplings.with_factors(couplings.factors()))

    def factors(self) -> Factors:
        """Returns the float factors of the integers that the program holds."""
        image = self.program.factor.ravel()
        return {side: image[place] / self.scales[side] for side, place in self.places.items()}

    def energy(self, factors: Factors) -> Energy:
        """Returns the energy of float factors, before they are rounded to integers."""
        realised = self.program.realised[0]
        couplings = []
        for number, coupling in enumerate(realised.couplings):
            count = len(coupling.modules)
            scales = np.stack([self.scales[number, place] for place in range(count)])
            couplings.append(
                Coupling(
                    coupling.modules,
                    tuple(factors[number, place] for place in range(count)),
                    # rounded mixing coefficients may differ between the two directions
                    (coupling.mix + coupling.mix.swapaxes(0, 1)) / 2 * (scales[:, None] * scales),
                )
            )
        return replace(realised, couplings=tuple(couplings))

    def within(self, factors: Factors) -> Factors:
        """Returns the nearest float factors that the program's formats hold: elements are clipped
        to the factor bits, and columns shrunk whose sums could overflow the accumulator.
        """
        config = self.program.config
        held = {}
        for side, factor in factors.items():
            most = factor_top(config) / self.scales[side]
            clipped = np.clip(factor, -most, most)
            # an element rounds up by half a step at most
            sums = np.abs(clipped * self.scales[side]).sum(axis=0) + len(clipped) / 2
            held[side] = clipped * np.minimum(1.0, column_limit(config) / sums)
        return held

    def integers(self, factors: Factors) -> Factors:
        """Returns the integers of float factors, at most those of the factor bits."""
        top = factor_top(self.program.config)
        return {
            side: np.clip(np.rint(factor * self.scales[side]), -top, top).astype(np.int16)
            for side, factor in factors.items()
        }

    def with_factors(self, factors: Factors) -> Program:
        """Returns the program with other float factors, stored as integers.

        Raises ProgramError if sums over them could overflow the accumulators.
        """
        if not sums_fit(self.program, 0, self.integers(factors)):
            raise ProgramError(
                f"the couplings of program {self.program.name!r} could overflow the "
                f"{self.program.config.accumulator_width}-bit accumulators; learn in smaller steps"
            )
        changed = with_factors(self.program, 0, self.places, self.integers(factors))
        return replace(changed, problem=replace(changed.problem, energies=(self.energy(factors),)))
