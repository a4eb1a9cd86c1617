# SPDX-License-Identifier: Apache-2.0
"""``ornstein verify``: what the tools made of a board's design, against the integer model."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ornstein.host.cli.app import CheckError, JsonOption, app, progress, screen, write_json


class LevelName(StrEnum):
    """How far through the tools the netlist has come."""

    synth = "synth"
    routed = "routed"
    bitstream = "bitstream"


@app.command(epilog="Example:  ornstein verify icebreaker --level routed --output build")
def verify(
    board: Annotated[str, typer.Argument(help="A board that was built; see ornstein build.")],
    level: Annotated[
        LevelName, typer.Option(help="Of the netlist: synthesised, routed, or of the bitstream.")
    ] = LevelName.synth,
    output: Annotated[Path, typer.Option(help="The folder that ornstein build was given.")] = Path(
        "build"
    ),
    json_file: JsonOption = None,
) -> None:
    """Simulate a board's netlist gate by gate, over its link, and compare every bit with the
    integer model.
    """
    from ornstein.host.devices.verify import verify as verify_board

    with progress() as bar:
        task = bar.add_task(f"{board}: building the simulator", total=None)
        found = verify_board(
            board,
            level.value,
            output,
            progress=lambda what: bar.update(task, description=f"{board}: {what}"),
        )
    write_json(json_file, found)
    way = f"at {found['baud']:,} baud" if found["baud"] else "over USB"
    screen.print(
        f"{found['level']} netlist of {board}: {found['cells']:,} cells, {found['cycles']:,} cycles, "
        f"{found['bytes_sent']:,} bytes sent and {found['bytes_received']:,} received {way}",
        soft_wrap=True,
    )
    for name, count in found["compared"].items():
        screen.print(f"  {name}: {count:,} compared", soft_wrap=True)
    if found["differences"]:
        raise CheckError(
            f"the {level.value} netlist of {board} is not the model: {'; '.join(found['differences'])}"
        )
    screen.print("every bit is that of the integer model")
