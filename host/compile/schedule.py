# SPDX-License-Identifier: Apache-2.0
"""The schedule of a job: its levels, and the passes that each level repeats.

A job first loads the initial states, then conditions the substrate, which makes biases from the
inputs, and then relaxes through the stages of the problem. Every level does its work for all
chains, the inputs that one job relaxes at once.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ornstein.hdl.config import GUARD_BITS, FabricConfig
from ornstein.hdl.isa import Level, Operation, Pass
from ornstein.hdl.schedule import place_waits, reads, step_cycles, writes
from ornstein.hdl.timing import Timing
from ornstein.host.compile.allocation import (
    Allotment,
    EnergyFactors,
    FactorMemory,
    LayerFactors,
    VectorMemory,
)
from ornstein.host.compile.conditioning import BiasFormats, QuantizedInterface, QuantizedLayer
from ornstein.host.compile.factors import rank_words
from ornstein.host.compile.formats import Amplitudes, RealisedStep, StateFormat, draws_fine_noise
from ornstein.host.compile.program import ProgramError
from ornstein.host.compile.relaxing import QuantizedEnergy, Side, sides_by_module
from ornstein.host.compile.request import Request
from ornstein.host.physics.interface import BIAS as BIAS_PREFIX
from ornstein.host.physics.interface import INPUT
from ornstein.host.physics.problem import BIAS, STATE, STOCHASTIC
from ornstein.sim.stages import LM, Stage

LONGEST_LEVEL = 1 << 16
"""Steps that one level can count."""

Passes = tuple[Pass, ...]


def loading_passes(request: Request, vectors: VectorMemory) -> Passes:
    """Compiler pass: set the initial states, to the inputs or to zero.

    Refuses a fabric that cannot load a word as it is.
    """
    from_input = request.problem.entry == STATE
    return tuple(
        Pass(
            operation=Operation.EXPAND,
            biased=int(from_input),
            banked=int(from_input),
            bias_shift=_identity_shift(request.config) if from_input else 0,
            outer=vectors.state_words,
            inner=1,
            dest=chain * vectors.state_words,
            bias=vectors.input_of(chain) if from_input else 0,
        )
        for chain in range(vectors.chains)
    )


def _identity_shift(config: FabricConfig) -> int:
    """Index of the bias shift at which a drive word is worth a state LSB."""
    if GUARD_BITS not in config.bias_shifts:
        raise ProgramError(
            f"bias_shifts of fabric {config.name!r} lack {GUARD_BITS}, which loads a value as it is"
        )
    return config.bias_shifts.index(GUARD_BITS)


# ---- conditioning --------------------------------------------------------------------------------


def conditioning_passes(
    request: Request, interface: QuantizedInterface, factors: FactorMemory, vectors: VectorMemory
) -> Passes:
    """Compiler pass: make the biases from the inputs, layer by layer.

    Refuses layers whose hidden values exceed the rank memory, and a fabric that cannot load a word
    as it is.
    """
    rank = Allotment("rank_depth", request.config)
    passes: list[Pass] = []
    begun: set[str] = set()
    for layer, placed in zip(interface.layers, factors.layers, strict=True):
        hidden = [
            rank.take(rank_words(request.config, layer.project)) for _ in range(vectors.chains)
        ]
        passes += _layer_passes(request.config, layer, placed, vectors, hidden, begun)
        begun.add(layer.layer.target)
    return tuple(passes)


def _layer_passes(
    config: FabricConfig,
    layer: QuantizedLayer,
    placed: LayerFactors,
    vectors: VectorMemory,
    hidden: list[int],
    begun: set[str],
) -> list[Pass]:
    """Passes of one layer: ``hidden`` is the first rank word of each chain, ``begun`` names the
    modules whose biases an earlier layer has begun.
    """
    target = layer.layer.target
    groups = rank_words(config, layer.project)
    projecting = [
        Pass(
            operation=Operation.PROJECT,
            from_drive=1,
            banked=int(layer.layer.source == INPUT),
            shift=layer.project_shift,
            outer=groups,
            inner=-(-layer.project.shape[0] // config.unit_lanes),
            factor=placed.project,
            source=_layer_source(vectors, layer.layer.source, chain, begun),
            dest=rank,
            stride=groups,
        )
        for chain, rank in enumerate(hidden)
    ]
    activating = [
        Pass(
            operation=Operation.ACTIVATE,
            outer=groups,
            inner=config.rank_lanes,
            source=rank,
            dest=rank,
        )
        for rank in hidden
        if layer.layer.activation is not None
    ]
    expanding = []
    for chain, rank in enumerate(hidden):
        start = _stored_bias(vectors, target, chain, begun)
        expanding.append(
            Pass(
                operation=Operation.EXPAND,
                to_drive=1,
                coupled=1,
                biased=int(start is not None),
                shift=layer.expand_shift,
                bias_shift=_identity_shift(config),
                outer=vectors.module_words[target],
                inner=groups,
                factor=placed.expand,
                source=rank,
                dest=vectors.produced[target][chain],
                bias=start or 0,
            )
        )
    return projecting + activating + expanding


def _layer_source(vectors: VectorMemory, source: str, chain: int, begun: set[str]) -> int:
    """First drive word that a layer reads. A layer reads no bias that is still zero."""
    if source == INPUT:
        return vectors.input_of(chain)
    word = _stored_bias(vectors, source.removeprefix(BIAS_PREFIX), chain, begun)
    assert word is not None
    return word


def _stored_bias(vectors: VectorMemory, module: str, chain: int, begun: set[str]) -> int | None:
    """First drive word of a bias as the layers so far have left it; None if it is zero."""
    return vectors.produced[module][chain] if module in begun else vectors.constant.get(module)


# ---- relaxation ----------------------------------------------------------------------------------


def step_passes(
    request: Request,
    quantized: QuantizedEnergy,
    factors: EnergyFactors,
    biases: BiasFormats,
    vectors: VectorMemory,
) -> Passes:
    """Compiler pass: one time step of an energy, in an order in which the chains hide each other's
    latency.

    Refuses projections that exceed the rank memory.
    """
    words = _take_rank_words(request.config, quantized, factors, vectors.chains)
    projecting, expanding = [], []
    for chain in range(vectors.chains):
        projecting += _projecting(quantized, factors, vectors, words, chain)
        expanding += _expanding(request, quantized, factors, biases, vectors, words, chain)
    mixing = _mixing(quantized, factors, words, vectors.chains)
    if not mixing:
        return (*projecting, *expanding)
    return min(
        (*projecting, *mixing, *expanding),
        _mixing_early(request.config, projecting, mixing, expanding),
        key=lambda passes: step_cycles(request.config, place_waits(request.config, list(passes))),
    )


def _mixing_early(
    config: FabricConfig, projecting: list[Pass], mixing: list[Pass], expanding: list[Pass]
) -> Passes:
    """The passes in an order in which mixing begins as soon as its projections are there, and
    expansions fill the time until the last of it can begin.

    Expansions keep their order, in which noise is drawn.
    """
    ordered: list[Pass] = []
    project, mix, expand = deque(projecting), deque(mixing), deque(expanding)
    while project or mix or expand:
        if mix and not _needs(mix[0], project) and not _waits(config, ordered, mix[0]):
            queue = mix
        elif project:
            queue = project
        elif mix and (not expand or _needs(expand[0], mix) or _waits(config, ordered, expand[0])):
            queue = mix
        else:
            queue = expand
        ordered.append(queue.popleft())
    return tuple(ordered)


def _needs(step: Pass, others: Iterable[Pass]) -> bool:
    """Whether a pass reads words that one of the others writes."""
    needed = reads(step, 0)
    return any(
        memory == kind and first < stop and start < end
        for memory, first, end in map(writes, others)
        for kind, start, stop in needed
    )


def _waits(config: FabricConfig, earlier: list[Pass], step: Pass) -> bool:
    """Whether a pass must wait for the pipeline if it follows the earlier ones."""
    begin, cycles = len(earlier), 0
    while begin and cycles < Timing.of(config).unit_hazard:
        begin -= 1
        cycles += earlier[begin].outer * earlier[begin].inner
    return bool(place_waits(config, [*earlier[begin:], step], repeated=False)[-1].wait)


@dataclass(frozen=True)
class _RankWords:
    """Rank words of a time step.

    ``groups`` is the number of rank words by side, ``projected`` the first word of each chain's
    projections. ``mixed`` is the first word of each chain by module that mixes. ``apart`` is the
    distance of a chain's words by coupling, and ``apart_mixed`` that of its mixed words by module.
    """

    groups: dict[Side, int]
    projected: dict[Side, list[int]]
    mixed: dict[str, list[int]]
    apart: dict[int, int]
    apart_mixed: dict[str, int]


def _take_rank_words(
    config: FabricConfig, quantized: QuantizedEnergy, factors: EnergyFactors, chains: int
) -> _RankWords:
    """Projections of chains that are mixed together lie side by side, and so do mixed words. In a
    window, the words of two modules lie in turn; the last cycle reads one more.
    """
    rank = Allotment("rank_depth", config)
    groups = {side: rank_words(config, columns) for side, columns in quantized.factors.items()}
    projected, mixed = {side: [] for side in groups}, {}
    for number in factors.windows:
        words, modules = 2 * groups[number, 0], quantized.energy.couplings[number].modules
        start, start_mixed = (rank.take(1 + chains * words) for _ in modules)
        for place, name in enumerate(modules):
            projected[number, place] += range(start + place, start + chains * words, words)
            first = start_mixed + 1 + place
            mixed[name] = list(range(first, first + chains * words, words))
    for number, coupling in enumerate(quantized.energy.couplings):
        if number in factors.windows:
            continue
        together = factors.mixed_chains.get((number, 0), 1)
        for _ in range(0, chains, together):
            for place in range(len(coupling.modules)):
                words = groups[number, place]
                start = rank.take(together * words)
                projected[number, place] += range(start, start + together * words, words)
    for name, sides in sides_by_module(quantized.energy).items():
        if name not in mixed and any(side in quantized.mixes for side in sides):
            words = factors.module_rank_words[name]
            mixed[name] = [rank.take(words) for _ in range(chains)]
    apart = {number: 2 if number in factors.windows else 1 for number, _ in groups}
    apart_mixed = {
        name: 2 if any(number in factors.windows for number, _ in sides) else 1
        for name, sides in sides_by_module(quantized.energy).items()
    }
    return _RankWords(groups, projected, mixed, apart, apart_mixed)


def _projecting(
    quantized: QuantizedEnergy,
    factors: EnergyFactors,
    vectors: VectorMemory,
    words: _RankWords,
    chain: int,
) -> list[Pass]:
    """Words that do not lie side by side take a pass each."""
    passes = []
    for number, coupling in enumerate(quantized.energy.couplings):
        for place, name in enumerate(coupling.modules):
            groups, apart = words.groups[number, place], words.apart[number]
            passes += [
                Pass(
                    operation=Operation.PROJECT,
                    shift=quantized.project_shift[number, place],
                    outer=groups if apart == 1 else 1,
                    inner=vectors.module_words[name],
                    factor=factors.module[name] + factors.first_rank_word[number, place] + group,
                    source=vectors.state_of(name, chain),
                    dest=words.projected[number, place][chain] + group * apart,
                    stride=factors.module_rank_words[name],
                )
                for group in (range(1) if apart == 1 else range(groups))
            ]
    return passes


def _mixing(
    quantized: QuantizedEnergy, factors: EnergyFactors, words: _RankWords, chains: int
) -> list[Pass]:
    """Passes in the order of the chains whose projections they need."""
    passes = []
    for chain in range(chains):
        for (number, place), mix in quantized.mixes.items():
            if number in factors.windows:
                continue
            together = factors.mixed_chains[number, place]
            if (chain + 1) % together:
                continue  # a later chain's projections are mixed too
            first = chain + 1 - together
            name = quantized.energy.couplings[number].modules[place]
            count = together * words.groups[number, place]
            passes.append(
                Pass(
                    operation=Operation.MIX,
                    shift=mix.shift,
                    outer=count,
                    inner=len(mix.coefficients),
                    factor=factors.coefficients[number, place],
                    source=words.projected[number, 0][first],
                    dest=words.mixed[name][first] + factors.first_rank_word[number, place],
                    stride=count,
                )
            )
    for number, coefficients in factors.windows.items():
        name = quantized.energy.couplings[number].modules[0]
        passes.append(
            Pass(
                operation=Operation.MIX,
                shift=quantized.mixes[number, 0].shift,
                outer=1 + 2 * words.groups[number, 0] * chains,
                inner=1,
                factor=coefficients,
                source=words.projected[number, 0][0],
                dest=words.mixed[name][0] - 1,
            )
        )
    return passes


def _expanding(
    request: Request,
    quantized: QuantizedEnergy,
    factors: EnergyFactors,
    biases: BiasFormats,
    vectors: VectorMemory,
    words: _RankWords,
    chain: int,
) -> list[Pass]:
    driven = request.problem.entry == BIAS
    passes = []
    for name, sides in sides_by_module(quantized.energy).items():
        bias = (
            vectors.input_of(chain) + vectors.module_word[name]
            if driven
            else vectors.bias_of(name, chain)
        )
        step = Pass(
            operation=Operation.EXPAND,
            biased=int(bias is not None),
            banked=int(driven),
            bias_shift=biases.shifts[name],
            outer=vectors.module_words[name],
            inner=1,
            dest=vectors.state_of(name, chain),
            bias=bias or 0,
        )
        if sides:
            number, place = sides[0]
            # A skip that needs no mixing expands the other side's projections.
            source = (
                words.mixed[name] if name in words.mixed else words.projected[number, 1 - place]
            )[chain]
            step = replace(
                step,
                coupled=1,
                inner=factors.module_rank_words[name],
                factor=factors.module[name],
                shift=quantized.expand_shift[name],
                source=source,
                stride=words.apart_mixed[name] - 1,
            )
        passes.append(step)
    return passes


# ---- levels --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ScheduledLevel:
    """A level and the passes that it repeats; ``first`` and ``passes`` of the level are not set."""

    level: Level
    passes: Passes


def schedule_levels(
    request: Request,
    step: RealisedStep,
    state: StateFormat,
    amplitudes: Amplitudes,
    vectors: VectorMemory,
    loading: Passes,
    conditioning: Passes,
    steps: tuple[Passes, ...],
) -> tuple[ScheduledLevel, ...]:
    """Compiler pass: the levels of a job in the order of time.

    ``steps`` holds the passes of one time step of each energy. A stage of more steps than a level
    counts becomes several levels. Refuses nothing.
    """
    problem = request.problem
    levels = [ScheduledLevel(Level(steps=1), loading)]
    if conditioning:
        levels.append(ScheduledLevel(Level(steps=1), conditioning))
    cleared = False
    for stage in problem.stages:
        passes = tuple(_of_stage(request, vectors, part, stage) for part in steps[stage.energy])
        for count in _split_steps(stage):
            level = Level(
                keep=1,
                midpoint=int(problem.integrator == LM),
                dither=int(problem.rounding == STOCHASTIC),
                accumulate=int(stage.accumulate),
                clear=int(stage.accumulate and not cleared),
                thin=stage.thin,
                steps=count,
                leak=step.leak >> stage.halvings,
                fine=int(draws_fine_noise(problem, request.config)),
                amplitude=amplitudes.of(stage),
                quartic=state.quartic,
            )
            cleared = cleared or stage.accumulate
            levels.append(ScheduledLevel(level, passes))
    return tuple(levels)


def _of_stage(request: Request, vectors: VectorMemory, step: Pass, stage: Stage) -> Pass:
    """The pass with the biases of the stage's set, where biases are the input, and with couplings
    and biases for its time step.
    """
    if step.operation != Operation.EXPAND:
        return step
    config = request.config
    if request.problem.entry == BIAS:
        step = replace(step, bias=step.bias + stage.bias * vectors.state_words)
    if step.coupled:
        shift = config.expand_shifts[step.shift] + stage.halvings
        step = replace(step, shift=config.expand_shifts.index(shift))
    if step.biased:
        shift = config.bias_shifts[step.bias_shift] - stage.halvings
        step = replace(step, bias_shift=config.bias_shifts.index(shift))
    return step


def _split_steps(stage: Stage) -> list[int]:
    """The steps of the levels that make up a stage: whole intervals of its sample stream."""
    interval = max(1, stage.thin)
    longest = LONGEST_LEVEL // interval * interval
    whole, rest = divmod(stage.steps, longest)
    return [longest] * whole + ([rest] if rest else [])


def sampled_words(levels: tuple[ScheduledLevel, ...], vectors: VectorMemory) -> int:
    """State words that a job sends to the sample stream."""
    samples = sum(
        scheduled.level.steps // scheduled.level.thin
        for scheduled in levels
        if scheduled.level.thin
    )
    return samples * vectors.chains * vectors.state_words
