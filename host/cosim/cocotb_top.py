# SPDX-License-Identifier: Apache-2.0
"""cocotb tests of :class:`ornstein.hdl.top.Top` through its byte stream, as a host drives a board.

The environment holds ``FABRIC``, the name of the fabric that was built
(:func:`ornstein.sim.cosim.programs.fabric`), and ``PROGRAMS``, the number of random programs to
run. ``STATISTICS`` is set if the physics is to be measured.
"""

import os

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.task import bridge, resume
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge, Timer

from ornstein.hdl.config import SEED_WIDTH
from ornstein.hdl.regmap import Control, Event, Space, StartRegister
from ornstein.hdl.spaces import spaces
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.cosim.line import SimulatedLine
from ornstein.host.devices.comparison import check_equals_model
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.devices.float import FloatDevice
from ornstein.host.devices.images import activation_elements, descriptor_elements
from ornstein.host.devices.link import Link
from ornstein.host.physics.problem import BIAS, Problem
from ornstein.sim.cosim.programs import fabric, random_program
from ornstein.sim.cosim.results import Figure, record
from ornstein.sim.energy import Coupling, Energy, Module
from ornstein.sim.reference import covariance_error, mean_error, stationary_covariance
from ornstein.sim.stages import EM, LM, Stage

CONFIG = fabric(os.environ["FABRIC"])
PROGRAMS = int(os.environ["PROGRAMS"])
STATISTICS = bool(os.environ.get("STATISTICS"))
PERIOD = 20  # ns
MOST_SILENT = 1 << 18  # cycles without a byte after which a read of the line ends
TIMEOUT = 60.0  # simulated seconds after which the link repeats a request, which is never here
LIMIT = 20_000_000 * PERIOD  # ns that a test may take
SEED = cocotb.RANDOM_SEED  # of the whole run: within a test, cocotb gives it another value
FIRST = 1000 * SEED
"""Number of the first random program: each seed has a thousand of its own."""


class Line(SimulatedLine):
    """The top's streams as a transport for a link in another thread.

    Python code runs only in cycles in which a byte moves.
    """

    window = 1 << 16

    def __init__(self, dut):
        super().__init__(dut)
        cocotb.start_soon(self._receive())

    @resume
    async def read(self, timeout):
        if self._outgoing:
            await self._send()
        waited = 0
        while not self._arrived and waited < MOST_SILENT:
            step = max(64, waited)  # most answers come at once, others take long
            await Timer(step * PERIOD, "ns")
            waited += step
        return self._taken()

    async def _send(self):
        payload, valid, ready = self.dut.i__payload, self.dut.i__valid, self.dut.i__ready
        edge = RisingEdge(self.dut.clk)
        await edge
        valid.value = 1
        for byte in self._outgoing:
            payload.value = byte
            await edge
            while not ready.value:
                await edge
        valid.value = 0
        self._outgoing.clear()

    async def _receive(self):
        payload, valid = self.dut.o__payload, self.dut.o__valid
        edge, offered = RisingEdge(self.dut.clk), RisingEdge(valid)
        self.dut.o__ready.value = 1
        while True:
            await edge
            if valid.value:
                self._arrived.append(int(payload.value))
                continue
            await ReadOnly()
            if not valid.value:
                await offered


async def started(dut):
    """Resets the top; returns a line to it."""
    for signal in (dut.i__valid, dut.i__payload, dut.o__ready):
        signal.value = 0
    dut.rst.value = 1
    Clock(dut.clk, PERIOD, "ns").start()
    await ClockCycles(dut.clk, 3)
    dut.rst.value = 0
    await RisingEdge(dut.clk)
    return Line(dut)


# ---- bit for bit ---------------------------------------------------------------------------------


class Memories:
    """The device's memories as arrays of the shapes that the model's have."""

    def __init__(self, link, model):
        self._link = link
        units = CONFIG.unit_lanes
        self._shapes = {
            Space.FACTOR: model.factor.shape,
            Space.STATE: model.state.shape,
            Space.DRIVE: model.drive.shape,
            Space.RANK: model.rank.shape,
            Space.NOISE: model.codes.shape,
            Space.SUM: model.sums.shape,
            Space.SQUARE: model.squares.shape,
            Space.SAMPLE: (-1, units),
        }

    def write(self, space, values):
        self._link.write(space, 0, np.asarray(values).astype(np.int64).ravel())

    def read(self, space):
        return self._link.read(space, 0, spaces(CONFIG)[space].size).reshape(
            self._shapes.get(space, -1)
        )

    def control(self, register):
        return int(self._link.read(Space.CONTROL, register, 1)[0])


def halves(generators):
    """Returns 64-bit numbers as elements of the seed space, the low half of each first."""
    return [
        int(state) >> 32 * half & 0xFFFFFFFF
        for state in generators
        for half in range(SEED_WIDTH // 32)
    ]


def load(link, memories, model, before):
    """Loads the model's memories into the device.

    Factors and activation, which all programs share, are loaded with the first program only. Sums
    and squares cannot be written; the model gets those of ``before``, the previous model.
    """
    spaces = [
        (Space.STATE, model.state),
        (Space.DRIVE, model.drive),
        (Space.RANK, model.rank),
        (Space.NOISE, model.codes),
        (Space.DESCRIPTOR, descriptor_elements(model.descriptors)),
    ]
    if before is None:
        spaces += (
            (Space.FACTOR, model.factor),
            (Space.ACTIVATION, activation_elements(model.activation)),
        )
    else:
        np.testing.assert_array_equal(model.factor, before.factor)
        np.testing.assert_array_equal(model.activation, before.activation)
        model.sums[:], model.squares[:] = before.sums, before.squares
    for space, values in spaces:
        memories.write(space, values)
    link.write(Space.CONTROL, Control.BANK_OFFSET, [model.bank_offset])
    link.write(Space.CONTROL, Control.CLEAR, [1])


def compare(memories, model, samples, entered):
    """Compares every bit that the device holds with the model."""
    for space, expected in (
        (Space.STATE, model.state),
        (Space.DRIVE, model.drive),
        (Space.RANK, model.rank),
        (Space.NOISE, model.codes),
        (Space.SQUARE, model.squares),
        (Space.SEED, halves(model.generators)),
    ):
        np.testing.assert_array_equal(memories.read(space), expected, err_msg=space.name)
    half = 1 << spaces(CONFIG)[Space.SUM].bits - 1
    model.sums[:] = (model.sums + half) % (2 * half) - half  # the model's sums are wider
    np.testing.assert_array_equal(memories.read(Space.SUM), model.sums, err_msg="SUM")
    for register, name in (
        (Control.ISSUED, "issued"),
        (Control.RANK_SATURATIONS, "rank_saturations"),
        (Control.STATE_SATURATIONS, "state_saturations"),
    ):
        assert memories.control(register) == model.counters[name], name
    assert memories.control(Control.SAMPLES) == entered + len(samples)
    ring = memories.read(Space.SAMPLE)
    written = (entered + np.arange(len(samples))) % CONFIG.sample_depth
    np.testing.assert_array_equal(ring[written], samples, err_msg="SAMPLE")


@cocotb.test(timeout_time=LIMIT, timeout_unit="ns")
async def random_programs_equal_the_model(dut):
    line = await started(dut)

    @bridge
    def session():
        link = Link(line, timeout=TIMEOUT)
        link.identify()
        sampled, before = 0, None
        for seed in range(FIRST, FIRST + PROGRAMS):
            print(f"program {seed}")
            model, levels = random_program(CONFIG, seed)
            memories = Memories(link, model)
            load(link, memories, model, before)
            entered = memories.control(Control.SAMPLES)
            link.write(Space.CONTROL, Control.TAKEN, [entered])
            bank = seed & 1
            seeds = np.random.SeedSequence(seed).generate_state(CONFIG.unit_lanes, np.uint64)
            memories.write(Space.SEED, halves(seeds))
            job = StartRegister.const(
                {"levels": levels, "reseed": 1, "bank": bank, "tag": seed % 255 + 1}
            )
            link.write(Space.CONTROL, Control.START, [job.as_bits()])
            assert link.wait(Event.IDLE, TIMEOUT) & Event.IDLE
            samples = model.run(0, levels, bank=bank, seeds=seeds[None]).samples[0]
            compare(memories, model, samples, entered)
            sampled += len(samples)
            before = model
        assert PROGRAMS < 10 or sampled, "some programs stream samples"
        assert before is not None
        np.testing.assert_array_equal(memories.read(Space.FACTOR), before.factor, err_msg="FACTOR")

    await session()


# ---- physics -------------------------------------------------------------------------------------

UNITS, RANK = 8, 2
DT = 4.0
STEPS = 4000
THIN = 20
MOST_DEVIATION = 5.0
"""Standard errors that a mean or a variance may be off. Of the 256 that are compared, one is
further off by chance in one run of 7,000.
"""


def problem(kT, integrator):
    """Returns a problem of two modules with a skip.

    M = 2 j2 [[1, -U V'], [-V U', 1]], where U V' has the singular values 0.6 and 0.3. The time step
    is 0.64 of the largest stable one, so that the two integrators differ clearly.
    """
    rng = np.random.default_rng(3)
    factors = tuple(np.linalg.qr(rng.normal(size=(UNITS, RANK)))[0] for _ in range(2))
    mix = np.zeros((2, 2, RANK))
    mix[0, 1] = mix[1, 0] = -0.2 * np.array([0.6, 0.3])
    energy = Energy(
        (Module("x", UNITS), Module("y", UNITS)), (Coupling(("x", "y"), factors, mix),), j2=0.1
    )
    return Problem(
        f"{integrator} at {kT}",
        (energy,),
        (Stage(40, kT), Stage(STEPS, kT, accumulate=True, thin=THIN)),
        dt=DT,
        integrator=integrator,
        entry=BIAS,
    )


def lagged(matrix, *, kT, dt, integrator, lags):
    """Returns the stationary covariances <z_n+lag z_n'> of the chain for lag 0 to ``lags``.

    With LM, half of a step's noise is also in the next step.
    """
    step = np.eye(len(matrix)) - dt * matrix
    result = [stationary_covariance(matrix, kT=kT, dt=dt, integrator=integrator)]
    result.append(step @ result[0] + (kT * dt / 2 * np.eye(len(matrix)) if integrator == LM else 0))
    while len(result) <= lags:
        result.append(step @ result[-1])
    return result


def covariance_of_variances(matrix, *, kT, dt, integrator, samples):
    """Returns the covariance (units, units) of the units' variances over ``samples`` consecutive
    steps.

    For normal variables it is 2 / N times the sum of c_ij(lag)^2 over all lags, negative ones too.
    """
    now, *later = lagged(matrix, kT=kT, dt=dt, integrator=integrator, lags=200)
    squares = now**2 + sum(covariance**2 + covariance.T**2 for covariance in later)
    return 2 / samples * squares


def variances_of(outputs, bars):
    """Returns the variances (n, units) of the states. The mean that is taken off is measured too,
    with the standard errors ``bars``.
    """
    return outputs.second - outputs.mean**2 + bars**2


def distance(outputs, covariance):
    """Returns the relative distance of the covariance of the thinned samples, and the one to expect
    from so many.
    """
    # two inputs of as many samples, taken so far apart that they are independent
    deviations = outputs.samples - outputs.samples.mean(axis=1, keepdims=True)
    count = deviations.shape[0] * (deviations.shape[1] - 1)
    found = np.einsum("nki,nkj->ij", deviations, deviations) / count
    relative = np.linalg.norm(found - covariance) / np.linalg.norm(covariance)
    return relative, covariance_error(covariance, count)


def measure(name, outputs, reference, means, law):
    """Records the averages over all units and inputs of means and variances, and checks every
    single one; returns how far the other integrator's variances would be off.

    Parameters
    ----------
    outputs, reference : of the gateware, and of the float reference in as many steps
    means : (n, units), exact
    law : matrix, kT, dt and integrator
    """
    matrix, kT, dt, integrator = law
    inverse = np.linalg.inv(matrix)
    bars = mean_error(matrix, kT=kT, dt=dt, samples=STEPS)
    spread = covariance_of_variances(matrix, kT=kT, dt=dt, integrator=integrator, samples=STEPS)
    exact = {
        rule: stationary_covariance(matrix, kT=kT, dt=dt, integrator=rule).diagonal()
        for rule in (EM, LM)
    }
    variances, errors = variances_of(outputs, bars), np.sqrt(spread.diagonal())
    inputs, units = outputs.mean.shape
    record(
        Figure(
            name=f"{name}: mean of all units",
            measured=outputs.mean.mean(),
            expected=means.mean(),
            error=float(
                np.sqrt(2 * kT * (inverse @ inverse).sum() / (STEPS * dt * inputs)) / units
            ),
            reference=reference.mean.mean(),
        )
    )
    record(
        Figure(
            name=f"{name}: variance of all units",
            measured=variances.mean(),
            expected=exact[integrator].mean(),
            error=float(np.sqrt(spread.sum() / inputs) / units),
            reference=variances_of(reference, bars).mean(),
        )
    )
    misses = np.abs((outputs.mean - means) / bars).max()
    worst = np.abs((variances - exact[integrator]) / errors).max()
    print(f"{name}: means {misses:.2f}, variances {worst:.2f} standard errors off at worst")
    assert misses < MOST_DEVIATION
    assert worst < MOST_DEVIATION
    other = exact[EM if integrator == LM else LM]
    return np.abs((variances - other) / errors).max()


@cocotb.test(timeout_time=LIMIT, timeout_unit="ns", skip=not STATISTICS)
@cocotb.parametrize(kT=[1.0, 0.01], integrator=[LM, EM])
async def equilibrium_is_the_energys(dut, kT, integrator):
    """The gateware samples the energy's equilibrium, and equals the integer model in every bit.

    The covariance from thinned samples is as exact as its number of samples allows.
    """
    line = await started(dut)
    chosen = problem(kT, integrator)
    biases = np.random.default_rng(4).normal(size=(2, 2 * UNITS)) * 0.1
    program = compile_problem(chosen, CONFIG, biases)

    @bridge
    def session():
        device = FabricDevice(line, "cosim", timeout=TIMEOUT)
        device.load(program)
        return device.run(biases, seed=SEED)

    outputs = await session()
    check_equals_model(program, biases, outputs, SEED)
    with FloatDevice() as device:
        device.load(program)
        reference = device.run(biases, seed=SEED)

    matrix, dt = chosen.energy.matrix(), program.dt
    name = f"kT = {kT:g}, {integrator}"
    other = measure(
        name, outputs, reference, chosen.energy.mean(biases), (matrix, kT, dt, integrator)
    )
    assert other > 8, "the integrators can be told apart"
    covariance = stationary_covariance(matrix, kT=kT, dt=dt, integrator=integrator)
    found, expected = distance(outputs, covariance)
    print(f"{name}: covariance {found:.4f} off, {expected:.4f} expected from so many samples")
    assert found < 1.5 * expected
