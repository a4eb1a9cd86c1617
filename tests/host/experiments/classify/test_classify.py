# SPDX-License-Identifier: Apache-2.0
"""A classifier learns on its device; its gradient is that of finite differences; IDX folders."""

import gzip
import json
import struct

import numpy as np
import pytest
from scipy.special import softmax

from ornstein.hdl.config import REFERENCE
from ornstein.host.devices.device import open_device
from ornstein.host.experiments.classify import command, report, run
from ornstein.host.experiments.classify.classifier import (
    LEVEL,
    LIMIT,
    SHIFT,
    Classifier,
    Training,
    _random_factors,
    accuracy,
    averaged,
    cross_entropy,
    inputs_of,
    moved,
)
from ornstein.host.experiments.classify.run import PARAMETER_BITS, READ_BITS
from ornstein.host.learn.nudges import Nudger, loss_gradient
from ornstein.host.learn.steps import strength
from ornstein.host.models.data import DataError, labelled_images

RNG = np.random.default_rng(3)
SHORT = Training(steps=30, batch=16, moved=False, every=15)


def stripes(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images (n, 4, 4) in bytes with one bright row, and its number (n,) of three."""
    labels = RNG.integers(3, size=count)
    images = RNG.integers(90, size=(count, 4, 4))
    images[np.arange(count), labels] += 160
    return images.astype(np.uint8), labels.astype(np.uint8)


def write_idx(path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small set of images as MNIST's files."""
    made = tmp_path_factory.mktemp("stripes")
    for prefix, count in (("train", 120), ("t10k", 50)):
        images, labels = stripes(count)
        write_idx(made / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(made / f"{prefix}-labels-idx1-ubyte.gz", labels)
    return made


@pytest.fixture(scope="module")
def result(folder):
    return run.run_classify(SHORT, folder=folder, hidden=6, rank=4)


def test_a_substrate_learns_classes_on_its_device(result):
    untrained, trained = result.rows[:2]
    assert untrained.what == "substrate, untrained" and untrained.accuracy < 0.7
    assert trained.accuracy > untrained.accuracy + 0.2 and trained.accuracy > 0.9
    assert trained.images == 50 and trained.parameter_bits == REFERENCE.factor_width
    assert [step for step, _ in result.curve] == [15, 30]
    assert result.inputs == 30 * 3 * 16 and result.cycles > result.inputs


def test_bits_are_swept_and_host_rows_stand_beside(result):
    assert [r.parameter_bits for r in result.rows if "factors" in r.what] == [*PARAMETER_BITS]
    reads = [r for r in result.rows if "read-out" in r.what]
    assert [r.read_bits for r in reads] == [*READ_BITS]
    assert reads[0].accuracy == result.rows[1].accuracy
    assert [r.device for r in result.rows[-2:]] == [None, None]
    assert all(r.accuracy > 0.9 for r in result.rows[-2:])


def test_the_page_is_written(result, tmp_path):
    page = report.write_classify_page(result, tmp_path)
    assert "held-out images of stripes" in page.read_text()
    assert len(report.table(result).rows) == len(result.rows)


def test_nudges_of_quartic_units_give_the_gradient_of_the_dynamics():
    """Against central differences of the loss of the relaxed states, in float64."""
    images = RNG.uniform(size=(20, 1, 5))
    made = Classifier.untrained(images, 3, REFERENCE, hidden=4, rank=3, seed=2)
    wanted = np.eye(3)[RNG.integers(3, size=20)]
    with open_device("float") as device:
        nudger = Nudger(made.couplings.program, device, beta=0.05, warm=True, seed=1)

        def load(factors):
            nudger.load(made.couplings.with_factors(factors))

        load(made.factors)
        phases = nudger.measure(inputs_of(images), wanted)
        found = loss_gradient(made.couplings.energy(made.factors), phases)
        targets = nudger.states(wanted)

        def loss(side, place, change):
            moved = {name: factor.copy() for name, factor in made.factors.items()}
            moved[side][place] += change
            load(moved)
            states = nudger.states(nudger.answers(inputs_of(images)))
            return np.sum((targets - states) ** 2) / 2 / len(images)

        for side, place in (((0, 0), (1, 2)), ((0, 1), (3, 0)), ((1, 0), (2, 1)), ((1, 1), (0, 0))):
            expected = (loss(side, place, 1e-3) - loss(side, place, -1e-3)) / 2e-3
            assert found[side][place] == pytest.approx(expected, rel=0.02, abs=2e-5)


@pytest.mark.parametrize("temperature", [0.04, 0.125])
def test_nudges_give_the_gradient_of_the_cross_entropy(temperature):
    wanted = LEVEL * (np.eye(3)[[0, 2]] - 1 / 3)
    states = RNG.normal(scale=0.2, size=(2, 3))

    def loss(values):
        return (
            -np.log(softmax(values / temperature, axis=1))[[0, 1], [0, 2]].sum()
            * temperature
            * LEVEL
        )

    found = cross_entropy(states, wanted, temperature)
    for place in np.ndindex(2, 3):
        step = np.zeros((2, 3))
        step[place] = 1e-6
        slope = (loss(states + step) - loss(states - step)) / 2e-6
        assert found[place] == pytest.approx(-slope, abs=1e-8)


def test_images_are_moved_a_little():
    images = np.zeros((200, 8, 8))
    images[:, 3:5, 2:7] = 1.0
    found = moved(images, np.random.default_rng(1))
    assert found.shape == images.shape and found.min() >= 0 and found.max() <= 1
    rows = np.arange(8)
    centres = (found.sum(axis=2) @ rows) / found.sum(axis=(1, 2))
    assert np.mean(centres) == pytest.approx(3.5, abs=0.06)
    assert np.std(centres) == pytest.approx(SHIFT, rel=0.2)


def test_answers_to_moved_copies_are_averaged():
    shown = []

    def answer(images):
        shown.append(images)
        return images.sum(axis=2)

    images = RNG.uniform(size=(5, 8, 8))
    found = averaged(answer, images, 2, np.random.default_rng(1))
    assert np.array_equal(shown[0], images) and not np.array_equal(shown[1], shown[2])
    assert found == pytest.approx(np.mean([part.sum(axis=2) for part in shown], axis=0))


def test_training_begins_with_the_couplings_that_were_drawn():
    """They are counted in other units than the program's factors."""
    images = RNG.uniform(size=(70, 8, 8))
    made = Classifier.untrained(images, 10, REFERENCE, hidden=64, rank=32, seed=1)
    drawn = _random_factors((65, 64, 10), 32, seed=1)
    found = made.couplings.energy(made.factors).matrix()[:65, 65:129]
    assert found == pytest.approx(-drawn[0, 0] @ drawn[0, 1].T, abs=1e-6)


def test_couplings_stay_within_their_limit():
    images, labels = stripes(60)
    images = images / 255
    made = Classifier.untrained(images, 3, REFERENCE, hidden=4, rank=3, seed=2)
    with open_device("model") as device:
        trained, _ = made.trained(
            device,
            images,
            labels,
            Training(steps=6, batch=16, rate=0.3),
            validation=(images, labels),
        )
    assert strength(made.couplings.energy(trained.factors)) <= LIMIT + 1e-6


def test_accuracy_is_the_share_of_right_answers():
    answers = np.array([[0.2, 0.9], [0.8, 0.1], [0.3, 0.4], [0.6, 0.5]])
    assert accuracy(answers, np.array([1, 0, 0, 0])) == 0.75


def test_the_command_writes_results(folder, tmp_path, monkeypatch, result, capsys):
    asked = {}
    monkeypatch.setattr(
        run,
        "run_classify",
        lambda training, **options: asked.update(options, training=training) or result,
    )
    command.classify(images=folder, hidden=6, rank=4, steps=12, batch=16, output=tmp_path)
    assert asked["training"].steps == 12 and asked["folder"] == folder
    rows = json.loads((tmp_path / "results.json").read_text())
    assert len(rows) == len(result.rows) and (tmp_path / "report.html").is_file()
    assert "substrate, trained" in capsys.readouterr().out


def test_folders_without_a_pair_are_refused(folder, tmp_path):
    with pytest.raises(DataError, match="no train-images-idx3-ubyte"):
        labelled_images(tmp_path)
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", np.zeros(3, np.uint8))
    with pytest.raises(DataError, match=r"labels \(3,\) are not a pair"):
        labelled_images(tmp_path)
