# SPDX-License-Identifier: Apache-2.0
"""The fabric's description: presets, derived numbers, refusals, and the identity that carries it
over the link.
"""

from dataclasses import FrozenInstanceError, fields, replace

import pytest

from ornstein.hdl.config import (
    ICEBREAKER,
    LATE_OPTIONS,
    PRESETS,
    REFERENCE,
    TINY,
    WIDE,
    ConfigError,
    FabricConfig,
    preset,
)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_carry_their_names(name):
    assert preset(name) is PRESETS[name]
    assert preset(name).name == name


def test_unknown_preset_names_the_known_ones():
    with pytest.raises(
        ConfigError,
        match=r"no fabric is called 'huge'; there are tiny, reference, icebreaker, bitsy",
    ):
        preset("huge")


def test_a_fabric_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        TINY.rank_lanes = 4


def test_derived_numbers():
    assert WIDE.lanes == 4 * 4
    assert [replace(TINY, descriptor_width=width).descriptor_beats for width in (32, 64, 128)] == [
        4,
        2,
        1,
    ]
    assert TINY.product_width == 12 + 16
    assert TINY.square_width == 32 + 16
    assert TINY.max_samples == 65536
    # the largest sums that many states can have still fit
    assert TINY.max_samples * (1 << 15) <= 1 << TINY.sum_width - 1
    assert TINY.max_samples * (1 << 30) <= 1 << TINY.square_width


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"rank_lanes": 3}, "rank_lanes must be a power of two, not 3"),
        ({"unit_lanes": 0}, "unit_lanes must be a power of two, not 0"),
        ({"state_depth": 48}, "state_depth must be a power of two, not 48"),
        ({"factor_depth": 0}, "factor_depth must be positive, not 0"),
        ({"drive_depth": -1}, "drive_depth must be positive, not -1"),
        ({"rank_depth": 0}, "rank_depth must be positive, not 0"),
        ({"drive_depth": 65_537}, "drive_depth must be at most 65536, not 65537"),
        ({"unit_lanes": 2048}, "unit_lanes must be at most 1024, not 2048"),
        ({"descriptor_depth": 0}, "descriptor_depth must be positive, not 0"),
        ({"descriptor_depth": 257}, "descriptor_depth must be at most 256, not 257"),
        ({"descriptor_width": 16}, "descriptor_width must be 32, 64 or 128, not 16"),
        ({"factor_width": 3}, "factor_width must be between 4 and 16, not 3"),
        ({"factor_width": 17}, "factor_width must be between 4 and 16, not 17"),
        ({"leak_bits": 0}, "leak_bits must be between 1 and 12, not 0"),
        ({"leak_bits": 13}, "leak_bits must be between 1 and 12, not 13"),
        (
            {"accumulator_width": 27},
            r"accumulator_width must be between 28 \(one product\) and 48, not 27",
        ),
        (
            {"factor_width": 16, "accumulator_width": 31},
            r"between 32 \(one product\) and 48, not 31",
        ),
        (
            {"accumulator_width": 49},
            r"accumulator_width must be between 28 \(one product\) and 48, not 49",
        ),
        ({"sum_width": 16}, "sum_width must be between 17 and 48, not 16"),
        ({"sum_width": 49}, "sum_width must be between 17 and 48, not 49"),
        (
            {"project_shifts": ()},
            r"project_shifts must be 1 to 8 ascending shifts between 0 and 31, not \(\)",
        ),
        ({"project_shifts": (0, 4)}, "project_shifts must start at 1 or more, not 0"),
        ({"expand_shifts": (4, 2)}, r"expand_shifts must be 1 to 8 ascending .*, not \(4, 2\)"),
        ({"expand_shifts": (2, 2)}, r"expand_shifts must be 1 to 8 ascending .*, not \(2, 2\)"),
        ({"expand_shifts": tuple(range(9))}, "expand_shifts must be 1 to 8 ascending shifts"),
        ({"expand_shifts": (0, 32)}, r"between 0 and 31, not \(0, 32\)"),
        ({"bias_shifts": (-1, 2)}, r"bias_shifts must be 1 to 4 ascending .*, not \(-1, 2\)"),
        ({"bias_shifts": (1, 2, 3, 4, 5)}, "bias_shifts must be 1 to 4 ascending shifts"),
        (
            {"sample_depth": 32},
            r"sample_depth must be 0 \(no sample stream\) or a power of two from 64 to 65536, "
            r"not 32",
        ),
        (
            {"sample_depth": 96},
            "sample_depth must be 0 .* or a power of two from 64 to 65536, not 96",
        ),
    ],
    ids=str,
)
def test_refusals_name_the_field_and_the_numbers(changes, message):
    with pytest.raises(ConfigError, match=message):
        replace(TINY, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"rank_lanes": 1},
        {"factor_depth": 1000, "drive_depth": 37, "rank_depth": 5},
        {"descriptor_depth": 256},
        {"factor_width": 4},
        {"factor_width": 16, "accumulator_width": 32},
        {"accumulator_width": 28},
        {"leak_bits": 12},
        {"sum_width": 17},
        {"sample_depth": 0},
        {"project_shifts": (1, 31)},
        {"expand_shifts": (0,)},
    ],
    ids=str,
)
def test_the_limits_themselves_are_allowed(changes):
    replace(TINY, **changes)


@pytest.mark.parametrize(
    "config",
    [
        *PRESETS.values(),
        replace(
            TINY,
            name="odd",
            project_shifts=(1, 31),
            expand_shifts=(0,),
            bias_shifts=(3, 5),
            drive_depth=77,
        ),
    ],
    ids=lambda config: config.name,
)
def test_identity_round_trip(config):
    values = config.identity()
    assert list(values) == [f.name for f in fields(FabricConfig) if f.name != "name"]
    assert all(0 <= value < 1 << 32 for value in values.values())
    assert FabricConfig.from_identity(config.name, values) == config


@pytest.mark.parametrize("missing", list(TINY.identity()))
def test_identity_must_be_complete(missing):
    values = TINY.identity()
    del values[missing]
    with pytest.raises(ConfigError, match=f"identity lacks the field {missing}"):
        FabricConfig.from_identity("device", values)


def test_identity_of_an_impossible_fabric_is_refused():
    with pytest.raises(ConfigError, match="rank_lanes must be a power of two, not 5"):
        FabricConfig.from_identity("device", TINY.identity() | {"rank_lanes": 5})


def test_build_hash_sees_every_field_but_the_name():
    assert replace(TINY, name="renamed").build_hash == TINY.build_hash
    changes = {
        "rank_lanes": 4,
        "unit_lanes": 2,
        "factor_width": 10,
        "factor_depth": 128,
        "state_depth": 32,
        "drive_depth": 64,
        "rank_depth": 16,
        "descriptor_depth": 32,
        "descriptor_width": 64,
        "accumulator_width": 36,
        "leak_bits": 8,
        "project_shifts": (10, 12),
        "expand_shifts": (0, 1),
        "bias_shifts": (6, 8),
        "sum_width": 30,
        "second_moment": False,
        "sample_depth": 128,
        "quartic": False,
        "scrub": False,
        "fine_noise": True,
        "mix_window": True,
    }
    base = replace(TINY, unit_lanes=4)
    assert list(changes) == list(base.identity())
    hashes = {replace(base, **{name: value}).build_hash for name, value in changes.items()} | {
        base.build_hash
    }
    assert len(hashes) == len(changes) + 1
    assert all(0 <= value < 1 << 32 for value in hashes)


def test_a_build_without_new_options_has_the_hash_from_before_there_were_any():
    """Bitstreams of earlier releases are still recognised."""
    assert ICEBREAKER.build_hash == 0x44CF93A6
    assert not any(ICEBREAKER.identity()[name] for name in LATE_OPTIONS)


def test_a_window_needs_unit_lanes():
    with pytest.raises(ConfigError, match="mix_window needs 4 unit lanes, not 2"):
        replace(TINY, unit_lanes=2, mix_window=True)


def test_presets_differ():
    assert len({config.build_hash for config in (TINY, REFERENCE, ICEBREAKER, WIDE)}) == 4
