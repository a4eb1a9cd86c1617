# SPDX-License-Identifier: Apache-2.0
"""``ornstein build``: builds bitstreams."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ornstein.host.cli.app import JsonOption, app, progress, remark, screen, write_json


@app.command(epilog="Example:  ornstein build icebreaker --output build")
def build(
    board: Annotated[str, typer.Argument(help="Name of the board; see the README.")],
    output: Annotated[
        Path, typer.Option(help="Folder in which the board's folder is made.")
    ] = Path("build"),
    json_file: JsonOption = None,
) -> None:
    """Build a board's bitstream with Yosys and nextpnr from PyPI (needs the \\[synth] extra)."""
    from ornstein.boards import BOARDS
    from ornstein.boards.build import REPORT
    from ornstein.boards.build import build as build_board
    from ornstein.host.experiments.link_speed import link_speed
    from ornstein.host.experiments.speed import demo_speed

    with progress() as bar:
        task = bar.add_task(f"building {board}", total=None)
        report = build_board(
            board, output, progress=lambda what: bar.update(task, description=f"{board}: {what}")
        )
        info = BOARDS[board]
        bar.update(task, description=f"{board}: running the demo through its link")
        speed = link_speed(info)
    report |= demo_speed(info, info.module.CLOCKS["sync"] / 1e6, speed.rates)
    report["link_inferences_per_s"] = round(speed.inferences, 2)
    report["host_ms_per_inference"] = round(1e3 * speed.host_seconds, 4)
    for path in {output / board / REPORT, json_file} - {None}:
        write_json(path, report)
    table = Table("resource", "used", "available")
    for name in ("cells", "multipliers", "block_ram", "spram"):
        table.add_row(name, str(report[name]), str(report[f"{name}_available"]))
    screen.print(table)
    for domain, clock in report["clocks"].items():
        limit = f", {clock['limit_mhz']:g} allowed by the data sheet" if clock["limit_mhz"] else ""
        screen.print(
            f"clock {domain}: {clock['target_mhz']:g} MHz requested, "
            f"{clock['achieved_mhz']:g} reached{limit}",
            soft_wrap=True,
        )
    screen.print(
        f"inferences a second: {report['inferences_per_s']:,.0f} by the lanes, "
        f"{report['line_inferences_per_s']:,.0f} by the line, "
        f"{report['link_inferences_per_s']:,.0f} through the link with the host, simulated",
        soft_wrap=True,
    )
    remark(f"Wrote {output / board}")
