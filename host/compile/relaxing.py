# SPDX-License-Identifier: Apache-2.0
"""Formats of the couplings that a relaxation step computes.

A step projects each module's state on the factors of its couplings, mixes the projections where
several modules or terms meet, and expands the result back onto the module's units. A skip between
two modules that take part in nothing else needs no mixing: its coefficient is shared out between
its two factors.
"""

from dataclasses import dataclass, replace

import numpy as np

from ornstein.hdl.config import FabricConfig
from ornstein.host.compile.factors import (
    ProjectFormat,
    expansion_fits,
    factor_top,
    padded,
    padded_columns,
    project_format,
    projection_fits,
)
from ornstein.host.compile.formats import (
    FILL,
    MARGIN,
    SIGMAS,
    TOP,
    ExpectedStates,
    FormatError,
    RealisedStep,
    StateFormat,
    clipped_fraction,
    halvable_shifts,
)
from ornstein.host.compile.program import FieldRange, ProgramError
from ornstein.host.compile.request import Request
from ornstein.host.physics.timestep import spectrum
from ornstein.sim.energy import Coupling, Energy

Side = tuple[int, int]
"""One module's side of a coupling: (index of the coupling, index of the module in it)."""


def sides_by_module(energy: Energy) -> dict[str, list[Side]]:
    """The sides of each module, in the order in which their factors are stored and expanded."""
    sides: dict[str, list[Side]] = {name: [] for name in energy.slices}
    for number, coupling in enumerate(energy.couplings):
        for place, name in enumerate(coupling.modules):
            sides[name].append((number, place))
    return sides


@dataclass(frozen=True, eq=False)
class Mix:
    """Integer coefficients (terms, rank) with which a side's projections are mixed, and the index
    of the project shift that narrows the sum.
    """

    coefficients: np.ndarray
    shift: int


@dataclass(frozen=True, eq=False)
class QuantizedEnergy:
    """The couplings of an energy in integers.

    Attributes
    ----------
    energy : the energy that was asked for
    factors : by side, integers (units, rank), the rank filled up to whole rank words
    project_shift : by side, index into the fabric's project shifts
    expand_shift : by module that is coupled, index into the fabric's expand shifts
    mixes : by side, in the order of modules; sides of a skip that needs no mixing are left out
    realised : the energy that the integers make
    """

    energy: Energy
    factors: dict[Side, np.ndarray]
    project_shift: dict[Side, int]
    expand_shift: dict[str, int]
    mixes: dict[Side, Mix]
    realised: Energy
    ranges: tuple[FieldRange, ...]


def quantize_energy(
    request: Request, index: int, step: RealisedStep, state: StateFormat, states: ExpectedStates
) -> QuantizedEnergy:
    """Compiler pass: the factors and the mixing coefficients of one energy as integers.

    Reads the expected states, which bound all projections. Decides which skips need no mixing.
    Refuses, by FormatError, couplings that fit no format, and, by ProgramError, sums that could
    overflow the accumulator and an energy that its bits leave unbounded below.
    """
    config, energy = request.config, request.problem.energies[index]
    sides = sides_by_module(energy)
    projections = _projections(config, energy, index, state.lsb, states)
    stages = [stage for stage in request.problem.stages if stage.energy == index]
    offered = halvable_shifts(config.expand_shifts, 1, stages, "expand_shifts")
    skips = _unmixed_skips(config, energy, sides, step.dt, state.lsb, projections, offered)
    expand_shift: dict[str, int] = {}
    mixes: dict[Side, Mix] = {}
    for skip in skips.values():
        projections |= skip.projections
        expand_shift |= skip.expand_shift
    for name, of_module in sides.items():
        if of_module and of_module[0][0] not in skips:
            expand_shift[name], chosen = _mix_module(
                request, energy, of_module, step.dt, state.lsb, projections, offered
            )
            mixes |= chosen
    factors = {
        side: np.rint(projection.columns * projection.format.scales)
        for side, projection in projections.items()
    }
    _check_expansions(config, sides, factors)
    project_shift = {side: projection.format.shift for side, projection in projections.items()}
    realised = _realised(config, energy, step.dt, factors, project_shift, expand_shift, mixes)
    quantized = QuantizedEnergy(energy, factors, project_shift, expand_shift, mixes, realised, ())
    steps = states.values[index] / state.lsb
    return replace(quantized, ranges=_coupling_rows(config, index, quantized, steps))


@dataclass(frozen=True, eq=False)
class _Projection:
    """One side's real columns (units, rank), the bound (rank,) on its projections, and the format.

    The rank is filled up to whole rank words.
    """

    columns: np.ndarray
    reach: np.ndarray
    format: ProjectFormat


def _projections(
    config: FabricConfig, energy: Energy, index: int, lsb: float, states: ExpectedStates
) -> dict[Side, _Projection]:
    """Every side's projection in the format in which it fills its 16 bits."""
    found = {}
    for number, coupling in enumerate(energy.couplings):
        for place, name in enumerate(coupling.modules):
            factor, part = coupling.factors[place], energy.slices[name]
            thermal = np.sqrt(np.maximum(states.heat[index] * energy.spread(factor, part), 0))
            expected = np.abs(states.values[index][:, part] @ factor).max(axis=0, initial=0)
            reach = padded(config, MARGIN * expected + SIGMAS * thermal)
            columns = padded_columns(config, factor)
            found[number, place] = _Projection(
                columns, reach, project_format(config, columns, reach, lsb)
            )
    return found


@dataclass(frozen=True, eq=False)
class _Skip:
    """Formats of a skip that needs no mixing: of both sides, and of both modules."""

    projections: dict[Side, _Projection]
    expand_shift: dict[str, int]


def _unmixed_skips(
    config: FabricConfig,
    energy: Energy,
    sides: dict[str, list[Side]],
    dt: float,
    lsb: float,
    projections: dict[Side, _Projection],
    offered: list[int],
) -> dict[int, _Skip]:
    """Formats, by coupling, of the skips that need no mixing.

    Such a coupling has two modules that take part in nothing else, and nothing on the diagonal. The
    fabric must have the expand shifts 0, 1, 2, ..., since both shifts share one total; those
    ``offered`` are taken.
    """
    shifts = config.expand_shifts
    found = {}
    for number, coupling in enumerate(energy.couplings):
        if (
            len(coupling.modules) == 2
            and not coupling.mix[[0, 1], [0, 1]].any()
            and all(len(sides[name]) == 1 for name in coupling.modules)
            and shifts == tuple(range(len(shifts)))
        ):
            ends = projections[number, 0], projections[number, 1]
            if (skip := _skip(config, number, coupling, dt, lsb, ends, offered)) is not None:
                found[number] = skip
    return found


def _skip(
    config: FabricConfig,
    number: int,
    coupling: Coupling,
    dt: float,
    lsb: float,
    ends: tuple[_Projection, _Projection],
    offered: list[int],
) -> _Skip | None:
    """Formats of a skip whose coefficient is shared out between its two factors; None if there are
    none.

    The product of the two scales of a column is dt |mix| 2^(coupling bits + project shift + expand
    shift). The largest total shift that fits is taken.
    """
    strength = padded(config, dt * np.abs(coupling.mix[0, 1])) * (1 << config.coupling_bits)
    peaks = [np.abs(end.columns).max(axis=0) for end in ends]
    used = (strength > 0) & (peaks[0] > 0) & (peaks[1] > 0)
    strength, *peaks = (np.where(used, values, 1.0) for values in (strength, *peaks))
    for total in range(config.project_shifts[-1] + config.expand_shifts[-1], -1, -1):
        product = strength * 2.0**total
        scales = [
            np.where(used, np.sqrt(product * peaks[1 - place] / peaks[place]), 0.0)
            for place in (0, 1)
        ]
        shifts = [
            shift
            for end, scale in zip(ends, scales, strict=True)
            if (shift := _skip_shift(config, end, scale, lsb, total, offered)) is not None
        ]
        if len(shifts) == 2:
            break
    else:
        return None
    # The fabric adds what it expands, so the first side carries the sign of the force.
    scales[0] = scales[0] * np.where(padded(config, coupling.mix[0, 1]) > 0, -1.0, 1.0)
    formats = [
        ProjectFormat(scale, shift, np.ones_like(scale))
        for scale, shift in zip(scales, shifts, strict=True)
    ]
    return _Skip(
        {(number, place): replace(ends[place], format=formats[place]) for place in (0, 1)},
        {
            name: config.expand_shifts.index(total - config.project_shifts[shifts[1 - place]])
            for place, name in enumerate(coupling.modules)
        },
    )


def _skip_shift(
    config: FabricConfig,
    end: _Projection,
    scales: np.ndarray,
    lsb: float,
    total: int,
    offered: list[int],
) -> int | None:
    """Index of the smallest project shift that leaves an expand shift of the ``total`` and whose
    projections fit 16 bits; None if factors or sums do not fit either.
    """
    integers = np.rint(end.columns * scales)
    if (
        (scales * np.abs(end.columns).max(axis=0) > factor_top(config)).any()
        or not projection_fits(config, integers)
        or not expansion_fits(config, integers)
    ):
        return None
    for index, shift in enumerate(config.project_shifts):
        projected = end.reach * scales / lsb * 2.0**-shift
        if total - shift in offered and (projected <= FILL * TOP).all():
            return index
    return None


def _mix_module(
    request: Request,
    energy: Energy,
    of_module: list[Side],
    dt: float,
    lsb: float,
    projections: dict[Side, _Projection],
    offered: list[int],
) -> tuple[int, dict[Side, Mix]]:
    """(index of a module's expand shift, coefficients of its sides). The largest shift among those
    ``offered`` that fits is taken.
    """
    config = request.config
    for index in reversed(offered):
        scale = dt / lsb * (1 << config.coupling_bits) * 2.0 ** config.expand_shifts[index]
        mixes = {side: _mix_side(config, energy, side, scale, projections) for side in of_module}
        chosen = {side: mix for side, mix in mixes.items() if mix is not None}
        if len(chosen) == len(of_module):
            return index, chosen
    number, place = of_module[0]
    raise FormatError(
        f"the couplings of module {energy.couplings[number].modules[place]!r} fit no format of "
        f"fabric {config.name!r}; lower dt = {request.problem.time_step:.4g}, or weaken them"
    )


def _mix_side(
    config: FabricConfig,
    energy: Energy,
    side: Side,
    scale: float,
    projections: dict[Side, _Projection],
) -> Mix | None:
    """Integer coefficients of one side, None if they or the mixed words exceed their bits.

    ``scale`` is the number of LSBs of the coupling sum in a unit of force.
    """
    number, place = side
    coupling, own = energy.couplings[number], projections[side]
    terms = [projections[number, term] for term in range(len(coupling.modules))]
    # A mode that a module takes no part in has no scale there, and needs no coefficient.
    member = _members(own)
    expected = sum(
        padded(config, np.abs(coupling.mix[place, term])) * projection.reach
        for term, projection in enumerate(terms)
    )
    if (scale * expected / own.format.scales > FILL * TOP)[member].any():
        return None
    real = np.stack(
        [
            padded(config, coupling.mix[place, term])
            * -scale
            / own.format.scales
            * np.where(member & _members(projection), projection.format.unit, 0.0)
            for term, projection in enumerate(terms)
        ]
    )
    for index in reversed(range(len(config.project_shifts))):
        integers = np.rint(real * 2.0 ** config.project_shifts[index])
        if np.abs(integers).max() <= factor_top(config):
            return Mix(integers, index)
    return None


def _members(projection: _Projection) -> np.ndarray:
    """(rank,) which modes the module takes part in."""
    return np.abs(projection.columns).max(axis=0) > 0


def _check_expansions(
    config: FabricConfig, sides: dict[str, list[Side]], factors: dict[Side, np.ndarray]
) -> None:
    for name, of_module in sides.items():
        if of_module and not expansion_fits(
            config, np.concatenate([factors[side] for side in of_module], axis=1)
        ):
            raise ProgramError(
                f"the couplings of module {name!r} could overflow the {config.accumulator_width}-"
                f"bit accumulators of fabric {config.name!r}; lower the rank or choose a wider "
                "fabric"
            )


def _realised(
    config: FabricConfig,
    energy: Energy,
    dt: float,
    factors: dict[Side, np.ndarray],
    project_shift: dict[Side, int],
    expand_shift: dict[str, int],
    mixes: dict[Side, Mix],
) -> Energy:
    """The energy that the integers make: integer factors, and the mix that gives them their value.

    Raises ProgramError if it is harmonic and no longer positive definite, or unstable at ``dt``.
    """
    couplings = []
    for number, coupling in enumerate(energy.couplings):
        size = len(coupling.modules)
        mix = np.zeros((size, size, coupling.rank))
        for place, name in enumerate(coupling.modules):
            chosen = mixes.get((number, place))
            expanded = 2.0 ** -(config.coupling_bits + config.expand_shifts[expand_shift[name]])
            for term in range(size):
                narrowed = 2.0 ** -config.project_shifts[project_shift[number, term]]
                if chosen is not None:
                    narrowed *= 2.0 ** -config.project_shifts[chosen.shift]
                    coefficients = chosen.coefficients[term][: coupling.rank]
                    mix[place, term] = -expanded * narrowed / dt * coefficients
                elif place != term:
                    mix[place, term] = -expanded * narrowed / dt
        own = tuple(factors[number, place][:, : coupling.rank] for place in range(size))
        couplings.append(Coupling(coupling.modules, own, mix))
    realised = replace(energy, couplings=tuple(couplings))
    smallest, largest = spectrum([realised])
    if smallest <= 0 and not energy.j4:
        raise ProgramError(
            f"quantized to {config.factor_width} bits M is no longer positive definite: its "
            f"smallest eigenvalue is {smallest:.4g}"
        )
    if largest * dt >= 2 and not energy.j4:
        raise ProgramError(
            f"quantized to {config.factor_width} bits M is unstable at dt = {dt:.6g}: its largest "
            f"eigenvalue {largest:.4g} allows dt < {2 / largest:.4g}"
        )
    return realised


def _coupling_rows(
    config: FabricConfig, index: int, quantized: QuantizedEnergy, steps: np.ndarray
) -> tuple[FieldRange, ...]:
    """A row for every coupling; ``steps`` are the expected states (n, units) in state LSBs."""
    energy, rows = quantized.energy, []
    for number, wanted in enumerate(energy.couplings):
        last = len(wanted.modules) - 1
        block = wanted.block(0, last)
        realised = quantized.realised.couplings[number].block(0, last)
        peak = np.unravel_index(np.abs(block).argmax(), block.shape)
        largest = float(max(np.abs(factor).max() for factor in wanted.factors))
        suffix = f" of energy {index}" if index else ""
        rows.append(
            FieldRange(
                f"coupling {'-'.join(wanted.modules)}{suffix}",
                low=float(min(factor.min() for factor in wanted.factors)),
                high=float(max(factor.max() for factor in wanted.factors)),
                bits=config.factor_width,
                lsb=largest / factor_top(config),
                clipped=clipped_fraction(*rank_values(config, quantized, number, steps)),
                requested=float(block[peak]),
                realised=float(realised[peak]),
            )
        )
    return tuple(rows)


def rank_values(
    config: FabricConfig, quantized: QuantizedEnergy, number: int, steps: np.ndarray
) -> list[np.ndarray]:
    """What the rank words of a coupling would hold if they had more bits: its projections and, if
    it mixes, the mixed projections, both (n, rank).
    """
    energy = quantized.energy
    coupling = energy.couplings[number]
    projected = []
    for place, name in enumerate(coupling.modules):
        shift = config.project_shifts[quantized.project_shift[number, place]]
        factors = quantized.factors[number, place][:, : coupling.rank]
        projected.append(steps[:, energy.slices[name]] @ factors * 2.0**-shift)
    mixed = []
    for place in range(len(coupling.modules)):
        mix = quantized.mixes.get((number, place))
        if mix is not None:
            coefficients = mix.coefficients[:, : coupling.rank]
            total = sum(c * values for c, values in zip(coefficients, projected, strict=True))
            mixed.append(total * 2.0 ** -config.project_shifts[mix.shift])
    return projected + mixed
