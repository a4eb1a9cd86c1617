# SPDX-License-Identifier: Apache-2.0
"""Runs cocotb modules against components: Verilog from Amaranth, a simulator from the toolchain,
results read.
"""

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from amaranth.back import verilog
from amaranth.lib.wiring import Component
from cocotb_tools.runner import get_runner

from ornstein.sim.cosim.results import (
    FIGURES,
    CosimulationError,
    Outcome,
    read_cases,
    read_figures,
)
from ornstein.sim.toolchain import (
    ToolError,
    check_waveforms,
    for_icarus,
    icarus_environment,
    verilator_environment,
)


def _verilator_environment() -> dict[str, str]:
    """Returns the environment for a build that is quick: with more optimisation the compiler takes
    longer than these simulations gain.
    """
    environment = verilator_environment()
    environment["MAKEFLAGS"] = f"{environment.get('MAKEFLAGS', '')} OPT_FAST=-O1".strip()
    return environment


_ENVIRONMENTS = {"verilator": _verilator_environment, "icarus": icarus_environment}
_PORTS_ONLY = ["--no-public-flat-rw", "--public-depth", "1"]
"""Undo the runner's choice that every signal within the design can be read and changed. It keeps
Verilator from optimising, so that builds and simulations take about twice as long.
"""
_TOP = "top"


def run(
    component: Component,
    *,
    modules: Sequence[str],
    build_dir: Path,
    simulator: str,
    seed: int,
    environment: Mapping[str, str] | None = None,
    folders: Sequence[Path] = (),
    ports_only: bool = False,
    waves: bool = False,
) -> Outcome:
    """Simulates the component under every cocotb test of the modules. Its clock is ``clk``, its
    reset ``rst``.

    Parameters
    ----------
    component : Component, becomes the Verilog module ``top``
    modules : dotted names of the cocotb modules
    build_dir : folder for everything that is written; one for each component, parameters and
        simulator
    simulator : ``verilator`` or ``icarus``; under Icarus a failed gateware assertion goes unnoticed
    seed : of the cocotb tests' random numbers
    environment : variables for the cocotb modules
    folders : where modules are looked for besides Python's path
    ports_only : the modules use no signal but the component's ports, so that Verilator may optimise
        those within; without effect under Icarus, and together with ``waves``
    waves : write the waveforms of all signals

    Raises
    ------
    ToolError
        The simulator is not installed, or could not be built.
    CosimulationError
        The simulation ended without results; names the log. A failed test does not raise, see
        :meth:`ornstein.sim.cosim.results.Outcome.check`.
    """
    simulator_environment = _ENVIRONMENTS[simulator]()
    if waves and simulator == "verilator":
        check_waveforms()
    folder = Path(build_dir).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / f"{_TOP}.v"
    text = verilog.convert(component, name=_TOP, emit_src=False, strip_internal_attrs=True)
    source.write_text(for_icarus(text) if simulator == "icarus" else text)
    log, figures = folder / "test.log", folder / "figures.jsonl"
    results, trace = folder / "results.xml", folder / "waves.fst"
    for path in (figures, results, trace):
        path.unlink(missing_ok=True)
    attached = [trace, log] if waves else [log]
    with _process(simulator_environment, folders):
        runner = get_runner(simulator)
        with _reported(f"{simulator} could not build the simulation", folder / "build.log"):
            runner.build(
                sources=[source],
                hdl_toplevel=_TOP,
                build_dir=folder,
                build_args=_build_args(simulator, ports_only=ports_only, waves=waves),
                timescale=("1ns", "1ps"),
                always=True,
                waves=waves,
                log_file=folder / "build.log",
            )
        # a simulator that ends early has an exit code; whether it left results is what counts
        with contextlib.suppress(RuntimeError, SystemExit):
            runner.test(
                hdl_toplevel=_TOP,
                test_module=list(modules),
                build_dir=folder,
                results_xml=str(results),
                seed=seed,
                extra_env={
                    **(environment or {}),
                    FIGURES: str(figures),
                    # by default cocotb has pytest compile every imported package anew, which takes
                    # longer than most of these simulations
                    "COCOTB_REWRITE_ASSERTION_FILES": " ".join(
                        f"{module.rpartition('.')[2]}.py" for module in modules
                    ),
                    "COCOTB_RESULTS_ATTACHMENTS": ",".join(map(str, attached)),
                },
                waves=waves,
                test_args=["--trace-file", str(trace)]
                if waves and simulator == "verilator"
                else [],
                plusargs=[f"+dumpfile_path={trace}"] if waves and simulator == "icarus" else [],
                log_file=log,
            )
    if not results.exists():
        raise CosimulationError(f"the simulation ended without results, seed {seed}; see {log}")
    return Outcome(
        cases=read_cases(results),
        figures=read_figures(figures),
        seed=seed,
        results=results,
        log=log,
        waves=trace if waves else None,
    )


def _build_args(simulator: str, *, ports_only: bool, waves: bool) -> list[str]:
    """Returns the options of a build, see :func:`run`."""
    if simulator == "icarus":
        return []
    # Verilog written by Yosys leaves widths implicit, which Verilator warns about
    options = ["-Wno-fatal", "--assert"]
    if waves:
        return [*options, "--trace-fst"]
    return [*options, *_PORTS_ONLY] if ports_only else options


@contextlib.contextmanager
def _reported(what: str, log: Path):
    """Turns the runner's errors into one that names the log."""
    try:
        yield
    except (RuntimeError, SystemExit) as error:
        raise ToolError(f"{what}; see {log}") from error


@contextlib.contextmanager
def _process(environment: Mapping[str, str], folders: Sequence[Path]):
    """Gives this process another environment and path, which the runner hands on to the simulator.
    Under pytest the runner would end the process instead of returning.
    """
    saved, path = dict(os.environ), list(sys.path)
    os.environ.clear()
    os.environ.update(environment)
    os.environ.pop("PYTEST_CURRENT_TEST", None)
    sys.path[:0] = [str(folder.resolve()) for folder in folders]
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)
        sys.path[:] = path
