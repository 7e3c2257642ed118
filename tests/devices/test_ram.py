"""What cannot fit into main memory is refused before it is allocated, with both sizes."""

import re

import pytest
import tensorflow as tf
import tf_keras as keras
from processes import refusal

from keras_cl.devices import ram
from keras_cl.errors import InputError

TOO_LARGE = [
    "--network.hidden=300000,300000",
    "--network=class_vaes --method=generative_classifier --stream=split --network.latent=1000000000",
    "--network=cnn --network.filters=1000000,1000000",
    "--stream.pad=100000",
    "--stream=rotated --tasks=2147483647",
    "--tasks=2147483647",
    "--method=er --memory.capacity=2000000000",
    "--method=dgr --memory.latent=2000000000",
]


@pytest.mark.parametrize("given", TOO_LARGE)
def test_sizes_beyond_memory_are_refused_with_both_sizes(given, tmp_path):
    said = refusal(*given.split(), f"--run_dir={tmp_path / 'run'}", f"--export_dir={tmp_path / 'models'}")
    sizes = [float(size.replace(",", "")) for size in re.findall(r"([\d,.]+) GiB", said)]
    assert len(sizes) == 2 and sizes[0] > sizes[1] / 6, said
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("given", ["--iterations=100000000", "--iterations=2147483647 --batch_size=1"])
def test_more_steps_than_can_be_numbered_are_refused(given, tmp_path):
    said = refusal(*given.split(), f"--run_dir={tmp_path / 'run'}", f"--export_dir={tmp_path / 'models'}")
    assert "--iterations" in said and not any(tmp_path.iterdir())


def test_variables_are_counted_together_before_they_are_allocated(monkeypatch):
    monkeypatch.setattr(ram, "main_memory", lambda: 100)
    made = []

    def initial(shape, dtype):
        made.append(tuple(shape))
        return tf.zeros(shape, dtype)

    with ram.variables_counted("give fewer units"):
        keras.layers.Dense(4, kernel_initializer=initial).build([None, 3])  # 48 and 16 bytes
        with pytest.raises(InputError, match="kernel.* of 48 bytes: at least .* give fewer units"):
            keras.layers.Dense(4, kernel_initializer=initial).build([None, 3])
    assert made == [(3, 4)]
    tf.Variable(tf.zeros(1000))  # outside of the block nothing is counted


@pytest.mark.parametrize(
    ("own", "limits", "expected"),
    [
        ("0::/\n", {"memory.max": "1024\n"}, 1024),
        ("0::/\n", {"memory.max": "max\n"}, None),
        ("0::/\n", {"memory.max": ""}, None),
        ("0::/\n", {}, None),
        ("", {"memory.max": "1024\n"}, None),
        ("0::/slurm/job_7/step_0\n", {"slurm/job_7/memory.max": "2048", "memory.max": "max"}, 2048),
        ("2:cpu:/a\n1:x,memory:/a/b\n", {"memory/a/b/memory.limit_in_bytes": "4096"}, 4096),
        ("1:memory:/elsewhere\n0::/\n", {"memory/memory.limit_in_bytes": "4096"}, 4096),
    ],
)
def test_the_limit_of_a_container_or_a_job_counts(own, limits, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(ram, "GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(ram, "OWN_GROUPS", tmp_path / "own")
    whole = ram.main_memory()
    assert whole > 2**28
    (tmp_path / "own").write_text(own)
    for name, text in limits.items():
        (tmp_path / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cgroup" / name).write_text(text)
    assert ram.main_memory() == (expected or whole)
