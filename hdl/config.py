# SPDX-License-Identifier: Apache-2.0
"""The parameters of a fabric: one frozen description that gateware, model, compiler and
host share.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace

STATE_WIDTH = 16
"""Bits of a unit's state, of a drive word (input or bias) and of a rank word; two's complement."""

GUARD_BITS = 12
"""Bits below the state's LSB that the update carries before it rounds once """

AMPLITUDE_WIDTH = 28
"""Bits of the noise amplitude, unsigned, in guard LSBs."""

MIX_WINDOW = 3
"""Rank words that a cycle of MIX can multiply where a fabric is built with ``mix_window``: enough
that a pair of modules is mixed in as many cycles as there are words."""

FINE_CODE_WIDTH = 6
"""Bits of a draw of fine noise, signed."""

ACTIVATION_ENTRIES = 256
"""Entries of the activation table; the top bits of a rank word select one, the rest interpolate."""

FRACTION_WIDTH = STATE_WIDTH - (ACTIVATION_ENTRIES - 1).bit_length()
"""Low bits of an activation's argument: where it lies between two entries of the table."""

SLOPE_WIDTH = 12
"""Bits of an activation entry's slope, signed; see :attr:`ornstein.hdl.isa.Operation.ACTIVATE`."""

NEIGHBOURS = 4
"""Rank lanes of a unit lane that share factor memories and decoded registers where there are
several unit lanes, so that they can be placed together."""

LATE_OPTIONS = "scrub", "fine_noise", "mix_window"
"""Options that older gateware, and older program files, know nothing of; by default not built."""

SEED_WIDTH = 64
"""Bits of each unit lane's noise generator and of its seed."""


MOST_WORDS = 1 << 16
"""Words of the deepest memory: descriptors address them with 16 bits."""

MOST_LANES = 1 << 10
"""Most rank lanes, and most unit lanes."""


class ConfigError(ValueError):
    """A fabric that cannot be built, or a program that does not fit one; names the field and both
    values.
    """


@dataclass(frozen=True, kw_only=True)
class FabricConfig:
    """What a build of the fabric holds.

    A *word* of factors has ``rank_lanes * unit_lanes`` entries, a word of state, drive or
    statistics has ``unit_lanes`` and a rank word ``rank_lanes``. Depths count words, of descriptors
    the whole 128 bits, which are fetched ``descriptor_width`` bits a cycle. Lanes must be powers of
    two, so that an element's address on the link is its word and its lane side by side, and so must
    ``state_depth``, because the statistics hold two banks of it. With ``scrub`` the fabric verifies
    the memories that hold a program after each job and while none runs, see
    :mod:`ornstein.hdl.scrub`; no answer depends on it. With ``fine_noise`` levels can ask for noise
    of 24 values instead of three, see :mod:`ornstein.hdl.engine.noise`. With ``mix_window``, for
    which there must be four unit lanes, MIX also multiplies the rank words that it read in the two
    cycles before, and EXPAND can leave out rank words between those it reads, see
    :mod:`ornstein.hdl.isa`.
    """

    name: str
    rank_lanes: int = 8
    unit_lanes: int = 1
    factor_width: int = 12
    factor_depth: int = 1024
    state_depth: int = 256
    drive_depth: int = 1024
    rank_depth: int = 64
    descriptor_depth: int = 64
    descriptor_width: int = 32
    accumulator_width: int = 32
    leak_bits: int = 10
    project_shifts: tuple[int, ...] = (10, 12, 14, 16)
    expand_shifts: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6, 7)
    bias_shifts: tuple[int, ...] = (6, 8, 10, 12)
    sum_width: int = 32
    second_moment: bool = True
    sample_depth: int = 4096
    quartic: bool = True
    scrub: bool = False
    fine_noise: bool = False
    mix_window: bool = False

    def __post_init__(self):
        for name in (
            "rank_lanes",
            "unit_lanes",
            "factor_depth",
            "state_depth",
            "drive_depth",
            "rank_depth",
            "descriptor_depth",
        ):
            value = getattr(self, name)
            if value < 1 or (value & (value - 1) and name in _POWERS_OF_TWO):
                kind = "a power of two" if name in _POWERS_OF_TWO else "positive"
                raise ConfigError(f"{name} must be {kind}, not {value}")
            limit = MOST_LANES if name.endswith("_lanes") else MOST_WORDS
            if value > limit:
                raise ConfigError(f"{name} must be at most {limit}, not {value}")
        if not 4 <= self.factor_width <= STATE_WIDTH:
            raise ConfigError(
                f"factor_width must be between 4 and {STATE_WIDTH}, not {self.factor_width}"
            )
        if not 1 <= self.leak_bits <= GUARD_BITS:
            raise ConfigError(f"leak_bits must be between 1 and {GUARD_BITS}, not {self.leak_bits}")
        if not self.product_width <= self.accumulator_width <= 48:
            raise ConfigError(
                f"accumulator_width must be between {self.product_width} (one product) and 48, "
                f"not {self.accumulator_width}"
            )
        if not STATE_WIDTH < self.sum_width <= 48:
            raise ConfigError(
                f"sum_width must be between {STATE_WIDTH + 1} and 48, not {self.sum_width}"
            )
        for name, limit in (("project_shifts", 8), ("expand_shifts", 8), ("bias_shifts", 4)):
            shifts = getattr(self, name)
            if (
                not 1 <= len(shifts) <= limit
                or sorted(set(shifts)) != list(shifts)
                or not 0 <= shifts[0] <= 31
                or shifts[-1] > 31
            ):
                raise ConfigError(
                    f"{name} must be 1 to {limit} ascending shifts between 0 and 31, not {shifts}"
                )
        if self.project_shifts[0] < 1:
            raise ConfigError(
                f"project_shifts must start at 1 or more, not {self.project_shifts[0]}"
            )
        if self.sample_depth and (
            not 64 <= self.sample_depth <= MOST_WORDS or self.sample_depth & (self.sample_depth - 1)
        ):
            raise ConfigError(
                "sample_depth must be 0 (no sample stream) or a power of two from 64 to "
                f"{MOST_WORDS}, not {self.sample_depth}"
            )
        if self.descriptor_width not in (32, 64, 128):
            raise ConfigError(
                f"descriptor_width must be 32, 64 or 128, not {self.descriptor_width}"
            )
        if self.mix_window and self.unit_lanes < MIX_WINDOW:
            raise ConfigError(f"mix_window needs 4 unit lanes, not {self.unit_lanes}")
        if self.descriptor_depth > 256:
            raise ConfigError(f"descriptor_depth must be at most 256, not {self.descriptor_depth}")

    @property
    def lanes(self) -> int:
        """Multiply lanes: factors read and multiplied each cycle."""
        return self.rank_lanes * self.unit_lanes

    @property
    def descriptor_beats(self) -> int:
        """Cycles in which a descriptor is read."""
        return 128 // self.descriptor_width

    @property
    def longest_loop(self) -> int:
        """Words over which a loop of a pass can run at most: those of the largest memory of vectors
        or rank words.
        """
        return max(self.state_depth, self.drive_depth, self.rank_depth)

    @property
    def product_width(self) -> int:
        """Bits of one lane's signed product."""
        return self.factor_width + STATE_WIDTH

    @property
    def coupling_bits(self) -> int:
        """Bits below the state's LSB of a coupling sum before its expand shift: narrow factors can
        be as strong as wide ones."""
        return min(GUARD_BITS, self.factor_width)

    @property
    def code_width(self) -> int:
        """Bits of the noise of a unit before it is multiplied by the amplitude, signed."""
        return FINE_CODE_WIDTH if self.fine_noise else 2

    @property
    def square_width(self) -> int:
        """Bits of a unit's sum of squares."""
        return self.sum_width + STATE_WIDTH

    @property
    def max_samples(self) -> int:
        """Steps that can be accumulated before a sum could overflow."""
        return 1 << (self.sum_width - STATE_WIDTH)

    @property
    def build_hash(self) -> int:
        """32-bit digest of every field but the name: equal configurations have equal hashes.

        Those of :data:`LATE_OPTIONS` count only where they are set, so that a build without them
        keeps the hash that it had before there were these options.
        """
        body = {key: value for key, value in asdict(self).items() if key != "name"}
        for name in LATE_OPTIONS:
            if not body[name]:
                del body[name]
        return int.from_bytes(
            hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest()[:4], "little"
        )

    def identity(self) -> dict[str, int]:
        """The fields in the order in which the identity registers hold them, each as an unsigned
        32-bit value.
        """
        return {f.name: _pack(getattr(self, f.name)) for f in fields(self) if f.name != "name"}

    @classmethod
    def from_identity(cls, name: str, values: dict[str, int]) -> "FabricConfig":
        """Inverse of :meth:`identity`.

        Raises ConfigError if a field is missing or describes a fabric that cannot exist.
        """
        arguments = {}
        for f in fields(cls):
            if f.name == "name":
                continue
            if f.name not in values:
                raise ConfigError(f"identity lacks the field {f.name}")
            if f.type == tuple[int, ...]:
                arguments[f.name] = _unpack_shifts(values[f.name])
            else:
                arguments[f.name] = bool(values[f.name]) if f.type is bool else int(values[f.name])
        return cls(name=name, **arguments)


_POWERS_OF_TWO = ("rank_lanes", "unit_lanes", "state_depth")


def _pack(value) -> int:
    """A shift tuple is a bit mask of the shifts it offers (they ascend, so the mask says
    it all).
    """
    if isinstance(value, tuple):
        return sum(1 << shift for shift in value)
    return int(value)


def _unpack_shifts(mask: int) -> tuple[int, ...]:
    return tuple(shift for shift in range(32) if mask >> shift & 1)


TINY = FabricConfig(
    name="tiny",
    rank_lanes=2,
    unit_lanes=1,
    factor_depth=256,
    state_depth=64,
    drive_depth=128,
    rank_depth=32,
    sample_depth=64,
    scrub=True,
)
"""Small enough for exhaustive and interpreted simulation."""

REFERENCE = FabricConfig(name="reference", factor_depth=2048, rank_depth=128)
"""The default device: the iCEBreaker's lanes, with every option and room for two inputs at once."""

ICEBREAKER = FabricConfig(
    name="icebreaker",
    state_depth=128,
    drive_depth=512,
    project_shifts=(12, 14),
    second_moment=False,
    sample_depth=0,
    quartic=False,
)
"""What an iCE40UP5K holds."""

BITSY = replace(ICEBREAKER, name="bitsy", factor_depth=768)
"""What an iCE40UP5K holds beside a USB device."""

HX8K = FabricConfig(
    name="hx8k",
    factor_width=8,
    factor_depth=512,
    state_depth=256,
    drive_depth=512,
    second_moment=False,
    sample_depth=0,
    quartic=False,
)
"""What an iCE40HX8K holds, which has no multipliers and less block RAM."""

WIDE = FabricConfig(
    name="wide",
    rank_lanes=4,
    unit_lanes=4,
    factor_depth=4096,
    state_depth=512,
    drive_depth=1024,
    rank_depth=512,
    descriptor_depth=256,
    descriptor_width=128,
    accumulator_width=40,
    scrub=True,
)
"""Several units a cycle: the grid of lanes that larger boards use, and room for dense couplings."""

ULX3S = FabricConfig(
    name="ulx3s",
    rank_lanes=16,
    unit_lanes=8,
    factor_depth=1024,
    state_depth=1024,
    drive_depth=2048,
    rank_depth=256,
    descriptor_depth=128,
    descriptor_width=128,
    accumulator_width=40,
    second_moment=False,
    sample_depth=0,
    quartic=False,
    scrub=True,
    mix_window=True,
)
"""128 lanes and 8,192 units: what an ECP5-85F has multipliers and block RAM for."""

PRESETS = {
    config.name: config for config in (TINY, REFERENCE, ICEBREAKER, BITSY, HX8K, WIDE, ULX3S)
}


def preset(name: str) -> FabricConfig:
    """The configuration of that name; ConfigError names the ones there are."""
    if name not in PRESETS:
        raise ConfigError(f"no fabric is called {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]
