# SPDX-License-Identifier: Apache-2.0
"""Every cycle count of the fabric's pipeline, derived from its configuration in one place.

Pure data: gateware, compiler and tests share it. All times are clock cycles. Unless it says
otherwise, a time counts from the cycle in which a micro-operation is issued to the cycle in which
the named signal has its value.
"""

from dataclasses import dataclass

from ornstein.hdl.config import FabricConfig

MULTIPLY = 2
"""Latency of a multiplier: a register at its factors and one at its product."""

UPDATE_SUMS = 5
"""Stages of the update after the noise is drawn: four additions and the saturation."""

SETTLE = 4
"""Cycles after a new state within which its last consequence can be seen: sum of squares, counters,
and the sample ring's fill level, which takes three."""

SAMPLE_MARGIN = 32
"""Free words of the sample ring below which the sequencer stops issuing."""


@dataclass(frozen=True)
class Timing:
    """The pipeline's latencies; :meth:`of` derives them from a configuration.

    Attributes
    ----------
    hop : extra pipeline stages each way between a memory and its user: 1 on fabrics with several
        unit lanes, which fill their chip, else 0
    read : from a memory's read address to its word
    spread : by which factors come later than vector and rank words, which first have to reach all
        multipliers
    multiply_add : from the operands of a multiplication and addition to its sum
    pick : to choose one lane of a word and keep it in a register
    products : to the multipliers' products
    rank_total : to the complete accumulators of the rank lanes
    rank : to the rounded and saturated rank word of PROJECT or MIX
    unit : to the complete accumulators of the unit lanes, with which EXPAND's update begins
    lookup : to the activation table's entry for ACTIVATE
    activation : to the result of ACTIVATE
    draw : from the beginning of the update to the draw of its noise
    update : from the beginning of the update to the new state
    sum_read : from the beginning of the update to the read of the sum so far, whose word comes one
        cycle before the new state; squares are read and written one cycle later
    fetch : to fetch the next pass: the least distance between the starts of two passes
    bus_decode : by which the fabric delays a request on its bus, to decode space and address first
    bus_read : from the grant of a bus access to the chosen lane of the word that it reads
    bus_write : from the decision that a bus access may go on to its write at the memory's port
    drain : after the last issue, until nothing of it is left in the pipeline
    rank_hazard : issues from the last of PROJECT, MIX or ACTIVATE to the first that may read the
        rank words it wrote
    unit_hazard : issues from the last of EXPAND to the first that may read the states or biases it
        wrote; its noise and sums are safe by then too
    sample_margin : free words of the sample ring below which the sequencer stops issuing
    """

    hop: int
    read: int
    spread: int
    multiply_add: int
    pick: int
    products: int
    rank_total: int
    rank: int
    unit: int
    lookup: int
    activation: int
    draw: int
    update: int
    sum_read: int
    fetch: int
    bus_decode: int
    bus_read: int
    bus_write: int
    drain: int
    rank_hazard: int
    unit_hazard: int
    sample_margin: int = SAMPLE_MARGIN

    @classmethod
    def of(cls, config: FabricConfig) -> "Timing":
        """The latencies of that fabric."""
        hop = int(config.unit_lanes > 1)
        read = 1 + 2 * hop
        spread = 2 * hop
        multiply_add = MULTIPLY + hop
        pick = 1 + hop
        products = read + spread + MULTIPLY
        # With one unit lane the multipliers accumulate. With several, a tree of adders precedes
        # the accumulators, and a register separates shift and saturation.
        unit_levels = (config.unit_lanes - 1).bit_length()
        rank_levels = (config.rank_lanes - 1).bit_length()
        rank_total = products + unit_levels + hop
        rank = rank_total + hop + 1
        unit = products + rank_levels + 1
        lookup = read + pick + read
        activation = lookup + multiply_add
        # h is two products after the state; without it, the state only travels to its multiplier.
        draw = 3 if config.quartic else 1 + 2 * hop
        update = draw + UPDATE_SUMS
        return cls(
            hop=hop,
            read=read,
            spread=spread,
            multiply_add=multiply_add,
            pick=pick,
            products=products,
            rank_total=rank_total,
            rank=rank,
            unit=unit,
            lookup=lookup,
            activation=activation,
            draw=draw,
            update=update,
            sum_read=update - 1 - read,
            fetch=config.descriptor_beats + 2 + hop,
            bus_decode=4 * hop,
            bus_read=read + 2 * hop,
            bus_write=1 + 2 * hop,
            drain=hop + unit + update + SETTLE,
            # a word is written in the cycle after it is complete; activations go one hop further
            rank_hazard=max(rank, activation + hop) + 1,
            # one cycle for the write, two to spare
            unit_hazard=unit + update + 3,
        )

    def __post_init__(self):
        # whoever adds a stage and forgets what depends on it stops here
        assert self.sample_margin > self.samples_in_flight, "the sample ring would overrun"
        assert self.drain >= self.hop + self.unit + self.update + self.write, "a job ends too early"
        assert self.unit_hazard > self.unit + self.update, "EXPAND's result would be read too early"
        assert self.rank_hazard > max(self.rank, self.activation), (
            "a rank word would be read too early"
        )
        assert self.sum_read > -self.read, "sums would be read before the update is announced"
        assert self.update > self.bus_write, "the bus could not avoid the engine's writes"

    @property
    def write(self) -> int:
        """From a word at a memory's write port to its cells; squares are written one cycle after
        the new state."""
        return 1 + self.hop + 1

    @property
    def samples_in_flight(self) -> int:
        """Words that can still enter the sample ring once it is full enough to stop the sequencer:
        those in the pipeline, at one a cycle, and those of the three cycles in which counter, fill
        level and comparison follow."""
        return self.hop + self.unit + self.update + 3
