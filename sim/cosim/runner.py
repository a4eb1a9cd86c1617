# SPDX-License-Identifier: Apache-2.0
"""Runs cocotb modules against components: Verilog from Amaranth, a simulator from the toolchain,
results checked.
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from amaranth.back import verilog
from amaranth.lib.wiring import Component
from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner

from ornstein.sim.toolchain import for_icarus, icarus_environment, verilator_environment

_ENVIRONMENTS = {"verilator": verilator_environment, "icarus": icarus_environment}
_BUILD_ARGS = {
    # Verilog written by Yosys leaves widths implicit, which Verilator warns about
    "verilator": ["-Wno-fatal", "--assert"],
    "icarus": [],
}


def run(
    component: Component,
    *,
    module: str,
    build_dir: Path,
    simulator: str = "verilator",
    seed: int = 1,
    environment: Mapping[str, str] | None = None,
    top: str = "top",
):
    """Simulates the component under every cocotb test of the module. Its clock is ``clk``, its
    reset ``rst``.

    Parameters
    ----------
    component : Component, becomes the Verilog module ``top``
    module : dotted name of the cocotb module
    build_dir : folder for everything that is written; one for each component, parameters and
        simulator
    simulator : ``verilator`` or ``icarus``; under Icarus a failed gateware assertion goes unnoticed
    seed : of the cocotb tests' random numbers
    environment : variables for the cocotb module

    Raises
    ------
    ToolError
        The simulator is not installed.
    AssertionError
        A test failed, or there was none; names the log.
    """
    folder = Path(build_dir).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / f"{top}.v"
    text = verilog.convert(component, name=top, emit_src=False)
    source.write_text(for_icarus(text) if simulator == "icarus" else text)
    log = folder / "test.log"
    (folder / "results.xml").unlink(missing_ok=True)
    with _process_environment(_ENVIRONMENTS[simulator]()):
        runner = get_runner(simulator)
        runner.build(
            sources=[source],
            hdl_toplevel=top,
            build_dir=folder,
            build_args=_BUILD_ARGS[simulator],
            timescale=("1ns", "1ps"),
            always=True,
            log_file=folder / "build.log",
        )
        results = runner.test(
            hdl_toplevel=top,
            test_module=module,
            build_dir=folder,
            seed=seed,
            extra_env=dict(environment or {}),
            log_file=log,
        )
    assert results.exists(), f"{module} ended without results, seed {seed}; see {log}"
    tests, failures = get_results(results)
    print(f"{module} under {simulator}, seed {seed}: {tests} tests, {failures} failures")
    assert tests and not failures, (
        f"{failures} of {tests} tests of {module} failed, seed {seed}; see {log}"
    )


@contextlib.contextmanager
def _process_environment(environment: Mapping[str, str]):
    """The runner takes the environment of this process, and under pytest it ends the process
    instead of returning.
    """
    saved = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    os.environ.pop("PYTEST_CURRENT_TEST", None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)
