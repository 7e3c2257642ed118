"""Which runs a comparison has: lists, sweeps and files, and what is refused before anything runs."""

import pytest

from keras_cl.compare import flags, grid, program
from keras_cl.errors import InputError
from keras_cl.settings.flags import parse


def cells(*given):
    found, impossible = grid.cells(flags.parse(["keras_cl.compare", *given]))
    assert not impossible
    return found


def labels(*given):
    return [cell.label for cell in cells(*given)]


def refusal(*given):
    with pytest.raises(InputError) as refused:
        program.Comparison.of(flags.parse(["keras_cl.compare", *given]))
    return str(refused.value)


def test_every_combination_of_the_lists_is_a_run_for_each_seed():
    found = cells("--methods=finetune,er", "--scenarios=task,class", "--stream=split", "--seeds=3,4")
    expected = [
        (method, scenario, (seed,))
        for method in ("finetune", "er")
        for scenario in ("task", "class")
        for seed in (3, 4)
    ]
    assert [(cell.config.method, cell.config.scenario, cell.config.seeds) for cell in found] == expected
    assert found[-1].label == "er class seed 4"
    assert len({cell.label for cell in found}) == len({cell.config.directory for cell in found}) == 8


def test_files_of_one_name_in_two_folders_are_runs_with_labels_of_their_own(tmp_path):
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "data.npz").write_bytes(b"")
    found = labels("--datasets=" + ",".join(str(tmp_path / folder / "data.npz") for folder in "ab"))
    assert len(set(found)) == 2 and all(label.startswith("ewc data seed 0 (") for label in found)


def test_names_can_have_spaces_between_them():
    assert labels("--methods=ewc, er") == ["ewc seed 0", "er seed 0"]


def test_the_flags_of_a_run_are_those_of_the_command_that_trains_it_alone(tmp_path):
    (cell,) = cells(
        "--methods=ewc",
        "--sweep.method.strength=10",
        "--noreset_optimizer",
        f"--runs_dir={tmp_path}",
        "--tasks=3",
    )
    again = parse(["keras_cl.main", *cell.flags])
    by_hand = parse(
        ["keras_cl.main", "--method=ewc", "--method.strength=10", "--noreset_optimizer", "--tasks=3"]
    )
    assert again == cell.config and again.settings == by_hand.settings
    assert again.directory == tmp_path / by_hand.name


def test_models_are_exported_if_the_command_asks_for_them():
    (without,), (all_of_them,) = cells("--methods=ewc"), cells("--methods=ewc", "--export=all")
    assert (without.config.export, all_of_them.config.export) == ("none", "all")


def test_a_flag_can_have_several_values():
    found = cells("--sweep.learning_rate=0.1,0.01", "--sweep.network.hidden=8;8,4", "--sweep.jit=off")
    values = [(cell.config.learning_rate, cell.config.options["network.hidden"]) for cell in found]
    assert values == [(0.1, (8,)), (0.1, (8, 4)), (0.01, (8,)), (0.01, (8, 4))]
    assert found[1].label == "ewc learning_rate=0.1 hidden=8,4 seed 0"


def test_options_are_given_to_the_choices_that_have_them():
    found = cells("--methods=finetune,ewc,er", "--sweep.method.strength=1,10", "--memory.capacity=7")
    strengths = [(cell.config.method, cell.config.options.get("method.strength")) for cell in found]
    assert strengths == [("finetune", None), ("ewc", 1.0), ("ewc", 10.0), ("er", None)]
    assert [cell.config.options.get("memory.capacity") for cell in found] == [None, None, None, 7]
    assert [cell.label for cell in found][:2] == ["finetune seed 0", "ewc strength=1 seed 0"]


@pytest.mark.parametrize("networks", ["cnn,resnet18", "resnet18,cnn"])
def test_values_are_separated_by_semicolons_where_one_of_the_choices_has_a_list(networks):
    given = ["--scenarios=task", "--stream=split", "--dataset=mnist", "--sweep.network.filters=4;8"]
    found, _ = grid.cells(flags.parse(["keras_cl.compare", *given, f"--networks={networks}"]))
    values = {(cell.config.network, cell.config.options["network.filters"]) for cell in found}
    assert values == {("cnn", (4,)), ("cnn", (8,)), ("resnet18", 4), ("resnet18", 8)}


def test_an_option_that_no_run_has_is_refused():
    said = refusal("--methods=finetune,ewc", "--scenarios=class", "--method.stength=3", "--stream=split")
    assert "no option --method.stength" in said and "Did you mean --method.strength?" in said
    assert "has no memory here" in refusal("--methods=finetune", "--memory.capacity=3")


def test_all_impossible_runs_are_named_at_once_and_can_be_left_out():
    given = ["--methods=hat,ewc,finetune", "--scenarios=task,class", "--stream=split", "--memories=vae"]
    given += ["--seeds=0,1"]
    said = refusal(*given)
    assert "hat class: The method hat does not support the class-incremental scenario" in said
    assert "ewc task" not in said
    comparison = program.Comparison.of(flags.parse(["keras_cl.compare", *given, "--skip_impossible"]))
    left = {(cell.config.method, cell.config.scenario) for cell in comparison.cells}
    assert ("hat", "class") not in left and ("ewc", "task") in left
    assert sum(map(len, comparison.impossible.values())) + len(comparison.cells) // 2 == 6


def test_a_comparison_of_nothing_possible_is_refused():
    given = ["--methods=hat", "--scenarios=class", "--stream=split"]
    assert "No run is possible. hat: The method hat" in refusal(*given, "--skip_impossible")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--methodes=ewc", "There is no flag --methodes. Did you mean --methods?"),
        ("--methods=ewc,fintune", "Did you mean finetune?"),
        ("--methods=", "--methods is empty"),
        ("--methods=ewc,ewc", "--methods names ewc twice"),
        ("--methods=ewc --method=er", "--method=er and --methods are given"),
        ("--scenarios=clas", "Did you mean class?"),
        ("--sweep.learning_rate=0.1,x", "--sweep.learning_rate: 'x' is not a number"),
        ("--sweep.learning_rate=nan,0.1", "it must be a finite number"),
        ("--sweep.learning_rate=", "has an empty value"),
        ("--sweep.epochs=2,2", "has 2 twice"),
        ("--sweep.method=ewc,er", "--sweep.method: give --methods"),
        ("--sweep.seeds=0;1", "--sweep.seeds: give --seeds"),
        ("--sweep.device=cpu,gpu", "does not change what a run learns"),
        ("--epochs=2 --sweep.epochs=3,4", "--epochs and --sweep.epochs are given"),
        ("--sweep.epoch=3", "Did you mean --sweep.epochs?"),
        ("--methods=finetune --sweep.method.strength=3", "The method finetune has no option --sweep.method."),
        ("--methods=ewc --sweep.method.stength=3", "Did you mean --sweep.method.strength?"),
        ("--run_dir=x", "--runs_dir is the folder of all"),
        ("--jobs=-1", "--jobs is -1"),
        ("--strategy=multiworker", "started by hand"),
        (
            "--baseline=sii --methods=si,ewc",
            "There is no baseline 'sii'; possible: si; ewc. Did you mean si?",
        ),
        ("--baseline=ewc,domain --methods=si,ewc", "There is no baseline 'ewc,domain'"),
        ("--baseline=ewc --sweep.epochs=2,3", "can be any of ewc, epochs=2; ewc, epochs=3"),
        ("--metrics=acuracy", "Did you mean"),
        ("--format=htm", "Did you mean html?"),
        ("ewc", "'ewc' is not a flag"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(given, said):
    assert said in refusal(*given.split())


def test_a_baseline_is_a_label_or_a_method_of_some_stream():
    given = ["--stream=split", "--methods=hat,si", "--scenarios=task,class", "--skip_impossible"]
    for one in ("hat", "si"):
        program.Comparison.of(flags.parse(["keras_cl.compare", *given, f"--baseline={one}"]))
    given = ["keras_cl.compare", "--sweep.epochs=2,3", "--baseline=ewc, epochs=3"]
    assert len(program.Comparison.of(flags.parse(given)).cells) == 2


def test_help_names_the_options_of_all_choices(capsys):
    with pytest.raises(SystemExit):
        flags.parse(["keras_cl.compare", "--methods=ewc,er", "--help"])
    shown = capsys.readouterr().out
    assert "--skip_impossible" in shown and "--sweep.learning_rate" in shown
    assert "Options of the method ewc." in shown and "Options of the method er." in shown
    assert "Options of the memory reservoir." in shown
