"""The command line. Every error is one line; every layer has its exit code (:data:`EXIT_CODES`)."""

import json
import sys
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ornstein.boards.build import BuildError
from ornstein.hdl.config import PRESETS, ConfigError, FabricConfig, preset
from ornstein.host import recipes
from ornstein.host.data import DataError
from ornstein.host.device import URIS, DeviceError, open_device
from ornstein.host.energy import EnergyError
from ornstein.host.model_file import DEFAULT_MODEL, ModelFileError, TrainedModel
from ornstein.host.problem import EM, LM, NEAREST, STOCHASTIC, ProblemError
from ornstein.host.program import InputError, Program, ProgramError
from ornstein.host.transport.base import LinkError
from ornstein.sim.toolchain import ToolError


class CheckError(RuntimeError):
    """Something that was checked is not as it must be."""


EXIT_CODES: dict[type[Exception], int] = {
    DeviceError: 3, LinkError: 3,                                       # the device or the line to it
    ProgramError: 4, ProblemError: 4, EnergyError: 4, ConfigError: 4,   # the program, or its fit to a fabric
    InputError: 5,                                                      # the inputs
    ModelFileError: 6, DataError: 6,                                    # trained weights, activations, data sets
    ToolError: 7,                                                       # a tool outside Python
    CheckError: 8,                                                      # a check that failed
    BuildError: 10,                                                     # a bitstream
    OSError: 9,                                                         # a file that cannot be written
}
"""Exit code of each layer's errors; 2 is wrong usage, 130 an interrupt, 1 a bug."""

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich",
                  help="Run trained diffusion weights on a substrate that answers by relaxing to equilibrium.")
errors = Console(stderr=True)
screen = Console(width=None if sys.stdout.isatty() else 140)

JsonOption = Annotated[Path | None, typer.Option("--json", help="Write machine-readable results to this file.")]
DeviceOption = Annotated[str, typer.Option(help="Device URI: rtl, model, float, serial:PORT; see ornstein devices.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of every random number.")]
ModelOption = Annotated[Path, typer.Option(help="Folder of ornstein train, or a safetensors or PyTorch state dict.")]


class RecipeName(StrEnum):
    """Recipes that compile; see ornstein.host.recipes."""

    full = "full"
    silu = "silu"
    aligned = "aligned"
    paper = "paper"


_RECIPES = {RecipeName.full: recipes.ours_full, RecipeName.silu: recipes.ours_silu,
            RecipeName.aligned: recipes.ours_aligned, RecipeName.paper: recipes.paper_full}


@contextmanager
def _progress():
    """A progress bar on standard error, so that outputs can go to standard output."""
    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                  console=errors, transient=True) as bar:
        yield bar


def _write_json(path: Path | None, document) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=1) + "\n")


@app.command(epilog="Example:  ornstein demo --output build/demo")
def demo(device: DeviceOption = "rtl",
         output: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("build/demo"),
         model: ModelOption = DEFAULT_MODEL, seed: SeedOption = 1, json_file: JsonOption = None) -> None:
    """Run the whole chain on held-out inputs: trained weights in, equilibrium out, every row scored."""
    from ornstein.host.demo import DemoError, run_demo
    from ornstein.host.report import print_table, write_report

    trained = TrainedModel.load(model)
    with _progress() as bar:
        tasks: dict[str, int] = {}

        def say(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        try:
            result = run_demo(trained, device=device, seed=seed, progress=say)
        except DemoError as error:
            raise CheckError(str(error)) from None
    output.mkdir(parents=True, exist_ok=True)
    report = write_report(result, output)
    for path in {output / "results.json", json_file} - {None}:
        _write_json(path, result.results())
    print_table(result, screen)
    screen.print(f"Report: {report}, results: {output / 'results.json'}", soft_wrap=True)


@app.command(epilog="Example:  ornstein train --data digits --sigma 0.1 --epochs 12 --output build/model")
def train(data: Annotated[str, typer.Option(help="digits, or a folder of MNIST IDX files.")] = "digits",
          sigma: Annotated[float, typer.Option(min=0.0, help="Noise that the network learns to remove.")] = 0.1,
          base: Annotated[int, typer.Option(min=8, help="Channels at full resolution, a multiple of 8.")] = 64,
          epochs: Annotated[int, typer.Option(min=1)] = 12, seed: SeedOption = 0,
          output: Annotated[Path, typer.Option(help="Folder for weights and activations.")] = Path("build/model"),
          json_file: JsonOption = None) -> None:
    """Train the paper's U-Net as a denoiser and keep its weights and activations (needs the \\[train] extra)."""
    from ornstein.host.data import digits, mnist

    try:
        from ornstein.host import unet
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ToolError("training needs PyTorch; install it with: pip install 'ornstein[train]'") from None
    images = digits() if data == "digits" else mnist(data)
    command = f"ornstein train --data {Path(data).name} --sigma {sigma:g} --base {base} --epochs {epochs} --seed {seed}"
    with _progress() as bar:
        task = bar.add_task(f"training on {images.name}", total=epochs)
        net, losses = unet.train(images, sigma=sigma, base=base, epochs=epochs, seed=seed,
                                 progress=lambda epoch, loss: bar.update(
                                     task, completed=epoch, description=f"training on {images.name}, loss {loss:.2e}"))
    output.mkdir(parents=True, exist_ok=True)
    unet.save_model(output, net, images, sigma, losses, seed, command)
    _write_json(json_file, {"output": str(output), "losses": losses})
    screen.print(f"Wrote {output}; final loss {losses[-1]:.3e}. Next: ornstein demo --model {output}", soft_wrap=True)


@app.command(
    "compile", epilog="Example:  ornstein compile --recipe aligned --kt 0.001 --samples 64 --output aligned.program")
def compile_command(
        recipe: Annotated[
            RecipeName, typer.Option(help="How couplings and interface come from the weights.")] = RecipeName.full,
        model: ModelOption = DEFAULT_MODEL,
        encoder_layer: Annotated[str, typer.Option(help="Weight of the encoder's convolution.")] = "e1.conv1.weight",
        decoder_layer: Annotated[str, typer.Option(help="Weight of its partner.")] = "d1.conv1.weight",
        activations: Annotated[Path | None, typer.Option(help=".npz with x_train, y_train, x_test, y_test.")] = None,
        rank: Annotated[int | None, typer.Option(min=1, help="Rank of the skip; the recipe's own otherwise.")] = None,
        kt: Annotated[float, typer.Option(min=0.0, help="Temperature kT.")] = 0.0,
        dt: Annotated[float, typer.Option(help="Time step.")] = 1.0,
        samples: Annotated[int, typer.Option(min=1, help="Averaged steps.")] = 16,
        integrator: Annotated[str, typer.Option(help="lm (Leimkuhler-Matthews) or em (Euler-Maruyama).")] = LM,
        rounding: Annotated[str, typer.Option(help="nearest or stochastic.")] = NEAREST,
        fabric: Annotated[str, typer.Option(help=f"One of {', '.join(PRESETS)}.")] = "reference",
        output: Annotated[Path, typer.Option(help="The program file.")] = Path("ornstein.program"),
        json_file: JsonOption = None) -> None:
    """Turn trained weights into a program file: couplings, interface, formats chosen from the data, integer images."""
    from ornstein.host.demo import compile_recipe

    if integrator not in (LM, EM) or rounding not in (NEAREST, STOCHASTIC):
        raise typer.BadParameter(f"--integrator is {LM} or {EM}, --rounding {NEAREST} or {STOCHASTIC}")
    trained = TrainedModel.load(model, encoder_layer, decoder_layer, activations)
    built = _RECIPES[recipe](trained, _energy(recipe, trained, rank))
    program = compile_recipe(built, trained, preset(fabric), kT=kt, samples=samples, dt=dt, integrator=integrator,
                             rounding=rounding)
    output.parent.mkdir(parents=True, exist_ok=True)
    program.save(output)
    _show_program(program)
    _write_json(json_file, _program_document(program))
    screen.print(f"Wrote {output}. Next: ornstein run {output} --input inputs.npy", soft_wrap=True)


def _energy(recipe: RecipeName, trained: TrainedModel, rank: int | None):
    """The recipe's energy at another rank, or None for its own."""
    from ornstein.host.couplings import aligned, hierarchical_bilinear, paper_energy

    if rank is None:
        return None
    if recipe == RecipeName.aligned:
        return aligned(trained.x_train, trained.y_train, rank)
    return (paper_energy if recipe == RecipeName.paper else hierarchical_bilinear)(trained.W_enc, trained.W_dec, rank)


@app.command(epilog="Example:  ornstein inspect ornstein.program --json program.json")
def inspect(program: Annotated[Path, typer.Argument(help="A program file.")], json_file: JsonOption = None) -> None:
    """Show what a program file holds: fabric, schedule, layout, and the range report."""
    loaded = Program.load(program)
    _show_program(loaded)
    _write_json(json_file, _program_document(loaded))


def _program_document(program: Program) -> dict:
    problem = program.problem
    return {
        "name": program.name, "fabric": program.config.name, "dt": program.dt, "state_lsb": program.state_lsb,
        "integrator": problem.integrator, "rounding": problem.rounding, "entry": problem.entry,
        "stages": [asdict(stage) for stage in problem.stages], "layout": asdict(program.layout),
        "words": {"factor": len(program.factor), "descriptors": len(program.descriptors)},
        "ranges": [asdict(row) for row in program.ranges]}


def _show_program(program: Program) -> None:
    problem, layout = program.problem, program.layout
    units = problem.energies[0].units
    schedule = ", then ".join(f"{stage.steps} steps at kT = {stage.kT:g}" + (" averaged" if stage.accumulate else "")
                              for stage in problem.stages)
    screen.print(f"[bold]{program.name}[/bold] for fabric {program.config.name}: {units} units, {layout.chains} inputs "
                 f"at once, {schedule}; {problem.integrator.upper()}, dt = {program.dt:.6g}, "
                 f"rounding {problem.rounding}",
                 soft_wrap=True)
    table = Table("field", "range", "bits", "LSB", "clipped", "requested", "realised")
    for row in program.ranges:
        table.add_row(row.name, f"{row.low:.4g} to {row.high:.4g}", str(row.bits), f"{row.lsb:.3g}",
                      f"{row.clipped:.2%}",
                      *("-" if value is None else f"{value:.6g}" for value in (row.requested, row.realised)))
    screen.print(table)


@app.command(epilog="Example:  ornstein load ornstein.program --device serial:/dev/ttyUSB1")
def load(program: Annotated[Path, typer.Argument(help="A program file.")], device: DeviceOption = "rtl",
         json_file: JsonOption = None) -> None:
    """Load a program onto a device and read it back."""
    loaded = Program.load(program)
    with open_device(device) as opened:
        opened.load(loaded)
        verified = opened.verify()
    _write_json(json_file, {"device": device, "program": loaded.name, "elements_verified": verified})
    screen.print(f"{loaded.name} is on {device}; {verified} elements read back equal", soft_wrap=True)


@app.command(epilog="Example:  ornstein run ornstein.program --input inputs.csv --output answers.csv")
def run(program: Annotated[Path, typer.Argument(help="A program file.")],
        device: DeviceOption = "rtl",
        source: Annotated[
            str, typer.Option("--input", help=".npy, .npz or CSV file, or - for CSV on standard input.")] = "-",
        key: Annotated[str | None, typer.Option(help="Array of an .npz file.")] = None,
        output: Annotated[str, typer.Option(help=".npy or CSV file, or - for CSV on standard output.")] = "-",
        what: Annotated[str, typer.Option(help="prediction, mean (of every unit) or second (moment).")] = "prediction",
        seed: SeedOption = 1,
        warm: Annotated[
            bool, typer.Option("--warm", help="Start each input from the states that the last one left.")] = False,
        json_file: JsonOption = None) -> None:
    """Stream inputs through a program; outputs are written as they come."""
    from ornstein.host.streams import read_blocks, writer

    if what not in ("prediction", "mean", "second"):
        raise typer.BadParameter("--what is prediction, mean or second")
    loaded = Program.load(program)
    blocks, count = read_blocks(source, key)
    with open_device(device) as opened, _progress() as bar:
        if what == "second" and opened.config is not None and not opened.config.second_moment:
            raise DeviceError(f"device {device!r} was built without second moments; ask for prediction or mean")
        opened.load(loaded)
        task = bar.add_task(f"running on {device}", total=count)
        done, counters = 0, {}
        with writer(output, count) as write:
            for outputs in opened.stream(_checked(loaded, blocks), seed=seed, warm=warm):
                write(loaded.problem.decode(outputs.mean) if what == "prediction" else getattr(outputs, what))
                done, counters = done + len(outputs.mean), outputs.counters
                bar.update(task, completed=done)
    if not done:
        raise InputError("there were no inputs")
    _write_json(json_file, {"device": device, "program": loaded.name, "inputs": done, "seed": seed, **counters})
    saturations = sum(counters.get(name) or 0 for name in ("rank_saturations", "state_saturations"))
    if saturations:
        errors.print(f"warning: {saturations} words saturated; compile with calibration data closer to these inputs")


def _checked(program: Program, blocks):
    """Blocks, the first of them refused before anything is written if it is not what the program takes."""
    for block in blocks:
        program.quantize(block)
        yield block


@app.command(epilog="Example:  ornstein devices --json devices.json")
def devices(json_file: JsonOption = None) -> None:
    """List what can run programs: URIs, fabrics, serial ports."""
    from serial.tools import list_ports

    table = Table("URI", "what it is")
    for uri, description in URIS.items():
        table.add_row(uri.replace("[", r"\["), description)
    screen.print(table)
    fabrics = Table("fabric", "lanes", "units", "factors", "options")
    for config in PRESETS.values():
        fabrics.add_row(config.name, f"{config.rank_lanes} x {config.unit_lanes}",
                        str(config.state_depth * config.unit_lanes), str(config.factor_depth * config.lanes),
                        _options(config))
    screen.print(fabrics)
    ports = [(port.device, port.description) for port in list_ports.comports()]
    for port, description in ports:
        screen.print(f"serial:{port}  {description}", markup=False)
    if not ports:
        screen.print("no serial port found")
    _write_json(json_file, {"uris": URIS, "fabrics": {c.name: asdict(c) for c in PRESETS.values()},
                            "ports": [f"serial:{port}" for port, _ in ports]})


def _options(config: FabricConfig) -> str:
    named = {"second moment": config.second_moment, "sample stream": config.sample_depth, "quartic": config.quartic}
    return ", ".join(name for name, built in named.items() if built) or "none"


@app.command(epilog="Example:  ornstein build icebreaker --output build")
def build(board: Annotated[str, typer.Argument(help="One of the boards; see the README.")],
          output: Annotated[Path, typer.Option(help="Folder in which the board's own is made.")] = Path("build"),
          json_file: JsonOption = None) -> None:
    """Build a board's bitstream with Yosys and nextpnr from PyPI (needs the \\[synth] extra)."""
    from ornstein.boards.build import build as build_board

    with _progress() as bar:
        task = bar.add_task(f"building {board}", total=None)
        report = build_board(board, output, progress=lambda what: bar.update(task, description=f"{board}: {what}"))
    _write_json(json_file, report)
    table = Table("resource", "used", "available")
    for name in ("cells", "multipliers", "block_ram", "spram"):
        table.add_row(name, str(report[name]), str(report[f"{name}_available"]))
    screen.print(table)
    for domain, clock in report["clocks"].items():
        screen.print(f"clock {domain}: {clock['target_mhz']:g} MHz asked, {clock['achieved_mhz']:g} reached, "
                     f"{clock['limit_mhz']:g} allowed by the data sheet", soft_wrap=True)
    screen.print(f"Wrote {output / board}", soft_wrap=True)


@app.command(epilog="Example:  ornstein bench --json bench.json --compare yesterday.json")
def bench(json_file: JsonOption = None,
          compare: Annotated[Path | None, typer.Option(help="A stored run of the same machine.")] = None) -> None:
    """Measure everything as a ratio to a limit or a peer, in one run of about ten minutes."""
    from ornstein.host import bench as benchmarks

    stored = json.loads(compare.read_text()) if compare else None
    found = []
    with _progress() as bar:
        task = bar.add_task("starting", total=None)
        for figure in benchmarks.bench(lambda what: bar.update(task, description=what)):
            found.append(figure)
            bar.console.print(f"measured {figure.name}", style="dim")
    table = Table("figure", "value", "unit", "reference", "ratio", "note")
    for row in found:
        numbers = ["-" if number is None else f"{number:.4g}" for number in (row.value, row.reference, row.ratio)]
        table.add_row(row.name, numbers[0], row.unit, *numbers[1:], row.note)
    screen.print(table)
    _write_json(json_file, [asdict(row) for row in found])
    if stored is not None:
        change = Table("figure", "now over then")
        for name, ratio in benchmarks.compare(found, stored):
            change.add_row(name, f"{ratio:.3f}")
        screen.print(change)


@app.command(epilog="Example:  ornstein doctor")
def doctor(json_file: JsonOption = None) -> None:
    """Check this installation: tools, model, and the gateware against the integer model."""
    from ornstein.host.doctor import examine

    found = []
    for check in examine():
        found.append(check)
        mark = "[green]ok[/green]" if check.ok else "[red]missing[/red]" if check.needed else "[yellow]absent[/yellow]"
        screen.print(f"{mark:>8}  {check.name}: ", end="")
        screen.print(check.detail, markup=False, soft_wrap=True)
    _write_json(json_file, [asdict(check) for check in found])
    if failed := [check.name for check in found if check.needed and not check.ok]:
        raise CheckError(f"not in order: {', '.join(failed)}")


def main() -> None:
    """Entry point of the ``ornstein`` command."""
    try:
        app()
    except tuple(EXIT_CODES) as error:
        code = next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
        errors.print(f"ornstein: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(code)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
