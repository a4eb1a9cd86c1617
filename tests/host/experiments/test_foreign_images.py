# SPDX-License-Identifier: Apache-2.0
"""A foreign network's images in dB: where its decoder is linear, the substrate takes its place."""

import json

import numpy as np
import pytest

from helpers.command_line import failure
from ornstein.host.compile.program import InputError
from ornstein.host.experiments.denoise import command
from ornstein.host.experiments.denoise.foreign import NETWORK, score_images
from ornstein.host.experiments.denoise.run import LINEAR, NOISY, SUBSTRATE, ZEROED
from ornstein.host.models.capture import OnnxNetwork
from ornstein.host.models.image_network import ImageNetwork, Source
from ornstein.sim.energy import EnergyError

pytest.importorskip("onnxruntime")
from helpers.onnx_net import CHANNELS, Builder

IMAGES = 10


def linear_decoder(path):
    """The tensor "decoder" is a linear map of "encoder" at the same pixel."""
    b, (c0, c1, _) = Builder(), CHANNELS
    encoder = b.node("Tanh", "encoder", b.conv("first", "image", c0, c1))
    return b.save(path, b.conv("out", b.conv("decoder", encoder, c1, c1, 1), c1, c0))


@pytest.fixture
def net(tmp_path):
    return linear_decoder(tmp_path / "net.onnx")


@pytest.fixture
def pair(net):
    """Noisy images, and clean ones: what the network makes of them, a little changed."""
    rng = np.random.default_rng(0)
    noisy = rng.uniform(size=(IMAGES, CHANNELS[0], 8, 8)).astype(np.float32)
    made = ImageNetwork(OnnxNetwork.load(net), (Source("encoder", 1),), "decoder").run(noisy)[2]
    return noisy, made + 0.1 * rng.standard_normal(made.shape).astype(np.float32)


def test_at_full_rank_a_linear_decoder_is_replaced_without_loss(net, pair):
    cut = ImageNetwork(OnnxNetwork.load(net), (Source("encoder", 1),), "decoder")
    found = score_images(cut, *pair, ranks=(1, 4), held_out=2, device="model:tiny")
    assert [(row.what, row.rank) for row in found] == [
        (NOISY, None),
        (NETWORK, None),
        (LINEAR, 1),
        (SUBSTRATE, 1),
        (LINEAR, 4),
        (SUBSTRATE, 4),
        (ZEROED, 4),
    ]
    by_name = {(row.what, row.rank): row for row in found}
    network, whole = by_name[NETWORK, None].psnr, by_name[SUBSTRATE, 4]
    assert network == pytest.approx(20, abs=1)  # what was added to the images
    assert whole.psnr == pytest.approx(network, abs=0.1)
    assert by_name[LINEAR, 4].psnr == pytest.approx(network, abs=1e-3)
    for rank in (1, 4):
        expected = by_name[LINEAR, rank].psnr
        assert by_name[SUBSTRATE, rank].psnr == pytest.approx(expected, abs=0.1)
    assert by_name[SUBSTRATE, 1].psnr < network - 1
    assert by_name[ZEROED, 4].psnr < network - 1
    assert whole.cycles > 0 and whole.images == 2 and whole.clipped is not None


def test_the_command_writes_what_it_shows(net, pair, tmp_path, capsys):
    for name, values in zip(("noisy", "clean"), pair, strict=True):
        np.save(tmp_path / f"{name}.npy", values)
    command.score_images_command(
        net,
        tmp_path / "noisy.npy",
        tmp_path / "clean.npy",
        ["encoder"],
        "decoder",
        rank=[2],
        held_out=2,
        device="float:exact",
        json_file=tmp_path / "rows.json",
    )
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [row["what"] for row in rows] == [NOISY, NETWORK, LINEAR, SUBSTRATE, ZEROED]
    assert rows[3]["psnr"] == pytest.approx(rows[2]["psnr"], abs=0.01) and rows[3]["cycles"] is None
    assert f" {round(rows[1]['psnr'], 2)} " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "held_out", "words"),
    [
        (lambda noisy, clean: (noisy, clean[1:]), 2, "with the same n"),
        (lambda noisy, clean: (noisy[:, 0], clean), 2, "must be .n, channels, height, width"),
        (lambda noisy, clean: (noisy, clean), 9, "9 of 10 images cannot be held out"),
        (lambda noisy, clean: (noisy, clean[..., :4]), 2, "are smaller than those that come out"),
    ],
)
def test_images_that_do_not_fit_are_refused(net, pair, change, held_out, words):
    cut = ImageNetwork(OnnxNetwork.load(net), (Source("encoder", 1),), "decoder")
    with pytest.raises(InputError, match=words):
        score_images(cut, *change(*pair), ranks=(2,), held_out=held_out, device="float:exact")


def test_a_rank_beyond_the_decoder_is_refused(net, pair):
    cut = ImageNetwork(OnnxNetwork.load(net), (Source("encoder", 1),), "decoder")
    with pytest.raises(EnergyError, match="between 1 and 4"):
        score_images(cut, *pair, ranks=(5,), held_out=2, device="float:exact")


def test_the_command_fails_in_one_line(net, tmp_path):
    code, line = failure(
        "score-images", net, "--inputs", tmp_path / "no.npy", "--clean", tmp_path / "no.npy",
        "--source", "encoder", "--target", "decoder",
    )  # fmt: skip
    assert code == 5 and "no.npy: not a readable" in line
