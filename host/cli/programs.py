# SPDX-License-Identifier: Apache-2.0
"""``ornstein compile``, ``inspect``, ``load`` and ``run``: from weights to predictions."""

import logging
import shlex
import time
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.table import Table

from ornstein.hdl.config import PRESETS, preset
from ornstein.host.cli.app import (
    ActivationsOption,
    DeviceOption,
    JsonOption,
    ModelOption,
    SeedOption,
    SkipOption,
    WavesOption,
    app,
    errors,
    note,
    progress,
    remark,
    screen,
    traced,
    write_json,
)
from ornstein.host.cli.skips import one_skip
from ornstein.host.compile.program import AccuracyCheck, InputError, Program
from ornstein.host.compile.program_file import LONGEST_JOB, load_program, save_program
from ornstein.host.devices.device import (
    DeviceError,
    Outputs,
    Selection,
    open_device,
    prediction_only,
)
from ornstein.host.files.replace import check_distinct
from ornstein.host.models import recipes
from ornstein.host.models.model_file import DEFAULT_MODEL, TrainedModel
from ornstein.host.models.rank import choose_rank, full_rank
from ornstein.host.models.run import LOSS, compile_recipe
from ornstein.host.physics.problem import NEAREST, STOCHASTIC
from ornstein.host.physics.timestep import TOLERANCE, TimeStep
from ornstein.sim.stages import EM, LM

if TYPE_CHECKING:  # only the command run needs it
    from ornstein.host.files.inputs import Clipping

LongOption = Annotated[
    bool,
    typer.Option("--long", help=f"Accept jobs of more than {LONGEST_JOB:,} cycles."),
]


_log = logging.getLogger(__name__)

_NO_EFFECT = 1e-3
"""Change of the answers, over the spread of the targets, below which an option has no effect."""


class RecipeName(StrEnum):
    """The recipes that can be compiled; see :mod:`ornstein.host.models.recipes`."""

    aligned = recipes.ALIGNED
    full = recipes.FULL
    silu = recipes.SILU
    paper = recipes.PAPER


@app.command(
    "compile",
    epilog="Example:  ornstein compile --recipe full --kt 0.001 --samples 64 --output full.program",
)
def compile_command(
    recipe: Annotated[
        RecipeName, typer.Option(help="How couplings and interface are derived from the weights.")
    ] = RecipeName.aligned,
    model: ModelOption = DEFAULT_MODEL,
    activations: ActivationsOption = None,
    skip: SkipOption = None,
    rank: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Rank of the skip coupling.",
            show_default=f"aligned: what the data ask for; else {recipes.RANK}",
        ),
    ] = None,
    kt: Annotated[float, typer.Option(min=0.0, help="Temperature kT of all stages.")] = 0.0,
    dt: Annotated[
        float | None,
        typer.Option(help="Time step.", show_default="the one with the fewest steps"),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(help="Share of the distance from equilibrium left at the first read."),
    ] = TOLERANCE,
    samples: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of averaged steps.",
            show_default=f"as many as cost {LOSS:g} of centred cosine",
        ),
    ] = None,
    integrator: Annotated[
        str, typer.Option(help="lm (Leimkuhler-Matthews) or em (Euler-Maruyama).")
    ] = LM,
    rounding: Annotated[
        str, typer.Option(help="Rounding of the state: nearest or stochastic.")
    ] = NEAREST,
    fabric: Annotated[
        str, typer.Option(help=f"Fabric to compile for: {', '.join(PRESETS)}.")
    ] = "reference",
    output: Annotated[Path, typer.Option(help="Program file to write.")] = Path("ornstein.program"),
    json_file: JsonOption = None,
) -> None:
    """Compile trained weights into a program file.

    The file holds couplings, interface, number formats chosen from the training activations, and
    the contents of the fabric's memories.
    """
    from ornstein.host.experiments.score.run import score_program
    from ornstein.host.experiments.score.table import show_scores

    if integrator not in (LM, EM) or rounding not in (NEAREST, STOCHASTIC):
        raise typer.BadParameter(
            f"--integrator is {LM} or {EM}, --rounding {NEAREST} or {STOCHASTIC}"
        )
    check_distinct(output, model, *(activations or ()))
    trained = one_skip(model, skip, activations)
    used, notes = _rank(recipe, trained, rank)
    built = recipes.of_rank(recipe, trained, used)
    program = compile_recipe(
        built,
        trained,
        preset(fabric),
        kT=kt,
        samples=samples,
        dt=dt,
        tolerance=tolerance,
        integrator=integrator,
        rounding=rounding,
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    save_program(program, output)
    _show_program(program)
    scores = score_program(program, trained, used)
    show_scores("Held-out activations", scores)
    for text in (*notes, *_notes(program)):
        note(text)
    rows = [row.document() for row in scores.rows]
    write_json(json_file, {**_program_document(program), "rank": used, "scores": rows})
    command = shlex.join(["ornstein", "run", str(output), "--input", "inputs.npy"])
    remark(f"Wrote {output}. Next: {command}")


def _rank(recipe: str, trained: TrainedModel, rank: int | None) -> tuple[int, list[str]]:
    """Returns the rank to use, and a note if the one that was asked for has no effect."""
    most = full_rank(trained)
    if rank is None:
        return (choose_rank(trained) if recipe == recipes.ALIGNED else min(recipes.RANK, most)), []
    if rank > most:
        return most, [f"--rank {rank} acts as {most}, the units of the narrower side"]
    if recipe == recipes.ALIGNED or rank == recipes.RANK:
        return rank, []
    asked, usual = (
        recipes.of_rank(recipe, trained, k).predict(trained.x_test)
        for k in (rank, min(recipes.RANK, most))
    )
    spread = np.sqrt(np.mean((trained.y_test - trained.y_train.mean(axis=0)) ** 2))
    change = float(np.sqrt(np.mean((asked - usual) ** 2)) / spread)
    if change >= _NO_EFFECT:
        return rank, []
    return rank, [
        f"--rank {rank} changes the answers of recipe {recipe} by {change:.1e} of the targets' "
        f"spread against rank {recipes.RANK}: the digital interface sets its score"
    ]


def _notes(program: Program) -> list[str]:
    """Returns a line for every option that has no effect on this program."""
    problem = program.problem
    if problem.kT:
        return []
    notes = []
    if problem.integrator == EM:
        notes.append("--integrator em has no effect at kT = 0, where there is no noise")
    if problem.samples > 1:
        notes.append("--samples averages nothing but rounding at kT = 0")
    return notes


@app.command(epilog="Example:  ornstein inspect ornstein.program --html program.html")
def inspect(
    program: Annotated[Path, typer.Argument(help="A program file.")],
    html: Annotated[
        Path | None, typer.Option(help="Draw the program on a page: one file, some 5 MB.")
    ] = None,
    json_file: JsonOption = None,
) -> None:
    """Show what a program file holds: its fabric, schedule and layout, and the range report."""
    loaded = load_program(program, long=True)
    _show_program(loaded)
    write_json(json_file, _program_document(loaded))
    if html is not None:
        from ornstein.host.pages.program_page import write_program_page

        remark(f"Wrote {write_program_page(loaded, html)}")


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
        "relaxation": None if program.relaxation is None else asdict(program.relaxation),
        "stages": [asdict(stage) for stage in problem.stages],
        "layout": asdict(program.layout),
        "words": {"factor": len(program.factor), "descriptors": len(program.descriptors)},
        "ranges": [asdict(row) for row in program.ranges],
        "checks": [asdict(check) for check in program.checks],
        "warnings": list(program.warnings()),
    }


def _show_program(program: Program) -> None:
    problem, layout = program.problem, program.layout
    units = problem.energies[0].units
    schedule = ", then ".join(
        f"{stage.steps} steps "
        + (f"of dt / {1 << stage.halvings} " if stage.halvings else "")
        + f"at kT = {stage.kT:g}"
        + (" averaged" if stage.accumulate else "")
        for stage in problem.stages
    )
    screen.print(
        f"{program.name} for fabric {program.config.name}: "
        f"{units} units, "
        f"{layout.chains} inputs at once, {schedule}; {problem.integrator.upper()}, "
        f"dt = {program.dt:.6g}, rounding {problem.rounding}",
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
    if program.checks:
        screen.print(_checks_table(program.checks))
    if (relaxation := program.relaxation) is not None:
        screen.print(_relaxation_text(relaxation), soft_wrap=True)
    _show_warnings(program)


def _checks_table(checks: tuple[AccuracyCheck, ...]) -> Table:
    """Returns the table of what the compiler measured of a program."""
    table = Table("check", "measured", "tolerance")
    for check in checks:
        bound = "at least" if check.least else "at most"
        table.add_row(check.name, f"{check.measured:.3g}", f"{bound} {check.tolerance:g}")
    return table


def _show_warnings(program: Program) -> None:
    """Prints a line on standard error for everything that a program holds less well than asked."""
    for warning in program.warnings():
        errors.print(
            f"warning: {program.name}: {warning}", markup=False, highlight=False, soft_wrap=True
        )


def _relaxation_text(step: TimeStep) -> str:
    """Returns what the time step reaches, beside Chebyshev's bound and the time step 1."""
    unit = "is unstable" if step.unit_steps is None else f"would take {step.unit_steps}"
    return (
        f"Relaxation leaves {step.tolerance:.2%} of the distance from equilibrium at the first "
        f"read, after {step.steps} steps; dt = 1 {unit}, and no sequence of time steps takes fewer "
        f"than {step.chebyshev_steps} (Chebyshev's bound)."
    )


@app.command(epilog="Example:  ornstein load ornstein.program --device serial:/dev/ttyUSB1")
def load(
    program: Annotated[Path, typer.Argument(help="A program file.")],
    device: DeviceOption = "rtl",
    waves: WavesOption = None,
    json_file: JsonOption = None,
    long: LongOption = False,
) -> None:
    """Load a program onto a device, and compare what the device's memories then hold with it."""
    loaded = load_program(program, long=long)
    _show_warnings(loaded)
    with open_device(traced(device, waves)) as opened:
        opened.load(loaded)
        verified = opened.verify()
    write_json(json_file, {"device": device, "program": loaded.name, "elements_verified": verified})
    outcome = (
        f"{verified} elements read back equal"
        if verified
        else "it has no memories that could be read back"
    )
    screen.print(f"{loaded.name} is on {device}; {outcome}", markup=False, soft_wrap=True)


@app.command(
    epilog="Example:  ornstein run ornstein.program --input inputs.csv --output answers.csv"
)
def run(
    program: Annotated[Path, typer.Argument(help="A program file.")],
    device: DeviceOption = "rtl",
    source: Annotated[
        str,
        typer.Option(
            "--input",
            help="CSV, .npy, .npz or .safetensors, packed with gzip or not; a pipe, or - for "
            "standard input.",
        ),
    ] = "-",
    key: Annotated[
        str | None,
        typer.Option(help="Name of the array, in a file of several."),
    ] = None,
    output: Annotated[
        str,
        typer.Option(
            help=".csv, .npy, .npz or .safetensors file; - writes CSV to standard output."
        ),
    ] = "-",
    what: Annotated[
        str,
        typer.Option(
            help="Output: prediction, or mean or second moment of every unit (mean, second)."
        ),
    ] = "prediction",
    seed: SeedOption = 1,
    warm: Annotated[
        bool,
        typer.Option(
            "--warm", help="Start from the states that earlier inputs left, instead of from zero."
        ),
    ] = False,
    clip: Annotated[
        bool,
        typer.Option(
            "--clip", help="Take the nearest value for one that the program's inputs cannot hold."
        ),
    ] = False,
    waves: WavesOption = None,
    json_file: JsonOption = None,
    long: LongOption = False,
) -> None:
    """Run inputs through a program, and write each block of outputs as soon as it is there."""
    from ornstein.host.files.inputs import Clipping, open_inputs
    from ornstein.host.files.outputs import check_output, open_outputs

    loaded = load_program(program, long=long)
    _show_warnings(loaded)
    selection = _selection(what, loaded)
    check_output(output)
    check_distinct(output, source, program)
    problem, clipping = loaded.problem, Clipping(loaded) if clip else None
    with (
        open_inputs(source, problem.input_size, key=key, job=loaded.layout.chains) as inputs,
        open_device(traced(device, waves)) as opened,
        progress() as bar,
    ):
        if selection.second and opened.config is not None and not opened.config.second_moment:
            raise DeviceError(
                f"device {device!r} was built without second moments; ask for prediction or mean"
            )
        opened.load(loaded)
        task = bar.add_task(f"running on {device}", total=inputs.count)
        done, counters, begin = 0, {}, time.perf_counter()
        blocks = clipping.blocks(inputs.blocks) if clipping else inputs.blocks
        with open_outputs(output, what) as write:
            try:
                for outputs in opened.stream(blocks, seed=seed, warm=warm, selection=selection):
                    write(_rows(what, loaded, outputs))
                    done, counters = done + len(outputs.mean), outputs.counters
                    bar.update(task, completed=done)
            except InputError as error:
                raise inputs.located(error) from None
            if not done:
                raise InputError(f"there were no inputs in {inputs.name}")
        reloads, upsets = opened.reloads, opened.upsets
        seconds = time.perf_counter() - begin
    _log.info("%d inputs in %.3g s, %.4g inputs a second", done, seconds, done / seconds)
    report = {"device": device, "program": loaded.name, "inputs": done, "seed": seed, **counters}
    if clipping:
        report["clipped_inputs"] = clipping.rows
        inputs.notes.append(_clipping_note(clipping, done))
    write_json(json_file, report)
    for text in inputs.notes:
        note(text)
    _warn_of_saturation(counters)
    for memory, times in upsets.items():
        errors.print(
            f"warning: the scrubber found a wrong checksum of {memory} {times} times; what ran "
            "then was repeated",
            soft_wrap=True,
        )
    if reloads:
        errors.print(
            f"warning: the device lost its program {reloads} times, which was loaded again; check "
            "its supply and its cable",
            soft_wrap=True,
        )


def _clipping_note(clipping: "Clipping", done: int) -> str:
    if not clipping.rows:
        return "--clip had no effect: the program holds every input"
    return (
        f"--clip changed {clipping.rows:,} of {done:,} inputs, row {clipping.first} (from 0) first"
    )


def _selection(what: str, program: Program) -> Selection:
    """Returns what a device has to read back for that output."""
    if what == "prediction":
        return prediction_only(program.problem)
    if what in ("mean", "second"):
        return Selection(second=what == "second", samples=False)
    raise typer.BadParameter("--what is prediction, mean or second")


def _rows(what: str, program: Program, outputs: Outputs) -> np.ndarray:
    """Returns the rows (n, D) to write."""
    if what == "prediction":
        return outputs.prediction(program.problem)
    return getattr(outputs, what)


def _warn_of_saturation(counters: dict[str, int | None]) -> None:
    saturations = sum(counters[name] or 0 for name in ("rank_saturations", "state_saturations"))
    if saturations:
        errors.print(
            f"warning: {saturations} words saturated; compile with calibration data closer to "
            "these inputs",
            soft_wrap=True,
        )
