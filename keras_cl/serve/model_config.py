"""What is served: TensorFlow Serving's configuration of models, as text and as protos."""

import dataclasses
import pathlib

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from keras_cl.errors import InputError
from keras_cl.serve.errors import ServingError

POLICIES = "latest, latest:N, all, specific:N,N,..."


@dataclasses.dataclass(frozen=True)
class Policy:
    """Which versions in the folder of a model are served.

    Args:
      kind: "latest", "all" or "specific".
      versions: number of the latest versions, or the specific versions.
    """

    kind: str = "latest"
    versions: tuple[int, ...] = (1,)

    def choose(self, found):
        """The sorted version numbers that are served, of those that were found."""
        if self.kind == "all":
            return sorted(found)
        if self.kind == "latest":
            return sorted(found)[-max(self.versions[0], 1) :]
        return sorted(set(found) & set(self.versions))


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A model that is served.

    Args:
      name: its name in requests.
      base_path: folder of its versions, absolute.
      policy: `Policy` of its versions.
      labels: dict of version numbers by label.
    """

    name: str
    base_path: pathlib.Path
    policy: Policy = Policy()
    labels: dict = dataclasses.field(default_factory=dict)


def policy_of(text):
    """The `Policy` of a text such as "all" or "specific:1,3"; `InputError` for any other text."""
    kind, _, rest = text.partition(":")
    numbers = rest.split(",") if rest else []
    right = all(number.isascii() and number.isdigit() for number in numbers)
    if text == "latest":
        return Policy()
    if text == "all" or (
        right and (kind == "latest" and len(numbers) == 1 or kind == "specific" and numbers)
    ):
        return Policy(kind, tuple(map(int, numbers)))
    raise InputError(f"--model_version_policy={text} is not known; possible: {POLICIES}.")


def read_config(path):
    """`ModelConfig`s of a file in TensorFlow Serving's text format; `InputError` if it cannot be used."""
    try:
        text = pathlib.Path(path).read_text()
        proto = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
        return configs_of(proto)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--model_config_file={path} cannot be read: {error}.") from error
    except text_format.ParseError as error:
        raise InputError(f"--model_config_file={path} is no ModelServerConfig: {error}.") from error
    except ServingError as error:
        raise InputError(f"--model_config_file={path} cannot be served: {error.message}.") from error


def configs_of(proto):
    """`ModelConfig`s of a `ModelServerConfig`; `ServingError` if it is wrong."""
    if proto.WhichOneof("config") != "model_config_list":
        raise ServingError("INVALID_ARGUMENT", "Invalid ServerModelConfig")
    names = [config.name for config in proto.model_config_list.config]
    for place, name in enumerate(names):
        if name in names[:place]:
            message = f"Illegal to list model {name} multiple times in config list"
            raise ServingError("INVALID_ARGUMENT", message)
    return [_config_of(config) for config in proto.model_config_list.config]


def _config_of(config):
    platform = config.model_platform
    if not platform and config.model_type != model_server_config_pb2.TENSORFLOW:
        raise ServingError(
            "INVALID_ARGUMENT",
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            f"ModelServerConfig::model_platform, model name is {config.name}",
        )
    if platform not in ("", "tensorflow"):
        message = f"Model {config.name} requests unsupported platform {platform}"
        raise ServingError("INVALID_ARGUMENT", message)
    path = pathlib.Path(config.base_path)
    if not path.is_absolute():
        raise ServingError(
            "INVALID_ARGUMENT",
            f"Expected model {config.name} to have an absolute path or URI; "
            f"got base_path()={config.base_path}",
        )
    return ModelConfig(config.name, path, _policy_of(config), dict(config.version_labels))


def _policy_of(config):
    given = config.model_version_policy
    kind = given.WhichOneof("policy_choice") or "latest"
    if kind == "latest":
        return Policy("latest", (max(given.latest.num_versions, 1),))
    return Policy(kind, tuple(given.specific.versions) if kind == "specific" else ())


def require_labels(configs, available):
    """Raises `ServingError` if a label stands for a version that is not available.

    Args:
      configs: `ModelConfig`s.
      available: function of a model's name to the set of its available version numbers.
    """
    for config in configs:
        for number in config.labels.values():
            if number not in available(config.name):
                raise ServingError(
                    "FAILED_PRECONDITION",
                    f"Request to assign label to version {number} of model {config.name}, which is not "
                    "currently available for inference",
                )
