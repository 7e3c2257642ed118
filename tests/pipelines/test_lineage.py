"""Lineage: the way back to the raw data and the way forward, as text, figure and OpenLineage events."""

import contextlib
import datetime
import functools
import json
import operator
import pathlib
import re
import shutil
import subprocess
import sys
import uuid

import artifact_lines
import networkx as nx
import numpy as np
import pytest
from processes import ROOT, sentence

from keras_cl.errors import InputError
from pipelines import artifacts
from pipelines.artifacts import LINEAGE
from pipelines.components.pusher import pusher
from pipelines.lineage import __main__ as lineage
from pipelines.lineage import events, graph, history, store, tree


def pushed_line(folder, tasks):
    """A line of artifacts whose models are served, below `folder`."""
    made = artifact_lines.line(folder / "root", tasks)
    for task, one in enumerate(made, 1):
        given = {key: str(one[key]) for key in ("model", "blessing", "infra_blessing")}
        one["pushed"] = folder / "root" / f"task{task}" / "pusher" / "pushed"
        place = {"serving_dir": str(folder / "serving"), "model_name": "digits"}
        pusher(**given, **place, pushed=str(one["pushed"]), code=artifact_lines.CODE)
    return made


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory):
    """Folder with two tasks, and their artifacts; tests do not change them."""
    folder = tmp_path_factory.mktemp("line")
    return folder, pushed_line(folder, 2)


@pytest.fixture
def line(tmp_path):
    """Folder with two tasks, and their artifacts, for one test alone."""
    return tmp_path, pushed_line(tmp_path, 2)


def printed(capsys, *given):
    """What the program prints for some arguments."""
    lineage.main(lineage.parse(["lineage", *map(str, given)]))
    return capsys.readouterr().out


def refusal(*given):
    """The sentence of the program about some arguments."""
    with pytest.raises(InputError) as refused:
        lineage.main(lineage.parse(["lineage", *map(str, given)]))
    return str(refused.value)


def key(folder):
    """The id of an artifact as it is shown."""
    return tree.short(artifacts.read_record(folder)["id"])


# ---- text ------------------------------------------------------------------------------------------------


def test_the_way_back_of_a_served_model_is_a_tree_for_each_task(unchanged, capsys):
    folder, (one, two) = unchanged
    out = printed(capsys, folder / "serving/digits/2")
    out = re.sub(r"  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "", out)
    served = tree.short(history.read(folder / "serving/digits/2").start)
    raw = "  raw data: digits, stream split"
    assert (
        out
        == f"""\
The way back of Pusher served {served}, {folder}/serving/digits/2: 9 artifacts

Task 2
Pusher served {served}  serving_dir={folder}/serving model_name=digits
├─ model: Trainer model {key(two["model"])}
│  ├─ examples: ExampleGen examples {key(two["examples"])}{raw}
│  │  └─ previous: ExampleGen examples {key(one["examples"])} (task 1)
│  └─ previous: Trainer model {key(one["model"])} (task 1)
├─ blessing: ModelValidator blessing {key(two["blessing"])}  max_forgetting=0.1
│  ├─ evaluation: Evaluator evaluation {key(two["evaluation"])}
│  │  ├─ model: Trainer model {key(two["model"])} (above)
│  │  ├─ examples: ExampleGen examples {key(two["examples"])} (above)
│  │  └─ previous: Evaluator evaluation {key(one["evaluation"])} (task 1)
│  └─ previous: ModelValidator blessing {key(one["blessing"])} (task 1)
└─ infra_blessing: InfraValidator infra_blessing {key(two["infra_blessing"])}
   ├─ model: Trainer model {key(two["model"])} (above)
   └─ examples: ExampleGen examples {key(two["examples"])} (above)

Task 1
ModelValidator blessing {key(one["blessing"])}  max_forgetting=0.1
└─ evaluation: Evaluator evaluation {key(one["evaluation"])}
   ├─ model: Trainer model {key(one["model"])}
   │  └─ examples: ExampleGen examples {key(one["examples"])}{raw}
   └─ examples: ExampleGen examples {key(one["examples"])} (above)

Settings: --method=ewc --stream=split --dataset=digits --tasks=5
Code: c0dec0dec0de
"""
    )


def test_the_newest_version_is_meant_by_the_folder_of_versions(unchanged):
    folder, _ = unchanged
    assert history.read(folder / "serving/digits") == history.read(folder / "serving/digits/2")


def test_a_served_model_alone_has_its_way_back(line, capsys):
    folder, made = line
    before = printed(capsys, folder / "serving/digits/2").splitlines()[2:]
    moved = folder / "elsewhere" / "2"
    shutil.copytree(folder / "serving/digits/2", moved)
    shutil.rmtree(folder / "root")
    after = printed(capsys, moved).splitlines()[2:]
    assert [line.removesuffix("  not here") for line in after] == before
    facts = [line for line in after if re.search(r"\d\d:\d\d:\d\d", line)]
    assert len(facts) == 10 and all(line.endswith("  not here") for line in facts[1:])
    assert not facts[0].endswith("not here")


def test_what_an_artifact_has_influenced(unchanged, capsys):
    folder, (one, two) = unchanged
    out = printed(capsys, one["statistics"], "--forward", f"--pipeline_root={folder / 'root'}")
    out = re.sub(r"  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "", out)
    assert out.split("\n\n")[:3] == [
        f"What was made of StatisticsGen statistics {key(one['statistics'])}, {one['statistics']}: 5 "
        f"artifacts",
        f"""\
Task 1
StatisticsGen statistics {key(one["statistics"])}
├─ as statistics: SchemaGen schema {key(one["schema"])}
│  ├─ as schema: ExampleValidator anomalies {key(one["anomalies"])}
│  └─ as previous: SchemaGen schema {key(two["schema"])} (task 2)
├─ as statistics: ExampleValidator anomalies {key(one["anomalies"])} (above)
└─ as previous: StatisticsGen statistics {key(two["statistics"])} (task 2)""",
        f"""\
Task 2
StatisticsGen statistics {key(two["statistics"])}
├─ as statistics: SchemaGen schema {key(two["schema"])}
│  └─ as schema: ExampleValidator anomalies {key(two["anomalies"])}
└─ as statistics: ExampleValidator anomalies {key(two["anomalies"])} (above)""",
    ]


def test_the_way_forward_ends_at_what_is_served(unchanged, capsys):
    folder, (one, two) = unchanged
    store.refresh(folder / "root")  # which the root is found by
    out = printed(capsys, one["examples"], "--forward")
    for number, made in enumerate((one, two), 1):
        assert f"Pusher pushed {key(made['pushed'])}" in out
        assert f"served as {folder}/serving/digits/{number}" in out
    assert ": 17 artifacts" in out  # all others
    served = printed(capsys, folder / "serving/digits/1", "--forward")
    assert served == printed(capsys, one["model"], "--forward")  # of the model that is served


def test_an_id_a_digest_or_a_file_of_an_artifact_is_enough(unchanged):
    folder, (one, _) = unchanged
    record, root = artifacts.read_record(one["model"]), folder / "root"
    found = history.read(one["model"])
    for target in (record["id"], record["id"][:8], record["digest"]):
        assert history.read(target, root) == found
    assert history.read(one["model"] / "saved_models/1/variables") == found


def test_artifacts_that_were_moved_are_found_in_their_pipeline_root(line, capsys):
    folder, (one, _) = line
    (folder / "root").rename(folder / "archive")
    served, root = folder / "serving/digits/2", f"--pipeline_root={folder / 'archive'}"
    assert printed(capsys, served).count("not here") == 9
    assert "not here" not in printed(capsys, served, root)
    moved = folder / "archive" / one["evaluation"].relative_to(folder / "root")
    (moved / "matrix.csv").write_text("better numbers")
    assert refusal(served, root) == f"1 of 10 artifacts were edited: {moved}."


def test_settings_and_code_that_changed_between_tasks_are_told_with_their_tasks(unchanged, tmp_path):
    _, (one, _) = unchanged
    config = {"method": "si", "stream": "split", "dataset": "digits", "tasks": 5, "epochs": 3, "seeds": [0]}
    folder = tmp_path / "examples"
    given = {
        "settings": {"settings": config},
        "number": 2,
        "folder": "/arrived/june",
        "folder_sha256": "ab" * 32,
    }
    with artifacts.produced(
        "ExampleGen", {"examples": folder}, {"previous": one["examples"]}, code="f" * 64, **given
    ):
        pass
    lines = tree.lines_of(history.read(folder))
    assert lines[-4:] == [
        "Settings (tasks 1): --method=ewc --stream=split --dataset=digits --tasks=5",
        "Settings (tasks 2): --method=si --stream=split --dataset=digits --tasks=5 --epochs=3",
        "Code (tasks 1): c0dec0dec0de",
        "Code (tasks 2): ffffffffffff",
    ]
    assert any(line.endswith("  raw data: /arrived/june (abababababab)") for line in lines)


# ---- edits and damage ------------------------------------------------------------------------------------


def test_an_artifact_that_was_edited_is_marked_and_named(line, capsys):
    folder, (one, _) = line
    (one["evaluation"] / "matrix.csv").write_text("better numbers")
    message = refusal(folder / "serving/digits/2")
    assert message == f"1 of 10 artifacts were edited: {one['evaluation']}."
    out = capsys.readouterr().out
    (marked,) = (line for line in out.splitlines() if "EDITED" in line)
    assert marked.startswith("└─ evaluation: Evaluator") and marked.endswith("  EDITED: matrix.csv")
    assert "EDITED" not in printed(capsys, folder / "serving/digits/2", "--noverify")


def test_a_shared_file_that_was_edited_marks_every_artifact_that_has_it(line, capsys):
    folder, (one, two) = line
    (one["examples"] / "task_001/rows").write_text("other rows")
    message = refusal(folder / "serving/digits/2")
    assert message == f"2 of 10 artifacts were edited: {one['examples']}, {two['examples']}."
    assert capsys.readouterr().out.count("EDITED: task_001/rows") == 2


def test_a_served_model_that_was_edited_is_named(line):
    folder, _ = line
    served = folder / "serving/digits/2"
    (served / "saved_model.pb").write_text("another graph")
    assert refusal(served) == f"1 of 10 artifacts were edited: {served}."


def test_a_record_in_a_served_model_that_was_edited_is_named(line, capsys):
    """The seal of the folder says so, and where it was made again, the ids do."""
    folder, (one, _) = line
    served = folder / "serving/digits/2"
    told = json.loads((served / LINEAGE).read_text())
    told["history"][artifacts.read_record(one["model"])["id"]]["settings"]["number"] = 3
    (served / LINEAGE).write_text(json.dumps(told))
    named = f"2 of 10 artifacts were edited: {one['model']}, {served}."
    assert refusal(served) == named
    assert "EDITED: its record" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda told: told.pop("history"), "lineage.json is damaged: it has not the records of a history."),
        (lambda told: told["record"].pop("inputs"), "lineage.json is damaged: it has not the records"),
        (lambda told: told["history"].popitem(), "are missing in the history of"),
        (lambda told: _in_a_circle(told["history"]), "are damaged: they go in a circle."),
    ],
    ids=["no history", "no inputs", "a record is gone", "circle"],
)
def test_damaged_records_are_one_sentence(line, edit, message):
    folder, _ = line
    file = folder / "serving/digits/2" / LINEAGE
    told = json.loads(file.read_text())
    edit(told)
    file.write_text(json.dumps(told))
    assert message in refusal(file.parent)


def _in_a_circle(records):
    first = next(record for record in records.values() if not record["inputs"])
    last = next(record for record in records.values() if record["artifact"] == "blessing")
    first["inputs"]["previous"] = {"path": "", "digest": "", "id": last["id"]}


def test_whatever_is_in_the_records_is_printed_or_one_sentence(line, tmp_path, capsys):
    folder, _ = line
    file, random = folder / "serving/digits/2" / LINEAGE, np.random.default_rng(0)
    whole = file.read_text()
    others = [None, -1.5, True, "", "x", "2026-01-01", [1], {}, {"id": 3}, {"settings": 1}, "\0", "\ud800"]

    def places(found, path=()):
        for name, value in found.items() if isinstance(found, dict) else ():
            yield (*path, name)
            yield from places(value, (*path, name))

    for _ in range(150):
        told = json.loads(whole)
        every = list(places(told))
        *path, name = every[random.integers(len(every))]
        functools.reduce(operator.getitem, path, told)[name] = others[random.integers(len(others))]
        file.write_text(json.dumps(told))
        with contextlib.suppress(InputError):
            printed(capsys, file.parent, f"--openlineage={tmp_path / 'events'}")


def test_a_history_that_cannot_be_read_is_one_sentence(line):
    folder, (one, _) = line
    (folder / "serving/digits/2" / LINEAGE).write_text("{")
    assert refusal(folder / "serving/digits/2").endswith("lineage.json is damaged.")
    (one["model"] / artifacts.HISTORY).write_bytes(b"\x1f\x8b and no more")
    assert "history.json.gz, the records of what" in refusal(one["model"])


def test_what_was_removed_stays_in_the_way_forward(line, capsys):
    folder, (one, _) = line
    root = folder / "root"
    store.refresh(root)
    shutil.rmtree(one["evaluation"])
    out = printed(capsys, one["examples"], "--forward")
    (gone,) = (line for line in out.splitlines() if "removed before 20" in line)
    assert f"Evaluator evaluation {key_of(out, 'Evaluator evaluation')}" in gone


def key_of(out, name):
    return re.search(rf"{name} ([0-9a-f]{{12}})", out)[1]


# ---- bad input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "Which model or artifact? Give its folder: python -m pipelines.lineage serving/digits/3."),
        (["a", "b"], "One model or artifact at a time, not 2: a b."),
        (["a", "--forwards"], "There is no flag --forwards. Did you mean --forward?"),
        (["{folder}/serving/digit"], "There is no {folder}/serving/digit. Did you mean digits?"),
        (["{folder}/nothing/at/all"], "There is no {folder}/nothing/at/all."),
        (
            ["{folder}/serving"],
            "{folder}/serving is neither a served model with a lineage.json nor an artifact. Did you mean "
            "{folder}/serving/digits?",
        ),
        (
            ["abcdef123456"],
            "abcdef123456 is no artifact; for an id or a digest give --pipeline_root, the folder of all "
            "artifacts.",
        ),
        (
            ["abcdef123456", "--pipeline_root={folder}/root"],
            "There is no artifact abcdef123456 in {folder}/root.",
        ),
        (["abcdef", "--pipeline_root={folder}/none"], "There is no pipeline root {folder}/none."),
    ],
)
def test_what_cannot_be_used_is_one_sentence(unchanged, given, message):
    folder, _ = unchanged
    assert refusal(*(one.format(folder=folder) for one in given)) == message.format(folder=folder)


def test_the_program_itself_ends_with_one_sentence_and_does_not_wait_for_tensorflow(unchanged, tmp_path):
    folder, _ = unchanged

    def ran(*given):
        line = [sys.executable, "-X", "importtime", "-m", "pipelines.lineage", *map(str, given)]
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120)
        imports = {text.rsplit("|", 1)[1].strip() for text in done.stderr.splitlines() if "|" in text}
        assert not {"tensorflow", "tf_keras", "matplotlib", "openlineage.client", "networkx"} & imports
        said = [text for text in done.stderr.splitlines() if not text.startswith("import time:")]
        return done.returncode, done.stdout, "".join(f"{text}\n" for text in said)

    code, out, errors = ran(folder / "serving/digits/2")
    assert (code, errors) == (0, "") and out.startswith("The way back of Pusher served ")
    code, out, errors = ran(folder / "serving/digit")
    assert (code, out) == (1, "") and sentence(errors).endswith("Did you mean digits?")
    code, out, errors = ran("--help")
    assert (code, errors) == (0, "") and "--openlineage" in out and "python -m pipelines.lineage" in out


@pytest.mark.parametrize("flag", ["png", "openlineage"])
def test_a_file_that_cannot_be_written_is_one_sentence(unchanged, flag, tmp_path):
    folder, _ = unchanged
    (tmp_path / "file").write_text("")
    message = refusal(folder / "serving/digits/2", f"--{flag}={tmp_path}/file/out.png")
    assert message.startswith(f"Writing to {tmp_path}/file/out.png failed: Not a directory")


# ---- figure ----------------------------------------------------------------------------------------------


def test_the_figure_has_every_artifact_at_a_place_of_its_own(tmp_path, capsys):
    pushed_line(tmp_path, 4)
    found = history.read(tmp_path / "root/task1/example-gen/examples", tmp_path / "root", forward=True)
    drawn = graph.graph_of(found)
    assert len(drawn) == 36 and nx.is_directed_acyclic_graph(drawn)
    places, (width, height) = graph.layout(drawn)
    boxes = sorted(places.values())
    for place, (x, y) in enumerate(boxes):
        assert graph.BOX[0] / 2 < x < width - graph.BOX[0] / 2 and -height < y - graph.BOX[1] / 2
        for other_x, other_y in boxes[place + 1 :]:
            assert abs(x - other_x) > graph.BOX[0] or abs(y - other_y) > graph.BOX[1]


def test_the_labels_fit_into_their_boxes_and_the_figure_is_written(unchanged, tmp_path, capsys):
    folder, _ = unchanged
    from matplotlib.figure import Figure

    file = tmp_path / "lineage.png"
    seen, draw = [], Figure.savefig

    def measured(figure, path, **kwargs):
        figure.canvas.draw()
        axes = figure.axes[0]
        texts = [text for text in axes.texts if not text.get_text().startswith("Task")]
        boxes = [patch for patch in axes.patches if hasattr(patch, "get_boxstyle")]
        for text, box in zip(texts, boxes, strict=False):
            inner, outer = text.get_window_extent(), box.get_window_extent()
            seen.append(
                outer.x0 < inner.x0 and inner.x1 < outer.x1 and outer.y0 < inner.y0 < inner.y1 < outer.y1
            )
        draw(figure, path, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", measured)
        printed(capsys, folder / "serving/digits/2", f"--png={file}")
    assert len(seen) == 10 and all(seen)
    assert file.read_bytes().startswith(b"\x89PNG")


# ---- OpenLineage -----------------------------------------------------------------------------------------


def written(capsys, folder, target, file):
    printed(capsys, target, f"--openlineage={file}", f"--pipeline_root={folder / 'root'}")
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_events_have_what_openlineage_requires(unchanged, tmp_path, capsys):
    folder, _ = unchanged
    found = written(capsys, folder, folder / "serving/digits/2", tmp_path / "events.ndjson")
    assert len(found) == 2 * 10
    for event in found:
        assert re.fullmatch(
            r"https://openlineage\.io/spec/[\d-]+/OpenLineage\.json#/\$defs/RunEvent", event["schemaURL"]
        )
        assert event["producer"].startswith("pkg:pypi/keras-cl@")
        assert datetime.datetime.fromisoformat(event["eventTime"]).tzinfo
        assert event["eventType"] in ("START", "COMPLETE")
        assert uuid.UUID(event["run"]["runId"])
        assert event["job"]["namespace"] and event["job"]["name"]
        for one in (*event["inputs"], *event["outputs"]):
            assert one["namespace"] and one["name"]
        parts = (event["run"], event["job"], *event["inputs"], *event["outputs"])
        for facet in (facet for part in parts for facet in part["facets"].values()):
            assert facet["_producer"] == event["producer"] and facet["_schemaURL"].startswith(
                "https://openlineage.io/"
            )
    assert [event["eventTime"] for event in found] == sorted(event["eventTime"] for event in found)


def test_events_are_pairs_whose_data_sets_connect_the_raw_data_to_what_is_served(unchanged, tmp_path, capsys):
    folder, (one, two) = unchanged
    found = written(capsys, folder, folder / "serving/digits/2", tmp_path / "events.ndjson")
    runs = {}
    for event in found:
        runs.setdefault(event["run"]["runId"], []).append(event)
    assert len(runs) == 10
    assert all([event["eventType"] for event in pair] == ["START", "COMPLETE"] for pair in runs.values())
    made = nx.DiGraph()
    for event in found:
        made.add_edges_from((one["name"], two["name"]) for one in event["inputs"] for two in event["outputs"])
    assert nx.has_path(made, "digits", str(folder / "serving/digits/2"))
    assert set(made.predecessors(str(two["model"]))) == {str(two["examples"]), str(one["model"])}
    (trained,) = (e for e in found if e["outputs"] and e["outputs"][0]["name"] == str(two["model"]))
    record, (begun, _) = artifacts.read_record(two["model"]), runs[trained["run"]["runId"]]
    assert (begun["eventTime"], trained["eventTime"]) == (record["began"], record["time"])
    digest = trained["outputs"][0]["facets"]["version"]["datasetVersion"]
    assert digest == artifacts.verified(two["model"])
    told = {p["key"]: p["value"] for p in trained["run"]["facets"]["executionParameters"]["parameters"]}
    assert told["method"] == "ewc" and told["code"] == artifact_lines.CODE and told["number"] == "2"


def test_events_are_the_same_however_they_were_found(line, tmp_path, capsys):
    folder, (one, two) = line
    first = (tmp_path / "first", tmp_path / "second", tmp_path / "forward")
    back = written(capsys, folder, two["blessing"], first[0])
    assert written(capsys, folder, two["blessing"], first[1]) == back
    found = history.read(one["examples"], folder / "root", forward=True)
    forward = {event.run.runId for event in events.events_of(found)}
    assert {event["run"]["runId"] for event in back} <= forward
    served = {event.run.runId for event in events.events_of(history.read(folder / "serving/digits/2"))}
    assert served <= forward  # the run of the Pusher serves a model and leaves an artifact


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("/arrived/june", ("file", "/arrived/june")),
        ("/gcs/bucket/arrived/june", ("gs://bucket", "arrived/june")),
        ("/s3/bucket/june", ("s3://bucket", "june")),
        ("/minio/bucket/june", ("s3://bucket", "june")),
    ],
)
def test_data_that_arrived_are_a_data_set_with_their_digest(folder, expected, tmp_path):
    given = {
        "settings": {"settings": {"dataset": "digits"}},
        "number": 1,
        "folder": folder,
        "folder_sha256": "ab" * 32,
    }
    with artifacts.produced("ExampleGen", {"examples": tmp_path / "examples"}, **given):
        pass
    start, _ = events.events_of(history.read(tmp_path / "examples"))
    (raw,) = start.inputs
    assert (raw.namespace, raw.name) == expected
    assert raw.facets["version"].datasetVersion == "ab" * 32


def test_a_data_set_in_a_file_is_that_file(tmp_path):
    given = {"settings": {"settings": {"dataset": "data/own.npz", "dataset_sha256": "cd" * 32}}, "number": 1}
    with artifacts.produced("ExampleGen", {"examples": tmp_path / "examples"}, **given):
        pass
    (raw,) = events.events_of(history.read(tmp_path / "examples"))[0].inputs
    assert (raw.namespace, raw.name) == ("file", str(pathlib.Path("data/own.npz").absolute()))
    assert raw.facets["version"].datasetVersion == "cd" * 32


@pytest.mark.parametrize(("flag", "package"), [("png", "networkx"), ("openlineage", "openlineage")])
def test_packages_that_are_missing_are_named(flag, package, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=f"This needs {package}: pip install"):
        lineage.main(lineage.parse(["lineage", "served/digits", f"--{flag}=file"]))
