"""Examples in the JSON of Classify and Regress, with TensorFlow Serving's messages (json_tensor.cc)."""

from keras_cl.serve.json_values import decoded, invalid, is_base64
from keras_cl.serve.json_writer import shown, type_of

EXAMPLES = "examples"


def check_examples(document):
    """Raises what TensorFlow Serving says of examples that are none.

    Args:
      document: `Document` of the request.

    Raises:
      ServingError: if the examples are missing, or one of them cannot be a `tf.train.Example`.
    """
    value = document.value
    if "context" in value:
        _check(value["context"])
    if EXAMPLES not in value:
        raise invalid(
            f"JSON Value: {shown(value)} When method is classify, key '{EXAMPLES}' is expected and was not "
            "found"
        )
    if not isinstance(value[EXAMPLES], list):
        raise invalid(f"JSON Value: {shown(value)} Expecting '{EXAMPLES}' value to be an list/array")
    if not value[EXAMPLES]:
        raise invalid(f"JSON Value: {shown(value)} '{EXAMPLES}' value is an empty array")
    for example in value[EXAMPLES]:
        _check(example)


def _check(example):
    if not isinstance(example, dict):
        raise invalid(f"Example must be JSON object but got JSON {type_of(example)}")
    for name, content in example.items():
        before = None
        for element in content if isinstance(content, list) else [content]:
            kind = _kind(name, element)
            if before not in (None, kind):
                raise invalid(f"Unexpected element type in feature: {name} expecting type: {before}")
            before = kind


def _kind(name, element):
    """The kind of feature that an element of JSON makes."""
    if isinstance(element, bool):
        return "int64"
    if isinstance(element, str):
        return "bytes"
    if isinstance(element, float):
        return "float"
    if isinstance(element, int):
        if element >= 2**63:
            raise invalid(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
        return "int64"
    if not is_base64(element):
        raise invalid(f"Feature: {name} has element with unexpected JSON type: {type_of(element)}")
    decoded(element)
    return "bytes"
