# SPDX-License-Identifier: Apache-2.0
"""The screen of a watched device, run by textual's pilot without a terminal."""

import asyncio
import io
import sys

import pytest
import typer
from textual_plotext import PlotextPlot

from helpers.command_line import failure
from helpers.programs import toy, toy_inputs
from ornstein.host.devices.device import DeviceError, open_device
from ornstein.host.experiments.watch.app import REFRESH, WatchApp, rows
from ornstein.host.experiments.watch.command import watch as watch_command
from ornstein.host.experiments.watch.run import Watch
from ornstein.sim.toolchain import ToolError


def piloted(watch: Watch, key: str | None) -> WatchApp:
    """The screen after it has shown a few readings; a key ends it, or the device does."""
    shown = WatchApp(watch)

    async def look() -> None:
        async with shown.run_test(size=(110, 30)) as pilot:
            while key is not None and shown.reading is None:
                await pilot.pause(REFRESH)
            await pilot.pause(2 * REFRESH)
            if key is not None:
                text = str(shown.query_one("#title").render())
                curve = "".join(
                    segment.text
                    for line in range(15)
                    for segment in shown.query_one("#curve", PlotextPlot).render_line(line)
                )
                assert "toy on model:tiny" in text and "left" in curve
                await pilot.press(key)

    asyncio.run(look())
    return shown


@pytest.fixture(scope="module")
def watch():
    with open_device("model:tiny") as device:
        yield Watch(device, toy(), toy_inputs(8), kT=0.2)


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
def test_a_key_ends_it_and_its_numbers_stay(watch, key):
    shown = piloted(watch, key)
    assert shown.return_value is None and not shown.is_running
    found = dict(rows(shown.reading, watch))
    assert found["kT asked for"] == "0.2" and found["beside"] == "the closed form's answer"
    assert found["time step"].endswith(f" of {shown.reading.steps}")


def test_the_devices_error_ends_it():
    with open_device("model:tiny") as device:
        watch = Watch(device, toy(), toy_inputs(8), kT=0.2)
    shown = piloted(watch, None)
    assert isinstance(shown.return_value, DeviceError)
    assert "is closed" in str(shown.return_value)


def test_without_a_terminal_it_says_so_in_one_line():
    code, line = failure("watch", "--device", "model")
    assert code == 7 and "this is none" in line


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


def test_a_missing_package_is_named(monkeypatch):
    for name in ("stdin", "stdout"):
        monkeypatch.setattr(sys, name, Terminal())
    monkeypatch.delitem(sys.modules, "ornstein.host.experiments.watch.app")
    monkeypatch.setitem(sys.modules, "textual_plotext", None)
    with pytest.raises(ToolError, match="textual_plotext is missing"):
        watch_command(device="model")


def test_a_program_needs_its_inputs(tmp_path):
    with pytest.raises(typer.BadParameter, match="belong together"):
        watch_command(program=tmp_path / "toy.program")
