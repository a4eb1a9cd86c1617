# SPDX-License-Identifier: Apache-2.0
"""``ornstein flash`` and ``selftest``: writes bitstreams to boards, and tests boards."""

import shlex
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ornstein.host.cli.app import (
    CheckError,
    DeviceOption,
    JsonOption,
    SeedOption,
    app,
    progress,
    remark,
    screen,
    write_json,
)


@app.command(epilog="Example:  ornstein flash icebreaker --dry-run")
def flash(
    board: Annotated[str, typer.Argument(help="Name of the board; see the README.")],
    stays: Annotated[
        bool | None,
        typer.Option(
            "--flash/--sram",
            help="Write to flash memory, which keeps it, or to SRAM, until power is removed.",
            show_default="the board's usual",
        ),
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder given to ornstein build.")] = Path("build"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the programmer's command without running it.")
    ] = False,
    json_file: JsonOption = None,
) -> None:
    """Write a board's finished build to the board with the board's programmer."""
    from ornstein.boards import flash as flashing

    memory = {None: None, True: "flash", False: "sram"}[stays]
    line = (flashing.command if dry_run else flashing.flash)(board, output, memory)
    write_json(json_file, {"board": board, "command": line, "dry_run": dry_run})
    screen.print(shlex.join(line), markup=False, soft_wrap=True)
    if not dry_run:
        remark("Next: ornstein selftest --device serial")


@app.command(epilog="Example:  ornstein selftest --device serial")
def selftest(
    device: DeviceOption = "rtl",
    seed: SeedOption = 1,
    files: Annotated[
        int,
        typer.Option(
            min=0, help="Instead, try so many damaged program files on the integer model."
        ),
    ] = 0,
    faults: Annotated[
        int,
        typer.Option(
            min=0,
            help="Instead, do so many operations on the simulated gateware while its line fails.",
        ),
    ] = 0,
    resets: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="With --faults: share of operations with a reset."),
    ] = 0.1,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=0.1,
            help="With --faults: faults per byte of the line.",
            show_default="from 0 to 0.01, at random",
        ),
    ] = None,
    frames: Annotated[
        int,
        typer.Option(
            min=0,
            help="Instead, send so many frames of any kind to the simulated gateware, and compare "
            "its answers with a decoder's.",
        ),
    ] = 0,
    upsets: Annotated[
        int,
        typer.Option(
            min=0, help="Instead, change so many bits in memories of the simulated gateware."
        ),
    ] = 0,
    soak: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="Instead, stream inputs for so many minutes and compare them with the model.",
        ),
    ] = 0.0,
    inputs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="With --soak: end after so many inputs, if that comes first.",
            show_default="any number",
        ),
    ] = None,
    json_file: JsonOption = None,
) -> None:
    """Test a device's memories, lanes, noise and arithmetic, and name what is broken."""
    if files or faults or frames or soak or upsets:
        if files:
            _try_files(files, seed, json_file)
        if faults:
            _try_faults(faults, seed, resets, rate, json_file)
        if frames:
            _try_frames(frames, seed, json_file)
        if soak:
            _soak(device, soak, inputs, seed, json_file)
        if upsets:
            _try_upsets(upsets, seed, json_file)
        return
    from ornstein.host.cli.devices import show
    from ornstein.host.devices.device import open_device
    from ornstein.host.devices.selftest import selftest as checks

    found = []
    with open_device(device) as opened:
        for check in checks(opened, seed):
            found.append(check)
            show(check)
    write_json(json_file, {"device": device, "checks": [asdict(check) for check in found]})
    if failed := [check for check in found if not check.ok]:
        raise CheckError(f"device {device!r} is broken: {failed[0].detail}")


def _try_files(count: int, seed: int, json_file: Path | None) -> None:
    """Loads and runs damaged program files. Raises CheckError if one was not handled."""
    from ornstein.host.devices.file_faults import FileCampaign, attack_files

    campaign = FileCampaign()
    with tempfile.TemporaryDirectory() as folder, progress() as bar:
        task = bar.add_task("damaged program files", total=count)
        for campaign in attack_files(Path(folder), count, seed):  # noqa: B007 - the last is kept
            bar.update(task, advance=1)
    outcomes = {f"{kind} {what}": number for (kind, what), number in campaign.outcomes.items()}
    write_json(json_file, {"files": outcomes, "failures": campaign.failures})
    screen.print(str(campaign), soft_wrap=True)
    if campaign.failures:
        raise CheckError(f"a program file was not handled: {campaign.failures[0]}")


def _try_faults(
    count: int, seed: int, resets: float, rate: float | None, json_file: Path | None
) -> None:
    """Runs programs over a failing line. Raises CheckError if a fault was not mended or said."""
    from ornstein.host.devices.link_faults import RATES, LinkCampaign, attack_link

    campaign, rates = LinkCampaign(), RATES if rate is None else (rate,)
    with progress() as bar:
        task = bar.add_task("operations under faults", total=count)
        for campaign in attack_link(count, seed, resets=resets, rates=rates):  # noqa: B007 - the last is kept
            bar.update(task, advance=1)
    write_json(json_file, vars(campaign))
    screen.print(str(campaign), soft_wrap=True)
    if campaign.failures:
        raise CheckError(f"a fault was not handled: {campaign.failures[0]}")


def _try_frames(count: int, seed: int, json_file: Path | None) -> None:
    """Sends frames of any kind. Raises CheckError if an answer was not the decoder's."""
    from ornstein.host.devices.frame_faults import FrameCampaign, attack_frames

    campaign = FrameCampaign()
    with progress() as bar:
        task = bar.add_task("frames of any kind", total=count)
        for campaign in attack_frames(count, seed):
            bar.update(task, completed=min(campaign.frames, count))
    write_json(json_file, vars(campaign))
    screen.print(str(campaign), soft_wrap=True)
    if campaign.failures:
        raise CheckError(f"a frame was not answered as it must be: {campaign.failures[0]}")


def _soak(
    device: str, minutes: float, inputs: int | None, seed: int, json_file: Path | None
) -> None:
    """Streams inputs through a device. Raises ModelMismatchError if an answer is wrong."""
    from ornstein.host.devices.device import open_device
    from ornstein.host.devices.soak import soak

    seconds, last = 60 * minutes, None
    with open_device(device) as opened, progress() as bar:
        task = bar.add_task(f"seconds of a stream on {device}", total=seconds)
        for last in soak(opened, seconds, seed, most=inputs):
            bar.update(task, completed=min(last.seconds, seconds))
    write_json(json_file, {"device": device} | (asdict(last) if last else {}))
    screen.print(str(last), soft_wrap=True)


def _try_upsets(count: int, seed: int, json_file: Path | None) -> None:
    """Changes bits while programs run. Raises CheckError if one was not mended and reported."""
    from ornstein.host.devices.upset_faults import UpsetCampaign, attack_memories

    campaign = UpsetCampaign()
    with progress() as bar:
        task = bar.add_task("changed bits", total=count)
        for campaign in attack_memories(count, seed):
            bar.update(task, completed=campaign.upsets.total())
    write_json(json_file, vars(campaign))
    screen.print(str(campaign), soft_wrap=True)
    if campaign.failures:
        raise CheckError(f"a changed bit was not handled: {campaign.failures[0]}")
