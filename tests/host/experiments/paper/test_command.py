# SPDX-License-Identifier: Apache-2.0
"""``ornstein paper`` writes what it prints."""

import json

from typer.testing import CliRunner

from ornstein.host.cli.app import app
from ornstein.host.experiments.common import documents
from ornstein.host.experiments.paper.gateware import Source


def test_the_command_writes_what_it_prints(everything, tmp_path, monkeypatch):
    from ornstein.host.cli import main as cli  # noqa: F401 - registers the other commands
    from ornstein.host.experiments.paper import run

    # one figure is soon drawn
    source = Source("model", True, 0, ())
    monkeypatch.setattr(run, "run_paper", lambda *_, **options: (everything[4:5], source))
    result = CliRunner().invoke(app, ["paper", "--device", "model", "--output", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "results.json").read_text()) == documents(everything[4:5])
    assert f"Gateware: {source}." in result.output
    assert (tmp_path / "results.csv").exists() and (tmp_path / "report.html").exists()
