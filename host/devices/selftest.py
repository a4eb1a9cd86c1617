# SPDX-License-Identifier: Apache-2.0
"""The self-test of a fabric behind a link: which part is broken.

Every stage relies on the stages before it, so the test ends with the first stage that fails:

identity
    The fabric is one that this host knows.
memories
    Every memory that the bus can write is written and read: addresses as data, alternating bits,
    and zeros at the end.
read-outs
    The memories that only the engine writes (sums, squares, samples, the second copy of the states)
    are filled by a program that adds up states of known bits. Bits of squares above the thirtieth
    are tested for ones only.
lanes
    Every multiplier is compared with the integer model on its own: random factors in one lane,
    zeros in all others.
noise
    Every generator is started from each of its 64 one-bit states. It is linear, so these show all
    of its taps.
updates
    Every unit lane's integrator is compared with the integer model, without couplings: leak, bias,
    noise, quartic term and rounding.
program
    Interface, activation, couplings, noise and stochastic rounding are compared with the integer
    model together.

What was on the device before is lost.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from ornstein.hdl.config import SEED_WIDTH, STATE_WIDTH, FabricConfig
from ornstein.hdl.engine import noise
from ornstein.hdl.isa import Level, Operation, Pass
from ornstein.hdl.regmap import Control, Event, Space
from ornstein.hdl.spaces import When, spaces
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.program import Program
from ornstein.host.devices.check import Check
from ornstein.host.devices.comparison import differences
from ornstein.host.devices.device import Device, DeviceError, Outputs
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.devices.images import descriptor_elements
from ornstein.host.devices.model import ModelDevice
from ornstein.host.physics.alignment import align_activations
from ornstein.host.physics.couplings import DECODER, ENCODER
from ornstein.host.physics.interface import INPUT, Interface, Layer
from ornstein.host.physics.problem import STOCHASTIC, Problem
from ornstein.sim.model import FabricModel
from ornstein.sim.stages import Stage

_TIMEOUT = 60.0
"""Seconds that a job of some thousand cycles may take in the slowest simulation."""
_MOST_FINDINGS = 8
"""Findings of a stage that are reported one by one."""
_ROUNDS = 4
"""Random contents, and their complements, of the memories that only the engine writes."""
_NARROW = 8
"""Bits of the small operands that show the low bits of the lanes' products."""


def selftest(device: Device, seed: int = 1) -> Iterator[Check]:
    """Yields the checks as they are done, up to the first stage that fails.

    ``seed`` decides the random contents and operands. Raises DeviceError if the device has no link
    to test it through, LinkError if the link fails.
    """
    if not isinstance(device, FabricDevice):
        raise DeviceError(f"device {device.uri!r} is no hardware to test; use rtl or serial:PORT")
    config, line = device.config, device.link.line
    device.program = None
    device.settle()
    device.stop_scrubbing()
    identity = (
        f"fabric {config.name}, {config.rank_lanes} x {config.unit_lanes} lanes, "
        f"build {config.build_hash:#010x}"
    )
    if line is not None and line.clock:
        identity += f", clock {line.clock / 1e6:g} MHz"
    if device.link.baud:
        identity += f"; serial at {device.link.baud:,} baud"
    yield Check("identity", True, identity)
    for name, stage in (
        ("memories", _memories),
        ("read-outs", _readouts),
        ("lanes", _lanes),
        ("noise", _noise),
        ("updates", _updates),
        ("program", _program),
    ):
        tested, findings = stage(device, np.random.default_rng(seed))
        if not findings:
            yield Check(name, True, tested)
            continue
        for finding in findings[:_MOST_FINDINGS]:
            yield Check(name, False, finding)
        if len(findings) > _MOST_FINDINGS:
            yield Check(name, False, f"and {len(findings) - _MOST_FINDINGS} more")
        return


# ---- memories ------------------------------------------------------------------------------------


def _memories(device: FabricDevice, _) -> tuple[str, list[str]]:
    findings, tested = [], 0
    memories = [
        info for info in spaces(device.config).values() if info.memory and info.write != When.NEVER
    ]
    for info in memories:
        space, size, bits = info.space, info.size, info.bits
        written = _patterns(size, bits)
        read = []
        for pattern in written:
            device.link.write(space, 0, _signed(pattern, bits) if info.signed else pattern)
            read.append(device.link.read(space, 0, size) & (1 << bits) - 1)
        findings += _diagnosis(device.config, space, np.array(written), np.array(read))
        tested += size * bits
    return f"{tested:,} bits in {len(memories)} memories keep what is written", findings


def _patterns(size: int, bits: int) -> list[np.ndarray]:
    """Returns rows (size,) of elements to write one after the other.

    The first rows hold all bits of the address, as many in each as fit. The next two hold both
    levels in neighbouring bits and elements, the last holds zeros.
    """
    address, ones = np.arange(size), (1 << bits) - 1
    checks = np.where(address & 1, 0xAAAAAAAAAAAA & ones, 0x555555555555 & ones)
    slices = [address >> low & ones for low in range(0, max(1, (size - 1).bit_length()), bits)]
    return [*slices, checks, checks ^ ones, np.zeros(size, np.int64)]


def _signed(values: np.ndarray, bits: int) -> np.ndarray:
    """Returns the signed numbers whose two's complement the values are."""
    return values - ((values >> bits - 1 & 1) << bits)


def _diagnosis(
    config: FabricConfig, space: Space, written: np.ndarray, read: np.ndarray
) -> list[str]:
    """Returns what is wrong with a memory; ``written`` and ``read`` are rows (rows, size)."""
    # bits of each element that read one where zero was written, and the reverse
    high: np.ndarray = np.bitwise_or.reduce(read & ~written)
    low: np.ndarray = np.bitwise_or.reduce(~read & written)
    wrong = np.flatnonzero(high | low)
    if len(wrong) > 1 and (stuck := _stuck_address(config, space, written, read)):
        return [stuck]
    if len(wrong) > _MOST_FINDINGS:
        lanes = _listed(np.unique(wrong % spaces(config)[space].lanes))
        bits = _bits(np.bitwise_or.reduce(high), np.bitwise_or.reduce(low))
        return [
            f"{space.name}: {len(wrong):,} of {written.shape[1]:,} elements, from element "
            f"{wrong[0]} to {wrong[-1]}, in lanes {lanes}; {bits}"
        ]
    return [
        f"{_element_name(config, space, address)}: {_bits(high[address], low[address])}"
        for address in map(int, wrong)
    ]


def _stuck_address(
    config: FabricConfig, space: Space, written: np.ndarray, read: np.ndarray
) -> str | None:
    """Returns the address bit that is stuck, if one explains all that was read."""
    size = written.shape[1]
    address, lane_bits = np.arange(size), spaces(config)[space].lanes.bit_length() - 1
    for bit in range((size - 1).bit_length()):
        for level in (0, 1):
            seen = address & ~(1 << bit) | level << bit
            if (seen < size).all() and (read == written[:, seen]).all():
                what = (
                    f"lane select bit {bit}"
                    if bit < lane_bits
                    else f"word address bit {bit - lane_bits}"
                )
                return f"{space.name}: {what} is stuck at {level}"
    return None


def _element_name(config: FabricConfig, space: Space, address: int) -> str:
    """Returns an element's name with its word and lane."""
    lanes = spaces(config)[space].lanes
    lane = f", lane {address % lanes}" if lanes > 1 else ""
    return f"{space.name} element {address} (word {address // lanes}{lane})"


def _bits(high: int, low: int) -> str:
    """Returns a description of the bits that read one (``high``) or zero wrongly (masks)."""
    parts = []
    for what, mask in (("one", int(high) & ~int(low)), ("zero", int(low) & ~int(high))):
        if mask:
            parts.append(
                f"{_numbered('bit', mask)} always read{'s' if mask.bit_count() == 1 else ''} {what}"
            )
    if mask := int(high) & int(low):
        parts.append(f"{_numbered('bit', mask)} cannot be relied on")
    return ", ".join(parts)


def _numbered(name: str, mask: int) -> str:
    """Returns the name with the numbers of the bits that are set in the mask."""
    bits = [bit for bit in range(mask.bit_length()) if mask >> bit & 1]
    return f"{name}{'s' if len(bits) > 1 else ''} {_listed(bits)}"


def _listed(numbers: Iterable[int]) -> str:
    """Returns ascending numbers as text, with runs as first and last number."""
    runs: list[list[int]] = []
    for number in map(int, numbers):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


# ---- jobs of one level ---------------------------------------------------------------------------


def _write_job(device: FabricDevice, level: Level, *passes: Pass) -> np.ndarray:
    """Writes a level and its passes to the device's first descriptors; returns them
    (1 + passes, 8).
    """
    words = [replace(level, first=1, passes=len(passes)).pack(), *(step.pack() for step in passes)]
    device.link.write(Space.DESCRIPTOR, 0, descriptor_elements(np.array(words)))
    return np.array(words)


def _run_job(device: FabricDevice, seeds: np.ndarray | None = None, bank: int = 0) -> None:
    """Runs the level at the first descriptor; without seeds all generators start from one."""
    if seeds is None:
        seeds = np.ones(device.config.unit_lanes, np.uint64)
    device.write_seeds(seeds)
    device.start(0, 1, bank=bank)
    device.link.wait(Event.IDLE, _TIMEOUT)


def _words(device: FabricDevice, space: Space, first: int, count: int) -> np.ndarray:
    """Returns words (count, lanes) of a memory."""
    lanes = spaces(device.config)[space].lanes
    return device.link.read(space, first * lanes, count * lanes).reshape(count, lanes)


# ---- read-outs -----------------------------------------------------------------------------------


def _readouts(device: FabricDevice, rng: np.random.Generator) -> tuple[str, list[str]]:
    config, link = device.config, device.link
    depth, units = config.state_depth, config.unit_lanes
    states = [_signed(pattern, STATE_WIDTH) for pattern in _patterns(depth * units, STATE_WIDTH)]
    for _ in range(_ROUNDS):
        drawn = rng.integers(-1 << STATE_WIDTH - 1, 1 << STATE_WIDTH - 1, depth * units)
        states += [drawn, ~drawn]
    banks = {space: ([], []) for space in (Space.SUM, Space.SQUARE) if space in spaces(config)}
    kept = []
    for values in states:
        link.write(Space.STATE, 0, values)
        _write_job(
            device,
            Level(keep=1, accumulate=1, clear=1, steps=1),
            Pass(Operation.EXPAND, wait=1, outer=depth, inner=1),
        )
        for bank in range(2):
            _run_job(device, bank=bank)
        kept.append(link.read(Space.STATE, 0, depth * units))
        for space, (written, read) in banks.items():
            mask = (1 << spaces(config)[space].bits) - 1
            written.append(np.tile(values if space == Space.SUM else values**2, 2) & mask)
            read.append(link.read(space, 0, 2 * depth * units) & mask)
    ones = (1 << STATE_WIDTH) - 1
    findings = [
        finding.replace("STATE", "second copy of STATE")
        for finding in _diagnosis(
            config, Space.STATE, np.array(states) & ones, np.array(kept) & ones
        )
    ]
    for space, (written, read) in banks.items() if not findings else ():
        findings += _diagnosis(config, space, np.array(written), np.array(read))
    names = [space.name for space in banks]
    if config.sample_depth and not findings:
        findings = _samples(device, states[-2:])
        names.append(Space.SAMPLE.name)
    return f"{', '.join(names)} and the second copy of STATE hold what the engine writes", findings


def _samples(device: FabricDevice, states: list[np.ndarray]) -> list[str]:
    """Tests the ring of samples, which is filled once with each row of states."""
    config, link = device.config, device.link
    depth, units = config.sample_depth, config.unit_lanes
    chunk = min(config.state_depth, depth // 2)
    entered = int(link.read(Space.CONTROL, Control.SAMPLES, 1)[0])
    link.write(Space.CONTROL, Control.TAKEN, [entered])
    rows = []
    for values in states:
        link.write(Space.STATE, 0, values)
        words = values.reshape(-1, units)
        written = np.zeros((depth, units), np.int64)
        for first in range(0, depth, chunk):
            dest = first % (config.state_depth - chunk + 1)
            _write_job(
                device,
                Level(keep=1, thin=1, steps=1),
                Pass(Operation.EXPAND, wait=1, outer=chunk, inner=1, dest=dest),
            )
            _run_job(device)
            written[(entered + np.arange(chunk)) % depth] = words[dest : dest + chunk]
            entered = entered + chunk & 0xFFFFFFFF
            link.write(Space.CONTROL, Control.TAKEN, [entered])
        rows.append((written.ravel(), link.read(Space.SAMPLE, 0, depth * units)))
    ones = (1 << STATE_WIDTH) - 1
    written, read = np.array(rows).swapaxes(0, 1) & ones
    return _diagnosis(config, Space.SAMPLE, written, read)


# ---- lanes ---------------------------------------------------------------------------------------


def _lanes(device: FabricDevice, rng: np.random.Generator) -> tuple[str, list[str]]:
    config, link = device.config, device.link
    # drive words of small operands, then as many of large ones
    half = min(config.drive_depth // 2, 256)
    rows = min(16, config.factor_depth // config.lanes, config.rank_depth // 2)
    model = _lane_operands(config, rng, half, rows)
    link.write(Space.DRIVE, 0, model.drive.ravel())
    findings = _nonzero_lanes(device, model, half, rows)
    if not findings:
        link.write(Space.FACTOR, 0, model.factor.ravel())
        for lane in range(config.lanes):
            found, right = _lane_sums(device, model, half, rows, first=lane * rows)
            wrong = np.argwhere(found != right)
            if len(wrong):
                unit, rank = divmod(lane, config.rank_lanes)
                row, column = wrong[0]
                findings.append(
                    f"{_lane(unit, rank)}: {len(wrong)} of {2 * rows} sums of products are wrong, "
                    f"the first is {found[row, column]} instead of {right[row, column]}"
                )
    return f"{config.lanes} multipliers, each alone, {2 * rows} sums of {half} products", findings


def _lane_operands(
    config: FabricConfig, rng: np.random.Generator, half: int, rows: int
) -> FabricModel:
    """Returns a model with random operands for each multiplier.

    Its drive memory has ``half`` words of small and as many of large operands. Its factors from
    word ``lane * rows`` on are random in that lane and zero in all others.
    """
    model, units = FabricModel(config), config.unit_lanes
    model.drive[:half] = rng.integers(-1 << _NARROW - 1, 1 << _NARROW - 1, (half, units))
    model.drive[half : 2 * half] = rng.integers(
        -1 << STATE_WIDTH - 1, 1 << STATE_WIDTH - 1, (half, units)
    )
    most = 1 << config.factor_width - 1
    for lane in range(config.lanes):
        model.factor[lane * rows : (lane + 1) * rows, lane] = rng.integers(-most, most, rows)
    return model


def _lane_sums(
    device: FabricDevice, model: FabricModel, half: int, rows: int, first: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rank words (2 * rows, rank_lanes) of device and model for factors from word
    ``first`` on: small operands at the lowest shift, then large ones at the highest.
    """
    highest = len(device.config.project_shifts) - 1
    passes = [
        Pass(
            Operation.PROJECT,
            wait=1,
            from_drive=1,
            shift=shift,
            outer=rows,
            inner=half,
            source=source,
            dest=dest,
            stride=0,
            factor=first,
        )
        for shift, source, dest in ((0, 0, 0), (highest, half, rows))
    ]
    words = _write_job(device, Level(keep=1, steps=1), *passes)
    model.descriptors[: len(words)] = words
    model.run(0, 1)
    _run_job(device)
    return _words(device, Space.RANK, 0, 2 * rows), model.rank[: 2 * rows]


def _nonzero_lanes(device: FabricDevice, model: FabricModel, half: int, rows: int) -> list[str]:
    """Returns the multipliers whose product is not zero while all factors are.

    Such a multiplier shows in the projections of its rank lane and in the update of its unit lane.
    """
    config, link = device.config, device.link
    link.write(Space.FACTOR, 0, np.zeros_like(model.factor).ravel())
    projected, _ = _lane_sums(device, model, half, rows, first=0)
    wrong_ranks = np.flatnonzero(projected.any(axis=0)).tolist()
    _write_job(
        device,
        Level(steps=1),
        Pass(Operation.EXPAND, wait=1, coupled=1, outer=1, inner=config.rank_depth),
    )
    link.write(Space.RANK, 0, np.zeros(config.rank_depth * config.rank_lanes, np.int64))
    _run_job(device)
    wrong_units = np.flatnonzero(_words(device, Space.STATE, 0, 1)[0]).tolist()
    return [
        f"{_lane(unit, rank)}: its product is not zero where its factor is"
        for unit in wrong_units or range(config.unit_lanes)
        for rank in wrong_ranks
    ]


def _lane(unit: int, rank: int) -> str:
    return f"multiplier of unit lane {unit}, rank lane {rank}"


# ---- noise ---------------------------------------------------------------------------------------


def _noise(device: FabricDevice, _) -> tuple[str, list[str]]:
    config, link = device.config, device.link
    units = config.unit_lanes
    edge, top = noise.THRESHOLD, 1 << noise.DRAW_BITS
    highest = 1 << SEED_WIDTH - 1  # keeps a seed whose draw is zero from being zero
    seeds = [
        *(1 << bit for bit in range(SEED_WIDTH)),
        *(highest | draw for draw in (0, edge - 1, edge, top - edge - 1, top - edge)),
    ]
    _write_job(device, Level(keep=1, steps=1), Pass(Operation.EXPAND, wait=1, outer=1, inner=1))
    taps: list[dict[int, int]] = [
        {} for _ in range(units)
    ]  # wrong bits of the next state, for each seed
    codes: list[list[str]] = [[] for _ in range(units)]
    for seed in seeds:
        _run_job(device, np.full(units, seed, np.uint64))
        halves = link.read(Space.SEED, 0, 2 * units).reshape(units, 2)
        drawn = _words(device, Space.NOISE, 0, 1)[0]
        for unit in range(units):
            found = int(halves[unit, 0]) | int(halves[unit, 1]) << 32
            if found != noise.advance(seed):
                taps[unit][seed] = found ^ noise.advance(seed)
            if drawn[unit] != noise.code(seed):
                codes[unit].append(
                    f"a draw of {seed % top} gives {drawn[unit]} instead of {noise.code(seed)}"
                )
    findings = []
    for unit, wrong in enumerate(taps):
        single = [
            f"{_numbered('bit', mask)} from bit {seed.bit_length() - 1}"
            for seed, mask in wrong.items()
            if seed.bit_count() == 1
        ]
        if wrong:
            listed = "; ".join(single[:_MOST_FINDINGS])
            if len(single) > _MOST_FINDINGS:
                listed += f" and {len(single) - _MOST_FINDINGS} more"
            findings.append(f"noise of unit lane {unit}: wrong taps, of {listed}")
        elif codes[unit]:
            findings.append(f"noise of unit lane {unit}: {codes[unit][0]}")
    return (
        f"{units} generators, from each of {SEED_WIDTH} one-bit states, and the draw's thresholds",
        findings,
    )


# ---- updates -------------------------------------------------------------------------------------


def _updates(device: FabricDevice, rng: np.random.Generator) -> tuple[str, list[str]]:
    config, link = device.config, device.link
    depth, units, steps = min(config.state_depth, config.drive_depth), config.unit_lanes, 8
    model, wrong = FabricModel(config), np.zeros(units, int)
    link.write(Space.NOISE, 0, model.codes.ravel())
    for shift in range(len(config.bias_shifts)):
        model.state[:] = rng.integers(
            -1 << STATE_WIDTH - 2, 1 << STATE_WIDTH - 2, model.state.shape
        )
        model.drive[:] = rng.integers(
            -1 << STATE_WIDTH - 4, 1 << STATE_WIDTH - 4, model.drive.shape
        )
        for space, values in ((Space.STATE, model.state), (Space.DRIVE, model.drive)):
            link.write(space, 0, values.ravel())
        level = Level(
            keep=1,
            midpoint=shift & 1,
            dither=shift >> 1 & 1,
            steps=steps,
            amplitude=int(rng.integers(1 << 22)),
            leak=int(rng.integers(1 << config.leak_bits - 1)),
            quartic=int(rng.integers(1 << STATE_WIDTH)),
        )
        words = _write_job(
            device,
            level,
            Pass(Operation.EXPAND, wait=1, biased=1, bias_shift=shift, outer=depth, inner=1),
        )
        model.descriptors[: len(words)] = words
        seeds = rng.integers(1, 1 << 63, (1, units), dtype=np.uint64)
        model.run(0, 1, seeds=seeds)
        _run_job(device, seeds[0])
        wrong += (_words(device, Space.STATE, 0, depth) != model.state[:depth]).sum(axis=0)
    total = depth * len(config.bias_shifts)
    findings = [
        f"update of unit lane {unit}: {count} of {total} states differ from the integer model"
        for unit, count in enumerate(wrong)
        if count
    ]
    return f"{units} unit lanes, {total} states, {steps} steps each", findings


# ---- a program -----------------------------------------------------------------------------------


def builtin_program(config: FabricConfig) -> tuple[Program, np.ndarray]:
    """Returns a program, and inputs (5, 8) for it, that use every part of the fabric.

    These are an interface with an activation, a skip, two temperatures, stochastic rounding,
    averages, and the quartic term and samples where the fabric has them. Interface and skip are so
    wide that every multiplier of a fabric of up to sixteen rank lanes has factors to multiply.
    """
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 50, 8))
    hidden, rank = max(4, config.rank_lanes), min(8, config.rank_lanes)
    energy = align_activations(x, y, {ENCODER: 8}, {DECODER: 8}, rank=rank).energy
    energy = replace(energy, j4=0.02 if config.quartic else 0.0)
    into, out = rng.normal(size=(8, hidden)) / 3, rng.normal(size=(hidden, 8)) / 5
    layers = (
        Layer(INPUT, into, "silu", out * np.sqrt(4 / hidden), ENCODER),
        Layer(INPUT, rng.normal(size=(8, 2)) / 3, None, rng.normal(size=(2, 8)) / 5, DECODER),
    )
    offset = {name: rng.normal(size=8) / 10 for name in (ENCODER, DECODER)}
    interface = Interface(np.zeros(8), np.ones(8), layers, offset)
    stages = Stage(20, 1.0), Stage(50, 0.5, accumulate=True, thin=10 if config.sample_depth else 0)
    problem = Problem(
        "self-test", (energy,), stages, dt=0.5, rounding=STOCHASTIC, interface=interface
    )
    inputs = rng.normal(size=(5, 8))
    return compile_problem(problem, config, inputs), inputs


def _program(device: FabricDevice, rng: np.random.Generator) -> tuple[str, list[str]]:
    program, inputs = builtin_program(device.config)
    seed = int(rng.integers(1 << 32))
    device.load(program)
    found = device.run(inputs, seed=seed)
    device.program = None
    with ModelDevice(device.config) as model:
        model.load(program)
        expected = model.run(inputs, seed=seed)
    findings = differences(found, expected)
    units = _different_units(found, expected)
    if len(units):
        lanes = np.unique(_unit_lanes(program)[units])
        findings.append(f"units {_listed(units)} differ, of unit lanes {_listed(lanes)}")
    steps = program.problem.steps
    return f"{len(inputs)} inputs, {steps} steps each, equal the integer model", findings


def _different_units(found: Outputs, expected: Outputs) -> np.ndarray:
    """Returns the units whose sums, squares or samples differ."""
    units: set[int] = set()
    for name in ("sums", "squares", "samples"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        if ours is not None:
            units |= set(np.argwhere(ours != theirs)[:, -1])
    return np.array(sorted(units), int)


def _unit_lanes(program: Program) -> np.ndarray:
    """Returns the unit lane of each unit (units,)."""
    lanes = np.arange(program.config.unit_lanes)
    words = np.tile(lanes, (program.layout.state_words, 1))
    return program.units(words[None])[0]
