# SPDX-License-Identifier: Apache-2.0
"""``ornstein compile``, ``inspect``, ``load`` and ``run``: a program from weights to answers."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ornstein.hdl.config import PRESETS, preset
from ornstein.host.cli.app import (
    DeviceOption,
    JsonOption,
    ModelOption,
    SeedOption,
    app,
    errors,
    progress,
    screen,
    write_json,
)
from ornstein.host.compile.program import InputError, Program
from ornstein.host.compile.program_file import load_program, save_program
from ornstein.host.devices.device import DeviceError, open_device
from ornstein.host.models import recipes
from ornstein.host.models.model_file import DEFAULT_MODEL, TrainedModel
from ornstein.host.physics.problem import NEAREST, STOCHASTIC
from ornstein.sim.stages import EM, LM


class RecipeName(StrEnum):
    """Recipes that compile; see ornstein.host.models.recipes."""

    full = "full"
    silu = "silu"
    aligned = "aligned"
    paper = "paper"


_RECIPES = {
    RecipeName.full: recipes.ours_full,
    RecipeName.silu: recipes.ours_silu,
    RecipeName.aligned: recipes.ours_aligned,
    RecipeName.paper: recipes.paper_full,
}


@app.command(
    "compile",
    epilog="Example:  ornstein compile --recipe aligned --kt 0.001 --samples 64 --output aligned.program",
)
def compile_command(
    recipe: Annotated[
        RecipeName, typer.Option(help="How couplings and interface come from the weights.")
    ] = RecipeName.full,
    model: ModelOption = DEFAULT_MODEL,
    encoder_layer: Annotated[
        str, typer.Option(help="Weight of the encoder's convolution.")
    ] = "e1.conv1.weight",
    decoder_layer: Annotated[str, typer.Option(help="Weight of its partner.")] = "d1.conv1.weight",
    activations: Annotated[
        Path | None, typer.Option(help=".npz with x_train, y_train, x_test, y_test.")
    ] = None,
    rank: Annotated[
        int | None, typer.Option(min=1, help="Rank of the skip; the recipe's own otherwise.")
    ] = None,
    kt: Annotated[float, typer.Option(min=0.0, help="Temperature kT.")] = 0.0,
    dt: Annotated[float, typer.Option(help="Time step.")] = 1.0,
    samples: Annotated[int, typer.Option(min=1, help="Averaged steps.")] = 16,
    integrator: Annotated[
        str, typer.Option(help="lm (Leimkuhler-Matthews) or em (Euler-Maruyama).")
    ] = LM,
    rounding: Annotated[str, typer.Option(help="nearest or stochastic.")] = NEAREST,
    fabric: Annotated[str, typer.Option(help=f"One of {', '.join(PRESETS)}.")] = "reference",
    output: Annotated[Path, typer.Option(help="The program file.")] = Path("ornstein.program"),
    json_file: JsonOption = None,
) -> None:
    """Turn trained weights into a program file: couplings, interface, formats chosen from the data,
    integer images.
    """
    from ornstein.host.experiments.demo.run import compile_recipe

    if integrator not in (LM, EM) or rounding not in (NEAREST, STOCHASTIC):
        raise typer.BadParameter(
            f"--integrator is {LM} or {EM}, --rounding {NEAREST} or {STOCHASTIC}"
        )
    trained = TrainedModel.load(model, encoder_layer, decoder_layer, activations)
    built = _RECIPES[recipe](trained, _energy(recipe, trained, rank))
    program = compile_recipe(
        built,
        trained,
        preset(fabric),
        kT=kt,
        samples=samples,
        dt=dt,
        integrator=integrator,
        rounding=rounding,
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    save_program(program, output)
    _show_program(program)
    write_json(json_file, _program_document(program))
    screen.print(f"Wrote {output}. Next: ornstein run {output} --input inputs.npy", soft_wrap=True)


def _energy(recipe: RecipeName, trained: TrainedModel, rank: int | None):
    """The recipe's energy at another rank, or None for its own."""
    from ornstein.host.physics.couplings import aligned, hierarchical_bilinear, paper_energy

    if rank is None:
        return None
    if recipe == RecipeName.aligned:
        return aligned(trained.x_train, trained.y_train, rank)
    return (paper_energy if recipe == RecipeName.paper else hierarchical_bilinear)(
        trained.W_enc, trained.W_dec, rank
    )


@app.command(epilog="Example:  ornstein inspect ornstein.program --json program.json")
def inspect(
    program: Annotated[Path, typer.Argument(help="A program file.")], json_file: JsonOption = None
) -> None:
    """Show what a program file holds: fabric, schedule, layout, and the range report."""
    loaded = load_program(program)
    _show_program(loaded)
    write_json(json_file, _program_document(loaded))


def _program_document(program: Program) -> dict:
    problem = program.problem
    return {
        "name": program.name,
        "fabric": program.config.name,
        "dt": program.dt,
        "state_lsb": program.state_lsb,
        "integrator": problem.integrator,
        "rounding": problem.rounding,
        "entry": problem.entry,
        "stages": [asdict(stage) for stage in problem.stages],
        "layout": asdict(program.layout),
        "words": {"factor": len(program.factor), "descriptors": len(program.descriptors)},
        "ranges": [asdict(row) for row in program.ranges],
    }


def _show_program(program: Program) -> None:
    problem, layout = program.problem, program.layout
    units = problem.energies[0].units
    schedule = ", then ".join(
        f"{stage.steps} steps at kT = {stage.kT:g}" + (" averaged" if stage.accumulate else "")
        for stage in problem.stages
    )
    screen.print(
        f"[bold]{program.name}[/bold] for fabric {program.config.name}: {units} units, {layout.chains} inputs "
        f"at once, {schedule}; {problem.integrator.upper()}, dt = {program.dt:.6g}, "
        f"rounding {problem.rounding}",
        soft_wrap=True,
    )
    table = Table("field", "range", "bits", "LSB", "clipped", "requested", "realised")
    for row in program.ranges:
        table.add_row(
            row.name,
            f"{row.low:.4g} to {row.high:.4g}",
            str(row.bits),
            f"{row.lsb:.3g}",
            "-" if row.clipped is None else f"{row.clipped:.2%}",
            *("-" if value is None else f"{value:.6g}" for value in (row.requested, row.realised)),
        )
    screen.print(table)


@app.command(epilog="Example:  ornstein load ornstein.program --device serial:/dev/ttyUSB1")
def load(
    program: Annotated[Path, typer.Argument(help="A program file.")],
    device: DeviceOption = "rtl",
    json_file: JsonOption = None,
) -> None:
    """Load a program onto a device and read it back."""
    loaded = load_program(program)
    with open_device(device) as opened:
        opened.load(loaded)
        verified = opened.verify()
    write_json(json_file, {"device": device, "program": loaded.name, "elements_verified": verified})
    screen.print(
        f"{loaded.name} is on {device}; {verified} elements read back equal", soft_wrap=True
    )


@app.command(
    epilog="Example:  ornstein run ornstein.program --input inputs.csv --output answers.csv"
)
def run(
    program: Annotated[Path, typer.Argument(help="A program file.")],
    device: DeviceOption = "rtl",
    source: Annotated[
        str, typer.Option("--input", help=".npy, .npz or CSV file, or - for CSV on standard input.")
    ] = "-",
    key: Annotated[str | None, typer.Option(help="Array of an .npz file.")] = None,
    output: Annotated[
        str, typer.Option(help=".npy or CSV file, or - for CSV on standard output.")
    ] = "-",
    what: Annotated[
        str, typer.Option(help="prediction, mean (of every unit) or second (moment).")
    ] = "prediction",
    seed: SeedOption = 1,
    warm: Annotated[
        bool,
        typer.Option("--warm", help="Start each input from the states that the last one left."),
    ] = False,
    json_file: JsonOption = None,
) -> None:
    """Stream inputs through a program; outputs are written as they come."""
    from ornstein.host.cli.streams import read_blocks, writer

    if what not in ("prediction", "mean", "second"):
        raise typer.BadParameter("--what is prediction, mean or second")
    loaded = load_program(program)
    blocks, count = read_blocks(source, key)
    with open_device(device) as opened, progress() as bar:
        if what == "second" and opened.config is not None and not opened.config.second_moment:
            raise DeviceError(
                f"device {device!r} was built without second moments; ask for prediction or mean"
            )
        opened.load(loaded)
        task = bar.add_task(f"running on {device}", total=count)
        done, counters = 0, {}
        with writer(output, count) as write:
            for outputs in opened.stream(_checked(loaded, blocks), seed=seed, warm=warm):
                write(
                    loaded.problem.decode(outputs.mean)
                    if what == "prediction"
                    else getattr(outputs, what)
                )
                done, counters = done + len(outputs.mean), outputs.counters
                bar.update(task, completed=done)
    if not done:
        raise InputError("there were no inputs")
    write_json(
        json_file,
        {"device": device, "program": loaded.name, "inputs": done, "seed": seed, **counters},
    )
    saturations = sum(counters.get(name) or 0 for name in ("rank_saturations", "state_saturations"))
    if saturations:
        errors.print(
            f"warning: {saturations} words saturated; compile with calibration data closer to these inputs"
        )


def _checked(program: Program, blocks):
    """Blocks, the first of them refused before anything is written if it is not what the program
    takes.
    """
    for block in blocks:
        program.quantize(block)
        yield block
