# SPDX-License-Identifier: Apache-2.0
"""``ornstein cosim``: runs the cocotb testbenches of the gateware."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ornstein.host.cli.app import (
    JsonOption,
    SeedOption,
    app,
    errors,
    progress,
    remark,
    screen,
    write_json,
)

if TYPE_CHECKING:
    from ornstein.host.cosim.testbenches import Testbench
    from ornstein.sim.cosim.results import Outcome


class BenchName(StrEnum):
    """The testbenches; see :mod:`ornstein.host.cosim.testbenches`."""

    noise = "noise"
    update = "update"
    lanes = "lanes"
    link = "link"
    top = "top"


class SimulatorName(StrEnum):
    """The simulators that cocotb drives."""

    verilator = "verilator"
    icarus = "icarus"


@app.command(epilog="Example:  ornstein cosim top --seed 7 --waves")
def cosim(
    benches: Annotated[
        list[BenchName] | None,
        typer.Argument(help="Testbenches to run.", show_default="all, or top with --module"),
    ] = None,
    simulator: Annotated[
        SimulatorName, typer.Option(help="Simulator to run them under.")
    ] = SimulatorName.verilator,
    fabric: Annotated[
        str | None,
        typer.Option(help="Fabric to simulate; see --list.", show_default="the small one"),
    ] = None,
    seed: SeedOption = 1,
    module: Annotated[
        str | None,
        typer.Option(
            help="Own cocotb tests instead: a folder, a file, or the name of a Python module."
        ),
    ] = None,
    waves: Annotated[
        bool,
        typer.Option("--waves", help="Write waveforms (FST) and layouts for GTKWave and Surfer."),
    ] = False,
    output: Annotated[
        Path, typer.Option(help="Folder for builds, logs, waveforms and results.xml (JUnit).")
    ] = Path("build/cosim"),
    show_list: Annotated[
        bool, typer.Option("--list", help="List testbenches and their fabrics, and run nothing.")
    ] = False,
    json_file: JsonOption = None,
) -> None:
    """Simulate the gateware under cocotb, bit for bit against the integer model and in equilibrium
    against the float reference (needs the \\[cosim] extra).
    """
    from ornstein.host.cosim.testbenches import TESTBENCHES

    if show_list:
        _list(TESTBENCHES.values())
        return
    names = benches or ([BenchName.top] if module else list(BenchName))
    for name in names:
        TESTBENCHES[name].choose_fabric(fabric, own=module is not None)
    outcomes = {}
    with progress() as bar:
        task = bar.add_task("", total=len(names))
        for name in names:
            bar.update(task, description=f"{name} under {simulator}")
            outcomes[name.value] = _run(
                TESTBENCHES[name], output, fabric, simulator, seed, waves, module
            )
            bar.advance(task)
    _report(outcomes, simulator, output)
    write_json(json_file, [_document(name, outcome) for name, outcome in outcomes.items()])
    for outcome in outcomes.values():
        outcome.check()


def _run(
    bench: "Testbench",
    output: Path,
    fabric: str | None,
    simulator: str,
    seed: int,
    waves: bool,
    module: str | None,
) -> "Outcome":
    from ornstein.host.cosim.testbenches import cosimulate

    return cosimulate(
        bench,
        folder=output,
        fabric=fabric,
        simulator=simulator,
        seed=seed,
        waves=waves,
        own=module,
    )


def _list(benches) -> None:
    """Prints the testbenches."""
    table = Table("testbench", "what its tests show", "fabrics, the usual one first")
    for bench in benches:
        table.add_row(bench.name, bench.about, ", ".join(bench.fabrics) or "the same in all")
    screen.print(table)


def _report(outcomes: "dict[str, Outcome]", simulator: str, output: Path) -> None:
    """Prints tests and figures, and writes the joined JUnit file."""
    from ornstein.sim.cosim.results import join_results

    tests = Table("testbench", "test", "result", "simulated", "seconds")
    figures = Table("measured on the gateware", "value", "theory", "float reference", "deviation")
    for name, outcome in outcomes.items():
        for case in outcome.cases:
            tests.add_row(
                name,
                case.name,
                case.result,
                f"{case.nanoseconds / 1e3:,.6g} µs",
                f"{case.seconds:.1f}",
            )
        for figure in outcome.figures:
            reference = "" if figure.reference is None else f"{figure.reference:.5g}"
            figures.add_row(
                f"{name}: {figure.name}",
                f"{figure.measured:.5g} ± {figure.error:.2g}",
                f"{figure.expected:.5g}",
                reference,
                f"{figure.deviation:+.1f} standard errors",
            )
    screen.print(tests)
    if figures.row_count:
        screen.print(figures)
    joined = output / "results.xml"
    join_results({name: outcome.results for name, outcome in outcomes.items()}, joined)
    remark(f"Wrote {joined}")
    for outcome in outcomes.values():
        if outcome.waves is not None:
            remark(
                f"Wrote {outcome.waves}. Next: gtkwave {outcome.waves.with_suffix('.gtkw')}, or "
                f"surfer --command-file {outcome.waves.with_suffix('.sucl')} {outcome.waves}"
            )
        for case in outcome.failed:
            errors.print(f"{case.name}: {case.message}", markup=False, soft_wrap=True)


def _document(name: str, outcome: "Outcome") -> dict:
    """Returns the machine-readable results of a testbench."""
    return {
        "testbench": name,
        "seed": outcome.seed,
        "cases": [asdict(case) for case in outcome.cases],
        "figures": [asdict(figure) for figure in outcome.figures],
        "log": str(outcome.log),
        "waves": str(outcome.waves) if outcome.waves else None,
    }
