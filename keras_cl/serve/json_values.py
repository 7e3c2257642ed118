"""Values of a tensor in JSON, one by one, with TensorFlow Serving's rules and messages (json_tensor.cc)."""

import base64
import binascii
import math

import numpy as np

from keras_cl.serve.errors import NAMES, ServingError
from keras_cl.serve.json_writer import shown, type_of

# Integers must lie in these bounds; small types keep their lowest bits, as in TensorFlow Serving.
BOUNDS = {
    **dict.fromkeys(("int8", "uint8", "int16", "int32"), (-(2**31), 2**31 - 1)),
    "int64": (-(2**63), 2**63 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}
REALS = ("float32", "float64")
NUMERIC = (*BOUNDS, *REALS, "bool")
MOST_DIMENSIONS = 64  # of an array of NumPy


def invalid(message):
    """The `ServingError` of a request that is wrong."""
    return ServingError("INVALID_ARGUMENT", message)


def values_of(value, dtype):
    """The values in nested lists, in order, and their shape."""
    shape, inner = [], value
    while isinstance(inner, list):
        shape.append(len(inner))
        inner = inner[0] if inner else None
    if len(shape) > MOST_DIMENSIONS:
        raise invalid(f"tensor has {len(shape)} dimensions; at most {MOST_DIMENSIONS} are possible")
    values = []
    _collect(value, 0, shape, dtype.name, values)
    return values, shape


def _collect(value, level, shape, dtype, values):
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f"JSON Value: {shown(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {len(shape)}"
            )
        values.append(_value(value, dtype))
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: "
            f"{shape[level]}"
        )
    for own in value:
        _collect(own, level + 1, shape, dtype, values)


def _value(value, dtype):
    """One value as an array of `dtype` can hold it."""
    if isinstance(value, dict):
        if dtype == "string":
            return decoded(value)
    elif dtype == "string":
        if isinstance(value, str):
            return value.encode(errors="surrogateescape")
    elif dtype == "bool":
        if isinstance(value, bool):
            return value
    elif dtype in REALS:
        if type(value) in (int, float):
            return float(value)
    elif dtype in BOUNDS:
        low, high = BOUNDS[dtype]
        if type(value) is int and low <= value <= high:
            return value
    else:
        raise ServingError(
            "UNIMPLEMENTED", f"Conversion of JSON Value: {shown(value)} to type: {NAMES.get(dtype, dtype)}"
        )
    raise invalid(
        f"JSON Value: {shown(value)} Type: {type_of(value)} is not of expected type: "
        f"{NAMES.get(dtype, dtype)}"
    )


def decoded(value):
    """The bytes of {"b64": "..."}."""
    if not is_base64(value):
        raise invalid(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    text = "".join(value["b64"].split()).rstrip("=.")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Unable to base64 decode") from None


def array_of(values, shape, dtype, alias):
    """The array of values in order.

    Raises:
      ServingError: if there are more or fewer values than the shape needs, or it has too many dimensions.
    """
    if math.prod(shape) != len(values) or len(shape) > MOST_DIMENSIONS:
        raise invalid(f"tensor parsing error: {alias}")
    if dtype.name == "string":
        array = np.empty(len(values), object)
        array[:] = values
        return array.reshape(shape)
    wide = {"bool": bool, "uint64": np.uint64, **dict.fromkeys(REALS, np.float64)}.get(dtype.name, np.int64)
    with np.errstate(over="ignore"):
        return np.array(values, wide).astype(dtype.as_numpy_dtype).reshape(shape)


def is_base64(value):
    """Whether a value is {"b64": "..."}."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)
