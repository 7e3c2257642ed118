"""TensorFlow Serving's configuration of models: what is read, and what is refused in which words."""

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from keras_cl.errors import InputError
from keras_cl.serve.errors import ServingError
from keras_cl.serve.model_config import Policy, configs_of, policy_of, read_config

EXAMPLE = """
model_config_list {
  config { name: 'a' base_path: '/models/a' model_platform: 'tensorflow'
           model_version_policy { specific { versions: 3 versions: 1 } }
           version_labels { key: 'stable' value: 1 } }
  config { name: 'b' base_path: '/models/b' model_platform: 'tensorflow' model_version_policy { all {} } }
  config { name: 'c' base_path: '/models/c' model_type: TENSORFLOW
           model_version_policy { latest { num_versions: 2 } } }
  config { name: 'd' base_path: '/models/d' model_platform: 'tensorflow' }
}
"""


def test_the_text_format_is_read(tmp_path):
    (tmp_path / "models.config").write_text(EXAMPLE)
    found = read_config(tmp_path / "models.config")
    assert [(config.name, str(config.base_path)) for config in found] == [(c, f"/models/{c}") for c in "abcd"]
    assert [config.policy for config in found] == [
        Policy("specific", (3, 1)),
        Policy("all", ()),
        Policy("latest", (2,)),
        Policy("latest", (1,)),
    ]
    assert found[0].labels == {"stable": 1}


@pytest.mark.parametrize(
    ("text", "chosen"),
    [("all", [1, 2, 10]), ("latest", [10]), ("latest:2", [2, 10]), ("latest:0", [10]), ("specific:2,7", [2])],
)
def test_policies_choose(text, chosen):
    assert policy_of(text).choose({10, 2, 1}) == chosen


@pytest.mark.parametrize(
    "text", ["", "newest", "all:1", "latest:x", "latest:1,2", "specific", "specific:", "latest:-1"]
)
def test_other_policies_are_refused(text):
    with pytest.raises(InputError, match="possible: latest, latest:N, all, specific:N,N"):
        policy_of(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("custom_model_config {}", "Invalid ServerModelConfig"),
        ("model_config_list { config { name: 'a' base_path: '/a' } }", "Illegal setting neither"),
        (
            "model_config_list { config { name: 'a' base_path: 'a' model_platform: 'tensorflow' } }",
            "Expected model a to have an absolute path or URI; got base_path()=a",
        ),
        (
            "model_config_list { config { name: 'a' base_path: '/a' model_platform: 'torch' } }",
            "Model a requests unsupported platform torch",
        ),
        (
            "model_config_list { config { name: 'a' base_path: '/a' model_platform: 'tensorflow' } "
            "config { name: 'a' base_path: '/b' model_platform: 'tensorflow' } }",
            "Illegal to list model a multiple times in config list",
        ),
    ],
)
def test_wrong_configurations_are_refused(text, message):
    with pytest.raises(ServingError) as refused:
        configs_of(text_format.Parse(text, model_server_config_pb2.ModelServerConfig()))
    assert refused.value.message.startswith(message)


def test_a_file_that_is_no_configuration_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "models.config"
    with pytest.raises(InputError, match="cannot be read: .*No such file"):
        read_config(path)
    path.write_text("model_config_list { name: 'a' }")
    with pytest.raises(InputError, match="is no ModelServerConfig: 1:"):
        read_config(path)
    path.write_text("")
    with pytest.raises(InputError, match="Invalid ServerModelConfig"):
        read_config(path)
