# SPDX-License-Identifier: Apache-2.0
"""What the commands of the documentation find in the present folder: small files, networks and
tools of the names that stand there.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo
from sklearn.datasets import load_digits

from helpers.programs import toy, toy_inputs
from ornstein.hdl.config import TINY
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.program_file import save_program
from ornstein.host.models.model_file import TrainedModel
from ornstein.sim.port import Port
from ornstein.sim.rtl import RtlTransport

ROOT = Path(__file__).parents[2]
CHIP = "seed = 7\n\n[connections]\nmismatch = 0.1\n"
TORCH_NET = """
import torch


class UNet(torch.nn.Module):
    def __init__(self):
        super().__init__()

        def level(c_in, c_out):
            return torch.nn.Sequential(torch.nn.Conv2d(c_in, c_out, 3, padding=1), torch.nn.ReLU())

        self.down, self.middle, self.up = level(3, 4), level(4, 4), level(8, 4)
        self.out = torch.nn.Conv2d(4, 3, 1)

    def forward(self, image):
        down = self.down(image)
        low = self.middle(torch.nn.functional.max_pool2d(down, 2))
        raised = torch.nn.functional.interpolate(low, scale_factor=2.0)
        return self.out(self.up(torch.cat([raised, down], 1)))
"""
IMAGES = 100


def lay_out(folder: Path) -> None:
    """Makes every file that a command of the documentation reads and no command makes."""
    rng = np.random.default_rng(0)
    (folder / "tests").symlink_to(ROOT / "tests")
    inputs = TrainedModel.load().x_test[:4]
    np.save(folder / "inputs.npy", inputs)
    np.savetxt(folder / "inputs.csv", inputs, delimiter=",")
    save_program(compile_problem(toy(), TINY, toy_inputs()), folder / "toy.program")
    np.save(folder / "toy.npy", toy_inputs(3))
    for name in ("chip.toml", "chip7.toml"):
        (folder / name).write_text(CHIP)
    digit = np.kron(load_digits().images[0] / 16, np.ones((2, 2)))
    Image.fromarray((255 * digit).astype(np.uint8)).save(folder / "noisy.png")
    for name, copy in (("l32.safetensors", "weights.safetensors"), ("l32.npz", "activations.npz")):
        (folder / copy).symlink_to(ROOT / "tests" / "data" / f"terrain_{name}")
    images = rng.uniform(size=(IMAGES, 3, 8, 8)).astype(np.float32)
    np.save(folder / "noisy.npy", images)
    np.save(folder / "clean.npy", np.clip(images + 0.1, 0, 1))
    np.savez(folder / "inputs.npz", image=images)
    _mnist(folder / "mnist", rng)
    page = (ROOT / "docs" / "simulate.md").read_text("utf-8")
    (folder / "my_tests").mkdir()
    (test,) = re.findall(r"```python\n(.*?)```", page, re.S)
    (folder / "my_tests" / "test_seed.py").write_text(test)
    build = folder / "build" / "icebreaker"
    build.mkdir(parents=True)
    (build / "top.bin").write_bytes(b"bits")
    (build / "report.json").write_text("{}")
    _networks(folder)


def _networks(folder: Path) -> None:
    """Networks of the names in the documentation, as far as their packages are installed."""
    if find_spec("onnx"):
        from helpers.onnx_net import deep_unet

        for name in ("net", "terrain_consistency_unet_difficulty100"):
            deep_unet(folder / f"{name}.onnx", skips=22, channels=32)
    from helpers.ncnn_net import three_levels

    three_levels(folder / "net.param", ("e1", "e2", "e3", "d1"), channels=32)
    waifu2x = "Convolution11_ReLU10", "Scale2", "Scale3", "Convolution26_ReLU24"
    three_levels(folder / "noise3_model.param", waifu2x, channels=64)
    if find_spec("torch"):
        import torch

        package = folder / "mypackage"
        package.mkdir()
        (package / "net.py").write_text(TORCH_NET)
        names: dict = {}
        exec(TORCH_NET, names)
        torch.save(names["UNet"]().state_dict(), folder / "weights.pt")


def _mnist(folder: Path, rng: np.random.Generator) -> None:
    """IDX files of digits with 28 x 28 pixels."""
    folder.mkdir()
    for part, count in (("train", 80), ("t10k", 20)):
        pixels = rng.integers(0, 256, (count, 28, 28), np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        for name, values in (("images-idx3-ubyte", pixels), ("labels-idx1-ubyte", labels)):
            shape = np.array(values.shape, ">u4").tobytes()
            header = bytes([0, 0, 8, values.ndim]) + shape
            (folder / f"{part}-{name}").write_bytes(header + values.tobytes())


@contextmanager
def board() -> Iterator[None]:
    """The only serial port is a pseudo-terminal, with the simulated gateware behind it."""
    with Port(RtlTransport(TINY)) as port:
        info = ListPortInfo(port.name)
        info.vid, info.pid = 0x0403, 0x6010
        with mock.patch.object(list_ports, "comports", lambda: [info]):
            yield


@contextmanager
def tool(name: str, body: str) -> Iterator[None]:
    """A shell script of that name in the present folder, which comes first on PATH."""
    path = Path.cwd() / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    with mock.patch.dict("os.environ", PATH=f"{path.parent}:{os.environ['PATH']}"):
        yield
