# SPDX-License-Identifier: Apache-2.0
"""``ornstein verilog``: the gateware for other toolchains."""

from pathlib import Path
from typing import Annotated

import typer

from ornstein.hdl.config import PRESETS, preset
from ornstein.host.cli.app import app, remark


@app.command(epilog="Example:  ornstein verilog ulx3s --output build/verilog")
def verilog(
    fabric: Annotated[str, typer.Argument(help=f"Fabric to write: {', '.join(PRESETS)}.")],
    output: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("build/verilog"),
) -> None:
    """Write a fabric's Verilog for any toolchain, and its register map as JSON, C and SVD."""
    from ornstein.boards import export

    for path in export.write(preset(fabric), output):
        remark(f"Wrote {path}")
