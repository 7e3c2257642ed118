"""What several test files share."""

import os
import pathlib

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read when TensorFlow is first imported


@pytest.fixture(scope="session")
def tfds_dir():
    """Folder of prepared tensorflow-datasets; tests that need it are skipped where there is none."""
    folder = os.environ.get("TFDS_DATA_DIR", "")
    if not folder or not pathlib.Path(folder).is_dir():
        pytest.skip("needs real data: set TFDS_DATA_DIR to a folder of prepared tensorflow-datasets")
    return folder
