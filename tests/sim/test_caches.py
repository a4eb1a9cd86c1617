# SPDX-License-Identifier: Apache-2.0
"""Caches: where the user says, else where the user's files can be written, else in a folder of the
user's own among the temporary files.
"""

import os
import stat
import subprocess
import sys

import pytest

from ornstein.sim import caches


@pytest.fixture
def user(monkeypatch, tmp_path):
    """A user without variables, whose home and temporary folder are in ``tmp_path``."""
    for variable in ("ORNSTEIN_CACHE", *caches._LIBRARIES):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(caches.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / "home").mkdir()
    return tmp_path


def refuse_home(monkeypatch, user):
    """Nothing under the user's home can be written; root may write everywhere, so it is said."""
    access = os.access
    monkeypatch.setattr(
        os,
        "access",
        lambda path, mode: str(user / "home") not in str(path) and access(path, mode),
    )


def test_the_folder_that_the_user_names(user, monkeypatch):
    monkeypatch.setenv("ORNSTEIN_CACHE", str(user / "named"))
    assert caches.cache_folder() == user / "named"
    assert caches.library_environment() == {
        "NUMBA_CACHE_DIR": str(user / "named" / "numba"),
        "YOWASP_CACHE_DIR": str(user / "named" / "yowasp"),
        "MPLCONFIGDIR": str(user / "named" / "matplotlib"),
        "XDG_CACHE_HOME": str(user / "named" / "other"),
    }


def test_the_users_own_folder(user):
    assert caches.cache_folder().name == "ornstein" and user in caches.cache_folder().parents
    assert caches.library_environment() == {}


def test_a_home_that_cannot_be_written(user, monkeypatch):
    refuse_home(monkeypatch, user)
    folder = caches.cache_folder()
    assert folder == user / f"ornstein-{os.getuid()}"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with caches.library_caches():
        assert os.environ["MPLCONFIGDIR"] == str(folder / "matplotlib")
        assert caches.cache_folder() == folder
    assert "MPLCONFIGDIR" not in os.environ


def test_what_the_environment_says_of_a_library_stays(user, monkeypatch):
    monkeypatch.setenv("ORNSTEIN_CACHE", str(user))
    monkeypatch.setenv("MPLCONFIGDIR", "/own")
    with caches.library_caches():
        assert os.environ["MPLCONFIGDIR"] == "/own"
    assert os.environ["MPLCONFIGDIR"] == "/own"


def test_a_folder_of_somebody_else_is_refused(user, monkeypatch):
    refuse_home(monkeypatch, user)
    (user / f"ornstein-{os.getuid()}").symlink_to(user / "home")
    with pytest.raises(PermissionError, match=r"belongs to somebody else, .* ORNSTEIN_CACHE"):
        caches.cache_folder()


@pytest.mark.parametrize("place", ["named", "nowhere"])
def test_numba_compiles_with_and_without_a_folder_for_its_code(tmp_path, place):
    """Where neither the cache nor the source's folder can be written, nothing is kept."""
    module = tmp_path / "code" / "doubled.py"
    module.parent.mkdir()
    module.write_text(
        "from ornstein.sim.jit import compiled\n"
        "@compiled()\ndef doubled(x):\n    return 2 * x\n"
        "print(doubled(21))\n"
    )
    cache = tmp_path / place
    if place == "nowhere":
        cache.touch()
        (module.parent / "__pycache__").touch()
    done = subprocess.run(
        [sys.executable, module],
        env={name: value for name, value in os.environ.items() if name not in caches._LIBRARIES}
        | {"ORNSTEIN_CACHE": str(cache)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "42\n", done.stderr
    assert bool(list(tmp_path.rglob("*.nbi"))) == (place == "named")
