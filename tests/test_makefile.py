# SPDX-License-Identifier: Apache-2.0
"""Setting up: an old Python is told which one is needed, and an old environment is made anew."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def make(tmp_path):
    """``make(python)``: runs ``make .venv/.base`` in a folder without anything else, with that
    Python; what it would install is only noted.
    """
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)

    def run(python: Path) -> subprocess.CompletedProcess:
        return subprocess.run(
            ["make", ".venv/.base", f"PYTHON={python}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={"PATH": "/usr/bin:/bin"},
        )

    return run


def fake(path: Path, version: tuple[int, int]) -> Path:
    """A Python that says it is of that version, notes its other commands in ``path.log``, and makes
    environments of its own kind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "#!/bin/sh\n"
        f'if [ "$1" = -c ]; then exec {sys.executable} -c "import sys; '
        f'sys.version_info = {version}; exec(sys.argv[1])" "$2"; fi\n'
        f'echo "$@" >> {path}.log\n'
        f'if [ "$2" = venv ]; then mkdir -p .venv/bin && cp {path} .venv/bin/python; fi\n'
    )
    path.chmod(0o755)
    return path


def test_an_old_python_is_told_which_is_needed(make, tmp_path):
    result = make(fake(tmp_path / "old", (3, 10)))
    assert result.returncode
    assert "Ornstein needs Python 3.11 or later, this is 3.10" in result.stderr
    assert "make demo PYTHON=python3.12" in result.stderr
    assert not (tmp_path / ".venv").exists() and not (tmp_path / "old.log").exists()


@pytest.mark.parametrize("before", [None, (3, 10), (3, 12)])
def test_only_an_old_environment_is_made_anew(make, tmp_path, before):
    if before:
        fake(tmp_path / ".venv" / "bin" / "python", before)
    result = make(fake(tmp_path / "new", (3, 12)))
    assert result.returncode == 0, result.stderr
    log = tmp_path / "new.log"
    commands = log.read_text().splitlines() if log.exists() else []
    assert commands[:1] == ([] if before == (3, 12) else ["-m venv --clear .venv"])
    assert (tmp_path / ".venv" / ".base").exists()
