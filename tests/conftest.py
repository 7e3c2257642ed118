"""What several test files share."""

import os
import pathlib
import sys
from unittest import mock

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read when TensorFlow is first imported


# Files that take longest, which begin first: two processes then end at the same time.
LONG = (
    "test_contract.py",
    "test_strategy.py",
    "test_forgetting.py",
    "test_failures.py",
    "test_memory.py",
    "test_saved_model.py",
)


def pytest_collection_modifyitems(items):
    """Puts the tests of long files first."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


@pytest.fixture(autouse=True)
def own_path(monkeypatch):
    """What a test makes importable is forgotten after it: the next one may have a file of the same name."""
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture(scope="session", autouse=True)
def short_reports():
    """Runs end with a report of one line where it is not in question: a page takes longer than a tiny run."""
    from keras_cl.report import write

    def short(path):
        (path / "report.html").write_text("<title>short</title>")

    whole = write.of_run
    with mock.patch.object(write, "of_run", side_effect=short):
        yield whole


@pytest.fixture
def whole_reports(short_reports):
    """Runs end with the report that they end with outside of tests."""
    from keras_cl.report import write

    with mock.patch.object(write, "of_run", side_effect=short_reports):
        yield


@pytest.fixture(scope="session")
def tfds_dir():
    """Folder of prepared tensorflow-datasets; tests that need it are skipped where there is none."""
    folder = os.environ.get("TFDS_DATA_DIR", "")
    if not folder or not pathlib.Path(folder).is_dir():
        pytest.skip("needs real data: set TFDS_DATA_DIR to a folder of prepared tensorflow-datasets")
    return folder


@pytest.fixture
def eagerly():
    """Nothing is traced or compiled: a few steps of a tiny network cost less than their trace."""
    import tensorflow as tf  # only by those that need it

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def any_order():
    """Tasks may begin and end in any order: tests of single steps put a model where they need it."""
    from keras_cl.learning.order import OrderMixin

    with pytest.MonkeyPatch.context() as patch:
        for check in ("_may_begin", "_may_end"):
            patch.setattr(OrderMixin, check, lambda model, task: model._bind(task.stream))
        yield
