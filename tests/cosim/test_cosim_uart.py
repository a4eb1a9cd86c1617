# SPDX-License-Identifier: Apache-2.0
"""The UART of the boards before a judge that is not ours: the source and the sink of the package
cocotbext-uart.
"""

import json
from pathlib import Path

from ornstein.boards import hx8k, icebreaker, ulx3s
from ornstein.hdl.link.uart import Uart
from ornstein.sim.cosim.runner import run

BUILD = Path(__file__).parents[2] / "build" / "cosim" / "uart"


def test_uart_and_its_judge_understand_each_other():
    """At every divisor and rate of the three boards with a serial line."""
    lines = {
        divisor: baud
        for board in (icebreaker, hx8k, ulx3s)
        for divisor, baud in zip(board.LINE.divisors, board.LINE.bauds, strict=True)
    }
    assert set(lines.values()) == {1_000_000, 3_000_000, 12_000_000}
    outcome = run(
        Uart(*lines),
        modules=["cocotb_uart"],
        folders=[Path(__file__).parent],
        environment={"UART_LINES": json.dumps(list(lines.items()))},
        build_dir=BUILD,
        simulator="verilator",
        seed=1,
    )
    outcome.check()
    assert len(outcome.cases) == 4 * len(lines)
