# SPDX-License-Identifier: Apache-2.0
"""``ornstein images`` on the command line: what it prints and writes are the results."""

import json
import sys

import pytest
from typer.testing import CliRunner

from ornstein.host.cli import main as cli
from ornstein.host.cli.app import app
from ornstein.host.cli.exit_codes import EXIT_CODES
from ornstein.host.devices.comparison import ModelMismatchError
from ornstein.host.experiments.common import documents
from ornstein.host.experiments.images import parameters as trained
from ornstein.host.experiments.images import run
from ornstein.host.experiments.images.report import conclusions


@pytest.fixture
def asked(monkeypatch, small_run):
    """Keyword arguments of each call of ``run_images``, which returns the small run."""
    calls = []

    def run_images(parameters, device, *, progress, **options):
        calls.append({"provenance": parameters.provenance, "device": device, **options})
        return small_run[0]

    monkeypatch.setattr(run, "run_images", run_images)
    return calls


def test_results_are_printed_and_written(asked, small_run, tmp_path):
    images, _ = small_run
    command = ["images", "--device", "model", "--output", str(tmp_path / "new")]
    command += ["--per-class", "7", "--seed", "5", "--json", str(tmp_path / "copy.json")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    (call,) = asked
    assert (call["device"], call["per_class"], call["seed"]) == ("model", 7, 5)
    expected = documents(images.experiments, "reference")
    for path in (tmp_path / "new" / "results.json", tmp_path / "copy.json"):
        assert json.loads(path.read_text()) == expected
    lines = (tmp_path / "new" / "results.csv").read_text().splitlines()
    assert len(lines) == len(expected) + 1
    printed = " ".join(result.output.split())
    assert all(paragraph in printed for paragraph in conclusions(images))
    assert (tmp_path / "new" / "report.html").is_file()


def test_training_keeps_its_parameters_and_uses_them(asked, parameters, monkeypatch, tmp_path):
    made = trained.Parameters(
        parameters.denoisers, parameters.perceptrons, parameters.generator, {"command": "test"}
    )
    monkeypatch.setattr(trained, "train_all", lambda digits, report: made)
    result = CliRunner().invoke(app, ["images", "--train", "--output", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "parameters.safetensors").is_file()
    assert asked[0]["provenance"] == {"command": "test"}


def test_gateware_that_differs_from_the_model_is_a_failed_check(monkeypatch, tmp_path, capsys):
    def differs(*arguments, **options):
        raise ModelMismatchError("one sum differs")

    monkeypatch.setattr(run, "run_images", differs)
    monkeypatch.setattr(sys, "argv", ["ornstein", "images", "--output", str(tmp_path)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == EXIT_CODES[ModelMismatchError]
    assert capsys.readouterr().err.strip() == "ornstein: one sum differs"
