# SPDX-License-Identifier: Apache-2.0
"""``ornstein devices`` and ``doctor``: lists devices, and checks the installation."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from ornstein.hdl.config import PRESETS, FabricConfig
from ornstein.host.cli.app import CheckError, JsonOption, app, screen, write_json
from ornstein.host.devices.check import Check
from ornstein.host.devices.device import URIS


@app.command(epilog="Example:  ornstein devices --probe --json devices.json")
def devices(
    probe: Annotated[
        bool, typer.Option("--probe", help="Ask at every USB serial port whether a device answers.")
    ] = False,
    json_file: JsonOption = None,
) -> None:
    """List what can run programs: device URIs, fabrics and serial ports."""
    from ornstein.host.devices import ports

    table = Table("URI", "device")
    for uri, description in URIS.items():
        table.add_row(uri, description)
    screen.print(table)
    fabrics = Table("fabric", "lanes", "units", "factors", "options")
    for config in PRESETS.values():
        fabrics.add_row(
            config.name,
            f"{config.rank_lanes} x {config.unit_lanes}",
            str(config.state_depth * config.unit_lanes),
            str(config.factor_depth * config.lanes),
            _options(config),
        )
    screen.print(fabrics)
    present = ports.candidates(every=True)
    for port in present:
        screen.print(f"serial:{port.device}  {port.description}", markup=False)
    if not present:
        screen.print("no serial port found")
    answers = [ports.ask(port.device) for port in ports.candidates()] if probe else []
    for answer in answers:
        screen.print(f"asked: {answer}", markup=False, soft_wrap=True)
    write_json(
        json_file,
        {
            "uris": URIS,
            "fabrics": {c.name: asdict(c) for c in PRESETS.values()},
            "ports": [f"serial:{port.device}" for port in present],
            "answers": [asdict(answer) for answer in answers],
        },
    )


def show(check: Check) -> None:
    """Prints a check as one line of a report."""
    if check.ok:
        mark, colour = "ok", "green"
    elif check.needed:
        mark, colour = "failed", "red"
    else:
        mark, colour = "absent", "yellow"
    screen.print(f"{mark:>8}", style=colour, end="")
    screen.print(f"  {check.name}: {check.detail}", soft_wrap=True)


def _options(config: FabricConfig) -> str:
    """Returns the names of the options that a fabric is built with."""
    named = {
        "second moment": config.second_moment,
        "sample stream": config.sample_depth,
        "quartic": config.quartic,
    }
    return ", ".join(name for name, built in named.items() if built) or "none"


@app.command(epilog="Example:  ornstein doctor")
def doctor(json_file: JsonOption = None) -> None:
    """Check this installation: tools, model, ports, and the gateware against the integer model."""
    from ornstein.host.devices.doctor import examine

    found = []
    for check in examine():
        found.append(check)
        show(check)
    write_json(json_file, [asdict(check) for check in found])
    if failed := [check.name for check in found if check.needed and not check.ok]:
        raise CheckError(f"these checks failed: {', '.join(failed)}")
