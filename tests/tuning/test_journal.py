"""Records of trials: what was kept is found, what is damaged is refused by its name."""

import json

import pytest

from keras_cl.errors import InputError
from tuning.journal import Journal

RECORD = {
    "values": {"learning_rate": 0.01, "network.hidden": [16, 16]},
    "budget": None,
    "status": "completed",
    "numbers": {"average_accuracy": 0.5},
    "message": "",
    "seconds": 1.25,
}


@pytest.fixture
def kept(tmp_path):
    """A journal with one record, and the file of the record."""
    journal = Journal(tmp_path)
    journal.keep(RECORD)
    return journal, *tmp_path.glob("*.json")


def test_a_record_is_found_by_its_values_and_budget(kept):
    journal, _ = kept
    journal.check("average_accuracy")
    assert journal.find({**RECORD["values"], "network.hidden": (16, 16)}, None) == RECORD
    assert journal.find(RECORD["values"], 3) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"values": {"learning_rate": 0.02}},
        {"values": []},
        {"budget": 3},
        {"status": "lost"},
        {"numbers": {"forgetting": 0.5}},
        {"numbers": {"average_accuracy": "0.5"}},
        {"numbers": {"average_accuracy": float("nan")}},
        {"message": None},
        {"seconds": "long"},
        {"other": 1},
    ],
)
def test_an_edited_record_is_refused_before_any_trial(kept, changed):
    journal, file = kept
    file.write_text(json.dumps({**RECORD, **changed}))
    with pytest.raises(InputError) as error:
        journal.check("average_accuracy")
    assert str(error.value) == f"{file} is damaged; remove it, and its configuration is tried again."


@pytest.mark.parametrize("text", ["", "null", "[]", "{", "\0", "[" * 100_000, '{"values": {}}'])
def test_a_damaged_record_is_refused(kept, text):
    journal, file = kept
    file.write_text(text)
    with pytest.raises(InputError, match="is damaged; remove it"):
        journal.find(RECORD["values"], RECORD["budget"])
