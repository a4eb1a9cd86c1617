# SPDX-License-Identifier: Apache-2.0
"""A small U-Net as files of ncnn, for tests of what reads and runs them."""

from pathlib import Path

import numpy as np

from helpers.onnx_net import CHANNELS

FLOAT16_TAG = 0x01306B47


class Builder:
    """Adds layers one by one; every layer's output has the name given to it."""

    def __init__(self, weights: dict[str, np.ndarray], half: bool):
        self.weights, self.half = weights, half
        self.lines, self.blobs, self.data = [], 0, b""

    def layer(self, kind: str, outputs: list[str], inputs: list[str], *numbers: str) -> str:
        ends = " ".join([*inputs, *outputs])
        numbers_text = " ".join(numbers)
        self.lines.append(
            f"{kind} layer_{outputs[0]} {len(inputs)} {len(outputs)} {ends} {numbers_text}".rstrip()
        )
        self.blobs += len(outputs)
        return outputs[0]

    def conv(self, out: str, x: str, name: str, relu: bool = True) -> str:
        """A convolution with a bias of zeros."""
        weight = self.weights[f"{name}.weight"]
        count, _, size, _ = weight.shape
        numbers = f"0={count} 1={size} 4={size // 2} 5=1 6={weight.size} 9={int(relu)}".split()
        self.layer("Convolution", [out], [x], *numbers)
        self.lines[-1] = self.lines[-1].replace(f"layer_{out}", name)
        if self.half:
            values = weight.astype("<f2").tobytes()
            self.data += np.uint32(FLOAT16_TAG).tobytes() + values + bytes(-len(values) % 4)
        else:
            self.data += bytes(4) + weight.astype("<f4").tobytes()
        self.data += bytes(4 * count)
        return out

    def save(self, path: Path) -> Path:
        path.write_text(f"7767517\n{len(self.lines)} {self.blobs}\n" + "\n".join(self.lines) + "\n")
        path.with_suffix(".bin").write_bytes(self.data)
        return path


def plain_unet(path: Path, weights: dict[str, np.ndarray], half: bool = False) -> Path:
    """The network of :func:`helpers.onnx_net.plain_unet` with its weights, by their names there."""
    b = Builder(weights, half)
    b.layer("Input", ["image"], [], "0=8", "1=8", f"2={CHANNELS[0]}")
    b.conv("down.b", b.conv("down.a", "image", "down.0"), "down.1")
    b.layer("Split", ["copy_0", "copy_1"], ["down.b"])
    pooled = b.layer("Pooling", ["pooled"], ["copy_0"], "0=0", "1=2", "2=2")
    b.conv("middle.b", b.conv("middle.a", pooled, "middle.0"), "middle.1")
    raised = b.layer("Interp", ["raised"], ["middle.b"], "0=1", "1=2.0", "2=2.0")
    joined = b.layer("Concat", ["joined"], [raised, "copy_1"], "0=0")
    b.conv("up.b", b.conv("up.a", joined, "up.0"), "up.1")
    b.conv("image_out", "up.b", "image_out", relu=False)
    return b.save(path)


def three_levels(path: Path, names: tuple[str, str, str, str], channels: int) -> Path:
    """A U-Net of three resolutions with random weights. ``names`` are those of the tensors that the
    encoder gives out, from the full resolution down, and of the decoder's last one.
    """
    rng, image, c = np.random.default_rng(0), CHANNELS[0], channels
    shapes = {
        "down0": (c, image), "down1": (c, c), "down2": (c, c),
        "up1": (c, 2 * c), "up0": (c, 2 * c), "out": (image, c),
    }  # fmt: skip
    weights = {
        f"{name}.weight": (rng.normal(size=(*shape, 3, 3)) / np.sqrt(9 * shape[1])).astype("<f4")
        for name, shape in shapes.items()
    }
    b, (*encoder, last) = Builder(weights, half=False), names
    b.layer("Input", ["image"], [], "0=8", "1=8", f"2={image}")
    x, kept = "image", []
    for level, name in enumerate(encoder):
        b.conv(name, x, f"down{level}")
        if level == len(encoder) - 1:
            x = name
            break
        b.layer("Split", [f"copy{level}_0", f"copy{level}_1"], [name])
        kept.append(f"copy{level}_1")
        x = b.layer("Pooling", [f"pooled{level}"], [f"copy{level}_0"], "0=0", "1=2", "2=2")
    for level, out in ((1, "middle"), (0, last)):
        raised = b.layer("Interp", [f"raised{level}"], [x], "0=1", "1=2.0", "2=2.0")
        joined = b.layer("Concat", [f"joined{level}"], [raised, kept[level]], "0=0")
        x = b.conv(out, joined, f"up{level}")
    b.conv("image_out", x, "out", relu=False)
    return b.save(path)
