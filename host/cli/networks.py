# SPDX-License-Identifier: Apache-2.0
"""``ornstein layers``: what there is in a file of weights."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ornstein.host.cli.app import JsonOption, app, screen, write_json
from ornstein.host.models.model_file import open_weights


@app.command(epilog="Example:  ornstein layers weights.safetensors --match conv1")
def layers(
    weights: Annotated[
        Path,
        typer.Argument(help="safetensors, its index of shards, PyTorch state dict, or ONNX file."),
    ],
    match: Annotated[str, typer.Option(help="List only names that hold this text.")] = "",
    json_file: JsonOption = None,
) -> None:
    """List the layers of a network that can stand at either end of a skip, with their shapes."""
    file = open_weights(weights)
    found = {
        name: shape for name, shape in file.shapes.items() if len(shape) in (2, 4) and match in name
    }
    table = Table("layer", "units", "weights")
    for name, shape in found.items():
        table.add_row(name, str(shape[0]), " x ".join(map(str, shape)))
    write_json(json_file, found)
    screen.print(table, markup=False)
    screen.print(f"{len(found)} of {len(file.shapes)} tensors in {file.path}", soft_wrap=True)
