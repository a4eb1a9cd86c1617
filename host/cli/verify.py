# SPDX-License-Identifier: Apache-2.0
"""``ornstein verify``: compares a board's netlist with the integer model."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ornstein.host.cli.app import CheckError, JsonOption, app, progress, screen, write_json


class LevelName(StrEnum):
    """Levels of a netlist, in the order in which the tools make them."""

    synth = "synth"
    routed = "routed"
    bitstream = "bitstream"


@app.command(epilog="Example:  ornstein verify icebreaker --level routed --output build")
def verify(
    board: Annotated[
        str, typer.Argument(help="Name of a board that was built; see ornstein build.")
    ],
    level: Annotated[
        LevelName,
        typer.Option(help="Netlist after synthesis, after place and route, or in the bitstream."),
    ] = LevelName.synth,
    output: Annotated[Path, typer.Option(help="Folder given to ornstein build.")] = Path("build"),
    json_file: JsonOption = None,
) -> None:
    """Simulate a board's netlist and link gate by gate, and compare with the integer model."""
    from ornstein.host.devices.verify import verify as verify_board

    with progress() as bar:
        task = bar.add_task(f"{board}: building the simulator", total=None)
        found = verify_board(
            board,
            level.value,
            output,
            progress=lambda what: bar.update(task, description=f"{board}: {what}"),
        )
    write_json(json_file, asdict(found))
    line = f"at {found.baud:,} baud" if found.baud else "over USB"
    screen.print(
        f"{found.level} netlist of {board}: {found.cells:,} cells, {found.cycles:,} cycles, "
        f"{found.bytes_sent:,} bytes sent and {found.bytes_received:,} received {line}",
        soft_wrap=True,
    )
    for name, count in found.compared.items():
        screen.print(f"  {name}: {count:,} compared", soft_wrap=True)
    if found.differences:
        raise CheckError(
            f"the {level.value} netlist of {board} differs from the integer model: "
            f"{'; '.join(found.differences)}"
        )
    screen.print("no difference from the integer model")
