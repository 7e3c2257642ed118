"""Flags and settings: what is derived from constructors, what is refused and how, what decides a run."""

import dataclasses
import inspect
import json
import time
import typing

import pytest
from processes import refusal, start

from keras_cl.errors import InputError
from keras_cl.settings import catalog, flags, options
from keras_cl.settings.build import make_stream
from keras_cl.settings.config import AFTERWARDS, PLACES, Config, own_options

EVERY_CHOICE = [(a, name) for a in (*catalog.AXES, *catalog.LISTS) for name in catalog.names(a)]
METHODS = ", ".join(catalog.names("method"))
STREAMS = ", ".join(catalog.names("stream"))


def parsed(*arguments):
    return flags.parse(["main", *arguments])


def help_of(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        parsed(*arguments, "--help")
    assert end.value.code == 0
    return capsys.readouterr().out


def flags_in(text):
    """The flags that a help text offers."""
    return [line.strip() for line in text.splitlines() if line.startswith("  --")]


def refused(*arguments):
    with pytest.raises(InputError) as error:
        parsed(*arguments)
    return str(error.value)


# ---- derived from constructors ---------------------------------------------------------------------------


@pytest.mark.parametrize(("axis", "name"), EVERY_CHOICE)
def test_every_option_is_a_keyword_of_the_constructor_with_its_type_and_default(axis, name):
    symbol = catalog.load(axis, name)
    maker = symbol.__init__ if inspect.isclass(symbol) else symbol  # perhaps that of a base
    hints = typing.get_type_hints(maker, include_extras=True)
    keywords = [p for p in inspect.signature(maker).parameters.values() if p.kind is p.KEYWORD_ONLY]
    keywords = [p for p in keywords if p.name in hints]  # others are not for a command
    expected = [options.option_of(p.name, hints[p.name], p.default, "") for p in keywords]
    found = [dataclasses.replace(option, help="") for option in catalog.choice(axis, name).options]
    assert found == expected


@pytest.mark.parametrize(("axis", "name"), EVERY_CHOICE)
def test_every_option_has_help_from_the_docstring(axis, name):
    symbol = catalog.load(axis, name)
    if inspect.isclass(symbol):
        symbol = next(kind for kind in symbol.__mro__ if "__init__" in vars(kind))
    words = " ".join(inspect.getdoc(symbol).split())
    for option in catalog.choice(axis, name).options:
        assert option.help and f"{option.name}: {option.help}" in words


STRENGTH = catalog.choice("method", "ewc").options[0].default


def test_the_options_of_ewc_are_those_of_its_constructor():
    found = {o.name: (o.kind, o.default, o.choices) for o in catalog.choice("method", "ewc").options}
    kinds = ("exact", "sample", "empirical", "argmax", "batched")
    assert found == {
        "strength": (float, STRENGTH, ()),
        "online": (bool, False, ()),
        "gamma": (float, 1.0, ()),
        "fisher": (str, "exact", kinds),
        "n_samples": (int, 0, ()),
        "fisher_batch": (int, 128, ()),
        "normalise": (str, "none", ("none", "max", "minmax", "mean1")),
        "half_penalty": (bool, True, ()),
    }


def test_every_setting_has_help():
    assert all(option.help for option in flags.main_options())
    assert {option.name for option in flags.main_options()} == {
        field.name for field in dataclasses.fields(Config) if field.name != "options"
    }


def test_argument_help_joins_lines_and_splits_names():
    document = """Does something.

    Args:
      one: first line
        and the second: line.
      two, three: of both.

    Returns:
      four: not an argument.
    """
    both = "of both."
    assert options.argument_help(document) == {
        "one": "first line and the second: line.",
        "two": both,
        "three": both,
    }


@pytest.mark.parametrize("document", ["", "Does something.", "Args: none here.", "Returns:\n  x: y"])
def test_argument_help_of_a_docstring_without_arguments_is_empty(document):
    assert options.argument_help(document) == {}


def test_argument_help_survives_a_text_before_the_first_name():
    document = "Does something.\n\nArgs:\n  Some words,\n  no name.\n  one: help.\n"
    assert options.argument_help(document) == {"one": "help."}


def test_argument_help_ends_where_the_next_section_begins():
    assert options.argument_help("Args:\n  one: help.\nReturns:\n  two: not one.") == {"one": "help."}


# ---- help ------------------------------------------------------------------------------------------------


def test_help_of_ewc_shows_its_options_with_defaults_and_nothing_else_of_methods(capsys):
    text = help_of(capsys, "--method=ewc")
    own = [flag for flag in flags_in(text) if flag.startswith("--method.")]
    assert own == [f"--method.{option.name}" for option in catalog.choice("method", "ewc").options]
    text = " ".join(text.split())
    assert f"--method.strength lambda, weight of the penalty. (default {STRENGTH})" in text
    assert "--method.half_penalty whether the penalty has the factor 1/2. (default true)" in text
    assert "one of none, max, minmax, mean1; default none" in text


def test_help_of_finetune_shows_no_option_of_any_method(capsys):
    text = help_of(capsys, "--method=finetune")
    assert not [flag for flag in flags_in(text) if flag.startswith("--method.")]
    assert "Fisher" not in text and "Options of the method finetune" in text


def test_help_follows_the_stream_that_is_chosen(capsys):
    assert "--stream.max_angle" in flags_in(help_of(capsys, "--stream=rotated"))
    assert "--stream.max_angle" not in flags_in(help_of(capsys, "--stream=split"))


def test_help_lists_every_setting_and_what_can_be_chosen(capsys):
    text = help_of(capsys)
    assert [f"--{option.name}" for option in flags.main_options()] == [
        flag for flag in flags_in(text) if "." not in flag
    ]
    assert f"one of {', '.join(catalog.names('method'))}; default ewc" in " ".join(text.split())


def test_no_flag_is_offered_twice(capsys):
    for axis, name in EVERY_CHOICE:
        offered = flags_in(help_of(capsys, f"--{axis}={name}"))
        assert len(set(offered)) == len(offered)


def test_help_answers_within_a_second_and_a_half():
    seconds = []
    for _ in range(3):  # the fastest counts: other work on the machine is not what is measured
        began = time.monotonic()
        process = start("-m", "keras_cl.main", "--method=ewc", "--help")
        output, errors = process.communicate(timeout=60)
        seconds.append(time.monotonic() - began)
        assert process.returncode == 0 and "--method.strength" in output and not errors
    assert min(seconds) < 1.5


def test_help_does_not_load_tensorflow():
    script = (
        "import atexit, sys; from keras_cl.settings import flags\n"
        "atexit.register(lambda: print([m for m in ('tensorflow', 'numpy') if m in sys.modules]))\n"
        "flags.parse(['main', '--help'])"
    )
    output, _ = start("-c", script).communicate(timeout=60)
    assert output.splitlines()[-1] == "[]"


# ---- values ----------------------------------------------------------------------------------------------


def test_without_flags_the_settings_are_the_defaults():
    assert parsed() == Config()


def test_values_have_the_types_of_the_constructor():
    config = parsed("--tasks=3", "--learning_rate=1e-2", "--dataset=digits", "--method.strength=5")
    assert (config.tasks, config.learning_rate, config.dataset) == (3, 0.01, "digits")
    assert config.options == {"method.strength": 5.0} and type(config.options["method.strength"]) is float


def test_a_flag_and_its_value_may_be_two_words():
    config = parsed("--method", "finetune", "--tasks", "3", "-epochs", "4")
    assert (config.method, config.tasks, config.epochs) == ("finetune", 3, 4)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("--overwrite", True),
        ("--overwrite=true", True),
        ("--overwrite=1", True),
        ("--nooverwrite", False),
        ("--overwrite=false", False),
        ("--overwrite=0", False),
    ],
)
def test_booleans_are_given_in_the_usual_ways(argument, value):
    assert parsed(argument).overwrite is value


def test_an_option_that_is_on_by_default_can_be_switched_off():
    assert parsed("--nomethod.half_penalty").options == {"method.half_penalty": False}


def test_tuples_are_separated_by_commas():
    config = parsed("--seeds=3,1,2", "--network.hidden=20,10")
    assert config.seeds == (3, 1, 2) and config.options == {"network.hidden": (20, 10)}


def test_a_tuple_may_have_one_entry_or_none():
    assert parsed("--network.hidden=7").options == {"network.hidden": (7,)}
    assert parsed("--network.hidden=").options == {"network.hidden": ()}


def test_the_last_of_several_values_counts():
    config = parsed("--method=finetune", "--tasks=2", "--method=ewc", "--tasks=3", "--method.gamma=1")
    assert (config.method, config.tasks) == ("ewc", 3)
    assert "no option --method.gamma" in refused("--method=ewc", "--method.gamma=1", "--method=finetune")


def test_only_options_that_were_given_are_kept():
    config = parsed(f"--method.strength={STRENGTH}")
    assert config.options == {"method.strength": STRENGTH}
    assert config.settings == Config().settings


# ---- flag files ------------------------------------------------------------------------------------------


def test_a_flagfile_gives_flags_one_a_line(tmp_path):
    file = tmp_path / "run.flags"
    file.write_text("# a remark\n--method=finetune\n\n--network.hidden=5,6\n--tasks=3\n")
    config = parsed(f"--flagfile={file}", "--tasks=4")
    assert (config.method, config.tasks, config.options) == ("finetune", 4, {"network.hidden": (5, 6)})


def test_options_of_a_method_that_a_flagfile_chooses_are_known(tmp_path, capsys):
    file = tmp_path / "run.flags"
    file.write_text("--stream=rotated\n")
    assert parsed(f"--flagfile={file}", "--stream.max_angle=90").options == {"stream.max_angle": 90.0}
    assert "--stream.max_angle" in flags_in(help_of(capsys, f"--flagfile={file}"))


def test_a_flagfile_may_name_another(tmp_path):
    inner, outer = tmp_path / "inner.flags", tmp_path / "outer.flags"
    inner.write_text("--method=finetune\n--tasks=2\n")
    outer.write_text(f"--flagfile={inner}\n--tasks=3\n")
    config = parsed("--flagfile", str(outer))
    assert (config.method, config.tasks) == ("finetune", 3)


def test_a_missing_flagfile_is_named(tmp_path):
    file = tmp_path / "none.flags"
    assert refused(f"--flagfile={file}") == f"The flagfile {file} cannot be read: No such file or directory."


def test_a_flagfile_that_is_a_folder_or_no_text_is_refused(tmp_path):
    assert refused(f"--flagfile={tmp_path}") == f"The flagfile {tmp_path} cannot be read: Is a directory."
    file = tmp_path / "binary"
    file.write_bytes(b"\xff\xfe\x00--tasks")
    assert refused(f"--flagfile={file}") == "A flagfile must be plain text, one flag per line."


def test_a_flagfile_without_a_path_is_refused():
    assert refused("--flagfile") == "--flagfile needs a path: --flagfile=path."


def test_a_mistake_in_a_flagfile_is_named_like_any_other(tmp_path):
    file = tmp_path / "run.flags"
    file.write_text("--epoch=3\n")
    assert "Did you mean --epochs?" in refused(f"--flagfile={file}")


# ---- refused with the nearest name -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("--metod=ewc", "There is no flag --metod. Did you mean --method?"),
        ("--batchsize=3", "There is no flag --batchsize. Did you mean --batch_size?"),
        ("--nooverwite", "There is no flag --nooverwite. Did you mean --overwrite?"),
        (
            "--method.strenght=4",
            "The method ewc has no option --method.strenght. Did you mean --method.stren",
        ),
        (
            "--network.hiden=4",
            "The network mlp has no option --network.hiden. Did you mean --network.hidden?",
        ),
        ("--stream.padd=4", "The stream permuted has no option --stream.padd. Did you mean --stream.pad?"),
        (
            "--method=ewx",
            f"method 'ewx' is not known; possible: {METHODS}, or path/to/file.py. Did you mean ewc?",
        ),
        (
            "--stream=splt",
            f"stream 'splt' is not known; possible: {STREAMS}, or path/to/file.py. Did you",
        ),
        (
            "--network=mpl",
            "network 'mpl' is not known; possible: applications, class_vaes, cnn, mlp, resnet18, resnet18_ic",
        ),
        (
            "--optimizer=adm",
            "--optimizer: 'adm' is not known; possible: adam, adamw, sgd, rmsprop, adagrad. D",
        ),
        (
            "--scenario=tsk",
            "--scenario: 'tsk' is not known; possible: task, domain, class. Did you mean task?",
        ),
        ("--method.fisher=exat", "--method.fisher: 'exat' is not known; possible: exact, sample, empirical,"),
        (
            "--precision=float16",
            "--precision: 'float16' is not known; possible: float32, mixed_bfloat16, mix",
        ),
        ("--method=", f"method '' is not known; possible: {METHODS}, or path/to/file.py."),
    ],
)
def test_a_misspelt_flag_or_value_is_refused_with_the_nearest_right_one(argument, sentence):
    assert refused(argument).startswith(sentence)


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("--tasks=many", "--tasks: 'many' is not a whole number."),
        ("--tasks=1.5", "--tasks: '1.5' is not a whole number."),
        ("--learning_rate=fast", "--learning_rate: 'fast' is not a number."),
        ("--seeds=1,x", "--seeds: '1,x' is not a whole number or several, separated by commas."),
        (
            "--network.hidden=4;5",
            "--network.hidden: '4;5' is not a whole number or several, separated by comm",
        ),
        ("--overwrite=maybe", "--overwrite: 'maybe' is neither true nor false."),
        ("--nooverwrite=1", "--nooverwrite=1 does not take an argument."),
        ("--tasks", "Missing value for flag --tasks."),
        ("ewc", "'ewc' is not a flag; flags look like --tasks=5."),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(argument, sentence):
    assert refused(argument).startswith(sentence)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("--method=finetune", "--method.strength=5"),
            "The method finetune has no option --method.strength. --help lists all of them.",
        ),
        (
            ("--stream=split", "--stream.pad=2"),
            "The stream split has no option --stream.pad.",
        ),
    ],
)
def test_an_option_of_another_choice_is_refused(arguments, sentence):
    assert refused(*arguments).startswith(sentence)


def test_the_command_shows_the_refusal_as_one_line():
    assert refusal("--metod=ewc").startswith("There is no flag --metod.")
    assert refusal("--iterations=-1") == "--iterations is -1; it must not be negative."


# ---- settings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"epochs": 0}, "--epochs is 0; it must be at least 1."),
        ({"iterations": -1}, "--iterations is -1; it must not be negative."),
        ({"curvature": -1}, "--curvature is -1; it must not be negative."),
        ({"generator_quality": -1}, "--generator_quality is -1; it must not be negative."),
        ({"curvature_rows": 0}, "--curvature_rows is 0; it must be at least 1."),
        ({"batch_size": -3}, "--batch_size is -3; it must be at least 1."),
        ({"learning_rate": 0.0}, "--learning_rate is 0.0; it must be above 0."),
        ({"learning_rate": float("nan")}, "--learning_rate is nan; it must be a finite number."),
        ({"seeds": ()}, "--seeds is empty; give whole numbers from 0 on."),
        ({"seeds": (-1,)}, "--seeds is -1; give whole numbers from 0 on."),
        ({"seeds": (2, 1, 2)}, "--seeds names a seed twice: 2,1,2."),
        (
            {"scenario": "tsk"},
            "--scenario 'tsk' is not known; possible: task, domain, class. Did you mean task?",
        ),
        ({"eval_every": "step"}, "--eval_every 'step' is not known; possible: task, epoch."),
        ({"jit": "yes"}, "--jit 'yes' is not known; possible: auto, on, off."),
        ({"optimizer": "adm"}, "--optimizer 'adm' is not known; possible: adam, adamw, sgd, rmsprop, adagr"),
        (
            {"method": "ewcc"},
            f"method 'ewcc' is not known; possible: {METHODS}, or path/to/file.py. Did you mean ewc?",
        ),
        (
            {"options": {"method.strenth": 1.0}},
            "There is no option --method.strenth here. Did you mean --meth",
        ),
        ({"options": {"method.fisher": "exat"}}, "--method.fisher 'exat' is not known; possible: exact, sam"),
        ({"method": "finetune", "options": {"method.gamma": 1.0}}, "There is no option --method.gamma here."),
    ],
)
def test_impossible_settings_are_refused(settings, sentence):
    with pytest.raises(InputError) as error:
        Config(**settings)
    assert str(error.value).startswith(sentence)


def test_a_method_that_cannot_do_a_scenario_refuses_it(monkeypatch):
    real = catalog.choice

    def only_task(axis, name):
        found = real(axis, name)
        return dataclasses.replace(found, constants={"scenarios": ("task",)}) if axis == "method" else found

    monkeypatch.setattr(catalog, "choice", only_task)
    assert Config(scenario="task").scenario == "task"
    with pytest.raises(
        InputError, match="ewc does not support the class-incremental scenario; possible: task"
    ):
        Config(scenario="class")


@pytest.mark.parametrize("stream", catalog.names("stream"))
def test_the_number_of_tasks_is_the_usual_one_of_the_stream(stream):
    several = {"dataset": "mnist,fashion_mnist,cifar10,cifar100,svhn_cropped"} if stream == "datasets" else {}
    config = Config(stream=stream, method="er", **several)
    assert config.tasks == len(make_stream(config)) == (1 if stream == "online" else 5)


@pytest.mark.parametrize(
    ("given", "tasks"),
    [
        (["--stream=split", "--stream.sizes=4,3,3"], 3),
        (["--stream=split", "--stream.sizes=4,3,3", "--tasks=3"], 3),
        (["--stream=rotated", "--stream.angles=0,30"], 2),
        (["--stream=split", "--stream.first=2"], 5),
    ],
)
def test_an_option_with_a_value_for_each_task_says_how_many_there_are(given, tasks):
    config = parsed(*given)
    assert config.tasks == config.settings["tasks"] == len(make_stream(config)) == tasks
    assert Config.from_settings(config.settings).hash == config.hash


def test_as_many_tasks_are_given_as_values():
    config = parsed("--stream=split", "--stream.sizes=4,3,3", "--tasks=2")
    with pytest.raises(InputError, match="3 sizes are given for 2 tasks; leave tasks out"):
        make_stream(config)


def test_the_scenario_is_the_usual_one_of_the_stream():
    usual = {stream: Config(stream=stream, method="er").scenario for stream in catalog.names("stream")}
    assert usual == {
        "blurry": "class",
        "corrupted": "domain",
        "datasets": "task",
        "imbalanced": "class",
        "online": "class",
        "permuted": "domain",
        "repeating": "class",
        "rotated": "domain",
        "split": "task",
    }


OTHER_VALUES = {
    "method": "finetune",
    "stream": "rotated",
    "network": "class_vaes",
    "regime": "stable",
    "memory": "ring",
    "dataset": "mnist",
    "tasks": 6,
    "scenario": "task",
    "epochs": 11,
    "iterations": 7,
    "batch_size": 33,
    "replay_batch_size": 5,
    "momentum": 0.5,
    "optimizer": "sgd",
    "learning_rate": 0.5,
    "reset_optimizer": False,
    "isolate_heads": False,
    "seeds": (1,),
    "stream_per_seed": True,
    "eval_every": "epoch",
    "eval_tasks": "seen",
    "early_stopping": 2,
    "curvature": 2,
    "augment": ("crop",),
    "augment_rows": "current",
    "curvature_rows": 100,
    "generator_quality": 100,
    "precision": "mixed_bfloat16",
    "jit": "off",
    "device": "cpu",
    "strategy": "mirrored",
    "run_dir": "elsewhere",
    "export_dir": "elsewhere",
    "keep": "last",
    "export": "none",
    "image_size": "32",
    "color_mode": "rgb",
    "resizing": "pad",
    "train_split": "train[:80%]",
    "test_split": "train[80%:]",
    "skip_damaged": True,
    "data_dir": "elsewhere",
    "cache_dir": "elsewhere",
    "tensorboard": True,
    "mlflow": True,
    "wandb": True,
    "overwrite": True,
    "verbosity": 1,
    "options": {"method.strength": 5.0},
}


# Settings that make sense beside another one only.
NEEDS = {
    "replay_batch_size": {"memory": "ring"},
    "momentum": {"optimizer": "sgd"},
    "augment_rows": {"augment": ("crop",)},
    "resizing": {"image_size": "9"},
}


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Config)])
def test_what_decides_a_result_changes_the_hash_and_places_do_not(field):
    plain = Config(**NEEDS.get(field, {}))
    changed = Config(**NEEDS.get(field, {}), **{field: OTHER_VALUES[field]})
    assert (changed.hash == plain.hash) == (field in (*PLACES, *AFTERWARDS))
    assert (changed.settings == plain.settings) == (field in (*PLACES, *AFTERWARDS))


def test_only_these_settings_decide_nothing():
    folders = {"run_dir", "export_dir", "data_dir", "cache_dir"}
    loggers = {"tensorboard", "mlflow", "wandb"}
    places = {"device", "strategy", "keep", "export", "overwrite", "verbosity"}
    assert set(PLACES) == folders | loggers | places
    assert set(AFTERWARDS) == {"curvature", "curvature_rows", "generator_quality"}


@pytest.mark.parametrize("axis", list(catalog.AXES))
def test_every_option_changes_the_hash(axis):
    config = Config(memory="ring")
    for option in own_options(axis, getattr(config, axis), config.method):
        others = {bool: not option.default, int: 7, float: 0.25}
        other = option.choices[-1] if option.choices else others[option.kind]
        other = (other,) if option.many else other
        changed = Config(memory="ring", options={f"{axis}.{option.name}": other})
        assert changed.hash != config.hash


# ---- a list of choices -----------------------------------------------------------------------------------


def test_every_augmentation_of_the_list_has_its_own_options():
    config = parsed("--augment=crop,mirror", "--augment.crop.padding=2", "--augment_rows=current")
    assert (config.augment, config.augment_rows) == (("crop", "mirror"), "current")
    assert config.options_of("augment.crop") == {"padding": 2}
    assert config.options_of("augment.mirror") == {}
    assert config.settings["augment.crop.padding"] == 2
    assert Config.from_settings(json.loads(json.dumps(config.settings))).settings == config.settings
    assert parsed("--augment=crop,mirror", "--augment_rows=current").hash != config.hash
    assert parsed("--augment=mirror,crop").hash != parsed("--augment=crop,mirror").hash


def test_without_augmentation_a_run_has_the_name_that_it_had():
    assert not [name for name in Config().settings if name.startswith("augment")]


def test_help_has_the_options_of_the_list(capsys):
    text = help_of(capsys, "--augment=crop,mixup")
    assert "--augment.crop.padding" in text and "--augment.mixup.alpha" in text
    assert "--augment.cutout.size" not in text
    assert "Options of the augment crop. Crop: shifts an image" in text
    assert "one of crop, cutmix, cutout, jitter, mirror, mixup" in " ".join(text.split())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--augment=crp"], "augment 'crp' is not known; possible: crop, cutmix"),
        (["--augment=crop,crp"], "Did you mean crop?"),
        (
            ["--augment=crop", "--augment.crop.pading=2"],
            "The augment crop has no option --augment.crop.pading.",
        ),
        (["--augment=crop", "--augment.crop.pading=2"], "Did you mean --augment.crop.padding?"),
        (
            ["--augment.crop.padding=2"],
            "--augment does not name crop, so there is no --augment.crop.padding.",
        ),
        (["--augment=mirror", "--augment.cutout.size=2"], "--augment does not name cutout"),
        (["--augment_rows=current"], "--augment_rows is current, and there is no --augment"),
        (["--augment=crop", "--augment_rows=new"], "possible: both, current, replayed"),
    ],
)
def test_augmentations_that_are_not_there_are_refused(given, said):
    assert said in refused(*given)


def test_the_hash_is_the_same_in_another_process():
    output, _ = start("-c", "from keras_cl.settings.config import Config; print(Config().hash)").communicate(
        timeout=60
    )
    assert output.strip() == Config().hash


def test_settings_hold_every_option_with_its_default():
    settings = Config(options={"network.hidden": (9,)}).settings
    assert settings["method.strength"] == STRENGTH and settings["network.hidden"] == (9,)
    assert not set(PLACES) & set(settings) and "options" not in settings


@pytest.mark.parametrize(
    "config",
    [
        Config(),
        Config(
            method="finetune",
            stream="rotated",
            seeds=(3, 1),
            scenario="class",
            options={"stream.angles": (0.0, 10.0, 20.0, 30.0, 40.0), "network.hidden": ()},
        ),
    ],
)
def test_a_configuration_comes_back_from_its_settings_in_json(config):
    back = Config.from_settings(json.loads(json.dumps(config.settings)), data_dir="there")
    assert back.settings == config.settings and back.hash == config.hash
    assert back.data_dir == "there"


def test_a_run_is_named_after_its_settings():
    config = Config(method="finetune", stream="split", dataset="data/own.npz", scenario="class")
    assert config.name == f"finetune-split-own-class-{config.hash}"
    assert str(config.directory) == f"runs/{config.name}"
    assert Config(run_dir="some/where").name == "where"


def test_a_name_of_thousands_of_characters_is_refused_in_one_sentence():
    with pytest.raises(InputError, match="A flag has a name of hundreds of characters"):
        flags.parse(["main", f"--method.st{5000 * '9'}=1"])
