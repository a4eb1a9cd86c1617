# SPDX-License-Identifier: Apache-2.0
"""What the link costs: a stream against relaxation alone, and bytes against a line rate."""

from collections.abc import Iterator

import numpy as np

from ornstein.boards import BOARDS
from ornstein.hdl.config import ICEBREAKER
from ornstein.hdl.regmap import Space
from ornstein.host.compile.program import Program
from ornstein.host.devices.device import prediction_only
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.devices.line_bytes import bytes_per_input
from ornstein.host.devices.link import Link
from ornstein.host.devices.serial import SerialTransport
from ornstein.host.experiments.bench.figures import (
    BOARD_PREFIX,
    Figure,
    Progress,
    Stopwatch,
    figure,
)
from ornstein.host.experiments.bench.programs import relaxation_issues
from ornstein.host.experiments.link_speed import link_speed
from ornstein.host.experiments.paper.energy_account import ICEBREAKER_MHZ
from ornstein.host.experiments.speed import BITS_PER_BYTE, demo_speed
from ornstein.host.models import recipes
from ornstein.host.models.model_file import TrainedModel
from ornstein.host.models.run import compile_recipe
from ornstein.sim.port import Port
from ornstein.sim.rtl import RtlTransport

BAUD = 1_000_000
REPEATS = 8
"""How often the factor memory is written. The paced port may run ahead at the end by what is then
1.5 % of all bytes."""


def streaming_figures(program: Program, inputs: np.ndarray, progress: Progress) -> Iterator[Figure]:
    """Yields the clock cycles of a whole stream, link included, over those of relaxation alone."""
    progress("streaming against relaxation alone")
    transport = RtlTransport(program.config)
    with FabricDevice(transport, "rtl", timeout=120.0) as device:
        device.load(program)
        device.run(inputs[:2])
        before = transport.cycles
        device.run(inputs)
        elapsed = transport.cycles - before
    relaxing = len(inputs) / program.layout.chains * relaxation_issues(program)
    yield figure("streaming_over_relaxation", elapsed, relaxing, inputs=len(inputs))


def limit_figures() -> Iterator[Figure]:
    """Yields the inputs a second that lines of an iCEBreaker carry, over those of its lanes."""
    model = TrainedModel.load()
    program = compile_recipe(recipes.ours_aligned(model), model, ICEBREAKER)
    inputs = program.encode(model.x_test)
    sent, answered = bytes_per_input(program, inputs, prediction_only(program.problem))
    for mbaud in (3, 12):
        yield figure(
            f"line_limit_{mbaud}_mbaud",
            1e6 * mbaud / BITS_PER_BYTE / max(sent, answered),
            1e6 * ICEBREAKER_MHZ / program.input_cycles,
            sent=sent,
            answered=answered,
            mhz=ICEBREAKER_MHZ,
        )


def board_figures(progress: Progress, inputs: int | None = None) -> Iterator[Figure]:
    """Yields the inferences a second that each board reaches through its link, host included, over
    what the slower one of its line and its lanes allows.
    """
    for info in BOARDS.values():
        name = f"{BOARD_PREFIX}{info.name}"
        progress(f"{info.title} through its link")
        try:
            reached = link_speed(info, inputs)
            clock = info.module.CLOCKS["sync"]
        except ImportError:
            yield figure(name, None, outcome="needs the synth extra, which knows the boards")
            continue
        speed = demo_speed(info, clock / 1e6, reached.rates)
        lanes, line = (speed[f"{kind}inferences_per_s"] for kind in ("", "line_"))
        assert isinstance(lanes, float) and isinstance(line, float)  # the program fits each board
        outcome = (
            f"{reached.inputs} inputs of the aligned demo program, the host computing "
            f"{1e3 * reached.host_seconds:.2f} ms for each; a run of two takes "
            f"{1e3 * reached.beginning_seconds:.1f} ms; the limit is that of the "
            f"{speed['limited_by']}, where the line carries {line:,.0f} and the lanes reach "
            f"{lanes:,.0f}"
        )
        yield figure(name, reached.inferences, min(line, lanes), outcome=outcome)


def line_figures(
    program: Program, progress: Progress, baud: int = BAUD, repeats: int = REPEATS
) -> Iterator[Figure]:
    """Yields the payload bytes a second over a pseudo-terminal that is paced to a line rate."""
    progress("serial link against its line rate")
    config = program.config
    elements = config.factor_depth * config.lanes
    values = np.resize(program.factor, elements).astype(np.int64)
    with Port(RtlTransport(config), pace=baud) as port:
        link = Link(SerialTransport(port.name, baud=baud), timeout=5.0)
        link.identify()
        with Stopwatch() as watch:
            for _ in range(repeats):
                link.write(Space.FACTOR, 0, values)
        link.close()
    payload = 2 * elements * repeats
    yield figure("link_over_line_rate", payload / watch.seconds, baud / 10, baud=baud)
