# SPDX-License-Identifier: Apache-2.0
"""``ornstein learn``: couplings learned on the device that runs them, from its own read-outs."""

import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ornstein.host.cli.app import (
    ActivationsOption,
    JsonOption,
    ModelOption,
    SeedOption,
    SkipOption,
    app,
    errors,
    note,
    progress,
    remark,
    screen,
    show,
    stages,
    write_json,
)
from ornstein.host.models.model_file import DEFAULT_MODEL

if TYPE_CHECKING:
    from ornstein.host.learn.learner import Settings


@app.command(
    epilog="Examples:  ornstein learn --device model?imperfections=chip7.toml\n\n"
    "ornstein learn --benchmark --output build/learn"
)
def learn(
    program: Annotated[
        Path | None,
        typer.Argument(
            help="Program file to begin with.", show_default="the aligned recipe of the model"
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="Device URI to learn on; see ornstein devices.")
    ] = "model",
    output: Annotated[
        Path | None,
        typer.Option(
            help="Program file to write, or the benchmark's folder.",
            show_default="learned.program, build/learn",
        ),
    ] = None,
    model: ModelOption = DEFAULT_MODEL,
    activations: ActivationsOption = None,
    skip: SkipOption = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps, each of three phases.")] = 120,
    batch: Annotated[int, typer.Option(min=1, help="Inputs of a step.")] = 128,
    rate: Annotated[
        float, typer.Option(help="Share of a Gauss-Newton step; it falls to zero at the last step.")
    ] = 0.4,
    constant_rate: Annotated[
        bool, typer.Option("--constant-rate", help="Keep the rate, as for a chip that drifts.")
    ] = False,
    beta: Annotated[float, typer.Option(help="Strength of the nudges.")] = 2.0,
    cold: Annotated[
        bool, typer.Option("--cold", help="Start nudged phases from zero, not from the states.")
    ] = False,
    limit: Annotated[
        float, typer.Option(help="Largest strength S of the couplings; M is definite below 1.")
    ] = 0.8,
    random_start: Annotated[
        bool, typer.Option("--random-start", help="Begin with small random couplings.")
    ] = False,
    every: Annotated[int, typer.Option(min=1, help="Steps between two validations.")] = 5,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="File that each validation writes; if it is there, learning goes on."),
    ] = None,
    benchmark: Annotated[
        bool, typer.Option("--benchmark", help="Learn on many chips, and compare the alternatives.")
    ] = False,
    seed: SeedOption = 1,
    json_file: JsonOption = None,
) -> None:
    """Learn a program's couplings on a device from its own answers, so that it fits its faults."""
    from ornstein.host.learn.learner import Learner, LearningError, Settings, random_factors

    settings = Settings(steps, batch, rate, not constant_rate, beta, not cold, limit, every, seed)
    try:
        settings.check()
    except LearningError as error:
        raise typer.BadParameter(str(error)) from None
    if benchmark:
        own = program, activations, skip, checkpoint, random_start, cold, device != "model"
        if any(own) or model != DEFAULT_MODEL:
            raise typer.BadParameter(
                "the benchmark has chips, programs and phases of its own; leave out PROGRAM, "
                "--device, --model, --activations, --skip, --cold, --random-start and --checkpoint"
            )
        _benchmark(output or Path("build/learn"), settings, json_file)
        return
    from ornstein.host.cli.skips import one_skip
    from ornstein.host.compile.program_file import save_program
    from ornstein.host.devices.device import open_device

    path = output or Path("learned.program")
    trained = one_skip(model, skip, activations)
    with open_device(device) as opened, progress() as bar:
        first = _program(program, opened, trained)
        learner = Learner(
            first,
            opened,
            trained.x_train,
            trained.y_train,
            settings,
            start=random_factors(first, seed) if random_start else None,
        )
        done = learner.resume(checkpoint) if checkpoint and checkpoint.exists() else 0
        if done:
            remark(f"Going on from step {done} of {checkpoint}")
        before = learner.score(trained.x_test, trained.y_test)
        stopped = _run(learner, checkpoint, done, bar)
        learner.take_best()
        after = learner.score(trained.x_test, trained.y_test)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_program(learner.program, path)
    _show(learner, before, after)
    write_json(
        json_file,
        {
            "device": device,
            "program": str(path),
            "settings": asdict(settings),
            "before": before.centred_cosine,
            "after": after.centred_cosine,
            "validations": [asdict(row) for row in learner.history],
        },
    )
    command = shlex.join(["ornstein", "run", str(path), "--device", device])
    remark(f"Wrote {path}. Next: {command}")
    if stopped is not None:
        raise stopped


def _run(learner, checkpoint: Path | None, done: int, bar):
    """Takes the steps after ``done``; returns the error that stopped them, or None."""
    from ornstein.host.learn.learner import LearningError

    task = bar.add_task("learning", total=learner.settings.steps, completed=done)

    def tell(now, validation) -> None:
        text = f"learning, centred cosine {validation.centred:.4f}"
        bar.update(task, completed=now, description=text)

    try:
        learner.run(checkpoint=checkpoint, progress=tell)
    except LearningError as error:
        return error
    return None


def _program(path, device, trained):
    """Returns the program to begin with: that of the file, or the aligned recipe, compiled for the
    fabric of the device.
    """
    if path is not None:
        from ornstein.host.compile.program_file import load_program

        return load_program(path)
    from ornstein.hdl.config import REFERENCE
    from ornstein.host.models import recipes
    from ornstein.host.models.run import compile_recipe

    return compile_recipe(recipes.ours_aligned(trained), trained, device.config or REFERENCE)


def _show(learner, before, after) -> None:
    """Prints the validations, and the scores of the held-out activations."""
    table = Table("step", "centred cosine", "loss", "strength S", "words written")
    for row in learner.history:
        table.add_row(
            str(row.step),
            f"{row.centred:.4f}",
            f"{row.loss:.4f}",
            f"{row.strength:.3f}",
            f"{row.words:,}",
        )
    screen.print(table)
    screen.print(
        f"On the device, held-out centred cosine {before.centred_cosine:.4f} before and "
        f"{after.centred_cosine:.4f} after, R2 {before.r2:.4f} and {after.r2:.4f}, top-1 "
        f"{before.top1:.0%} and {after.top1:.0%}",
        soft_wrap=True,
    )
    limited = sum(row.limited for row in learner.history)
    if limited:
        note(
            f"{limited} of {learner.history[-1].step} steps were shortened so that M stays "
            f"positive definite (S at most {learner.settings.limit:g})"
        )
    if learner.saturations:
        errors.print(
            f"warning: {learner.saturations} words saturated while learning; compile with more "
            "spare bits or begin with weaker couplings",
            soft_wrap=True,
            highlight=False,
        )


def _benchmark(folder: Path, settings: "Settings", json_file: Path | None) -> None:
    from ornstein.host.experiments.common import documents
    from ornstein.host.experiments.learn.report import claims_table, table, write_learn_page
    from ornstein.host.experiments.learn.run import run_benchmark

    with stages() as say:
        # all phases begin at zero, so that the integer model runs them side by side
        result = run_benchmark(
            seed=settings.seed, settings=replace(settings, warm=False), progress=say
        )
    page = write_learn_page(result, folder)
    for path in {folder / "results.json", json_file} - {None}:
        write_json(path, result.rows)
    write_json(folder / "claims.json", documents([result.claims]))
    show(table(result))
    show(claims_table(result))
    remark(f"Report: {page}, results: {folder / 'results.json'} and {folder / 'claims.json'}")
