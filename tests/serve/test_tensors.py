"""Arrays from JSON and JSON from arrays: the rules of TensorFlow Serving's util/json_tensor.cc.

Examples that its own tests (util/json_tensor_test.cc) have are named after them.
"""

import json

import numpy as np
import orjson
import pytest
import tensorflow as tf

from keras_cl.serve import tensors
from keras_cl.serve.answers import answer
from keras_cl.serve.errors import ServingError
from keras_cl.serve.json_parser import parse
from keras_cl.serve.tensors import arrays, signature_name


def inputs(**dtypes):
    return {name: tf.TensorSpec(None, dtype) for name, dtype in dtypes.items()}


def read(text, **dtypes):
    body = text if isinstance(text, bytes) else text.encode()
    return arrays(parse(body), inputs(**dtypes))[0]


def only(text, dtype):
    return read(text, x=dtype)["x"]


def refusal(text, **dtypes):
    with pytest.raises(ServingError) as error:
        read(text, **dtypes)
    return error.value.message


def bits(array):
    return array.dtype.name, array.shape, array.tobytes()


# ---- requests --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        # SingleUnnamedTensor, MixedInputForFloatTensor, MixedInputForDoubleTensor
        ("[[1,2],[3,4],[5,6]]", "int32", np.array([[1, 2], [3, 4], [5, 6]], np.int32)),
        ("[1, 2.0, 3, 4, 5.003, 0.007, 0.0]", "float32", np.float32([1, 2, 3, 4, 5.003, 0.007, 0])),
        ("[1.0, 2, 3, 4, 0.662, 0, 0.0]", "float64", np.array([1, 2, 3, 4, 0.662, 0, 0])),
        # FloatTensorThatExceedsPrecision, FloatTensorThatExceedsMaxLimit, FloatTensorThatExceedsMinLimit
        ("[1435774380]", "float32", np.float32([1435774380])),
        ("[1.7976931348623157e308, -1.7976931348623157e308]", "float32", np.float32([np.inf, -np.inf])),
        ("[2.2250738585072014e-308, -2.2250738585072014e-308]", "float32", np.float32([0.0, -0.0])),
        # kParseNanAndInfFlag
        ("[NaN, Infinity, -Infinity, 1]", "float32", np.float32([np.nan, np.inf, -np.inf, 1])),
        ("[18446744073709551615, -1, 18446744073709551616]", "float64", np.array([2.0**64, -1, 2.0**64])),
        # small types keep their lowest bits; ProtoHelper of TensorFlow's tensor.cc copies each int32
        ("[0, 255, 256, -1, 300]", "uint8", np.uint8([0, 255, 0, 255, 44])),
        ("[127, 128, -129]", "int8", np.int8([127, -128, 127])),
        ("[-9223372036854775808, 9223372036854775807]", "int64", np.array([-(2**63), 2**63 - 1])),
        ("[0, 18446744073709551615]", "uint64", np.uint64([0, 2**64 - 1])),
        ("[[true], [false]]", "bool", np.array([[True], [False]])),
        ("[[], []]", "int32", np.zeros([2, 0], np.int32)),
        ("[[[1]], [[2]]]", "float32", np.float32([[[1]], [[2]]])),
        ("[9007199254740993, 16777217]", "float32", np.float64([9007199254740993, 16777217]).astype("f")),
    ],
)
def test_values_become_arrays(values, dtype, expected):
    for key in ("instances", "inputs"):
        assert bits(only(f'{{"{key}": {values}}}', dtype)) == bits(expected)
        # A string beside them has every value looked at by itself.
        assert bits(read(f'{{"{key}": {values}, "z": ["s"]}}', x=dtype)["x"]) == bits(expected)


@pytest.mark.parametrize("more", ["", ', "signature_name": "f"', ', "z": NaN'])
def test_regular_numbers_are_not_walked_through(monkeypatch, more):
    monkeypatch.setattr(tensors, "values_of", None)
    x = np.random.default_rng(0).normal(size=[3, 2, 4, 1]).astype(np.float32)
    for array, dtype in ((x, "float32"), (x.astype(np.uint8), "uint8"), (x > 0, "bool")):
        found = only(f'{{"inputs": {json.dumps(array.tolist())}{more}}}', dtype)
        np.testing.assert_array_equal(found, array)
    rows = [{"a": a.tolist(), "b": 1} for a in x]
    found = read(f'{{"instances": {json.dumps(rows)}{more}}}', a="float32", b="int32")
    np.testing.assert_array_equal(found["a"], x)


def test_strings_and_base64():
    # SingleUnnamedTensorBase64, SingleUnnamedTensorBase64Lists, SingleNamedTensorBase64
    one, two = '{"b64": "aGVsbG8="}', '{"b64": "d29ybGQ"}'
    assert only(f'{{"instances": [{one}, {two}]}}', "string").tolist() == [b"hello", b"world"]
    assert only(f'{{"instances": [[{one}], [{two}]]}}', "string").tolist() == [[b"hello"], [b"world"]]
    assert only(f'{{"instances": [{{"x": {one}}}]}}', "string").tolist() == [b"hello"]
    assert only(f'{{"inputs": {one}}}', "string").tolist() == b"hello"
    assert only(b'{"inputs": ["\xff\xfe", "a:b", "\\u00e9"]}', "string").tolist() == [
        b"\xff\xfe",
        b"a:b",
        "é".encode(),
    ]


def test_named_inputs():
    # MultipleNamedTensor, SingleInputColumnar, MultipleInputsColumnar
    rows = '{"instances": [{"a": [1, 2], "b": 0.5}, {"b": NaN, "a": [3, 4]}]}'
    found = read(rows, a="int32", b="float32")
    np.testing.assert_array_equal(found["a"], [[1, 2], [3, 4]])
    np.testing.assert_array_equal(found["b"], np.float32([0.5, np.nan]))
    found = read('{"inputs": {"a": [[1], [2]], "b": 0.5, "more": 1}}', a="int32", b="float32")
    assert found["a"].shape == (2, 1)
    assert found["b"].shape == ()
    assert only('{"inputs": {"x": [1]}}', "int32").tolist() == [1]


def test_the_signature_that_is_asked_for():
    assert signature_name(parse(b'{"instances": [1]}')) == ""
    assert signature_name(parse(b'{"signature_name": "f", "signature_name": 2}')) == "f"


def failed(place, reason):
    return f"Failed to process element: {place} of 'instances' list. Error: INVALID_ARGUMENT: {reason}"


def no_type(value, kind, dtype):
    return f"JSON Value: {value} Type: {kind} is not of expected type: {dtype}"


# The function of util/json_tensor.cc that says it, where it is none of those above.
MESSAGES = [
    # AddValueToTensor, TypeError
    ('{"instances": [1.0]}', "int32", failed(0, no_type("1.0", "Number", "int32"))),
    ('{"instances": [1, 2147483648]}', "int32", failed(1, no_type("2147483648", "Number", "int32"))),
    ('{"instances": [-1]}', "uint32", failed(0, no_type("-1", "Number", "uint32"))),
    ('{"instances": [-1]}', "uint64", failed(0, no_type("-1", "Number", "uint64"))),
    ('{"instances": [9223372036854775808]}', "int64", failed(0, no_type(2**63, "Number", "int64"))),
    ('{"instances": [2147483648]}', "uint8", failed(0, no_type(2**31, "Number", "uint8"))),
    ('{"instances": [1.5, "x"]}', "float32", failed(1, no_type('"x"', "String", "float"))),
    ('{"instances": [1.5, true]}', "float32", failed(1, no_type("true", "True", "float"))),
    ('{"instances": [1, false]}', "int32", failed(1, no_type("false", "False", "int32"))),
    ('{"instances": [1.5, null]}', "float64", failed(1, no_type("null", "Null", "double"))),
    ('{"instances": [1]}', "bool", failed(0, no_type("1", "Number", "bool"))),
    ('{"instances": [1]}', "string", failed(0, no_type("1", "Number", "string"))),
    ('{"inputs": [[{"a": 1}]]}', "float32", no_type('{\n    "a": 1\n}', "Object", "float")),
    ('{"instances": [[1, 2], ["a", "b"]]}', "int32", failed(1, no_type('"a"', "String", "int32"))),
    ('{"inputs": [1]}', "float16", "Conversion of JSON Value: 1 to type: half"),
    # JsonDecodeBase64Object
    ('{"inputs": [{"b64": "a", "c": 1}]}', "string",
     'JSON Value: {\n    "b64": "a",\n    "c": 1\n} not formatted correctly for base64 data'),
    ('{"inputs": [{"b64": "!"}]}', "string", "Unable to base64 decode"),
    # FillTensorProto
    ('{"inputs": [[1], 2]}', "int32",
     "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
    ('{"inputs": [[1, 2], [3]]}', "int32",
     "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
    ('{"inputs": [1, [2]]}', "int32", "Encountered list at unexpected level: 1 expected < 1"),
    ('{"inputs": [[], [1]]}', "float32",
     "Encountered list at unexpected size: 1 at level: 1 expected size: 0"),
    # AddInstanceItem
    ('{"instances": [[1,2],[3,4],[5,6,7]]}', "int32", failed(2, "Expecting tensor size: 2 but got: 3")),
    ('{"instances": [[1,2],[3,4],[[5,6]]]}', "int32", failed(2, "Expecting shape [2] but got: [1,2]")),
    ('{"instances": [1, [1]]}', "int32", failed(1, "Expecting shape [] but got: [1]")),
    ('{"instances": [{"y": 1}]}', "int32", failed("0 key: y", "JSON object: does not have named input: y")),
    # FillTensorMapFromInstancesList
    ('{"instances": [{"x": 1}, 2]}', "int32", "Expecting object but got list at item 1 of input list"),
    ('{"instances": [1, {"x": 2}]}', "int32", "Expecting value/list but got object at item 1 of input list"),
    ('{"instances": [{"x": 1}, {}]}', "int32",
     "Failed to process element: 1 of 'instances' list. JSON object: {} keys must be equal to: x"),
    # FillPredictRequestFromJson
    ("{}", "int32", "Missing 'inputs' or 'instances' key"),
    ('{"instances": [1], "inputs": [1]}', "int32",
     'JSON Value: {\n    "instances": [1],\n    "inputs": [1]\n} Not formatted correctly expecting only one '
     "of 'inputs' or 'instances' keys to exist "),
    ('{"instances": 1}', "int32",
     "JSON Value: {\n    \"instances\": 1\n} Expecting 'instances' to be an list/array"),
    ('{"instances": []}', "int32", "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array"),
    # FillTensorMapFromInputsMap
    ('{"inputs": {"y": 1}}', "int32", "Missing named input: x in 'inputs' object."),
]  # fmt: skip


@pytest.mark.parametrize(("text", "dtype", "message"), MESSAGES, ids=[case[0] for case in MESSAGES])
def test_mistakes_are_named_as_tensorflow_serving_names_them(text, dtype, message):
    assert refusal(text, x=dtype) == message


def test_mistakes_with_several_inputs():
    two = {"a": "int32", "b": "int32"}
    assert refusal('{"instances": [1]}', **two) == (
        "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
        "tensorinfo_map"
    )
    assert refusal('{"inputs": [1]}', **two) == (
        "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
        "tensorinfo_map"
    )
    rows = '{"instances": [{"a": 1, "b": [1, 2]}, {"a": 1, "b": %s}]}'
    assert refusal(rows % "[[1, 2]]", **two) == failed("1 key: b", "Expecting shape [2] but got: [1,2]")
    assert refusal(rows % "[1]", **two) == failed("1 key: b", "Expecting tensor size: 2 but got: 1")
    assert refusal(rows.replace('"b": %s', '"c": 1'), **two).startswith(
        "Failed to process element: 1 key: c of "
    )
    assert refusal('{"instances": [{"a": 1}]}', **two) == (
        "Failed to process element: 0 of 'instances' list. JSON object: {\n    \"a\": 1\n} keys must be "
        "equal to: a,b"
    )


def test_a_signature_name_that_is_no_string():
    with pytest.raises(ServingError) as error:
        signature_name(parse(b'{ "signature_name": 100 }'))
    assert error.value.message == (
        "JSON Value: {\n    \"signature_name\": 100\n} not formatted correctly. 'signature_name' key must be "
        "a string value."
    )


def test_more_dimensions_than_an_array_can_have():
    for depth in (64, 65, 100_000):
        text = '{"%s": ' + "[" * depth + "1" + "]" * depth + "}"
        if depth > 64:
            assert "dimensions" in refusal(text % "inputs", x="int32")
        assert (
            refusal(text % "instances", x="int32")
            if depth > 64
            else only(text % "inputs", "int32").ndim == 64
        )


def test_a_long_string_among_numbers_takes_no_memory():
    # NumPy would make 10,000 strings of 10,000,000 letters.
    text = '{"inputs": ["' + "a" * 10_000_000 + '"' + ", 1" * 10_000 + "]}"
    assert refusal(text, x="float32").endswith("Type: String is not of expected type: float")


# ---- answers ---------------------------------------------------------------------------------------------


def test_every_float_reads_back():
    bits_ = np.random.default_rng(1).integers(0, 2**32, 20_000, dtype=np.uint32)
    array = np.concatenate(
        [bits_.view(np.float32), np.float32([0, -0.0, 1e-45, 3.4028235e38, 0.1, 9e6, 1 / 3])]
    )
    for rows in (True, False):
        found = list(json.loads(answer({"y": array}, rows)).values())[0]
        read_back = np.array(found, np.float64).astype(np.float32)
        np.testing.assert_array_equal(read_back, array)
        np.testing.assert_array_equal(
            np.signbit(read_back)[~np.isnan(array)], np.signbit(array)[~np.isnan(array)]
        )
    wide = bits_[::2].astype(np.float64) / 3
    assert json.loads(answer({"y": wide}, True))["predictions"] == wide.tolist()


@pytest.mark.parametrize(
    ("outputs", "rows", "text"),
    [
        # FromJsonSingleTensor, FromJsonSingleFloatTensorNonFinite, FromJsonSingleScalarTensor
        ({"y": np.int32([[1, 2], [3, 4]])}, True, '{"predictions":[[1,2],[3,4]]}'),
        ({"y": np.int32([[1, 2], [3, 4]])}, False, '{"outputs":[[1,2],[3,4]]}'),
        (
            {"y": np.float32([[np.nan, np.inf], [3, -np.inf]])},
            True,
            '{"predictions":[[NaN,Infinity],[3.0,-Infinity]]}',
        ),
        ({"y": np.float32(np.nan)}, False, '{"outputs":NaN}'),
        (
            {"a": np.array([7, 8]), "b": np.float32([[np.nan, 1], [2, np.inf]])},
            True,
            '{"predictions":[{"a":7,"b":[NaN,1.0]},{"a":8,"b":[2.0,Infinity]}]}',
        ),
        (
            {"a": np.float32([7, 8]), "b": np.float32([[-np.inf], [2]])},
            False,
            '{"outputs":{"a":[7.0,8.0],"b":[[-Infinity],[2.0]]}}',
        ),
        ({"y": np.zeros([0, 3], np.float32)}, True, '{"predictions":[]}'),
        ({"a": np.zeros([0]), "b": np.zeros([0, 2])}, True, '{"predictions":[]}'),
        ({"y": np.array([True, False])}, True, '{"predictions":[true,false]}'),
        ({"y": np.uint8([[0], [255]])}, True, '{"predictions":[[0],[255]]}'),
        ({"y": np.uint64([2**64 - 1])}, True, '{"predictions":[18446744073709551615]}'),
        # FromJsonSingleBytesTensor
        (
            {"y_bytes": np.array([[b"hello"], [b"\xff"]], object)},
            True,
            '{"predictions":[[{"b64":"aGVsbG8="}],[{"b64":"/w=="}]]}',
        ),
        ({"y": np.array([b"null", "é".encode()], object)}, False, '{"outputs":["null","é"]}'),
    ],
)
def test_answers(outputs, rows, text):
    assert answer(outputs, rows).decode() == text


def test_strings_that_are_no_utf8_are_written_as_they_are():
    assert answer({"y": np.array([b"\xff"], object)}, False) == b'{"outputs":["\xff"]}'


def test_arrays_of_any_layout_are_written():
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    for view in (array.T, array[::-1], array[:, ::2]):
        assert orjson.loads(answer({"y": view}, True))["predictions"] == view.tolist()


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, "Cannot convert empty tensor map to JSON"),
        ({"y": np.complex64([1])}, "Failed to write JSON value for tensor type: complex64"),
        ({"y": np.float16([1])}, "Failed to write JSON value for tensor type: half"),
        ({"y": np.int32(1)}, "Tensor name: y has no shape information "),
        (
            {"a": np.zeros([2]), "b": np.zeros([1])},
            "Tensor name: b has inconsistent batch size: 1 expecting: 2",
        ),
    ],
)
def test_answers_that_cannot_be_written(outputs, message):
    with pytest.raises(ServingError) as error:
        answer(outputs, True)
    assert error.value.message == message
