# SPDX-License-Identifier: Apache-2.0
"""``ornstein learn``: it writes a program that fits its device, goes on from a checkpoint, and says
in one line what it cannot do.
"""

import json
from dataclasses import asdict
from inspect import signature

import numpy as np
import pytest
import typer

from ornstein.host.cli import learn
from ornstein.host.compile.program import InputError, ProgramError
from ornstein.host.compile.program_file import load_program, save_program
from ornstein.host.devices.device import DeviceError, open_device
from ornstein.host.experiments.common import Experiment
from ornstein.host.experiments.learn import run as benchmark
from ornstein.host.experiments.learn.gradients import DifferenceRow, GradientRow
from ornstein.host.experiments.learn.run import LearnBenchmark, Row
from ornstein.host.learn.errors import LearningError
from ornstein.host.learn.learner import Settings, Validation
from ornstein.host.models import recipes
from ornstein.host.models.model_file import TrainedModel
from ornstein.host.models.run import compile_recipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learn")
    (folder / "chip7.toml").write_text("seed = 7\n[connections]\nmismatch = 0.1\n")
    return folder


@pytest.fixture(scope="module")
def model():
    return TrainedModel.load()


def test_it_writes_a_program_for_its_device_and_goes_on(folder, model, capsys):
    uri = f"model?imperfections={folder / 'chip7.toml'}"
    options = {"steps": 12, "batch": 64, "every": 6, "checkpoint": folder / "learning.checkpoint"}
    output, document = folder / "chip7.program", folder / "chip7.json"
    learn.learn(device=uri, output=output, json_file=document, **options)
    found = json.loads(document.read_text())
    assert found["before"] < 0.95 < found["after"]
    assert [row["step"] for row in found["validations"]] == [0, 6, 12]
    shown = capsys.readouterr().out
    assert f"{found['before']:.4f} before" in shown and f"ornstein run {output}" in shown
    program = load_program(output)
    with open_device(uri) as device:
        device.load(program)
        answers = program.problem.decode(device.run(model.x_test).mean)
    assert np.mean((answers - model.y_test) ** 2) < 0.2 * np.var(model.y_test, axis=0).mean()
    # all steps are done, so that nothing is left to learn
    learn.learn(device=uri, output=folder / "again.program", **options)
    assert "Going on from step 12" in capsys.readouterr().out
    assert np.array_equal(load_program(folder / "again.program").factor, program.factor)


def test_a_program_file_can_be_the_beginning(folder, model, capsys):
    path = folder / "aligned.program"
    save_program(compile_recipe(recipes.ours_aligned(model, 4), model), path)
    learn.learn(path, output=folder / "learned.program", steps=1, batch=16, cold=True)
    assert load_program(folder / "learned.program").name == load_program(path).name
    assert "Wrote" in capsys.readouterr().out


def test_what_it_cannot_do_is_one_line(folder, model):
    full = folder / "full.program"
    save_program(compile_recipe(recipes.ours_full(model), model), full)
    narrow = folder / "narrow.npz"
    arrays = {name: getattr(model, name) for name in ("x_train", "x_test", "y_train", "y_test")}
    np.savez(narrow, **arrays)
    for options, error, message in (
        ({"program": full}, ProgramError, "entry 'interface' with 1 bias sets; only one set of"),
        ({"device": "float:exact"}, DeviceError, "keeps no states for a warm start; learn with"),
        ({"device": "model?imperfections=none.toml"}, DeviceError, "no imperfections can be read"),
        ({"rate": -1.0}, typer.BadParameter, "rate = -1.0 must be above 0"),
    ):
        with pytest.raises(error, match=message) as caught:
            learn.learn(output=folder / "not.program", **options)
        assert "\n" not in str(caught.value)
    assert not (folder / "not.program").exists()


def test_targets_of_another_width_are_named(folder, model, monkeypatch):
    class Narrow:
        x_train, x_test = model.x_train, model.x_test
        y_train, y_test = model.y_train[:, :8], model.y_test[:, :8]

    path = folder / "wide.program"
    save_program(compile_recipe(recipes.ours_aligned(model, 4), model), path)
    monkeypatch.setattr("ornstein.host.cli.skips.one_skip", lambda *_: Narrow)
    with pytest.raises(InputError, match=r"targets have shape \(1733, 8\); .* answers \(n, 64\)"):
        learn.learn(path, output=folder / "not.program")


def test_random_couplings_and_a_step_too_long(folder, capsys):
    """Learning that diverges writes the best program all the same."""
    with pytest.raises(LearningError, match="diverged at rate"):
        learn.learn(
            output=folder / "diverged.program", steps=60, batch=8, rate=40.0, every=2, cold=True
        )
    assert load_program(folder / "diverged.program").problem.target == "decoder"
    learn.learn(output=folder / "random.program", steps=2, batch=16, random_start=True)
    assert "step" in capsys.readouterr().out


def test_the_benchmark_writes_results_and_a_page(folder, monkeypatch, capsys):
    row = Row("mismatch 0.1", 1, 0.1, 0.0, 0.0, None, 0.8, 0.99, 0.001, 100, 5, 6, 7, 8, 9)
    validations = [Validation(step, loss, 0.9, 0.5, 0, 0) for step, loss in ((0, 0.1), (10, 0.01))]
    gradients = [
        GradientRow(device, symmetric, beta, beta, 1.0, beta)
        for device in ("float:exact", "model")
        for symmetric in (False, True)
        for beta in (0.1, 1.0)
    ]
    differences = [DifferenceRow(device, 0.01, 1e-4) for device in ("float:exact", "model")]
    claims = Experiment("learning", "claims")
    claims.add("harmonic, one nudge", "order of the error in beta", reference=1, float64=0.98)
    curves = {"mismatch 0.1, chip 1": validations}
    found = LearnBenchmark([asdict(row)], claims, curves, gradients, differences)
    asked = []
    monkeypatch.setattr(benchmark, "run_benchmark", lambda **given: asked.append(given) or found)
    learn.learn(benchmark=True, output=folder / "benchmark", steps=7, seed=3)
    assert asked[0]["settings"] == Settings(steps=7, warm=False, seed=3) and asked[0]["seed"] == 3
    with pytest.raises(typer.BadParameter, match="chips, programs and phases of its own"):
        learn.learn(benchmark=True, device="rtl")
    rows = json.loads((folder / "benchmark" / "results.json").read_text())
    wanted = {"what", "mismatch", "kT", "read_bits", "before", "after", "steps"}
    assert len(rows) == 1 and wanted <= rows[0].keys()
    (claim,) = json.loads((folder / "benchmark" / "claims.json").read_text())
    assert claim["paper"] == 1 and claim["float64"] == 0.98 and claim["gateware"] is None
    assert (folder / "benchmark" / "report.html").is_file()
    assert "0.99" in capsys.readouterr().out


def test_the_command_learns_as_the_class_does_without_options():
    settings = asdict(Settings())
    given = {name: value.default for name, value in signature(learn.learn).parameters.items()}
    for name in ("steps", "batch", "rate", "beta", "limit", "every", "seed"):
        assert given[name] == settings[name], name
