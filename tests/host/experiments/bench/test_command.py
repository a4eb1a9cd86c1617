# SPDX-License-Identifier: Apache-2.0
"""``ornstein bench`` on the command line: the numbers that it prints are those that it writes."""

import json
import sys
from dataclasses import asdict

import pytest
from typer.testing import CliRunner

from ornstein.host.cli import main as cli
from ornstein.host.cli.app import CheckError, app
from ornstein.host.cli.exit_codes import EXIT_CODES
from ornstein.host.devices.comparison import ModelMismatchError
from ornstein.host.experiments.bench import run
from ornstein.host.experiments.bench.figures import figure

ROWS = [figure("compile_s", 0.51239), figure("rtl_start_s", 0.25), figure("model_over_rtl", None)]


@pytest.fixture
def measured(monkeypatch):
    monkeypatch.setattr(run, "bench", lambda progress: iter(ROWS))


def test_figures_are_printed_written_and_compared(measured, tmp_path):
    stored = tmp_path / "stored.json"
    stored.write_text(json.dumps([{"name": "rtl_start_s", "value": 0.5}]))
    command = ["bench", "--output", str(tmp_path), "--json", str(tmp_path / "copy.json")]
    result = CliRunner().invoke(app, [*command, "--compare", str(stored)])
    assert result.exit_code == 0, result.output
    for name in ("results.json", "copy.json"):
        assert json.loads((tmp_path / name).read_text()) == [asdict(row) for row in ROWS]
    compiling = next(line for line in result.output.splitlines() if "0.5124" in line)
    assert "compile_s" in compiling and "0.2562" in compiling
    assert "0.500" in result.output.splitlines()[-2]
    assert (tmp_path / "report.html").is_file()


def test_a_loss_of_cycles_is_a_failed_check(monkeypatch, tmp_path):
    rows = [figure("cycles_per_step_d64_m2_k16_p8", 999.0, 512.0, share=0.5, chains=2)]
    monkeypatch.setattr(run, "bench", lambda progress: iter(rows))
    result = CliRunner().invoke(app, ["bench", "--output", str(tmp_path)])
    assert isinstance(result.exception, CheckError)
    assert "cycles_per_step_d64_m2_k16_p8 was 512 and is 999" in str(result.exception)
    assert (tmp_path / "results.json").is_file()


def test_a_stored_run_that_is_none_is_one_line(measured, tmp_path):
    (tmp_path / "stored.json").write_text("[1]")
    result = CliRunner().invoke(app, ["bench", "--compare", str(tmp_path / "stored.json")])
    assert "holds no stored run; make one with: ornstein bench --json" in str(result.exception)


def test_a_fabric_that_differs_from_the_model_is_a_failed_check(monkeypatch, tmp_path, capsys):
    def differs(progress):
        raise ModelMismatchError("one sum differs")
        yield

    monkeypatch.setattr(run, "bench", differs)
    monkeypatch.setattr(sys, "argv", ["ornstein", "bench", "--output", str(tmp_path)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == EXIT_CODES[ModelMismatchError]
    assert capsys.readouterr().err.strip() == "ornstein: one sum differs"
