# SPDX-License-Identifier: Apache-2.0
"""Small U-Nets as ONNX files, for tests of what reads and runs them."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHANNELS = 3, 4, 6
"""Channels of the input and of both levels."""


class Builder:
    """Adds nodes one by one; every node's output has the name given to it."""

    def __init__(self, seed: int = 0):
        self.nodes, self.weights = [], []
        self.rng = np.random.default_rng(seed)

    def node(self, op: str, out: str, *inputs: str, **attributes) -> str:
        self.nodes.append(
            helper.make_node(op, list(inputs), [out], name=f"node_{out}", **attributes)
        )
        return out

    def conv(self, out: str, x: str, c_in: int, c_out: int, size: int = 3) -> str:
        weight = self.rng.normal(size=(c_out, c_in, size, size)) / np.sqrt(c_in * size**2)
        self.weights.append(numpy_helper.from_array(weight.astype(np.float32), f"{out}.weight"))
        return self.node("Conv", out, x, f"{out}.weight", pads=[size // 2] * 4)

    def double(self, name: str, x: str, c_in: int, c_out: int) -> str:
        """Two convolutions, each with a ReLU."""
        first = self.node("Relu", f"{name}.a", self.conv(f"{name}.0", x, c_in, c_out))
        return self.node("Relu", f"{name}.b", self.conv(f"{name}.1", first, c_out, c_out))

    def residual(self, name: str, x: str, c_in: int, c_out: int) -> str:
        """Two convolutions beside a shortcut."""
        first = self.node("Relu", f"{name}.a", self.conv(f"{name}.0", x, c_in, c_out))
        second = self.conv(f"{name}.1", first, c_out, c_out)
        short = x if c_in == c_out else self.conv(f"{name}.short", x, c_in, c_out, 1)
        return self.node("Add", name, second, short)

    def up(self, out: str, x: str) -> str:
        scales = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), f"{out}.scales")
        self.weights.append(scales)
        return self.node("Resize", out, x, "", f"{out}.scales")

    def save(self, path: Path, output: str) -> Path:
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", CHANNELS[0], 8, 8])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", CHANNELS[0], 8, 8])],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
        model.ir_version = 9
        onnx.checker.check_model(model)
        onnx.save(model, path)
        return path


def plain_unet(path: Path) -> Path:
    """Double convolutions, max-pooling, one skip by Concat: x is down.b, y is up.b."""
    b, (c0, c1, c2) = Builder(), CHANNELS
    down = b.double("down", "image", c0, c1)
    pooled = b.node("MaxPool", "pooled", down, kernel_shape=[2, 2], strides=[2, 2])
    middle = b.up("raised", b.double("middle", pooled, c1, c2))
    up = b.double("up", b.node("Concat", "joined", middle, down, axis=1), c1 + c2, c1)
    return b.save(path, b.conv("image_out", up, c1, c0))


def residual_unet(path: Path) -> Path:
    """Residual blocks and a skip by Add; the network adds its input to its output."""
    b, (c0, c1, _) = Builder(), CHANNELS
    down = b.residual("down", b.conv("stem", "image", c0, c1), c1, c1)
    pooled = b.node("AveragePool", "pooled", down, kernel_shape=[2, 2], strides=[2, 2])
    middle = b.up("raised", b.residual("middle", pooled, c1, c1))
    up = b.residual("up", b.node("Add", "joined", middle, down), c1, c1)
    return b.save(path, b.node("Add", "image_out", b.conv("head", up, c1, c0), "image"))


def deep_unet(path: Path, skips: int, channels: int) -> Path:
    """A U-Net of two resolutions with many skips by Concat: x is e1, e2 and so on, y is d1, d2 and
    so on; only the first is at the full resolution.
    """
    b, c0, c = Builder(), CHANNELS[0], channels
    kept = [b.node("Relu", "e1", b.conv("down1", "image", c0, c))]
    x = b.node("MaxPool", "pooled", kept[0], kernel_shape=[2, 2], strides=[2, 2])
    for n in range(2, skips + 1):
        kept.append(x := b.node("Relu", f"e{n}", b.conv(f"down{n}", x, c, c)))
    x = b.node("Relu", "middle", b.conv("middle.0", x, c, c))
    for n in range(skips, 0, -1):
        x = b.up("raised", x) if n == 1 else x
        joined = b.node("Concat", f"joined{n}", x, kept[n - 1], axis=1)
        x = b.node("Relu", f"d{n}", b.conv(f"up{n}", joined, 2 * c, c))
    return b.save(path, b.conv("image_out", x, c, c0))
