# SPDX-License-Identifier: Apache-2.0
"""Data: fixed splits, resizing, IDX files and their errors."""

import gzip
import struct

import numpy as np
import pytest

from ornstein.host.models.data import DataError, add_noise, digits, mnist, read_idx, resize


def idx(array: np.ndarray) -> bytes:
    """An IDX file of unsigned bytes."""
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def mnist_folder(tmp_path):
    """Seventy 28x28 images, image i filled with the value i; images gzipped, labels plain."""
    images = np.broadcast_to(np.arange(70)[:, None, None], (70, 28, 28))
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.arange(70) % 10))
    return tmp_path


def test_digits_are_split_once_and_for_all():
    images, again = digits(), digits()
    assert images.train.shape == (1733, 32, 32) and images.test.shape == (64, 32, 32)
    assert images.train.min() == 0 and images.train.max() == 1
    assert np.array_equal(images.test, again.test)
    assert not np.array_equal(images.test, digits(seed=1).test)


def test_no_held_out_digit_is_trained_on():
    images = digits()
    assert not {image.tobytes() for image in images.test} & {
        image.tobytes() for image in images.train
    }


def test_resize_is_bilinear_between_pixel_centres():
    image = np.array([[[0.0, 1.0], [0.0, 1.0]]])
    assert np.array_equal(resize(image, 4)[0], np.tile([0.0, 0.25, 0.75, 1.0], (4, 1)))


def test_noise_has_its_sigma_and_seed():
    image = np.full((100, 32, 32), 0.5)
    noisy = add_noise(image, 0.1, seed=3)
    assert np.std(noisy - image) == pytest.approx(0.1, rel=0.02)
    assert np.array_equal(noisy, add_noise(image, 0.1, seed=3))


def test_mnist_is_padded_scaled_and_split(mnist_folder):
    images = mnist(mnist_folder)
    assert images.train.shape == (6, 32, 32) and images.test.shape == (64, 32, 32)
    assert np.array_equal(np.rint(images.test[:, 2, 2] * 255) % 10, images.test_labels)
    assert not images.test[:, :2].any() and not images.test[:, :, 30:].any()


def test_mnist_limit_must_leave_something_to_train_on(mnist_folder):
    with pytest.raises(DataError, match="64 images, but more than 64"):
        mnist(mnist_folder, limit=64)


def test_missing_folder_names_the_file_to_put_there(tmp_path):
    with pytest.raises(DataError, match="no train-images-idx3-ubyte"):
        mnist(tmp_path)


@pytest.mark.parametrize(
    "raw, message",
    [
        (b"", "not an IDX file"),
        (b"PNG and so on", "not an IDX file"),
        (idx(np.zeros((4, 4)))[:-3], "13 bytes of data where its header \\(4, 4\\) needs 16"),
        (gzip.compress(idx(np.zeros((4, 4))), mtime=0)[:-9], "cannot be read"),
    ],
)
def test_damaged_files_are_named(tmp_path, raw, message):
    path = tmp_path / "images"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=rf"images: {message}"):
        read_idx(path)
