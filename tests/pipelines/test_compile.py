"""The definition for a cluster: what it asks for, that it is always the same, and that it runs."""

import os

import numpy as np
import pytest
import stand_ins
import yaml
from kfp import components, local
from processes import ROOT, sentence, start

from keras_cl.errors import InputError
from pipelines import compile as program

GIVEN = ("--stream=split", "--tasks=3", "--serving_dir=/models/served", "--volumes=claim:/models")


def definition(*given):
    return program.parse(["compile", *GIVEN, *given])


def documents(*given):
    text = program.written(definition(*given), "image:1", "code")
    return list(yaml.safe_load_all(text))


@pytest.fixture(scope="module")
def compiled():
    return documents("--pipeline_root=s3://bucket/line", "--gpus=2", "--cpu_limit=500m", "--memory_limit=2Gi")


def containers(compiled):
    return {name: one["container"] for name, one in compiled[0]["deploymentSpec"]["executors"].items()}


def test_every_component_of_every_task_has_the_image_the_resources_and_the_volume(compiled):
    found = containers(compiled)
    assert len(found) == 3 * 9
    for container in found.values():
        assert container["image"] == "image:1"
        assert container["resources"]["resourceCpuLimit"] == "500m"
        assert container["resources"]["resourceMemoryLimit"] == "2Gi"
    mounted = compiled[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(mounted) == set(found)
    assert all(one["pvcMount"] == [{"constant": "claim", "mountPath": "/models"}] for one in mounted.values())


def test_the_trainers_alone_ask_for_accelerators(compiled):
    asking = {name: c["resources"].get("accelerator") for name, c in containers(compiled).items()}
    names = {"exec-trainer", "exec-trainer-2", "exec-trainer-3"}
    assert {name for name, asked in asking.items() if asked} == names
    assert all(asking[name]["resourceCount"] == "2" for name in names)
    assert all(asking[name]["resourceType"] == "nvidia.com/gpu" for name in names)
    without = containers(documents("--gpus=0"))
    assert not any("accelerator" in container["resources"] for container in without.values())


def test_artifacts_go_to_the_store(compiled):
    assert compiled[0]["defaultPipelineRoot"] == "s3://bucket/line"
    assert "defaultPipelineRoot" not in documents()[0]


def test_a_push_is_never_taken_from_the_cache(compiled):
    tasks = compiled[0]["root"]["dag"]["tasks"]
    cached = {name: task["cachingOptions"].get("enableCache", False) for name, task in tasks.items()}
    assert {name for name, value in cached.items() if not value} == {"pusher", "pusher-2", "pusher-3"}


def test_a_task_begins_when_the_one_before_has_ended(compiled):
    tasks = compiled[0]["root"]["dag"]["tasks"]
    assert "pusher" in tasks["example-gen-2"]["dependentTasks"]
    assert "example-validator-2" in tasks["trainer-2"]["dependentTasks"]


def test_the_definition_is_always_the_same():
    assert documents() == documents()
    assert program.written(definition(), "i", "c") == program.written(definition(), "i", "c")
    assert program.written(definition(), "i", "c") != program.written(definition(), "i", "d")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            "--pipeline_root=line",
            "--pipeline_root is line; on a cluster it is a place that all components share",
        ),
        ("--serving_dir=models", "--serving_dir is models, and no container sees it; "),
        ("--examples=june", "--examples is june, and no container sees it; "),
        ("--data_dir=data", "--data_dir is data, and no container sees it; "),
        (
            "--volumes=models",
            "--volumes is 'models'; give a persistent volume claim and a path: claim:/path.",
        ),
        ("--out=pipeline", "--out is pipeline; give a file whose name ends with .yaml."),
        ("--gpus=-1", "--gpus is -1; it must not be negative."),
        ("--memory_limit=much", "--memory_limit is 'much'; give something like 8G or 512Mi."),
        ("--cpu_limit=all", "--cpu_limit is 'all'; give something like 4 or 500m."),
    ],
)
def test_what_a_cluster_cannot_do_is_refused(given, said):
    with pytest.raises(InputError) as error:
        definition(given)
    assert str(error.value).startswith(said)


def test_a_file_of_ones_own_must_be_seen_by_a_cluster(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = np.zeros((20, 2, 2), np.uint8), np.arange(20) % 10
    np.savez("data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    with pytest.raises(InputError, match="--dataset is data.npz, and no container sees it"):
        definition("--dataset=data.npz")
    code = "from keras_cl.methods.base import ContinualModel\n\n\nclass Mine(ContinualModel):\n    pass\n"
    (tmp_path / "mine.py").write_text(code)
    with pytest.raises(InputError, match="--method is mine.py, and no container sees it"):
        definition("--method=mine.py")


def test_what_a_component_would_refuse_is_not_written(tmp_path):
    (tmp_path / "thresholds.json").write_text('{"ModelValidator": {"min_acuracy": 0.5}}')
    out = tmp_path / "pipeline.yaml"
    with pytest.raises(InputError, match="The threshold of ModelValidator 'min_acuracy' is not known"):
        program.main(definition(f"--thresholds={tmp_path / 'thresholds.json'}", f"--out={out}"))
    assert not out.exists()


def test_places_of_vertex_need_no_volume():
    assert definition("--serving_dir=/gcs/bucket/served", "--volumes=").line.serving_dir


@pytest.mark.slow
def test_the_program_writes_the_file_and_says_how_its_image_is_built(tmp_path):
    out = tmp_path / "made" / "pipeline.yaml"
    process = start("-m", "pipelines.compile", *GIVEN, f"--out={out}", "--until=1")
    said, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    image = next(yaml.safe_load_all(out.read_text()))["deploymentSpec"]["executors"]["exec-pusher"][
        "container"
    ]["image"]
    assert said.splitlines()[-1] == f"docker build --file pipelines/Dockerfile --tag {image} ."
    process = start("-m", "pipelines.compile", "--until=1")
    assert sentence(process.communicate(timeout=120)[1]).startswith(
        "--serving_dir is serving, and no container"
    )


def test_the_image_gets_all_that_its_installation_reads():
    tomllib = pytest.importorskip("tomllib", reason="of Python 3.11")
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project, packages = about["project"], about["tool"]["setuptools"]["packages"]["find"]["include"]
    lines = (ROOT / "pipelines/Dockerfile").read_text().splitlines()
    copied = {name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]}
    read = {"pyproject.toml", "constraints.txt", project["readme"], *project["license-files"]}
    assert copied == read | {package.rstrip("*") for package in packages}
    assert all((ROOT / name).exists() for name in copied)
    (extras,) = [line.partition("=")[2] for line in lines if line.startswith("ARG EXTRAS")]
    assert {*extras.split(",")} <= {*project["optional-dependencies"]}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*no effect in the current local runner:UserWarning")
def test_the_definition_is_loaded_and_runs_on_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([stand_ins.write(tmp_path), str(ROOT)]))
    monkeypatch.chdir(tmp_path)
    loaded = components.load_component_from_text(program.written(definition("--until=2"), "python:3", "code"))
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "root"))
    done = loaded(serving_dir=str(tmp_path / "served"))
    assert [task for _, task in stand_ins.calls(tmp_path)] == [1] * 9 + [2] * 9
    assert (tmp_path / "served/model/2/model.txt").read_text() == "model 2"
    assert set(done.outputs) >= {"pushed_1", "pushed_2", "evaluation_2"}
