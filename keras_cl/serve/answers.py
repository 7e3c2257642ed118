"""JSON of the outputs of a model, with TensorFlow Serving's rules and messages (json_tensor.cc).

Floats have as many digits as tell them from their neighbours; the others are NaN, Infinity and -Infinity.
"""

import base64
import math

import numpy as np
import orjson

from keras_cl.serve.errors import NAMES
from keras_cl.serve.json_values import NUMERIC, invalid
from keras_cl.serve.json_writer import quoted


def answer(outputs, rows):
    """The body of an answer.

    Args:
      outputs: dict of arrays, by alias.
      rows: whether to write one entry for each row, or one for each output.
    """
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    for array in outputs.values():
        if array.dtype.kind != "O" and array.dtype.name not in NUMERIC:
            name = NAMES.get(array.dtype.name, array.dtype.name)
            raise invalid(f"Failed to write JSON value for tensor type: {name}")
    plain = {alias: _writable(alias, array) for alias, array in outputs.items()}
    only = next(iter(plain.values())) if len(plain) == 1 else None
    if not rows:
        return _written({"outputs": plain if only is None else only}, plain)
    _same_rows(outputs)
    if only is None:
        split = [dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)]
        return _written({"predictions": split}, plain)
    return _written({"predictions": only}, plain)


def _same_rows(outputs):
    rows = None
    for alias, array in outputs.items():
        if not array.ndim:
            raise invalid(f"Tensor name: {alias} has no shape information ")
        if rows is not None and len(array) != rows:
            raise invalid(f"Tensor name: {alias} has inconsistent batch size: {len(array)} expecting: {rows}")
        rows = len(array)


def _writable(alias, array):
    """What orjson writes for an array; strings of an output called ..._bytes are written in base64."""
    if array.dtype.kind != "O":
        return np.ascontiguousarray(array) if array.ndim else array[()]
    written = np.empty(array.size, object)
    written[:] = [_string(text, alias.endswith("_bytes")) for text in array.ravel().tolist()]
    return written.reshape(array.shape).tolist()


def _string(text, as_bytes):
    text = text if isinstance(text, bytes) else text.encode()
    if as_bytes:
        return {"b64": base64.b64encode(text).decode()}
    return orjson.Fragment(quoted(text.decode(errors="surrogateescape")).encode(errors="surrogateescape"))


def _written(value, outputs):
    text = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    reals = [array for array in outputs.values() if getattr(array, "dtype", np.dtype(int)).kind == "f"]
    if all(np.isfinite(array).all() for array in reals):
        return text
    return _with_infinities(value)


def _with_infinities(value):
    """JSON with NaN, Infinity and -Infinity, for which orjson writes null: array by array."""
    if isinstance(value, dict):
        return b"{%b}" % b",".join(
            b"%b:%b" % (orjson.dumps(key), _with_infinities(own)) for key, own in value.items()
        )
    if isinstance(value, list):
        return b"[%b]" % b",".join(map(_with_infinities, value))
    text = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    if not isinstance(value, np.ndarray | np.floating) or value.dtype.kind != "f":
        return text
    others = [_name(number) for number in np.asarray(value)[~np.isfinite(value)].tolist()]
    pieces = text.split(b"null")
    return pieces[0] + b"".join(other + piece for other, piece in zip(others, pieces[1:], strict=True))


def _name(number):
    return b"NaN" if math.isnan(number) else b"Infinity" if number > 0 else b"-Infinity"
