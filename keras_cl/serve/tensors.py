"""Arrays of the JSON of a request, with TensorFlow Serving's rules and messages (json_tensor.cc).

What is regular is converted by NumPy at once. What is not is walked through value by value, which finds the
same mistake as TensorFlow Serving and says the same of it.
"""

import itertools

import numpy as np

from keras_cl.serve.errors import ServingError
from keras_cl.serve.json_values import BOUNDS, NUMERIC, REALS, array_of, invalid, is_base64, values_of
from keras_cl.serve.json_writer import shown

ROWS, COLUMNS = "instances", "inputs"


def signature_name(document):
    """The signature that a request asks for; "" if it names none."""
    name = document.value.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {shown(document.value)} not formatted correctly. 'signature_name' key must be a "
            "string value."
        )
    return name


def arrays(document, inputs):
    """The inputs in a request.

    Args:
      document: `Document` of the request.
      inputs: dict of `tf.TensorSpec`, by alias: the inputs of the signature.

    Returns:
      dict of arrays by alias, and whether the answer is to have rows (`instances`), not columns (`inputs`).

    Raises:
      ServingError: if the values are not what the inputs need. Shapes are compared with each other only.
    """
    value = document.value
    if ROWS in value and COLUMNS in value:
        raise invalid(
            f"JSON Value: {shown(value)} Not formatted correctly expecting only one of '{COLUMNS}' or "
            f"'{ROWS}' keys to exist "
        )
    dtypes = {alias: spec.dtype for alias, spec in inputs.items()}
    if ROWS in value:
        rows = value[ROWS]
        if not isinstance(rows, list):
            raise invalid(f"JSON Value: {shown(value)} Expecting '{ROWS}' to be an list/array")
        if not rows:
            raise invalid(f"JSON Value: {shown(value)} No values in '{ROWS}' array")
        return _of_rows(rows, dtypes, document), True
    if COLUMNS in value:
        return _of_columns(value[COLUMNS], dtypes, document), False
    raise invalid("Missing 'inputs' or 'instances' key")


def _of_rows(rows, dtypes, document):
    if not isinstance(rows[0], dict) and len(dtypes) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required "
            "as per tensorinfo_map"
        )
    named = _is_named(rows[0])
    if named and not all(type(row) is dict and row.keys() == dtypes.keys() for row in rows):
        return _walked(rows, dtypes, named)
    if not named:
        dtypes = dict(list(dtypes.items())[:1])
    found = {}
    for alias, dtype in dtypes.items():
        column = [row[alias] for row in rows] if named else rows
        found[alias] = _converted(column, dtype, document)
        if found[alias] is None:
            return _walked(rows, dtypes, named)
    return found


def _of_columns(columns, dtypes, document):
    if not _is_named(columns):
        if len(dtypes) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        columns = dict.fromkeys(dtypes, columns)
    found = {}
    for alias, dtype in dtypes.items():
        if alias not in columns:
            raise invalid(f"Missing named input: {alias} in 'inputs' object.")
        array = _converted(columns[alias], dtype, document)
        if array is None:
            values, shape = values_of(columns[alias], dtype)
            array = array_of(values, shape, dtype, alias)
        found[alias] = array
    return found


def _converted(value, dtype, document):
    """The array of a JSON value, made at once; None where only a walk through it can tell."""
    # NumPy makes strings of numbers beside strings, and numbers of booleans beside numbers.
    if document.strings or (document.booleans and dtype.name != "bool"):
        return None
    try:
        array = _array(value)
    except (ValueError, OverflowError):  # lists of different lengths
        return None
    if not array.size:
        return array.astype(dtype.as_numpy_dtype) if dtype.name in NUMERIC else None
    kind = array.dtype.kind
    if dtype.name in REALS and kind in "fiu":
        with np.errstate(over="ignore"):  # what is too big for float32 becomes infinite
            return array.astype(np.float64, copy=False).astype(dtype.as_numpy_dtype, copy=False)
    if dtype.name in BOUNDS and kind in "iu":
        low, high = BOUNDS[dtype.name]
        return array.astype(dtype.as_numpy_dtype) if low <= array.min() and array.max() <= high else None
    return array if dtype.name == "bool" and kind == "b" else None


def _array(value):
    """`np.array(value)`, in a fraction of the time where the innermost of nested lists are short."""
    if not isinstance(value, list):
        return np.array(value)
    shape, level = [len(value)], value
    while level and isinstance(level[0], list):
        if set(map(type, level)) != {list} or len(set(map(len, level))) > 1:
            raise ValueError("lists of different lengths")
        shape.append(len(level[0]))
        level = list(itertools.chain.from_iterable(level))
    return np.array(level).reshape(shape)


def _walked(rows, dtypes, named):
    """The arrays of rows, value by value."""
    found = {alias: [] for alias in dtypes}
    shapes = {}
    for number, row in enumerate(rows):
        if _is_named(row) != named:
            what = "object but got list" if named else "value/list but got object"
            raise invalid(f"Expecting {what} at item {number} of input list")
        for key, item in row.items() if named else [(next(iter(dtypes)), row)]:
            try:
                if key not in dtypes:
                    raise invalid(f"JSON object: does not have named input: {key}")
                values, shape = values_of(item, dtypes[key])
                _compare(values, shape, found[key], shapes.setdefault(key, shape), number)
            except ServingError as error:
                place = f"{number} key: {key}" if named else number
                reason = f"{error.code}: {error.message}"
                raise invalid(
                    f"Failed to process element: {place} of '{ROWS}' list. Error: {reason}"
                ) from None
            found[key] += values
        if named and row.keys() != dtypes.keys():
            raise invalid(
                f"Failed to process element: {number} of '{ROWS}' list. JSON object: {shown(row)} keys "
                f"must be equal to: {','.join(sorted(dtypes))}"
            )
    return {
        alias: array_of(found[alias], [len(rows), *shapes[alias]], dtype, alias)
        for alias, dtype in dtypes.items()
    }


def _compare(values, shape, before, first, number):
    """Raises where a row has another shape than the rows before it."""
    size = len(before) // number if number else len(values)
    if len(values) != size:
        raise invalid(f"Expecting tensor size: {size} but got: {len(values)}")
    if shape != first:
        raise invalid(
            "Expecting shape [{}] but got: [{}]".format(*(",".join(map(str, s)) for s in (first, shape)))
        )


def _is_named(value):
    return isinstance(value, dict) and not is_base64(value)
