"""Runs that were trained before: which are not trained again, and which go on where they were stopped."""

import pytest

from keras_cl.compare import earlier, flags, grid
from keras_cl.runs.opening import open_run
from keras_cl.settings.flags import parse

ABOUT = {"versions": {"keras_cl": "0"}}
GIVEN = ["--methods=ewc,finetune", "--tasks=2", "--seeds=0,1"]


@pytest.fixture
def split(tmp_path):
    """Function of further flags that tells what is done and what is to do, by labels."""

    def divided(*more):
        found, _ = grid.cells(flags.parse(["", *GIVEN, f"--runs_dir={tmp_path}", *more]))
        done, todo = earlier.split(found, tmp_path)
        return {label: path.relative_to(tmp_path) for label, path in done.items()}, {
            cell.label: cell.config.directory.relative_to(tmp_path) for cell in todo
        }

    return divided


def leave(path, settings, done=True):
    """A run directory with these settings, complete or stopped."""
    with open_run(path, settings, ABOUT) as directory:
        directory.write("matrix.csv", "numbers")
        if done:
            directory.finish()


def settings_of(*given):
    return parse(["", "--tasks=2", *given]).settings


def test_all_is_to_do_at_first_and_nothing_is_written(split, tmp_path):
    done, todo = split()
    assert not done and len(todo) == 4 and not any(tmp_path.iterdir())


def test_a_complete_run_by_hand_is_not_trained_again(split, tmp_path):
    leave(tmp_path / "mine", settings_of("--method=ewc", "--seeds=1"))
    done, todo = split()
    assert {label: str(path) for label, path in done.items()} == {"ewc seed 1": "mine"}
    assert list(todo) == ["ewc seed 0", "finetune seed 0", "finetune seed 1"]


def test_a_seed_of_a_run_with_several_counts(split, tmp_path):
    several = settings_of("--method=ewc", "--seeds=1,7")
    leave(tmp_path / "both", several, done=False)
    leave(tmp_path / "both" / "seed_1", {**several, "seeds": [1]})
    leave(tmp_path / "both" / "seed_7", {**several, "seeds": [7]}, done=False)
    done, todo = split("--seeds=1,7", "--methods=ewc")
    assert {label: str(path) for label, path in done.items()} == {"ewc seed 1": "both/seed_1"}
    assert [str(path) != "both/seed_7" for path in todo.values()] == [True]


def test_a_stopped_run_goes_on_where_it_is(split, tmp_path):
    leave(tmp_path / "stopped", settings_of("--method=ewc", "--seeds=0"), done=False)
    done, todo = split()
    assert not done and str(todo["ewc seed 0"]) == "stopped"


def test_a_complete_run_comes_before_a_stopped_one_with_the_same_settings(split, tmp_path):
    settings = settings_of("--method=ewc", "--seeds=0")
    for name, done in (("a", False), ("b", True), ("c", False)):
        leave(tmp_path / name, settings, done)
    assert str(split()[0]["ewc seed 0"]) == "b"


@pytest.mark.parametrize("other", ["--epochs=11", "--method.strength=3", "--seeds=2", "--tasks=3"])
def test_a_run_with_other_settings_does_not_count(split, tmp_path, other):
    leave(tmp_path / "mine", settings_of("--method=ewc", "--seeds=0", other))
    assert not split()[0]


def test_an_edited_or_overwritten_run_is_not_complete(split, tmp_path):
    settings = settings_of("--method=ewc", "--seeds=0")
    leave(tmp_path / "mine", settings)
    (tmp_path / "mine" / "matrix.csv").write_text("other numbers")
    assert str(split()[1]["ewc seed 0"]) == "mine"
    leave(tmp_path / "whole", settings)
    assert str(split()[0]["ewc seed 0"]) == "whole"
    assert not split("--overwrite")[0]


def test_a_run_that_lacks_what_is_asked_for_is_completed_where_it_is(split, tmp_path):
    leave(tmp_path / "mine", settings_of("--method=ewc", "--seeds=0"))
    more = "--export=all", f"--export_dir={tmp_path / 'models'}"
    for asked in (("--curvature=2",), ("--generator_quality=200",), more):
        assert str(split(*asked)[1]["ewc seed 0"]) == "mine"
    for task, whole in ((2, ["last"]), (1, ["last", "all"])):
        (tmp_path / "models" / "mine" / str(task)).mkdir(parents=True)
        for which in ("last", "all"):
            done, todo = split(f"--export={which}", more[1])
            assert str((done if which in whole else todo)["ewc seed 0"]) == "mine"


def test_what_is_no_run_is_passed_over(split, tmp_path):
    for name, text in (("a", "{"), ("b", "[]"), ("c", '{"settings": 3}'), ("d", "{}")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(text)
    assert not split()[0]
