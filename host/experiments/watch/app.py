# SPDX-License-Identifier: Apache-2.0
"""The screen of ``ornstein watch``."""

from rich.table import Table
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widgets import Footer, Label, Sparkline, Static
from textual.worker import get_current_worker
from textual_plotext import PlotextPlot

from ornstein.host.experiments.watch.run import Reading, Watch

REFRESH = 0.2
"""Seconds between two drawings of the screen; the device does not wait for them."""
KEPT = 200
"""Speeds that are drawn."""
_MEASURED, _LAW = (86, 180, 233), (213, 94, 0)
"""Colours of Okabe and Ito, as red, green and blue."""


class WatchApp(App[Exception | None]):
    """Draws a watched device until the reader quits. Its result is the error that ended it, or
    None.
    """

    BINDINGS = [
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
    ]
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #title { padding: 0 1; text-style: bold; }
    #curve { width: 3fr; }
    #numbers { width: 2fr; min-width: 36; padding: 1 1 0 1; }
    #speeds { height: 3; margin: 0 1; }
    #what { color: $text-muted; }
    """

    def __init__(self, watch: Watch):
        super().__init__()
        self.reading: Reading | None = None
        self._watch = watch
        self._error: Exception | None = None
        self._speeds: list[float] = []

    def compose(self) -> ComposeResult:
        """Yields the parts of the screen from top to bottom."""
        yield Label(f"{self._watch.program.name} on {self._watch.uri}", id="title", markup=False)
        with Horizontal():
            yield PlotextPlot(id="curve")
            yield Static(id="numbers")
        with Vertical(id="speeds"):
            yield Label("time steps a second, each read back", id="what")
            yield Sparkline([], summary_function=max)
        yield Footer()

    def on_mount(self) -> None:
        """Starts the device, and the drawing of what it shows."""
        self.run_worker(self._follow, thread=True)
        self.set_interval(REFRESH, self._draw)

    def _follow(self) -> None:
        """Keeps the last reading, in a thread, until the screen closes or the device fails."""
        worker = get_current_worker()
        try:
            for reading in self._watch.readings():
                if worker.is_cancelled:
                    return
                self.reading = reading
        except Exception as error:  # the command reports it when the screen is closed
            self._error = error

    def _draw(self) -> None:
        """Draws the last reading, or ends with the error of the device."""
        if self._error is not None:
            self.exit(self._error)
            return
        if (reading := self.reading) is None:
            return
        self._draw_curve(reading)
        self.query_one("#numbers", Static).update(numbers(reading, self._watch))
        if reading.steps_per_second is not None:
            self._speeds = [*self._speeds[1 - KEPT :], reading.steps_per_second]
            self.query_one(Sparkline).data = self._speeds

    def _draw_curve(self, reading: Reading) -> None:
        """Draws what is left of the way to equilibrium, beside the law."""
        widget = self.query_one("#curve", PlotextPlot)
        plot = widget.plt
        plot.clear_data()
        plot.title("share of the way to equilibrium that is left")
        plot.xlabel("time step")
        plot.xlim(0, reading.steps)
        plot.ylim(min(0.0, float(reading.law.min())), max(1.0, float(reading.law.max())))
        plot.plot(
            range(1, reading.steps + 1),
            list(reading.law),
            color=_LAW,
            marker="braille",
            label="law, (1 - dt M)^n",
        )
        known = [
            (step, float(share))
            for step, share in enumerate(reading.remaining, 1)
            if share == share  # not NaN
        ]
        plot.scatter(*zip(*known, strict=True), color=_MEASURED, marker="dot", label="measured")
        widget.refresh()


def numbers(reading: Reading, watch: Watch) -> Table:
    """Returns the numbers of a reading as a table of names and values."""
    table = Table.grid(padding=(0, 2))
    for row in rows(reading, watch):
        table.add_row(*row)
    return table


def rows(reading: Reading, watch: Watch) -> list[tuple[str, str]]:
    """Returns the names and values of the numbers of a reading."""
    kT = _number(reading.kT)
    if reading.kT_error is not None:
        kT += f" ± {reading.kT_error:.2g}"
    return [
        ("inputs done", f"{reading.inputs:,}"),
        ("time step", f"{reading.step} of {reading.steps}"),
        ("kT by thermal spread", kT),
        ("kT asked for", f"{watch.kT:g}"),
        ("centred cosine", _number(reading.centred)),
        ("beside", watch.answer),
        ("time steps a second", _number(reading.steps_per_second)),
        ("clock cycles a step", _number(reading.cycles_per_step)),
        ("saturated words", f"{reading.saturations:,}"),
    ]


def _number(value: float | None) -> str:
    """Returns four digits of a number, a dash for None."""
    return "-" if value is None else f"{value:,.4g}"
