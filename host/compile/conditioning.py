# SPDX-License-Identifier: Apache-2.0
"""Formats of what drives the substrate: the inputs, the biases, and the layers of the interface
that makes biases from inputs.
"""

from dataclasses import dataclass, replace

import numpy as np

from ornstein.hdl.config import (
    ACTIVATION_ENTRIES,
    GUARD_BITS,
    SLOPE_WIDTH,
    STATE_WIDTH,
    FabricConfig,
)
from ornstein.host.compile.factors import (
    expand_columns,
    expansion_fits,
    factor_top,
    padded_columns,
    project_format,
)
from ornstein.host.compile.formats import (
    FILL,
    MARGIN,
    TOP,
    FormatError,
    RealisedStep,
    StateFormat,
    clipped_fraction,
    halvable_shifts,
)
from ornstein.host.compile.program import INPUT_LIMIT, FieldRange, ProgramError
from ornstein.host.compile.request import Request
from ornstein.host.physics.interface import BIAS as BIAS_PREFIX
from ornstein.host.physics.interface import INPUT, Layer, silu
from ornstein.host.physics.problem import BIAS, STATE

SILU_SLOPE = 1.1
"""Steepest slope of SiLU."""
ENTRY_WIDTH = STATE_WIDTH - 8
"""Bits of a rank word below those that select an activation entry."""


@dataclass(frozen=True, eq=False)
class EvaluatedLayer:
    """A layer of the interface and what it computes in float64 from the n calibration inputs.

    Attributes
    ----------
    values : (n, d_in) what it projects
    hidden : (n, h) the projections, before the activation
    produced : (n, units) the target's bias after this layer
    """

    layer: Layer
    values: np.ndarray
    hidden: np.ndarray
    produced: np.ndarray

    @property
    def source_module(self) -> str | None:
        """The module whose bias the layer reads, or None if it reads the input."""
        source = self.layer.source
        return None if source == INPUT else source.removeprefix(BIAS_PREFIX)


def evaluate_interface(request: Request) -> tuple[EvaluatedLayer, ...]:
    """Compiler pass: run the interface in float64 on the calibration inputs, layer by layer.

    Layers that read a bias which is still zero are left out, because they add nothing. Without an
    interface there are no layers. Refuses nothing.
    """
    interface = request.problem.interface
    if interface is None:
        return ()
    standard = interface.standard(request.calibration)
    biases = {name: np.tile(value, (len(standard), 1)) for name, value in interface.offset.items()}
    nonzero = {name for name, value in interface.offset.items() if np.any(value)}
    evaluated = []
    for layer in interface.layers:
        module = layer.source.removeprefix(BIAS_PREFIX)
        if layer.source != INPUT and module not in nonzero:
            continue
        values = standard if layer.source == INPUT else biases[module]
        hidden = values @ layer.project
        biases[layer.target] = (
            biases[layer.target] + (silu(hidden) if layer.activation else hidden) @ layer.expand
        )
        nonzero.add(layer.target)
        evaluated.append(EvaluatedLayer(layer, values, hidden, biases[layer.target]))
    return tuple(evaluated)


@dataclass(frozen=True, eq=False)
class BiasFormats:
    """Formats of the biases, by module, and of the inputs.

    Attributes
    ----------
    shifts : index into the fabric's bias shifts
    scales : steps of a drive word per unit of bias
    input_lsb : (input_size,) value of one step of each input number, after centring and scaling
    """

    shifts: dict[str, int]
    scales: dict[str, float]
    input_lsb: np.ndarray
    ranges: tuple[FieldRange, ...]


def choose_biases(
    request: Request, step: RealisedStep, state: StateFormat, layers: tuple[EvaluatedLayer, ...]
) -> BiasFormats:
    """Compiler pass: the LSBs of the inputs, and for every module the finest bias format.

    A format is widened further while a layer into the module would need larger factors than the
    fabric has. Refuses, by FormatError, biases beyond the widest format, and layers too strong for
    it.
    """
    problem, config = request.problem, request.config
    scale_of = tuple(
        step.dt / state.lsb * 2.0 ** (GUARD_BITS - bias_shift) for bias_shift in config.bias_shifts
    )
    offered = halvable_shifts(config.bias_shifts, -1, problem.stages, "bias_shifts")
    reaches = _bias_reaches(request)
    shifts = {
        name: _finest_bias_shift(request, name, reach, scale_of, offered)
        for name, reach in reaches.items()
    }
    rows = []
    if problem.interface is not None:
        row = _input_row(
            problem.interface.standard(request.calibration),
            problem.interface.standard(request.all_inputs),
        )
        shifts = _widened(request, layers, row.lsb, shifts, scale_of, offered)
        rows.append(row)
    scales = {name: scale_of[shift] for name, shift in shifts.items()}
    if problem.interface is not None:
        input_lsb = np.full(problem.input_size, rows[0].lsb)
    elif problem.entry == BIAS:
        units = {module.name: module.units for module in problem.energies[0].modules}
        one_set = np.concatenate(
            [np.full(units[name], 1 / scale) for name, scale in scales.items()]
        )
        input_lsb = np.tile(one_set, problem.bias_sets)
    else:
        input_lsb = np.full(problem.input_size, state.lsb)
    rows += [
        FieldRange(
            f"bias of {name}",
            low=-reach,
            high=reach,
            bits=STATE_WIDTH,
            lsb=1 / scales[name],
            clipped=clipped_fraction(*_stored_biases(request, layers, name), lsb=1 / scales[name]),
        )
        for name, reach in reaches.items()
    ]
    return BiasFormats(shifts, scales, input_lsb, tuple(rows))


def _bias_reaches(request: Request) -> dict[str, float]:
    """Bound on the magnitude of every module's biases, the constant that a layer starts from
    included.
    """
    problem = request.problem
    biases = problem.biases(request.calibration)
    offset = problem.interface.offset if problem.interface is not None else {}
    reaches = {}
    for name, part in problem.energies[0].slices.items():
        reach = MARGIN * np.abs(biases[..., part]).max()
        if name in offset:
            reach = max(reach, MARGIN * np.abs(offset[name]).max())
        reaches[name] = float(reach)
    return reaches


def _finest_bias_shift(
    request: Request, name: str, reach: float, scale_of: tuple[float, ...], offered: list[int]
) -> int:
    for index in offered:
        if reach * scale_of[index] <= TOP:
            return index
    raise FormatError(
        f"biases of module {name!r} reach {reach:.4g}, more than the widest bias format holds "
        f"({TOP / scale_of[offered[-1]]:.4g}); lower dt = {request.problem.time_step:.4g}"
    )


def _input_row(standard: np.ndarray, everything: np.ndarray) -> FieldRange:
    """The format of inputs, given the calibration inputs centred and scaled, without outliers and
    with them.
    """
    reach = float(MARGIN * np.abs(standard).max()) or 1.0
    lsb = float(2.0 ** np.ceil(np.log2(reach / INPUT_LIMIT)))
    return FieldRange(
        "input, centred and scaled",
        low=-reach,
        high=reach,
        bits=STATE_WIDTH,
        lsb=lsb,
        clipped=clipped_fraction(everything, lsb=lsb),
    )


def _stored_biases(
    request: Request, layers: tuple[EvaluatedLayer, ...], name: str
) -> list[np.ndarray]:
    """All biases of a module that follow from the calibration inputs. Whenever a layer adds to a
    bias, the sum is stored.
    """
    problem = request.problem
    if problem.entry == BIAS:
        return [problem.biases(request.all_inputs)[..., problem.energies[0].slices[name]]]
    return [evaluated.produced for evaluated in layers if evaluated.layer.target == name]


def _widened(
    request: Request,
    layers: tuple[EvaluatedLayer, ...],
    input_lsb: float,
    shifts: dict[str, int],
    scale_of: tuple[float, ...],
    offered: list[int],
) -> dict[str, int]:
    """The bias shifts, raised among those offered until the factors of every layer fit."""
    config, shifts = request.config, dict(shifts)
    while (weak := _weak_target(config, layers, input_lsb, shifts, scale_of)) is not None:
        if shifts[weak] == offered[-1]:
            raise FormatError(
                f"a layer of the interface into module {weak!r} is too strong for the "
                f"{config.factor_width}-bit factors of fabric {config.name!r}; spread it over more "
                f"hidden units, or lower dt = {request.problem.time_step:.4g}"
            )
        shifts[weak] = offered[offered.index(shifts[weak]) + 1]
    return shifts


def _weak_target(
    config: FabricConfig,
    layers: tuple[EvaluatedLayer, ...],
    input_lsb: float,
    shifts: dict[str, int],
    scale_of: tuple[float, ...],
) -> str | None:
    """The target of the first layer whose expansion needs larger factors than there are, at these
    bias shifts; None if all layers fit.
    """
    for evaluated in layers:
        module = evaluated.source_module
        source_lsb = input_lsb if module is None else 1 / scale_of[shifts[module]]
        hidden = _hidden_format(config, evaluated, source_lsb)
        target = evaluated.layer.target
        columns = _expand_columns(config, evaluated.layer, hidden.unit, scale_of[shifts[target]])
        smallest = np.abs(columns) * 2.0 ** config.expand_shifts[0]
        if not ((smallest <= factor_top(config)).all() and expansion_fits(config, smallest)):
            return target
    return None


@dataclass(frozen=True, eq=False)
class _HiddenFormat:
    """Integer columns that a layer projects on, and its hidden values' formats.

    ``project_unit`` and ``unit`` are values (h,) of one step of a rank word, as projected and as
    expanded: they differ if an activation lies between.
    """

    columns: np.ndarray
    shift: int
    project_unit: np.ndarray
    unit: np.ndarray


def _hidden_format(
    config: FabricConfig, evaluated: EvaluatedLayer, source_lsb: float
) -> _HiddenFormat:
    layer = evaluated.layer
    columns = padded_columns(config, layer.project)
    reach = MARGIN * np.abs(evaluated.values @ columns).max(axis=0)
    activated = layer.activation is not None
    project = project_format(config, columns, reach, source_lsb, equal=activated)
    unit = project.unit
    if activated:
        # An argument that fills few of its bits gets a value of fewer bits too, or the table's
        # slope would not fit.
        steepest = SILU_SLOPE * unit[0] * (1 << ENTRY_WIDTH) / ((1 << SLOPE_WIDTH - 1) - 2)
        unit = np.full_like(unit, max(silu(reach.max()) / (FILL * TOP), steepest))
    return _HiddenFormat(np.rint(columns * project.scales), project.shift, project.unit, unit)


def _expand_columns(
    config: FabricConfig, layer: Layer, unit: np.ndarray, bias_scale: float
) -> np.ndarray:
    """(units, h) real columns of a layer's expansion, in LSBs of the coupling sum per step of the
    hidden rank words.
    """
    return padded_columns(config, layer.expand.T) * unit * bias_scale * (1 << config.coupling_bits)


@dataclass(frozen=True, eq=False)
class QuantizedLayer:
    """A layer in integers: ``project`` (d_in, h) and ``expand`` (units, h), h filled up to whole
    rank words, and the indices of their shifts.
    """

    layer: Layer
    project: np.ndarray
    project_shift: int
    expand: np.ndarray
    expand_shift: int


@dataclass(frozen=True, eq=False)
class QuantizedInterface:
    """What conditions the substrate, in integers.

    Attributes
    ----------
    layers : in the order in which they run
    activation : (256, 2) int16, values and slopes of the activation table; zero if it is not used
    constants : (units,) constant biases by module, in steps of its drive words; zero ones left out
    """

    layers: tuple[QuantizedLayer, ...]
    activation: np.ndarray
    constants: dict[str, np.ndarray]
    ranges: tuple[FieldRange, ...]


def quantize_interface(
    request: Request, layers: tuple[EvaluatedLayer, ...], biases: BiasFormats
) -> QuantizedInterface:
    """Compiler pass: the layers, the activation table and the constant biases as integers.

    Refuses activated layers that would need different tables, since the fabric holds one.
    """
    config = request.config
    activation = np.zeros((ACTIVATION_ENTRIES, 2), np.int16)
    table: tuple[float, float] | None = None  # values of one step of its argument and its result
    quantized, rows = [], []
    for evaluated in layers:
        layer, module = evaluated.layer, evaluated.source_module
        source_lsb = float(biases.input_lsb[0]) if module is None else 1 / biases.scales[module]
        hidden = _hidden_format(config, evaluated, source_lsb)
        if layer.activation is not None:
            if table is None:
                table = float(hidden.project_unit[0]), float(hidden.unit[0])
                activation = silu_table(*table)
            elif not np.isclose(table[0], hidden.project_unit[0]):
                raise ProgramError(
                    "two activated layers need one format, but the fabric holds a single "
                    "activation table"
                )
            hidden = replace(hidden, unit=np.full_like(hidden.unit, table[1]))
        scale = biases.scales[layer.target]
        expand, expand_shift = expand_columns(
            config, _expand_columns(config, layer, hidden.unit, scale)
        )
        quantized.append(QuantizedLayer(layer, hidden.columns, hidden.shift, expand, expand_shift))
        rows.append(_layer_row(config, evaluated, hidden, scale, expand_shift))
    return QuantizedInterface(
        tuple(quantized), activation, _constants(request, biases), tuple(rows)
    )


def _layer_row(
    config: FabricConfig,
    evaluated: EvaluatedLayer,
    hidden: _HiddenFormat,
    bias_scale: float,
    expand_shift: int,
) -> FieldRange:
    layer, rank = evaluated.layer, evaluated.hidden.shape[1]
    steps = [evaluated.hidden / hidden.project_unit[:rank]]
    if layer.activation is not None:
        steps.append(silu(evaluated.hidden) / hidden.unit[:rank])
    largest_step = float(np.max(hidden.unit * bias_scale)) * (1 << config.coupling_bits)
    return FieldRange(
        f"interface {layer.source} to {layer.target}",
        low=float(layer.expand.min()),
        high=float(layer.expand.max()),
        bits=config.factor_width,
        lsb=1 / (largest_step * 2.0 ** config.expand_shifts[expand_shift]),
        clipped=clipped_fraction(*steps),
    )


def _constants(request: Request, biases: BiasFormats) -> dict[str, np.ndarray]:
    problem = request.problem
    offset: dict[str, np.ndarray] = {}
    if problem.interface is not None:
        offset = problem.interface.offset
    elif problem.entry == STATE and problem.offset is not None:
        slices = problem.energies[0].slices
        offset = {name: problem.offset[part] for name, part in slices.items()}
    return {
        name: np.rint(value * biases.scales[name])
        for name, value in offset.items()
        if np.any(value)
    }


def silu_table(argument_lsb: float, value_lsb: float) -> np.ndarray:
    """The activation table of SiLU, for arguments and values in steps of these LSBs."""
    return activation_table(lambda steps: silu(steps * argument_lsb) / value_lsb)


def activation_table(function) -> np.ndarray:
    """(256, 2) int16: values and slopes of a function from rank steps to rank steps, clipped to 16
    bits.

    Neighbouring entries meet, except where the rank word's range begins. Raises ProgramError if a
    slope exceeds its bits.
    """
    width = 1 << ENTRY_WIDTH
    first = np.arange(ACTIVATION_ENTRIES, dtype=np.uint8).view(np.int8).astype(float) * width
    ends = [np.clip(np.rint(function(step)), -TOP - 1, TOP) for step in (first, first + width)]
    slopes = ends[1] - ends[0]
    if np.abs(slopes).max() >= 1 << SLOPE_WIDTH - 1:
        raise ProgramError(
            f"the activation rises by {np.abs(slopes).max():.0f} an entry, more than "
            f"{SLOPE_WIDTH} bits"
        )
    return np.stack([ends[0], slopes], axis=1).astype(np.int16)
