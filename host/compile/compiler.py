# SPDX-License-Identifier: Apache-2.0
"""The compiler: from a float program to integer images for one fabric.

A list of passes. Each is a function in a module of its own subject; it takes the frozen results of
earlier passes and returns a frozen result. The first group chooses number formats from the data,
the second places the integers in the fabric's memories and writes the schedule.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from ornstein.hdl.config import PRESETS, REFERENCE, FabricConfig, preset
from ornstein.hdl.schedule import step_cycles
from ornstein.host.compile import formats
from ornstein.host.compile.accuracy import check_accuracy
from ornstein.host.compile.allocation import (
    VectorMemory,
    allocate_vectors,
    fits_window,
    store_factors,
)
from ornstein.host.compile.conditioning import (
    BiasFormats,
    QuantizedInterface,
    choose_biases,
    evaluate_interface,
    quantize_interface,
)
from ornstein.host.compile.descriptors import encode_descriptors
from ornstein.host.compile.program import AccuracyCheck, Layout, Program, ProgramError
from ornstein.host.compile.relaxing import QuantizedEnergy, quantize_energy
from ornstein.host.compile.request import Request, check_request
from ornstein.host.compile.schedule import (
    conditioning_passes,
    loading_passes,
    sampled_words,
    schedule_levels,
    step_passes,
)
from ornstein.host.compile.selfcheck import (
    LOSS_TOLERANCE,
    Loss,
    cold_problem,
    loss_checks,
    measure_loss,
)
from ornstein.host.physics.problem import NEAREST, STOCHASTIC, Problem, with_time_steps

CHAINS: tuple[int, ...] = (1, 2, 4, 8)
"""Inputs relaxed at once that are tried: more hide the pipeline's latency and take more memory."""
WORTHWHILE = 0.002
"""Share of the cycles that more inputs at once must save."""
MOST_SPARE = 2
"""Top bits of the state that may be left unused where a step's forces would not fit beside a finer
LSB.
"""


def compile_problem(
    problem: Problem,
    config: FabricConfig | str | None = None,
    calibration: np.ndarray | None = None,
    *,
    spare: int = 0,
) -> Program:
    """Compile for one fabric.

    What the formats cannot hold as asked is refused; what they hold less well than the tolerances
    of :mod:`ornstein.host.compile.accuracy` say is in :meth:`Program.warnings`.

    Parameters
    ----------
    config : the fabric, or the name of a preset; by default the smallest preset that holds it
    calibration : inputs (n, input_size) like those to come; they set every range. By default
        standard normal numbers; they are biases, initial states, or centred and scaled inputs of
        an interface
    spare : top bits of the state to leave unused at least, as on a fabric whose state has so many
        bits fewer

    Raises
    ------
    ProblemError, EnergyError
        The float program is inconsistent.
    ProgramError
        It does not fit the fabric; the message names the memory or the field, and what there is.
    ConfigError
        No preset has that name.
    """
    if config is None:
        return compile_smallest([problem], calibration, spare=spare)
    if isinstance(config, str):
        config = preset(config)
    if isinstance(problem, Problem) and problem.dt is None:
        return compile_first(with_time_steps(problem), config, calibration, spare=spare)
    request = check_request(problem, config, calibration)
    quantized = _quantize(request, spare)
    request = _with_rounding(request, quantized)
    program = _fastest(request, quantized)
    request, checked = _self_check(request, quantized, program)
    if request.problem is not program.problem:
        program = _fastest(request, quantized)
    accuracy = check_accuracy(
        request,
        quantized.step,
        quantized.states,
        quantized.state,
        program.realised,
        program.ranges,
    )
    return replace(program, checks=(*accuracy, *checked))


def compile_smallest(
    problems: Iterable[Problem],
    calibration: np.ndarray | None = None,
    *,
    factor_width: int = REFERENCE.factor_width,
    spare: int = 0,
) -> Program:
    """Compile the first of the problems that a preset holds, for the one with the least state and
    factor memory that does.

    A preset with couplings of ``factor_width`` bits is preferred. The other parameters and errors
    are those of :func:`compile_problem`; ProgramError says why the largest preset does not hold the
    first problem.
    """
    presets = sorted(
        PRESETS.values(),
        key=lambda c: (c.factor_width < factor_width, c.state_depth, c.factor_depth),
    )
    refused: ProgramError | None = None
    for problem in problems:
        errors: list[tuple[FabricConfig, ProgramError]] = []
        for config in presets:
            try:
                return compile_problem(problem, config, calibration, spare=spare)
            except ProgramError as error:
                errors.append((config, error))
        refused = refused or max(errors, key=lambda one: _room(problem, one[0]))[1]
        if not any(isinstance(error, formats.FormatError) for _, error in errors):
            break  # the next problem has the same size
    if refused is None:
        raise ValueError("there is no problem to compile")
    raise type(refused)(f"no preset holds the program: {refused}")


def _room(problem: Problem, config: FabricConfig) -> tuple[bool, int]:
    """Whether a fabric was built with the options of a problem, and the factors that it holds."""
    streams = any(stage.thin for stage in problem.stages)
    quartic = bool(problem.energies[0].j4)
    built = streams <= bool(config.sample_depth) and quartic <= config.quartic
    return built, config.factor_depth * config.lanes


def compile_first(
    problems: Iterable[Problem],
    config: FabricConfig,
    calibration: np.ndarray | None,
    *,
    spare: int = 0,
) -> Program:
    """Compile the first of one or more problems that the fabric's number formats can hold.

    The other parameters are those of :func:`compile_problem`. Raises what it raises for a reason
    other than a format, and the first problem's FormatError if no problem fits.
    """
    refused: formats.FormatError | None = None
    for problem in problems:
        try:
            return compile_problem(problem, config, calibration, spare=spare)
        except formats.FormatError as error:
            refused = refused or error
    if refused is None:
        raise ValueError("there is no problem to compile")
    raise refused


@dataclass(frozen=True, eq=False)
class _Quantized:
    """The results of the passes that choose number formats."""

    step: formats.RealisedStep
    states: formats.ExpectedStates
    state: formats.StateFormat
    amplitudes: formats.Amplitudes
    biases: BiasFormats
    interface: QuantizedInterface
    energies: tuple[QuantizedEnergy, ...]


def _quantize(request: Request, spare: int) -> _Quantized:
    """All formats. The state leaves ``spare`` top bits unused, or as many more as its forces need
    to fit.
    """
    for unused in range(spare, spare + MOST_SPARE):
        try:
            return _quantize_with(request, unused)
        except formats.FormatError:
            continue  # a coarser state needs smaller factors
    return _quantize_with(request, spare + MOST_SPARE)


def _quantize_with(request: Request, unused: int) -> _Quantized:
    """All formats, with that many top bits of the state unused."""
    step = formats.realise_time_step(request)
    states = formats.expect_states(request, step)
    state = formats.choose_state(request, step, states, unused)
    amplitudes = formats.choose_amplitudes(request, step, state)
    layers = evaluate_interface(request)
    biases = choose_biases(request, step, state, layers)
    interface = quantize_interface(request, layers, biases)
    energies = tuple(
        quantize_energy(request, index, step, state, states)
        for index in range(len(request.problem.energies))
    )
    return _Quantized(step, states, state, amplitudes, biases, interface, energies)


def _with_rounding(request: Request, quantized: _Quantized) -> Request:
    """The request, with stochastic rounding where rounding to nearest would drop the drift of
    thermal motion.
    """
    drift = quantized.states.least_drift
    if drift is None or drift / quantized.state.lsb >= formats.LEAST_DRIFT:
        return request
    return replace(request, problem=replace(request.problem, rounding=STOCHASTIC))


def _self_check(
    request: Request, quantized: _Quantized, program: Program
) -> tuple[Request, tuple[AccuracyCheck, ...]]:
    """The loss of the program on calibration inputs, and the request with stochastic rounding if
    that halves a loss beyond its tolerance.
    """
    loss = _loss(request, quantized, program)
    if loss is None:
        return request, ()
    problem = request.problem
    if loss.answers > LOSS_TOLERANCE and problem.rounding == NEAREST and not problem.kT:
        dithered = replace(request, problem=replace(problem, rounding=STOCHASTIC))
        other = _loss(dithered, quantized, program)
        if other is not None and other.answers <= loss.answers / 2:
            return dithered, loss_checks(other, loss)
    return request, loss_checks(loss, None)


def _loss(request: Request, quantized: _Quantized, program: Program) -> Loss | None:
    """The loss of a program whose number of chains is that of ``program``."""
    problem = cold_problem(replace(program, problem=request.problem))
    if problem is None:
        return None
    silent = {(stage.kT, stage.halvings): 0 for stage in problem.stages}
    cold = replace(quantized, amplitudes=formats.Amplitudes(silent, ()))
    return measure_loss(request, _place(replace(request, problem=problem), cold, CHAINS[0]))


def _fastest(request: Request, quantized: _Quantized) -> Program:
    """The program with the number of chains, among those that fit, that takes fewest cycles."""
    best = _place(request, quantized, CHAINS[0])
    others = {False: CHAINS[1:]}
    if _has_windows(request, quantized):
        others[True] = CHAINS
    for window, counts in others.items():
        for chains in counts:
            try:
                program = _place(request, quantized, chains, window=window)
            except ProgramError:
                break  # still more inputs would need still more memory
            if _cycles(program) < _cycles(best) * (1 - WORTHWHILE):
                best = program
    return best


def _has_windows(request: Request, quantized: _Quantized) -> bool:
    """Whether the fabric's window of MIX can mix a coupling."""
    return request.config.mix_window and any(
        fits_window(energy, number)
        for energy in quantized.energies
        for number in range(len(energy.energy.couplings))
    )


def _cycles(program: Program) -> float:
    """Estimated cycles of a job for each of its inputs."""
    cycles = sum(
        level.steps * step_cycles(program.config, passes) for level, passes in program.schedule
    )
    return cycles / program.layout.chains


def _place(
    request: Request, quantized: _Quantized, chains: int, *, window: bool = False
) -> Program:
    """The images of a program that relaxes so many inputs at once, and mixes in the window of MIX
    if asked to.
    """
    vectors = allocate_vectors(request, quantized.interface, chains)
    factors = store_factors(
        request.config, quantized.interface.layers, quantized.energies, chains, window=window
    )
    conditioning = conditioning_passes(request, quantized.interface, factors, vectors)
    loading = loading_passes(request, vectors)
    steps = tuple(
        step_passes(request, energy, placed, quantized.biases, vectors)
        for energy, placed in zip(quantized.energies, factors.energies, strict=True)
    )
    levels = schedule_levels(
        request,
        quantized.step,
        quantized.state,
        quantized.amplitudes,
        vectors,
        loading,
        conditioning,
        steps,
    )
    descriptors = encode_descriptors(request.config, levels, vectors.bank_offset)
    return Program(
        name=request.problem.name,
        config=request.config,
        problem=request.problem,
        layout=_layout(vectors, len(levels), sampled_words(levels, vectors)),
        factor=factors.image,
        constants=vectors.constants,
        descriptors=descriptors,
        activation=quantized.interface.activation,
        state_lsb=quantized.state.lsb,
        input_lsb=quantized.biases.input_lsb,
        dt=quantized.step.dt,
        realised=tuple(energy.realised for energy in quantized.energies),
        ranges=sum(
            (
                result.ranges
                for result in (
                    quantized.step,
                    quantized.state,
                    quantized.amplitudes,
                    quantized.biases,
                    quantized.interface,
                    *quantized.energies,
                )
            ),
            (),
        ),
    )


def _layout(vectors: VectorMemory, levels: int, sampled: int) -> Layout:
    return Layout(
        chains=vectors.chains,
        input_word=vectors.input_word,
        input_words=vectors.input_words,
        bank_offset=vectors.bank_offset,
        input_parts=vectors.input_parts,
        constant_word=vectors.constant_word,
        state_words=vectors.state_words,
        module_parts=vectors.module_parts,
        first_level=0,
        levels=levels,
        sampled_words=sampled,
    )
