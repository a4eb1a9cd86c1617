# SPDX-License-Identifier: Apache-2.0
"""Random programs, every operation and flag on memories full of random words: for tests of model
and gateware.
"""

import random
from dataclasses import replace

import numpy as np

from ornstein.hdl.config import (
    ACTIVATION_ENTRIES,
    SLOPE_WIDTH,
    STATE_WIDTH,
    WIDE,
    FabricConfig,
    preset,
)
from ornstein.hdl.isa import Level, Operation, Pass
from ornstein.hdl.schedule import check_pass, place_waits
from ornstein.sim.model import FabricModel

GRID = replace(
    WIDE,
    name="grid",
    factor_depth=256,
    state_depth=64,
    drive_depth=128,
    rank_depth=32,
    descriptor_depth=64,
    sample_depth=64,
    mix_window=True,
)
"""The grid of lanes with memories that take little time to fill."""


def fabric(name: str) -> FabricConfig:
    """Returns the fabric of that name: the grid, or a preset."""
    return GRID if name == GRID.name else preset(name)


MOST_SAMPLES = 24
"""Vector words that a program sends to the sample stream at most: fewer than the smallest ring
holds.
"""


def random_pass(config: FabricConfig, rng: random.Random, bank_offset: int) -> Pass:
    """A pass of any operation that stays inside the memories of the smallest preset and does not
    overlap itself.
    """
    while True:
        operation = rng.choice([*Operation, Operation.EXPAND])
        step = Pass(
            operation=operation,
            banked=rng.getrandbits(1),
            coupled=int(rng.random() < 0.8),
            biased=int(rng.random() < 0.8),
            from_drive=int(operation == Operation.PROJECT and rng.random() < 0.5),
            to_drive=int(operation == Operation.EXPAND and rng.random() < 0.3),
            shift=rng.randrange(
                len(
                    config.expand_shifts if operation == Operation.EXPAND else config.project_shifts
                )
            ),
            bias_shift=rng.randrange(len(config.bias_shifts)),
            outer=rng.randint(1, 4),
            inner=rng.randint(1, config.rank_lanes if operation == Operation.ACTIVATE else 6),
            factor=rng.randrange(config.factor_depth - 32),
            source=rng.randrange(10),
            dest=rng.randrange(20),
            stride=rng.randrange(4),
            bias=rng.randrange(20),
        )
        if operation == Operation.EXPAND and not config.mix_window:
            step = replace(step, stride=0)
        try:
            check_pass(step, bank_offset)
        except ValueError:
            continue
        return step


def random_level(config: FabricConfig, rng: random.Random, passes: list[Pass]) -> Level:
    """A level of those passes, to be placed."""
    steps = rng.randint(1, 6)
    sampled = sum(
        step.outer for step in passes if step.operation == Operation.EXPAND and not step.to_drive
    )
    thin = rng.randrange(3) if config.sample_depth and 3 * steps * sampled <= MOST_SAMPLES else 0
    return Level(
        keep=rng.getrandbits(1),
        midpoint=rng.getrandbits(1),
        dither=rng.getrandbits(1),
        accumulate=rng.getrandbits(1),
        clear=rng.getrandbits(1),
        thin=thin,
        passes=len(passes),
        steps=steps,
        leak=rng.randrange(1 << config.leak_bits),
        amplitude=rng.randrange(1 << rng.randint(1, 28)),
        quartic=rng.randrange(1 << rng.randint(1, 16)),
    )


def random_program(config: FabricConfig, seed: int) -> tuple[FabricModel, int]:
    """(model, levels): memories filled with random words, and a job of so many levels from
    descriptor 0.

    Factors and activation table are the same for every seed, so that a device need not load them
    again.
    """
    rng, words, constants = (
        random.Random(seed),
        np.random.default_rng(seed),
        np.random.default_rng(0),
    )
    model = FabricModel(config)
    model.bank_offset = rng.randrange(8)
    top = 1 << config.factor_width - 1
    for third, reach in enumerate((min(4, top), min(64, top), top)):  # small factors saturate less
        part = model.factor[third * config.factor_depth // 3 :]
        part[:] = constants.integers(-reach, reach, part.shape)
    for memory in (model.state, model.drive, model.rank):
        memory[:] = words.integers(-1 << STATE_WIDTH - 1, 1 << STATE_WIDTH - 1, memory.shape)
    model.codes[:] = words.integers(-1, 2, model.codes.shape)
    for column, width in enumerate((STATE_WIDTH, SLOPE_WIDTH)):
        model.activation[:, column] = constants.integers(
            -1 << width - 1, 1 << width - 1, ACTIVATION_ENTRIES
        )
    levels, passes = [], []
    count = rng.randint(1, 3)
    for _ in range(count):
        part = [random_pass(config, rng, model.bank_offset) for _ in range(rng.randint(1, 6))]
        level = random_level(config, rng, part)
        levels.append(replace(level, first=count + len(passes)))
        passes += place_waits(config, part, bank_offset=model.bank_offset, repeated=level.steps > 1)
    model.descriptors[: count + len(passes)] = [descriptor.pack() for descriptor in levels + passes]
    return model, count
