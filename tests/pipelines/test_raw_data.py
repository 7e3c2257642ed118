"""Digests of raw data: every change is seen, wherever the data are."""

import numpy as np
import pytest

from keras_cl.errors import InputError
from keras_cl.settings import build
from pipelines import settings
from pipelines.kubeflow import raw_data


def digest(*given, required=True):
    return raw_data.digests(settings.parse(["run", "--stream=split", "--tasks=1", *given]), required)[0]


def test_the_embedded_digits_have_the_version_of_their_package():
    assert digest().startswith("scikit-learn 1.")


def test_files_of_a_data_set_decide_by_name_and_content(tmp_path):
    given = "--dataset=mnist", f"--data_dir={tmp_path}"
    folder = tmp_path / "mnist/3.0.1"
    folder.mkdir(parents=True)
    found = set()
    for name, content in (("a", "1"), ("a", "2"), ("b", "2")):
        (folder / name).write_text(content)
        found.add(digest(*given))
        (folder / name).unlink()
    assert len(found) == 3


def test_a_data_set_that_is_missing_is_prepared_first_for_a_run_alone(tmp_path, monkeypatch):
    folder = tmp_path / "mnist"

    class Source:
        @property
        def train(self):
            folder.mkdir()
            (folder / "a").write_text("1")

    monkeypatch.setattr(build, "make_source", lambda config: Source())
    given = "--dataset=mnist", f"--data_dir={tmp_path}"
    assert digest(*given, required=False) == ""
    assert digest(*given) == digest(*given) != ""


def test_the_content_of_an_npz_file_decides(tmp_path):
    file, found = tmp_path / "data.npz", set()
    y = np.array([0, 1])
    for value in (0, 1):
        x = np.full((2, 2, 2), value, np.uint8)
        np.savez(file, x_train=x, y_train=y, x_test=x, y_test=y)
        found.add(digest(f"--dataset={file}"))
    assert len(found) == 2


def test_what_arrived_has_a_digest_of_its_own(tmp_path):
    file = tmp_path / "next.npz"
    file.write_bytes(b"1")
    first = digest(f"--examples={file}")
    file.write_bytes(b"2")
    assert digest(f"--examples={file}") != first
    file.unlink()
    assert digest(f"--examples={file}", required=False) == ""
    (tmp_path / "june").mkdir()
    with pytest.raises(InputError, match="june has no examples; it must be, or hold, TFRecord files"):
        digest(f"--examples={tmp_path / 'june'}")
    with pytest.raises(InputError, match="--examples names .*next.npz, and there is no such file or folder"):
        digest(f"--examples={file}")
