"""One version of a model in memory: signatures that take and return arrays."""

import pathlib

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from keras_cl.runs.saved_model import read_description
from keras_cl.serve.batching import Batching
from keras_cl.serve.caller import Caller
from keras_cl.serve.errors import ServingError

DEFAULT = "serving_default"  # the signature of a request that names none
PROGRAM = "saved_model.pb"


class Servable:
    """A SavedModel that is loaded.

    Args:
      name: name of the model.
      version: number of the version.
      folder: folder of the SavedModel.
      batching: `Batching` of concurrent calls.

    Attributes:
      description: dict of its task.json; {} for a model that has none.
      signatures: dict of `Signature`, by name.
      signature_defs: dict of `SignatureDef` protos, by name, as the SavedModel has them.

    Raises:
      Exception: of many kinds, if the files are damaged.
    """

    def __init__(self, name, version, folder, batching=None):
        self.name, self.version, self.folder = name, version, pathlib.Path(folder)
        self.description = _description(self.folder)
        self.signature_defs = _signature_defs(self.folder)
        self._model = tf.saved_model.load(str(folder))
        self._callers = {
            key: Caller(key, function, self.signature_defs[key].method_name, batching or Batching())
            for key, function in self._model.signatures.items()
        }
        self.signatures = {key: caller.signature for key, caller in self._callers.items()}

    def call(self, signature_name, inputs, outputs=()):
        """Outputs of a signature; calls from several threads share batches.

        Args:
          signature_name: key of the signature; "" for `serving_default`.
          inputs: dict of arrays, by alias, with the signature's dtypes (strings: bytes in object arrays).
          outputs: aliases of the outputs that are asked for; all of them if there are none.

        Returns:
          dict of arrays, by alias.

        Raises:
          ServingError: if the request does not fit the signature, or the model refuses it.
        """
        key = signature_name or DEFAULT
        if key not in self._callers:
            raise ServingError("FAILED_PRECONDITION", f'Serving signature key "{key}" not found.')
        return self._callers[key](inputs, outputs)

    def warm_up(self):
        """Calls every signature once with zeros, so that the first request is as quick as the others.

        Raises:
          ServingError: if a signature cannot answer.
        """
        for caller in self._callers.values():
            caller.warm_up()


def _description(folder):
    """What a model says of itself; {} if it was not exported by this library."""
    try:
        return read_description(folder)
    except (OSError, ValueError):
        return {}


def _signature_defs(folder):
    """The signatures of a SavedModel as its file has them."""
    program = saved_model_pb2.SavedModel.FromString((folder / PROGRAM).read_bytes())
    served = [graph for graph in program.meta_graphs if "serve" in graph.meta_info_def.tags]
    if not served:
        raise ValueError("no graph of it has the tag serve")
    copies = {}
    for key, signature in served[0].signature_def.items():
        copies[key] = type(signature)()
        copies[key].CopyFrom(signature)  # a reference would keep the whole graph in memory
    return copies
