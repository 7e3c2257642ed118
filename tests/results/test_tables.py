"""Which rows of the tables count as reproduced."""

import json

import pytest

from results import tables

BOTH = "within 5 in accuracy and forgetting"


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A table with one row that was measured."""
    monkeypatch.setattr(tables, "HERE", tmp_path)
    (tmp_path / "table").mkdir()
    measured = {"average_accuracy": {"mean": 0.7, "std": None}, "forgetting": {"mean": 0.17, "std": None}}
    (tmp_path / "table" / "row.json").write_text(json.dumps(measured))
    return "table"


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        ({"published": 73, "tolerance": 5}, "yes, within 5"),
        ({"published": 76, "tolerance": 5, "why": "x"}, "no, not within 5: x"),
        ({"published": 73, "tolerance": 5, "forgetting": 0.14}, f"yes, {BOTH}"),
        (
            {"published": 73, "tolerance": 5, "forgetting": 0.09, "why": "x"},
            f"no, not {BOTH}: x",
        ),
        (
            {"published": 76, "tolerance": 5, "forgetting": 0.17, "why": "x"},
            f"no, not {BOTH}: x",
        ),
        ({"published": 90, "within": [69, 71]}, "yes, within 69 to 71"),
        ({"published": 70, "within": [71, 73], "why": "x"}, "no, not within 71 to 73: x"),
        ({"published": 70, "forgetting": 0.17, "why": "x"}, "not compared: x"),
    ],
)
def test_a_row_is_reproduced_if_accuracy_and_published_forgetting_are_near(table, claim, verdict):
    assert tables.verdict(table, {"row": "row", **claim}) == verdict


def test_accuracies_after_some_of_the_tasks_stand_beside_the_published_ones(table):
    row = tables.HERE / table / "row.json"
    curve = {"accuracy_of_tasks_seen": {"mean": [1.0, 0.9, 0.7], "std": [0.0, 0.02, 0.01]}}
    row.write_text(json.dumps(json.loads(row.read_text()) | curve))
    claims = [
        {"row": "row", "published": 80, "after": {"2": 91.2}, "source": "x", "why": "y"},
        {"row": "row", "published": 81, "source": "x", "why": "y"},
    ]
    (tables.HERE / table / "published.json").write_text(json.dumps(claims))
    head, _, first, second = tables._reproduction(table).splitlines()
    assert head.startswith("| command | after 2 tasks | average accuracy | published |")
    assert "| 90.0 ± 2.0 (published 91.2) | 70.0 | 80 (x) | not compared: y |" in first
    assert "| 90.0 ± 2.0 | 70.0 | 81 (x) |" in second


def test_the_overview_has_every_benchmark_with_published_numbers():
    overview = tables.reproductions().splitlines()[2:]
    assert len(overview) == len(tables.REPRODUCTIONS)
