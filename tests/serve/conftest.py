"""The exported models that the tests of the server share."""

import pytest
from served import export_all


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Folder of the versions 1, 2 and 3 of a tiny model; not to be changed."""
    folder = tmp_path_factory.mktemp("served") / "tiny"
    export_all(folder)
    return folder
