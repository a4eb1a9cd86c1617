# SPDX-License-Identifier: Apache-2.0
"""The wheel, made from the source distribution, works in an environment of its own and from another
folder. Nothing is fetched: the packages that it needs are those of this environment, which the new
one finds through a path file.
"""

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from ornstein.host.models.model_file import TrainedModel

ROOT = Path(__file__).parents[2]
PACKAGES = "hdl", "sim", "boards", "host"


def quietly(*command, cwd: Path, **environment: str) -> str:
    """Runs a command without any path of this process; returns what it printed."""
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={name: text for name, text in os.environ.items() if name != "PYTHONPATH"} | environment,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def distributions(tmp_path_factory) -> tuple[Path, Path]:
    """Source distribution and wheel; the tool makes the second from the first."""
    folder = tmp_path_factory.mktemp("distributions")
    quietly(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, cwd=ROOT)
    (source,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return source, wheel


@pytest.fixture(scope="module")
def installed(distributions, tmp_path_factory) -> Path:
    """The folder of the commands of an environment in which the wheel is installed."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    python = folder / "bin" / "python"
    site = quietly(
        python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder
    )
    shared = [path for path in sys.path if Path(path).name == "site-packages"]
    Path(site.strip(), "shared.pth").write_text("\n".join(shared))
    pip = sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"
    quietly(*pip, "install", "--quiet", "--no-index", distributions[1], cwd=folder)
    return python.parent


def files_of_the_packages() -> set[str]:
    """Every file of the packages, as paths from the root of the repository."""
    return {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_every_file_of_the_packages(distributions):
    names = zipfile.ZipFile(distributions[1]).namelist()
    held = {name.removeprefix("ornstein/") for name in names if name.startswith("ornstein/")}
    assert held == files_of_the_packages() | {"__init__.py"}


def test_the_source_distribution_holds_what_the_wheel_is_built_from(distributions):
    with tarfile.open(distributions[0]) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    assert names >= files_of_the_packages() | {"pyproject.toml", "README.md", "LICENSE"}
    assert {name.split("/")[0] for name in names if "/" in name} == {
        *PACKAGES,
        "ornstein",
        "ornstein.egg-info",
    }


def test_the_installed_command_compiles_and_runs_from_another_folder(installed, tmp_path):
    command = installed / "ornstein"
    place = quietly(
        installed / "python", "-c", "import ornstein; print(ornstein.__file__)", cwd=tmp_path
    )
    assert place.startswith(str(installed.parent))
    assert quietly(command, "--version", cwd=tmp_path) == f"ornstein {version('ornstein')}\n"
    quietly(command, "compile", "--recipe", "full", "--output", "p.program", cwd=tmp_path)
    model = TrainedModel.load()
    np.save(tmp_path / "inputs.npy", model.x_test[:4])
    quietly(
        *(command, "run", "p.program", "--device", "model"),
        *("--input", "inputs.npy", "--output", "answers.npy"),
        cwd=tmp_path,
    )
    answers = np.load(tmp_path / "answers.npy")
    assert answers.shape == model.y_test[:4].shape and np.isfinite(answers).all()
