# SPDX-License-Identifier: Apache-2.0
"""The target of simulators and of FPGA families without a target of their own: plain arithmetic and
memories, which synthesis maps as it can. The vendors' targets override methods of it.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl.hops import kept_register
from ornstein.hdl.timing import MULTIPLY


class Multiply(wiring.Component):
    """A multiplier with registers for its factors and its product. Latency 2, one product a cycle.

    The registers have no reset: the product is undefined for the first two cycles. It never
    overflows.

    Parameters
    ----------
    target : whose :meth:`~GenericTarget.registered_product` multiplies
    a_width, b_width : bits of the factors

    Members
    -------
    a : In(signed(a_width))
    b : In(signed(b_width))
    product : Out(signed(a_width + b_width))
    """

    def __init__(self, target: "GenericTarget", a_width: int, b_width: int):
        self._target = target
        super().__init__(
            {
                "a": In(signed(a_width)),
                "b": In(signed(b_width)),
                "product": Out(signed(a_width + b_width)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        product = Signal.like(self.product, name="product_register", reset_less=True)
        m.d.sync += product.eq(self._target.registered_product(m, self.a, self.b))
        m.d.comb += self.product.eq(product)
        return m


class MultiplyAdd(wiring.Component):
    """A multiplication followed by an addition: ``sum`` becomes ``a * b + addend`` in every cycle
    with ``enable``. Latency 2, or 3 with a register for the product; one sum a cycle.

    Parameters
    ----------
    target : the target that multiplies
    a_width, b_width : bits of the factors
    sum_width : bits of the addend and of the sum
    latency : cycles from the factors to the sum, 2 or 3

    Members
    -------
    a : In(signed(a_width))
    b : In(signed(b_width))
    addend : In(signed(sum_width)), ``latency - 1`` cycles after ``a`` and ``b``
    enable : In(1), in the same cycle as ``addend``; otherwise ``sum`` keeps its value
    sum : Out(signed(sum_width)), wraps
    """

    def __init__(
        self, target: "GenericTarget", a_width: int, b_width: int, sum_width: int, latency: int
    ):
        if latency not in (MULTIPLY, MULTIPLY + 1):
            raise ValueError(f"latency must be {MULTIPLY} or {MULTIPLY + 1}, not {latency}")
        self._target, self._latency = target, latency
        super().__init__(
            {
                "a": In(signed(a_width)),
                "b": In(signed(b_width)),
                "addend": In(signed(sum_width)),
                "enable": In(1),
                "sum": Out(signed(sum_width)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        if self._latency > MULTIPLY:
            m.submodules.multiply = multiply = self._target.multiply(len(self.a), len(self.b))
            m.d.comb += [multiply.a.eq(self.a), multiply.b.eq(self.b)]
            product = multiply.product
        else:
            product = self._target.registered_product(m, self.a, self.b)
        total = Signal.like(self.sum, name="total", reset_less=True)
        with m.If(self.enable):
            m.d.sync += total.eq(product + self.addend)
        m.d.comb += self.sum.eq(total)
        return m


class GenericTarget:
    """What the neutral gateware asks of a target.

    Latencies are those that the caller asks for, and the same on every target; only the cells
    differ.

    Attributes
    ----------
    block_ram_output : attributes of the register behind a block RAM's read port
    block_ram_bits : capacity of a block RAM, on targets that have a :meth:`single_port_memory`
    rom, ram : attributes of a small memory beside the fabric, without and with a write port
    """

    block_ram_output: dict = {}
    block_ram_bits: int | None = None
    rom: dict = {}
    ram: dict = {}

    def registered_product(self, m: Module, a, b) -> Value:
        """``a * b`` one cycle later: the factors are in registers of ``m`` without reset."""
        a_register, b_register = (
            Signal(factor.shape(), name=name, reset_less=True)
            for factor, name in ((a, "a_register"), (b, "b_register"))
        )
        m.d.sync += [a_register.eq(a), b_register.eq(b)]
        return a_register * b_register

    def multiply(self, a_width: int, b_width: int) -> wiring.Component:
        """A component with the members of :class:`Multiply` and its latency."""
        return Multiply(self, a_width, b_width)

    def multiply_add(
        self, a_width: int, b_width: int, sum_width: int, latency: int
    ) -> wiring.Component:
        """A component with the members of :class:`MultiplyAdd` and the latency asked for."""
        return MultiplyAdd(self, a_width, b_width, sum_width, latency)

    def leak_product(self, m: Module, states: list, factor) -> tuple[list, Value]:
        """``state * factor``, with a factor that is constant while states are in flight.

        Parameters
        ----------
        m : gets the registers and multipliers
        states : the state, and the same 1, 2, ... cycles later
        factor : signed, constant from the cycle before the first state on, and between 0 and
            ``1 << len(factor) - 2``

        Returns
        -------
        (terms, correction): the product is the sum of the terms plus the correction. The terms come
        two cycles after the last of ``states``; the correction is constant like the factor.
        """
        product = states[-1] * kept_register(m, factor, "factor")
        product = kept_register(m, product, "product_1")
        return [kept_register(m, product, "product_2")], Cat()

    def add_either(self, m: Module, term, one, other, choice) -> Value:
        """``term + (one if choice else other)``, combinational.

        The three numbers are signed and of equal width; the sum is one bit wider, so it never
        overflows.
        """
        return (term + Mux(choice, one, other))[: len(term) + 1].as_signed()

    def single_port_memory(self, lanes: int, width: int, depth: int) -> wiring.Component | None:
        """A component that holds some high bits of every lane, as
        :class:`ornstein.hdl.targets.ice40.HighBytes` does, or None if the target has no memory for
        that."""
        return None
