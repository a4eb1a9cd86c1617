# SPDX-License-Identifier: Apache-2.0
"""``ornstein verilog``: it names the files that it has written, and the fabrics that there are."""

from typer.testing import CliRunner

from ornstein.boards import export
from ornstein.hdl.config import REFERENCE, ConfigError
from ornstein.host.cli.app import app


def test_files_are_named(monkeypatch, tmp_path):
    def write(config, folder):
        assert config == REFERENCE and folder == tmp_path / "[a]"
        return [folder / "ornstein_reference.v"]

    monkeypatch.setattr(export, "write", write)
    result = CliRunner().invoke(app, ["verilog", "reference", "--output", f"{tmp_path}/[a]"])
    assert result.exit_code == 0
    assert result.output == f"Wrote {tmp_path}/[a]/ornstein_reference.v\n"


def test_an_unknown_fabric(tmp_path):
    result = CliRunner().invoke(app, ["verilog", "huge", "--output", str(tmp_path)])
    assert isinstance(result.exception, ConfigError)
    assert "no fabric is called 'huge'; there are tiny, " in str(result.exception)
