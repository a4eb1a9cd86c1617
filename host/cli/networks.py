# SPDX-License-Identifier: Apache-2.0
"""``ornstein layers`` and ``capture``: from a network's files to a skip and its activations."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ornstein.host.cli.app import JsonOption, SeedOption, app, progress, remark, screen, write_json
from ornstein.host.models.graph_skips import Skip
from ornstein.host.models.model_file import open_weights
from ornstein.host.models.ncnn_files import SUFFIX as NCNN_SUFFIX
from ornstein.host.models.tensor_files import ModelFileError
from ornstein.sim.toolchain import ToolError

if TYPE_CHECKING:  # PyTorch is imported for a network of it only
    from ornstein.host.models.capture import OnnxNetwork
    from ornstein.host.models.ncnn_network import NcnnNetwork
    from ornstein.host.models.torch_network import TorchNetwork


@app.command(epilog="Example:  ornstein layers weights.safetensors --match conv1")
def layers(
    weights: Annotated[
        Path,
        typer.Argument(
            help="safetensors, its index of shards, PyTorch state dict, ONNX file, or .param file "
            "of ncnn."
        ),
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


@app.command(
    epilog="Example:  ornstein capture net.onnx --inputs inputs.npz --skip 3 --output activations"
)
def capture(
    network: Annotated[
        str,
        typer.Argument(
            help="ONNX file, .param file of ncnn, or package.module:name of a torch.nn.Module or "
            "of what makes one."
        ),
    ],
    inputs: Annotated[
        Path | None,
        typer.Option(help=".npy of the only input (n, ...), or .npz of all inputs by name."),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option(help="Number of a skip in --list, all, or X:Y, two tensors; repeatable."),
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="List the skips of the network.")] = False,
    weights: Annotated[
        Path | None, typer.Option(help="Weights of a torch.nn.Module, in any format.")
    ] = None,
    held_out: Annotated[int, typer.Option(min=1, help="Inputs held out for scores.")] = 64,
    batch: Annotated[int, typer.Option(min=1, help="Inputs in one run of the network.")] = 16,
    seed: SeedOption = 0,
    output: Annotated[Path, typer.Option(help="Folder for one .npz of every skip.")] = Path(
        "build/activations"
    ),
    json_file: JsonOption = None,
) -> None:
    """Run a network and keep the activations at both sides of a skip: spatial means of channels."""
    from ornstein.host.models.capture import OnnxNetwork, read_inputs, save_activations
    from ornstein.host.models.capture import capture as run_capture

    samples = read_inputs(inputs) if inputs else None
    opened = _open_network(network, weights)
    if isinstance(opened, OnnxNetwork):
        found = opened.skips()
    elif samples is None:
        raise typer.BadParameter(
            "a network of PyTorch or ncnn shows its skips when it runs; add --inputs"
        )
    else:
        found = opened.skips(samples)
    if listing or not skip:
        write_json(json_file, [asdict(one) for one in found])
        _list_skips(network, found)
        return
    if samples is None:
        raise typer.BadParameter("name what the network is run on with --inputs")
    chosen = _chosen(skip, found)
    tensors = list(dict.fromkeys(name for one in chosen.values() for name in (one.x, one.y)))
    run, fed = opened.runner(samples, tensors)
    with progress() as bar:
        task = bar.add_task(f"running {Path(network).name}", total=None)
        means = run_capture(
            run, fed, tensors, batch, lambda n, total: bar.update(task, completed=n, total=total)
        )
    written = {}
    for name, one in chosen.items():
        path = written[name] = output / f"{name}.npz"
        save_activations(path, means[one.x], means[one.y], one.layers, held_out, seed)
        units = means[one.x].shape[1], means[one.y].shape[1]
        remark(f"Wrote {path}: {one.x} ({units[0]}) to {one.y} ({units[1]})")
    write_json(json_file, {str(path): asdict(chosen[name]) for name, path in written.items()})


def _open_network(network: str, weights: Path | None) -> "OnnxNetwork | NcnnNetwork | TorchNetwork":
    """Opens an ONNX file, one of ncnn, or an import path. Raises ModelFileError, ToolError."""
    from ornstein.host.models.capture import OnnxNetwork
    from ornstein.host.models.ncnn_network import NcnnNetwork

    for kind, suffix in ((OnnxNetwork, ".onnx"), (NcnnNetwork, NCNN_SUFFIX)):
        if Path(network).suffix == suffix:
            if weights is not None:
                raise typer.BadParameter(f"{network} has its own weights; leave --weights out")
            return kind.load(Path(network))
    if ":" not in network:
        raise ModelFileError(
            f"{network}: neither an .onnx file, a {NCNN_SUFFIX} file of ncnn, nor an import path "
            "like package.module:Network"
        )
    try:
        from ornstein.host.models.torch_network import TorchNetwork
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ToolError(f"{network} needs PyTorch; install it with: pip install torch") from None
    return TorchNetwork.load(network, weights)


def _list_skips(network: str, found: list[Skip]) -> None:
    """Prints the skips with the tensors and layers of both sides."""
    table = Table()
    for title in ("skip", "joint", "x, encoder", "y, decoder", "layer of x", "layer of y"):
        table.add_column(title, overflow="fold")
    for number, one in enumerate(found, 1):
        table.add_row(str(number), one.joint, one.x, one.y, *(name or "-" for name in one.layers))
    screen.print(table, markup=False)
    asked = "NUMBER" if found else "X:Y, with the names of any two tensors"
    screen.print(
        f"{len(found)} skips. Next: ornstein capture {network} --inputs FILE --skip {asked}",
        soft_wrap=True,
        markup=False,
    )


def _chosen(wanted: list[str], found: list[Skip]) -> dict[str, Skip]:
    """Returns the skips that were asked for, by the names of their files."""
    chosen = {}
    for text in wanted:
        if text == "all":
            if not found:
                raise ModelFileError(
                    "the network shows no skips; name any two of its tensors with --skip X:Y"
                )
            chosen |= {f"skip{number}": one for number, one in enumerate(found, 1)}
        elif text.isdecimal():
            if not 1 <= int(text) <= len(found):
                raise ModelFileError(
                    f"there is no skip {text}; the network shows {len(found)} skips, see --list"
                )
            chosen[f"skip{text}"] = found[int(text) - 1]
        else:
            x, _, y = text.partition(":")
            if not x or not y:
                raise ModelFileError(f"{text!r} is no skip; give a number of --list, all, or X:Y")
            chosen["-".join(re.sub(r"\W+", "_", name) for name in (x, y))] = Skip("", x, y)
    return chosen
