# SPDX-License-Identifier: Apache-2.0
"""Where everything lies in the fabric's memories: factors, states, inputs and biases."""

from dataclasses import dataclass

import numpy as np

from ornstein.hdl.config import FabricConfig
from ornstein.hdl.timing import Timing
from ornstein.host.compile.conditioning import QuantizedInterface, QuantizedLayer
from ornstein.host.compile.factors import pack, rank_words
from ornstein.host.compile.program import ProgramError
from ornstein.host.compile.relaxing import QuantizedEnergy, Side, sides_by_module
from ornstein.host.compile.request import Request, too_small
from ornstein.host.physics.problem import BIAS, Problem
from ornstein.sim.energy import Module


class Allotment:
    """Words of one memory, handed out from the bottom; ``memory`` is the name of its depth in
    FabricConfig.
    """

    def __init__(self, memory: str, config: FabricConfig):
        self._memory, self._config, self._used = memory, config, 0

    def take(self, words: int) -> int:
        """The first of so many words. Raises ProgramError if the memory is too small."""
        start = self._used
        self._used += words
        if self._used > getattr(self._config, self._memory):
            raise too_small(self._memory, self._used, self._config)
        return start


@dataclass(frozen=True)
class LayerFactors:
    """First factor words of a layer's projection and of its expansion."""

    project: int
    expand: int


@dataclass(frozen=True)
class EnergyFactors:
    """Factor words of an energy. The factors of a module's couplings lie side by side, since they
    are expanded together.

    Attributes
    ----------
    module : by module, first word
    module_rank_words : by module, rank words of all its sides
    first_rank_word : by side, its first rank word among those of its module
    coefficients : by side that mixes, first word of the mixing coefficients
    mixed_chains : by side that mixes, chains that one pass mixes; so often the coefficients are
        stored
    windows : by coupling that one pass mixes for both of its modules and all chains, first word of
        its coefficients; its sides are in neither of the former
    """

    module: dict[str, int]
    module_rank_words: dict[str, int]
    first_rank_word: dict[Side, int]
    coefficients: dict[Side, int]
    mixed_chains: dict[Side, int]
    windows: dict[int, int]


@dataclass(frozen=True, eq=False)
class FactorMemory:
    """The image (words, lanes) int16 of the factor memory, and where each layer's and each energy's
    factors lie in it.
    """

    image: np.ndarray
    layers: tuple[LayerFactors, ...]
    energies: tuple[EnergyFactors, ...]


def store_factors(
    config: FabricConfig,
    layers: tuple[QuantizedLayer, ...],
    energies: tuple[QuantizedEnergy, ...],
    chains: int,
    *,
    window: bool = False,
) -> FactorMemory:
    """Compiler pass: place all factors and mixing coefficients, layers first.

    With ``window``, pairs of modules are mixed in the window of MIX, where :func:`fits_window`
    holds. Elsewhere coefficients are stored so often that one pass can mix several chains, if there
    is room. Refuses what exceeds the factor memory.
    """
    if window:
        return _store_factors(config, layers, energies, chains, window)
    try:
        return _store_factors(config, layers, energies, chains, window)
    except ProgramError:
        return _store_factors(config, layers, energies, 1, window)


def _store_factors(
    config: FabricConfig,
    layers: tuple[QuantizedLayer, ...],
    energies: tuple[QuantizedEnergy, ...],
    chains: int,
    window: bool,
) -> FactorMemory:
    image = _Image(config)
    placed_layers = tuple(
        LayerFactors(
            project=image.store(pack(config, layer.project)),
            expand=image.store(pack(config, layer.expand)),
        )
        for layer in layers
    )
    placed_energies = tuple(
        _store_energy(config, image, energy, chains, window) for energy in energies
    )
    return FactorMemory(image.words(), placed_layers, placed_energies)


class _Image:
    """The factor memory while it is being filled."""

    def __init__(self, config: FabricConfig):
        self._allotment = Allotment("factor_depth", config)
        self._parts = [np.zeros((0, config.lanes), np.int64)]

    def store(self, words: np.ndarray) -> int:
        self._parts.append(words)
        return self._allotment.take(len(words))

    def words(self) -> np.ndarray:
        return np.concatenate(self._parts).astype(np.int16)


def _store_energy(
    config: FabricConfig, image: _Image, energy: QuantizedEnergy, chains: int, window: bool
) -> EnergyFactors:
    placed = EnergyFactors({}, {}, {}, {}, {}, {})
    for name, of_module in sides_by_module(energy.energy).items():
        if not of_module:
            continue
        columns = [energy.factors[side] for side in of_module]
        placed.module[name] = image.store(pack(config, np.concatenate(columns, axis=1)))
        words = 0
        for side in of_module:
            placed.first_rank_word[side] = words
            words += rank_words(config, energy.factors[side])
        placed.module_rank_words[name] = words
    for number in range(len(energy.energy.couplings)):
        if window and fits_window(energy, number):
            first, second = (energy.mixes[number, place].coefficients for place in (0, 1))
            placed.windows[number] = image.store(_pack_window(config, first, second, chains))
    for side, mix in energy.mixes.items():
        if side[0] in placed.windows:
            continue
        together = _mixed_chains(config, energy, side[0], chains)
        words = _pack_coefficients(config, mix.coefficients)
        placed.coefficients[side] = image.store(np.tile(words, (together, 1)))
        placed.mixed_chains[side] = together
    return placed


def _mixed_chains(
    config: FabricConfig, quantized: QuantizedEnergy, number: int, chains: int
) -> int:
    """The chains whose projections on a coupling one pass mixes: enough that the next pass is
    fetched meanwhile, but at most half of ``chains``, since the others hide the latency.

    In a module of several couplings the mixed words of two chains do not lie side by side.
    """
    coupling, sides = quantized.energy.couplings[number], sides_by_module(quantized.energy)
    if any(len(sides[name]) > 1 for name in coupling.modules):
        return 1
    cycles = rank_words(config, quantized.factors[number, 0]) * len(coupling.modules)
    most = max(1, chains // 2)
    return next(
        count
        for count in range(1, most + 1)
        if chains % count == 0 and (count == most or count * cycles >= Timing.of(config).fetch)
    )


def _pack_coefficients(config: FabricConfig, coefficients: np.ndarray) -> np.ndarray:
    """Factor words (rank words * terms, lanes) of mixing coefficients (terms, rank), in the lanes
    of the first unit.
    """
    terms, ranks = coefficients.shape[0], config.rank_lanes
    words = np.zeros((coefficients.shape[1] // ranks, terms, config.lanes), np.int64)
    words[:, :, :ranks] = coefficients.reshape(terms, -1, ranks).swapaxes(0, 1)
    return words.reshape(-1, config.lanes)


def fits_window(quantized: QuantizedEnergy, number: int) -> bool:
    """Whether the window of MIX can mix a coupling: one of two modules that take part in nothing
    else, and whose mixed words are narrowed alike.
    """
    coupling, sides = quantized.energy.couplings[number], sides_by_module(quantized.energy)
    mixes = [quantized.mixes.get((number, place)) for place in range(len(coupling.modules))]
    shifts = {mix.shift for mix in mixes if mix is not None}
    alone = all(len(sides[name]) == 1 for name in coupling.modules)
    return len(mixes) == 2 and None not in mixes and len(shifts) == 1 and alone


def _pack_window(
    config: FabricConfig, first: np.ndarray, second: np.ndarray, chains: int
) -> np.ndarray:
    """Factor words (1 + 2 * rank words * chains, lanes) of the coefficients (2, rank) of both
    sides, for a window over rank words that hold the projections of both modules in turn.

    When the second projection of two is read, it is mixed with the one before for the first module,
    and in the next cycle both are mixed for the second module.
    """
    ranks = config.rank_lanes
    groups = first.shape[1] // ranks
    words = np.zeros((groups, 2, config.unit_lanes, ranks), np.int64)
    words[:, 0, :2] = first[::-1].reshape(2, groups, ranks).swapaxes(0, 1)
    words[:, 1, 1:3] = second[::-1].reshape(2, groups, ranks).swapaxes(0, 1)
    of_chain = words.reshape(2 * groups, config.lanes)
    return np.concatenate([np.zeros((1, config.lanes), np.int64), *[of_chain] * chains])


@dataclass(frozen=True, eq=False)
class VectorMemory:
    """Words of the state and drive memories, for ``chains`` inputs at once.

    Attributes
    ----------
    module_word, module_words : by module, first word and words in a state
    module_parts, input_parts : (first word, numbers) of what a state and an input consist of
    state_words, input_words : words of a state and of an input
    input_word : first word of the inputs; the second bank lies ``bank_offset`` words further
    produced : by module whose bias the interface makes, first drive word of each chain
    constants : (words, unit_lanes) int16, the constant biases from drive word ``constant_word``
    constant : by module with a constant bias, its first drive word
    """

    chains: int
    module_word: dict[str, int]
    module_words: dict[str, int]
    module_parts: tuple[tuple[int, int], ...]
    input_parts: tuple[tuple[int, int], ...]
    state_words: int
    input_words: int
    input_word: int
    bank_offset: int
    produced: dict[str, tuple[int, ...]]
    constants: np.ndarray
    constant_word: int
    constant: dict[str, int]

    def state_of(self, module: str, chain: int) -> int:
        """First state word of a module."""
        return chain * self.state_words + self.module_word[module]

    def input_of(self, chain: int) -> int:
        """First drive word of an input in the first bank."""
        return self.input_word + chain * self.input_words

    def bias_of(self, module: str, chain: int) -> int | None:
        """First drive word of a module's bias, made or constant; None if it has none."""
        if module in self.produced:
            return self.produced[module][chain]
        return self.constant.get(module)


def allocate_vectors(request: Request, interface: QuantizedInterface, chains: int) -> VectorMemory:
    """Compiler pass: place the states, the inputs, and the biases of ``chains`` inputs.

    Inputs lie in two banks, so that one job can run while the next one's inputs are written. Every
    module starts a new word. Refuses what exceeds the state or the drive memory.
    """
    problem, config = request.problem, request.config
    state = state_layout(problem.energies[0].modules, config.unit_lanes)
    inputs = input_layout(problem, state, config.unit_lanes)
    Allotment("state_depth", config).take(chains * state.words)
    drive = Allotment("drive_depth", config)
    input_word = drive.take(2 * chains * inputs.words)
    produced = {
        name: tuple(drive.take(state.module_words[name]) for _ in range(chains))
        for name in dict.fromkeys(layer.layer.target for layer in interface.layers)
    }
    constants, offsets = _constant_words(config, interface.constants, state.module_words)
    constant_word = drive.take(len(constants))
    return VectorMemory(
        chains=chains,
        module_word=state.module_word,
        module_words=state.module_words,
        module_parts=state.parts,
        input_parts=inputs.parts,
        state_words=state.words,
        input_words=inputs.words,
        input_word=input_word,
        bank_offset=chains * inputs.words,
        produced=produced,
        constants=constants,
        constant_word=constant_word,
        constant={name: constant_word + offset for name, offset in offsets.items()},
    )


@dataclass(frozen=True)
class StateLayout:
    """How the modules fill the ``words`` of a state.

    ``parts`` are (first word, units) of the modules; ``module_word`` and ``module_words`` are each
    module's first word and number of words, by name.
    """

    words: int
    parts: tuple[tuple[int, int], ...]
    module_word: dict[str, int]
    module_words: dict[str, int]


def state_layout(modules: tuple[Module, ...], lanes: int) -> StateLayout:
    """Returns how modules fill words of so many lanes; every module starts a new word."""
    sizes = {module.name: -(-module.units // lanes) for module in modules}
    ends = np.cumsum(list(sizes.values()))
    first = {name: int(end) - sizes[name] for name, end in zip(sizes, ends, strict=True)}
    parts = tuple((first[module.name], module.units) for module in modules)
    return StateLayout(int(ends[-1]), parts, first, sizes)


@dataclass(frozen=True)
class InputLayout:
    """How the numbers of an input fill its ``words``: ``parts`` are (first word, numbers)."""

    words: int
    parts: tuple[tuple[int, int], ...]


def input_layout(problem: Problem, state: StateLayout, lanes: int) -> InputLayout:
    """Returns how an input of the problem fills words of so many lanes; biases lie as states do."""
    if problem.interface is not None:
        parts = ((0, problem.input_size),)
    else:
        sets = problem.bias_sets if problem.entry == BIAS else 1
        parts = tuple(
            (index * state.words + first, units)
            for index in range(sets)
            for first, units in state.parts
        )
    return InputLayout(max(first + -(-size // lanes) for first, size in parts), parts)


def _constant_words(
    config: FabricConfig, constants: dict[str, np.ndarray], module_words: dict[str, int]
) -> tuple[np.ndarray, dict[str, int]]:
    """(drive words of the constant biases, offset of each module's among them)."""
    total = sum(module_words[name] for name in constants)
    words = np.zeros((total, config.unit_lanes), np.int16)
    offsets, offset = {}, 0
    for name, steps in constants.items():
        words[offset : offset + module_words[name]].reshape(-1)[: len(steps)] = steps
        offsets[name] = offset
        offset += module_words[name]
    return words, offsets
