# SPDX-License-Identifier: Apache-2.0
"""The integer model against a slow model that follows the ISA's and the update's documentation."""

import copy
import itertools
from dataclasses import replace

import numpy as np
import pytest

from ornstein.hdl.config import ICEBREAKER, TINY, WIDE, ConfigError, FabricConfig
from ornstein.hdl.engine.noise import advance, code, dither
from ornstein.hdl.isa import Level, Operation, Pass
from ornstein.sim import cores as cores_module
from ornstein.sim import model as model_module
from ornstein.sim.cosim.programs import random_program
from ornstein.sim.model import FabricModel

FABRICS = {config.name: config for config in (TINY, ICEBREAKER, WIDE)}
MEMORIES = ("state", "drive", "rank", "codes", "generators", "sums", "squares")


def clip(value: int) -> int:
    return min(max(value, -1 << 15), (1 << 15) - 1)


def wrap(value: int, bits: int) -> int:
    return (value + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)


class Slow:
    """The same memories as lists of Python integers; it runs one operation at a time."""

    def __init__(self, model: FabricModel):
        self.config: FabricConfig = model.config
        for name in (
            "factor",
            "state",
            "drive",
            "rank",
            "activation",
            "codes",
            "generators",
            "sums",
            "squares",
        ):
            setattr(self, name, getattr(model, name).tolist())
        self.descriptors = model.descriptors.tolist()
        self.bank_offset = model.bank_offset
        self.samples = []
        self.counters = dict(model.counters)

    def run(self, first, levels, bank, seeds):
        self.generators = [seed or 1 for seed in seeds]
        for number in range(first, first + levels):
            level = Level.unpack(self.descriptors[number])
            passes = [Pass.unpack(self.descriptors[level.first + n]) for n in range(level.passes)]
            for step in range(level.steps):
                for p in passes:
                    operation = (self.project, self.mix, self.expand, self.activate)[p.operation]
                    operation(p, level, step, bank)

    def offset(self, p, bank):
        return self.bank_offset * bank * p.banked

    def narrow(self, word, totals, p):
        shift = self.config.project_shifts[p.shift]
        sums = [
            wrap(total + (1 << shift - 1), self.config.accumulator_width) >> shift
            for total in totals
        ]
        self.rank[word] = [clip(total) for total in sums]
        self.counters["rank_saturations"] += self.rank[word] != sums

    def project(self, p, level, step, bank):
        vector = self.drive if p.from_drive else self.state
        source = p.source + (self.offset(p, bank) if p.from_drive else 0)
        ranks = self.config.rank_lanes
        for o in range(p.outer):
            totals = [
                sum(
                    self.factor[p.factor + o + i * p.stride][u * ranks + r] * vector[source + i][u]
                    for i in range(p.inner)
                    for u in range(self.config.unit_lanes)
                )
                for r in range(ranks)
            ]
            self.counters["issued"] += p.inner
            self.narrow(p.dest + o, totals, p)

    def mix(self, p, level, step, bank):
        for o in range(p.outer):
            totals = [
                sum(
                    self.factor[p.factor + o * p.inner + t][r]
                    * self.rank[p.source + o + t * p.stride][r]
                    for t in range(p.inner)
                )
                for r in range(self.config.rank_lanes)
            ]
            self.counters["issued"] += p.inner
            self.narrow(p.dest + o, totals, p)

    def activate(self, p, level, step, bank):
        for o in range(p.outer):
            for lane in range(p.inner):
                argument = self.rank[p.source + o][lane] % (1 << 16)
                value, slope = self.activation[argument >> 8]
                self.rank[p.dest + o][lane] = wrap(
                    value + (slope * (argument & 255) + 128 >> 8), 16
                )

    def expand(self, p, level, step, bank):
        config, ranks = self.config, self.config.rank_lanes
        sampled = not p.to_drive and level.thin and (step + 1) % level.thin == 0
        for o in range(p.outer):
            word = p.dest + o
            self.counters["issued"] += p.inner
            new, clipped = [], False
            for u in range(config.unit_lanes):
                z, generator = self.state[word][u], self.generators[u]
                total = dither(generator) if level.dither else 2**11
                if level.keep:
                    total += (z << 12) - (z * level.leak << 12 - config.leak_bits)
                    if config.quartic:
                        total -= z * min((z * z >> 15) * level.quartic + 2**11 >> 12, 2**12)
                if p.coupled:
                    sums = sum(
                        self.factor[p.factor + o * p.inner + j][u * ranks + r]
                        * self.rank[p.source + j][r]
                        for j in range(p.inner)
                        for r in range(ranks)
                    )
                    total += wrap(sums, config.accumulator_width) >> config.expand_shifts[p.shift]
                if p.biased:
                    total += (
                        self.drive[p.bias + self.offset(p, bank) + o][u]
                        << config.bias_shifts[p.bias_shift]
                    )
                if not p.to_drive:
                    draw = code(generator)
                    total += level.amplitude * (draw + self.codes[word][u] * level.midpoint)
                    self.codes[word][u] = draw
                    self.generators[u] = advance(generator)
                new.append(clip(total >> 12))
                clipped |= new[-1] != total >> 12
            self.counters["state_saturations"] += clipped
            (self.drive if p.to_drive else self.state)[word] = new
            if not p.to_drive and level.accumulate:
                clear = level.clear and step == 0
                for sums, exponent in ((self.sums[bank], 1), (self.squares[bank], 2)):
                    sums[word] = [
                        value**exponent + (0 if clear else so_far)
                        for value, so_far in zip(new, sums[word], strict=True)
                    ]
            if sampled:
                self.samples.append(new)


def seeds_of(config, seed, jobs=1):
    return (
        np.random.SeedSequence(seed)
        .generate_state(jobs * config.unit_lanes, np.uint64)
        .reshape(jobs, -1)
    )


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("name", FABRICS)
def test_random_programs(name, seed):
    config = FABRICS[name]
    model, levels = random_program(config, seed)
    slow = Slow(model)
    bank, seeds = seed & 1, seeds_of(config, seed)
    rows = model.run(0, levels, bank=bank, seeds=seeds)
    slow.run(0, levels, bank, seeds[0].tolist())
    for memory in MEMORIES:
        np.testing.assert_array_equal(getattr(model, memory), getattr(slow, memory), err_msg=memory)
    np.testing.assert_array_equal(
        rows.samples[0], np.reshape(slow.samples, (-1, config.unit_lanes))
    )
    np.testing.assert_array_equal(rows.sums[0], slow.sums[bank])
    np.testing.assert_array_equal(rows.squares[0], slow.squares[bank])
    assert model.counters == slow.counters


def test_random_programs_reach_every_case():
    """The random programs hold every operation and flag, and some of them saturate."""
    passes, levels, counters = [], [], []
    for seed in range(40):
        model, count = random_program(TINY, seed)
        levels += (found := [Level.unpack(model.descriptors[n]) for n in range(count)])
        passes += [
            Pass.unpack(model.descriptors[level.first + n])
            for level in found
            for n in range(level.passes)
        ]
        model.run(0, count, seeds=seeds_of(TINY, seed))
        counters.append(model.counters)
    assert {step.operation for step in passes} == set(Operation)
    for flag in ("wait", "from_drive", "to_drive", "banked", "coupled", "biased"):
        assert {getattr(step, flag) for step in passes} == {0, 1}, flag
    for flag in ("keep", "midpoint", "dither", "accumulate", "clear"):
        assert {getattr(level, flag) for level in levels} == {0, 1}, flag
    assert {level.thin for level in levels} == {0, 1, 2}
    for counter in ("rank_saturations", "state_saturations"):
        assert (
            0
            < sum(counts[counter] for counts in counters)
            < sum(counts["issued"] for counts in counters)
        )


# ---- jobs ----------------------------------------------------------------------------------------


def noisy_program(config=TINY):
    """Returns a model of four units that relax with noise under their own biases.

    Jobs depend on one another through the memories alone.
    """
    model = FabricModel(config)
    model.descriptors[0] = Level(
        keep=1,
        midpoint=1,
        accumulate=1,
        clear=1,
        thin=5,
        first=1,
        passes=1,
        steps=20,
        leak=200,
        amplitude=3000 << 12,
    ).pack()
    model.descriptors[1] = Pass(Operation.EXPAND, biased=1, bias_shift=3, outer=4, inner=1).pack()
    return model


def test_the_seed_decides_the_noise():
    sums = [
        noisy_program().run(0, 1, seeds=np.array([[seed]], np.uint64)).sums for seed in (7, 7, 8)
    ]
    np.testing.assert_array_equal(sums[0], sums[1])
    assert (sums[0] != sums[2]).any()


def test_seed_zero_is_one():
    sums = [noisy_program().run(0, 1, seeds=np.array([[seed]], np.uint64)).sums for seed in (0, 1)]
    np.testing.assert_array_equal(*sums)


def test_without_seeds_the_generators_go_on():
    """A seeded job and an unseeded one after it draw one uninterrupted sequence of noise."""
    once, twice = noisy_program(), noisy_program()
    once.run(0, 1, seeds=np.array([[5]], np.uint64))
    state = 5
    for _ in range(4 * 20):
        state = advance(state)
    assert int(once.generators[0]) == state
    twice.run(0, 1, seeds=np.array([[5]], np.uint64))
    twice.run(0, 1)
    once.run(0, 1, seeds=np.array([[state]], np.uint64))
    for memory in MEMORIES:
        np.testing.assert_array_equal(getattr(once, memory), getattr(twice, memory))


def test_jobs_side_by_side_equal_jobs_alone():
    """All jobs of a batch start from the same memories; afterwards the memories are those of the
    last.
    """
    jobs = 5
    seeds, inputs = (
        seeds_of(TINY, 1, jobs),
        np.random.default_rng(1).integers(-9999, 9999, (jobs, 4, 1)),
    )
    together = noisy_program()
    rows = together.run(0, 1, seeds=seeds, inputs=inputs, input_word=0)
    assert rows.samples.shape == (jobs, 4 * 4, 1)
    for job in range(jobs):
        alone = noisy_program()
        row = alone.run(
            0, 1, seeds=seeds[job : job + 1], inputs=inputs[job : job + 1], input_word=0
        )
        np.testing.assert_array_equal(row.sums[0], rows.sums[job])
        np.testing.assert_array_equal(row.squares[0], rows.squares[job])
        np.testing.assert_array_equal(row.samples[0], rows.samples[job])
    for memory in MEMORIES:
        np.testing.assert_array_equal(getattr(alone, memory), getattr(together, memory))


def test_random_jobs_side_by_side():
    for seed in range(10):
        model, levels = random_program(WIDE, seed)
        seeds = seeds_of(WIDE, seed, 3)
        alone = [
            copy.deepcopy(model).run(0, levels, seeds=seeds[job : job + 1]) for job in range(3)
        ]
        rows = model.run(0, levels, seeds=seeds)
        for job, row in enumerate(alone):
            for name in ("sums", "squares", "samples"):
                np.testing.assert_array_equal(getattr(row, name)[0], getattr(rows, name)[job])


def left_by_jobs(jobs: int) -> tuple[list[np.ndarray], FabricModel]:
    """Returns what jobs of a random program answer, and the model that ran them."""
    model, levels = random_program(WIDE, 4)
    inputs = np.random.default_rng(1).integers(-9999, 9999, (jobs, 4, WIDE.unit_lanes))
    rows = model.run(0, levels, seeds=seeds_of(WIDE, 4, jobs), inputs=inputs)
    return [rows.sums, rows.squares, rows.samples], model


@pytest.mark.parametrize("jobs", (2, 17, 40))
def test_answers_depend_on_no_number_of_cores_or_jobs_side_by_side(monkeypatch, jobs):
    monkeypatch.setattr(model_module, "_PRODUCTS_ALONE", 0)
    monkeypatch.setattr(cores_module, "cores", lambda: 3)
    found = []
    for cores, vector, most in ((1, 1, 1), (1, 16, 64), (3, 16, 64), (3, 4, 8)):
        monkeypatch.setattr(model_module, "cores", lambda cores=cores: cores)
        monkeypatch.setattr(model_module, "_VECTOR", vector)
        monkeypatch.setattr(model_module, "_SIDE_BY_SIDE", most)
        found.append(left_by_jobs(jobs))
    (expected, alone), *others = found
    assert np.ptp(expected[0], axis=0).any(), "the jobs do not differ"
    for arrays, model in others:
        for array, other in zip(arrays, expected, strict=True):
            np.testing.assert_array_equal(array, other)
        for memory in MEMORIES:
            np.testing.assert_array_equal(getattr(model, memory), getattr(alone, memory))
        assert model.counters == alone.counters


def test_large_runs_use_all_cores_and_small_ones_one(monkeypatch):
    monkeypatch.setattr(model_module, "cores", lambda: 2)
    enough = model_module._PRODUCTS_ALONE
    for jobs, products, expected in (
        (200, enough, 4),
        (64, enough, 2),
        (64, 1, 1),
        (16, enough, 1),
    ):
        parts = list(model_module._groups(jobs, products))
        assert len(parts) == expected
        assert parts[0].start == 0 and parts[-1].stop == jobs
        assert all(one.stop == two.start for one, two in itertools.pairwise(parts))


def test_banks_keep_their_sums_apart():
    model = noisy_program()
    seeds = np.array([[3]], np.uint64)
    first = model.run(0, 1, bank=0, seeds=seeds).sums[0]
    second = model.run(0, 1, bank=1, seeds=seeds).sums[0]
    np.testing.assert_array_equal(model.sums, [first, second])
    assert (first != second).any(), "the second job began with the states that the first left"


def test_counters_add_up_over_jobs():
    model = noisy_program()
    for _ in range(3):
        model.run(0, 1, seeds=np.array([[3]], np.uint64))
    assert model.counters["issued"] == 3 * 20 * 4


# ---- addresses and interrupts --------------------------------------------------------------------


def test_addresses_are_checked_before_a_job_runs():
    """What the fabric would wrap, and what would leave the arrays here, is refused; nothing has
    changed.
    """
    model = FabricModel(TINY)
    model.state[:] = 7
    for step, message in (
        (Pass(Operation.EXPAND, outer=2, dest=63), "state words 63 to 64 are not among the 64"),
        (Pass(Operation.PROJECT, inner=2, factor=255, stride=1), "factor words"),
        (Pass(Operation.MIX, inner=2, source=31, stride=1), "rank words"),
    ):
        step = replace(step, outer=step.outer or 1, inner=step.inner or 1)
        words = [Level(first=1, passes=1, steps=1).pack(), step.pack()]
        model.descriptors[:2] = words
        with pytest.raises(ConfigError, match=message):
            model.run(0, 1)
    with pytest.raises(ConfigError, match="levels from descriptor 63 on"):
        model.run(63, 2)
    model.descriptors[:2] = [
        Level(first=1, passes=1, steps=1).pack(),
        Pass(Operation.EXPAND, outer=1, inner=1).pack(),
    ]
    with pytest.raises(ConfigError, match="the inputs: drive words -1 to 0"):
        model.run(0, 1, inputs=np.zeros((1, 2, 1), int), input_word=-1)
    assert (model.state == 7).all()


def test_a_long_job_runs_in_slices(monkeypatch):
    """Ctrl-C is heard between them; they change no result, and an interrupt changes nothing."""
    whole = noisy_program()
    expected = whole.run(0, 1, seeds=np.array([[5]], np.uint64))
    parts = []
    run_level = model_module.run_level

    def counted(*arguments):
        parts.append(arguments[2:4])
        if len(parts) == interrupt_at:
            raise KeyboardInterrupt
        return run_level(*arguments)

    monkeypatch.setattr(model_module, "_PRODUCTS_AT_ONCE", 40)
    monkeypatch.setattr(model_module, "run_level", counted)
    sliced, interrupt_at = noisy_program(), 3
    before = sliced.state.copy()
    with pytest.raises(KeyboardInterrupt):
        sliced.run(0, 1, seeds=np.array([[5]], np.uint64))
    np.testing.assert_array_equal(sliced.state, before)
    parts.clear()
    interrupt_at = 0
    found = sliced.run(0, 1, seeds=np.array([[5]], np.uint64))
    assert len(parts) > 3 and parts[0][1] == parts[1][0]
    for name in ("sums", "squares", "samples"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_array_equal(sliced.state, whole.state)
