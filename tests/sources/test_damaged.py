"""Damaged .npz files, each kind by its own; random damage is in tests/test_fuzzing.py."""

import io
import os
import zipfile

import numpy as np
import pytest

from keras_cl.errors import InputError
from keras_cl.sources import from_arrays, npz


def content(**changed):
    """The bytes of a small .npz file with some arrays changed."""
    x, y, file = np.zeros((6, 3, 3), np.uint8), np.arange(6) % 3, io.BytesIO()
    np.savez(file, **{"x_train": x, "y_train": y, "x_test": x, "y_test": y, **changed})
    return file.getvalue()


def flagged(data, bit=0, method=None):
    """A zip file whose members say that they are encrypted, or packed by an unknown method."""
    data = bytearray(data)
    for record, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = data.find(record)
        while start >= 0:
            data[start + place] |= 1 << bit if method is None else 0
            data[start + place + 2] = data[start + place + 2] if method is None else method
            start = data.find(record, start + 4)
    return bytes(data)


def with_header(old, new):
    """A file whose first array has another header."""
    whole, edited = zipfile.ZipFile(io.BytesIO(content())), io.BytesIO()
    with zipfile.ZipFile(edited, "w") as file:
        for name in whole.namelist():
            array = whole.read(name)
            file.writestr(name, array.replace(old, new, 1) if name == "x_train.npy" else array)
    return edited.getvalue()


DAMAGED = {
    "nothing": b"",
    "text": b"x_train y_train",
    "half": content()[:400],
    "encrypted": flagged(content()),
    "unknown packing": flagged(content(), method=99),
    "header without an end": with_header(b"}", b"("),
    "header that is code": with_header(b"'descr'", b"print()"),
    "more rows than any memory holds": with_header(b"(6,", b"(999999999999999,"),
    "rows below zero": with_header(b"(6,", b"(-6,"),
    "an array alone": zipfile.ZipFile(io.BytesIO(content())).read("y_train.npy"),
    "no pixels": content(x_train=np.zeros((6, 0, 3), np.uint8), x_test=np.zeros((6, 0, 3), np.uint8)),
    "beyond float32": content(x_train=np.full((6, 3, 3), 1e300), x_test=np.full((6, 3, 3), 1e300)),
    "labels that are no numbers": content(y_train=np.full(6, np.nan)),
    "infinite labels": content(y_train=np.full(6, np.inf)),
}


@pytest.mark.parametrize("kind", DAMAGED)
@pytest.mark.filterwarnings("error")
def test_a_damaged_file_is_refused_in_one_sentence(kind, tmp_path):
    path = tmp_path / "data.npz"
    path.write_bytes(DAMAGED[kind])
    with pytest.raises(InputError) as error:
        npz.npz(str(path))
    assert str(error.value).startswith(str(path)) and str(error.value).endswith(".")


def test_a_whole_file_is_read(tmp_path):
    path = tmp_path / "data.npz"
    path.write_bytes(content())
    assert npz.npz(str(path)).input_shape == (3, 3, 1)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_not_a_regular_file_is_refused_and_not_waited_for(make, tmp_path):
    make(tmp_path / "data.npz")
    with pytest.raises(InputError, match="data.npz cannot be read .*: it is not a regular file."):
        npz.npz(str(tmp_path / "data.npz"))


def test_images_without_pixels_are_refused_from_python():
    x, y = np.zeros((4, 0)), np.arange(4)
    with pytest.raises(InputError, match=r"x_train has shape \(4, 0\); its images have no pixels."):
        from_arrays(x, y, x, y)
