# SPDX-License-Identifier: Apache-2.0
"""The integrator of one unit lane: everything is summed with twelve guard bits, then rounded once
and saturated.

    z' = sat16((self + coupling + bias + noise - cubic + rounding) >> 12)

========  ==========================================================  ==========================
term      value, in guard LSBs (state LSB / 2^12)                     present when
========  ==========================================================  ==========================
self      (z << 12) - (z * leak << 12 - leak_bits)                    level.keep
coupling  accumulator << 12 - coupling_bits >> expand_shift (floor)   pass.coupled
bias      drive << bias_shift                                         pass.biased
noise     amplitude * (code + previous code if level.midpoint)        pass writes the state
cubic     h * z, h = min(((z^2 >> 15) * quartic + 2^11) >> 12, 2^12)  level.keep, if built with it
rounding  2^11, or a uniform 12-bit number if level.dither            always
========  ==========================================================  ==========================

The coefficients follow from the energy J2 z^2 + J4 z^4 of a unit: leak = 2 J2 dt, and h = 4 J4 dt
z^2, whose limit of one keeps the explicit step stable. With one noise sample a step this is
Euler-Maruyama, with two it is Leimkuhler-Matthews (doi:10.1093/amrx/abs010), which is exact for
every harmonic energy.
"""

from amaranth.hdl import C, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl import targets
from ornstein.hdl.arithmetic import (
    overflow,
    saturated,
    select,
    shift_right,
)
from ornstein.hdl.config import AMPLITUDE_WIDTH, GUARD_BITS, STATE_WIDTH, FabricConfig
from ornstein.hdl.engine.noise import FINE_TOP
from ornstein.hdl.hops import hops, kept_register
from ornstein.hdl.timing import Timing

SQUARE_SHIFT = 15
"""Number of bits of z^2 that are dropped before it is scaled."""
CUBIC_LIMIT = 1 << GUARD_BITS
"""Largest h: the cubic term alone never reverses a state in one step."""


def round_term() -> int:
    """The term that rounds to nearest: half a state LSB."""
    return 1 << GUARD_BITS - 1


class Update(wiring.Component):
    """Computes the new state of one unit a cycle. Latency :attr:`Timing.update`; rounds to nearest,
    or stochastically with ``dither_on``, and saturates.

    Parameters
    ----------
    config : configuration of the fabric

    Members
    -------
    valid : In(1), the other inputs belong to a unit
    state, drive : In(signed(16)), the unit's state and its bias
    accumulator : In(signed(accumulator_width)), the coupling sum
    coupled, biased, noisy : In(1), with the unit; whether accumulator, drive and noise count
    keep, midpoint, dither_on : In(1), constant while units are in flight, like leak, quartic and
        amplitude; keep and leak are constant from ``1 + hop`` cycles before the first unit on
    leak : In(leak_bits), 2 J2 dt in units of 2^-leak_bits
    quartic : In(16), ignored unless the configuration has the quartic term
    shift, bias_shift : In, indices into the configuration's shifts
    amplitude : In(28), guard LSBs
    draw : Out(1), noise is drawn in this cycle, :attr:`Timing.draw` cycles after the inputs
    code, previous : In(signed(code_width)), the present and the previous noise, in the cycle after
        ``draw``
    dither : In(12), in the cycle of ``draw``
    next : Out(signed(16)), the new state
    saturated : Out(1), ``next`` was saturated
    """

    def __init__(self, config: FabricConfig):
        self._config = config
        self._coupling_width = config.accumulator_width + GUARD_BITS - config.coupling_bits
        self._total = (
            max(
                self._coupling_width,
                STATE_WIDTH + GUARD_BITS + 2,
                STATE_WIDTH + config.bias_shifts[-1],
                AMPLITUDE_WIDTH + config.code_width,
            )
            + 2
        )
        super().__init__(
            {
                "valid": In(1),
                "state": In(signed(STATE_WIDTH)),
                "drive": In(signed(STATE_WIDTH)),
                "accumulator": In(signed(config.accumulator_width)),
                "coupled": In(1),
                "biased": In(1),
                "keep": In(1),
                "noisy": In(1),
                "midpoint": In(1),
                "dither_on": In(1),
                "leak": In(config.leak_bits),
                "quartic": In(16),
                "shift": In(range(len(config.expand_shifts))),
                "bias_shift": In(range(len(config.bias_shifts))),
                "amplitude": In(AMPLITUDE_WIDTH),
                "draw": Out(1),
                "code": In(signed(config.code_width)),
                "previous": In(signed(config.code_width)),
                "dither": In(GUARD_BITS),
                "next": Out(signed(STATE_WIDTH)),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, timing = self._config, Timing.of(self._config)

        def delayed(value, cycles, name):
            for cycle in range(cycles):
                value = kept_register(m, value, f"{name}_{cycle + 1}")
            return value

        def add(terms):
            return sum(terms[1:], start=terms[0]) if terms else C(0, 1)

        # Until the noise is drawn: terms without a product, and the product of the leak.
        wait = timing.draw - 1
        states = [self.state]
        for cycle in range(wait):
            states.append(kept_register(m, states[-1], f"state_{cycle + 1}"))
        coupled = shift_right(
            self.accumulator << GUARD_BITS - config.coupling_bits, self.shift, config.expand_shifts
        )
        coupling = Signal(signed(self._coupling_width), reset_less=True)
        bias = Signal(signed(STATE_WIDTH + config.bias_shifts[-1]), reset_less=True)
        m.d.sync += coupling.eq(Mux(self.coupled, coupled, 0))
        biases = [self.drive << shift for shift in config.bias_shifts]
        m.d.sync += bias.eq(Mux(self.biased, select(self.bias_shift, biases), 0))
        coupling, bias = delayed(coupling, wait, "coupling"), delayed(bias, wait, "bias")
        # The state less its leak is state * (2^leak_bits - leak).
        retained = Mux(self.keep, (1 << config.leak_bits) - self.leak, 0)
        pairs, correction = targets.of(platform).leak_product(m, states, retained)

        cubic = Const(0, signed(1))
        if config.quartic:
            square = Signal(unsigned(2 * STATE_WIDTH - 1 - SQUARE_SHIFT), reset_less=True)
            factor = Signal(unsigned(GUARD_BITS + 1), reset_less=True)
            scaled = Signal(unsigned(2 * STATE_WIDTH))
            cubic = Signal(signed(STATE_WIDTH + GUARD_BITS + 1), reset_less=True)
            m.d.sync += square.eq((self.state * self.state) >> SQUARE_SHIFT)
            m.d.comb += scaled.eq((square * self.quartic + round_term()) >> GUARD_BITS)
            m.d.sync += factor.eq(Mux(scaled > CUBIC_LIMIT, CUBIC_LIMIT, scaled))
            m.d.sync += cubic.eq(Mux(self.keep, states[-1], 0) * factor)

        valid = self.valid
        for cycle in range(timing.draw):
            next_valid = Signal(name=f"valid_{cycle + 1}")
            m.d.sync += next_valid.eq(valid)
            valid = next_valid
        noisy = delayed(self.noisy, timing.draw, "noisy")
        drawn = delayed(noisy, 1, "drawn")
        m.d.comb += self.draw.eq(valid & noisy)
        # The noise is some amplitudes. With x the rounding term, x + magnitude adds a positive
        # noise, and ~(~x + magnitude) == x - magnitude a negative one.
        codes = Mux(drawn, self.code, 0) + Mux(drawn & self.midpoint, self.previous, 0)
        negative = Signal(reset_less=True)
        rounding = Signal(signed(GUARD_BITS + 3), reset_less=True)
        amplitude = hops(timing.hop, m, platform).relay(self.amplitude, "amplitude_relayed")
        magnitude = self._magnitude(m, codes, amplitude)
        m.d.sync += [
            negative.eq(codes[-1]),
            rounding.eq(
                Mux(self.dither_on, self.dither, round_term())
                + (correction << GUARD_BITS - config.leak_bits)
            ),
        ]

        # One addition a cycle, then the only rounding.
        drift, relaxing, rest, forcing, outer, total = (
            Signal(signed(self._total), name=name, reset_less=True)
            for name in ("drift", "relaxing", "rest", "forcing", "outer", "total")
        )
        rounding = delayed(Mux(codes[-1], ~rounding, rounding), 1, "rounding")
        forced = rounding + magnitude
        m.d.sync += [
            drift.eq(coupling + bias - cubic),
            relaxing.eq(add(pairs[:2]) << GUARD_BITS - config.leak_bits),
            rest.eq(drift + (add(pairs[2:]) << GUARD_BITS - config.leak_bits)),
            forcing.eq(Mux(negative, ~forced, forced)),
            outer.eq(relaxing + rest),
            total.eq(outer + forcing),
        ]
        rounded = Signal(signed(self._total - GUARD_BITS))
        m.d.comb += rounded.eq(total >> GUARD_BITS)
        over = overflow(rounded, C(0, 1), (0,), STATE_WIDTH)
        m.d.sync += [
            self.next.eq(saturated(rounded[:STATE_WIDTH], over, rounded[-1])),
            self.saturated.eq(over),
        ]
        return m

    def _magnitude(self, m: Module, codes, amplitude):
        """The magnitude of the noise, one cycle after the sum of its codes."""
        if self._config.fine_noise:
            count = Signal(range(2 * FINE_TOP + 1), reset_less=True)
            m.d.sync += count.eq(Mux(codes[-1], -codes, codes))
            return amplitude * count
        # one or two amplitudes need no multiplier
        once, twice = (Signal(name=name, reset_less=True) for name in ("once", "twice"))
        m.d.sync += [once.eq(codes[0]), twice.eq(~codes[0] & codes[1])]
        return Mux(once, amplitude, 0) | Mux(twice, amplitude << 1, 0)
