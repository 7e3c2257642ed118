"""Arrays from and to TensorFlow's protos, without a step in Python for each element."""

import math

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from keras_cl.serve.errors import ServingError

# Fields of a TensorProto whose packed values have the bytes of an array: their tags in the wire format.
PACKED = {np.dtype(np.float32): b"\x2a", np.dtype(np.float64): b"\x32", np.dtype(np.bool_): b"\x5a"}
INTEGERS = {"int64": "int64_val", "uint32": "uint32_val", "uint64": "uint64_val"}
INTEGERS |= dict.fromkeys(["int8", "int16", "int32", "uint8", "uint16"], "int_val")


def array_of(alias, proto, max_bytes):
    """The array of a `TensorProto`, without a copy where it has `tensor_content`.

    Args:
      alias: name of the input, for messages.
      proto: the `TensorProto`.
      max_bytes: how large the array may be; one repeated value describes an array of any size.

    Raises:
      ServingError: if the proto is no tensor, or the array too large.
    """
    try:
        dtype = tf.as_dtype(proto.dtype)
        shape = [dim.size for dim in proto.tensor_shape.dim]
        if proto.tensor_shape.unknown_rank or any(size < 0 for size in shape):
            raise ValueError("the shape is not known")
        size = math.prod(shape) * (dtype.size or 1)
        if size > max_bytes:
            message = f"Input {alias} has {size} bytes; the largest that is taken is {max_bytes}"
            raise ServingError("RESOURCE_EXHAUSTED", message)
        if proto.tensor_content and dtype != tf.string:
            return np.frombuffer(proto.tensor_content, dtype.as_numpy_dtype).reshape(shape)
        return tf.make_ndarray(proto)
    except (TypeError, ValueError) as error:
        raise ServingError("INVALID_ARGUMENT", f"tensor parsing error: {alias}") from error


def proto_of(array):
    """The `TensorProto` of an array, its values in the field of their type, as TensorFlow Serving answers."""
    header = tensor_pb2.TensorProto(dtype=_dtype(array))
    for size in array.shape:
        header.tensor_shape.dim.add(size=size)
    if array.dtype in PACKED:
        values = np.ascontiguousarray(array).tobytes()
        header.MergeFromString(PACKED[array.dtype] + _varint(len(values)) + values)
    elif array.dtype.name in INTEGERS:
        getattr(header, INTEGERS[array.dtype.name]).extend(array.ravel().tolist())
    elif array.dtype.kind in "OSU":
        header.string_val.extend(map(tf.compat.as_bytes, array.ravel().tolist()))
    else:
        return tf.make_tensor_proto(array)
    return header


def _dtype(array):
    dtype = tf.string if array.dtype.kind in "OSU" else tf.as_dtype(array.dtype)
    return dtype.as_datatype_enum


def _varint(number):
    """A number as the wire format of protos writes it: seven bits a byte, the last without the eighth."""
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    parts.append(number)
    return bytes(parts)
