"""JSON of requests: what is read, and what is said of what cannot be."""

import json
import math
import random

import pytest

from keras_cl.serve.errors import ServingError
from keras_cl.serve.json_parser import _Parser, parse
from keras_cl.serve.json_writer import shown

# What RapidJSON 1.1 calls the mistakes (include/rapidjson/error/en.h) that its reader.h finds, and where it
# finds them; TensorFlow Serving puts that into a sentence (ParseJson in util/json_tensor.cc).
MISTAKES = [
    (b"  ", "The document is empty.", 2),
    (b"]", "The document is empty.", 0),
    (b"instances = [1, 2]", "Invalid value.", 0),
    (b'{"instances": [1, 2]', "Missing a comma or '}' after an object member.", 20),
    (b'{"instances": [1, 2', "Missing a comma or ']' after an array element.", 19),
    (b'{"instances": [1, ', "Invalid value.", 18),
    (b'{"instances": [1, 2,]}', "Invalid value.", 20),
    (b'{"instances": [1 2]}', "Missing a comma or ']' after an array element.", 17),
    (b'{"instances": [01]}', "Missing a comma or ']' after an array element.", 16),
    (b'{"instances": [1], }', "Missing a name for object member.", 19),
    (b"{1: 2}", "Missing a name for object member.", 1),
    (b"{", "Missing a name for object member.", 1),
    (b'{"instances" [1]}', "Missing a colon after a name of object member.", 13),
    (b'{"instances": }', "Invalid value.", 14),
    (b'{"instances": [nul]}', "Invalid value.", 18),
    (b'{"instances": [True]}', "Invalid value.", 15),
    (b'{"instances": [+1]}', "Invalid value.", 15),
    (b'{"instances": [-]}', "Invalid value.", 16),
    (b'{"instances": [Nan]}', "Invalid value.", 17),
    (b'{"instances": [-Infinite]}', "Invalid value.", 23),
    (b'{"instances": [1e999]}', "Number too big to be stored in double.", 15),
    (b'{"instances": [' + b"9" * 400 + b"]}", "Number too big to be stored in double.", 15),
    (b'{"instances": [1.]}', "Miss fraction part in number.", 17),
    (b'{"instances": [1e]}', "Miss exponent in number.", 17),
    (b'{"instances": ["a]}', "Missing a closing quotation mark in string.", 19),
    (b'{"instances": ["a\nb"]}', "Invalid escape character in string.", 17),
    (b'{"instances": ["a\\x"]}', "Invalid escape character in string.", 17),
    (b'{"instances": ["a\\u12g4"]}', "Incorrect hex digit after \\u escape in string.", 17),
    (b'{"instances": ["\\ud800"]}', "The surrogate pair in string is invalid.", 16),
    (b'{"instances": [1]\0}', "Missing a comma or '}' after an object member.", 17),
]


@pytest.mark.parametrize(("body", "what", "offset"), MISTAKES, ids=[repr(case[0][:24]) for case in MISTAKES])
def test_mistakes_are_named_as_rapidjson_names_them(body, what, offset):
    with pytest.raises(ServingError) as error:
        parse(body)
    assert error.value.message == f"JSON Parse error: {what} at offset: {offset}"
    assert error.value.http_status == 400


def test_an_empty_body_has_no_offset():
    with pytest.raises(ServingError, match=r"^JSON Parse error: The document is empty$"):
        parse(b"")


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": 1}X', {"a": 1}),  # kParseStopWhenDoneFlag
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": 1, "a": 2}', {"a": 1}),  # FindMember finds the first
        (b'{"a": {"b": [1, 2.5], "b": 0}}', {"a": {"b": [1, 2.5]}}),
        (b'{"a": [Infinity, -Infinity, Inf, -Inf, 1]}', {"a": [math.inf, -math.inf, math.inf, -math.inf, 1]}),
        (b'{"a": 18446744073709551615, "b": 18446744073709551616}', {"a": 2**64 - 1, "b": float(2**64)}),
        (b'{"a": 18446744073709551616, "b": NaN2}', None),
        (b'{"a": -9223372036854775809, "b": Inf}', {"a": -float(2**63), "b": math.inf}),
        (b'{"a": "\xff\\u00e9\\ud83d\\ude00\\n", "b": Inf}', {"a": "\udcffé😀\n", "b": math.inf}),
        (b'{"a": 1.5e308, "b": 1e-400}', {"a": 1.5e308, "b": 0.0}),
        (b'{"a": [[], {}, [{}], null, true, false]} {', {"a": [[], {}, [{}], None, True, False]}),
    ],
)
def test_what_orjson_refuses_is_read_as_rapidjson_reads_it(body, value):
    if value is None:
        with pytest.raises(ServingError, match="Missing a comma"):
            parse(body)
    else:
        assert parse(body).value == value


def test_nan_is_read_wherever_it_stands():
    value = parse(b'{"a": [NaN, 1, -NaN], "b": NaN, "c": [[NaN]]}').value
    found = [value["a"][0], value["a"][2], value["b"], value["c"][0][0]]
    assert all(map(math.isnan, found))


def test_any_depth_is_read():
    # json_tensor_test.cc, NestedJson: 500,000 brackets of a key that nobody asks for.
    body = b'{"instances": [1], "nested": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert parse(body).value["instances"] == [1]
    with pytest.raises(ServingError, match=r"Missing a comma or '\]' .* at offset: 100013"):
        parse(b'{"nested": ' + b"[" * 100_000 + b"1 2")


def test_the_flags_of_a_document():
    assert not parse(b'{"instances": [{"x": 1}], "signature_name": "true"}').strings
    assert parse(b'{"instances": [{"x": "1"}]}').strings
    assert parse(b'{"instances": ["x"], "b": NaN}').strings
    assert parse(b'{"instances": [1, true]}').booleans
    assert parse(b'{"instances": [1, false]}').booleans
    assert parse(b'{"instances": [1, false, NaN]}').booleans
    document = parse(b'{"instances": [1, null, NaN], "signature_name": "x"}')
    assert not document.booleans
    assert not document.strings


def made_up(random_, depth=0):
    kinds = [lambda: random_.choice([None, True, False]), lambda: random_.randint(-(2**63), 2**64 - 1)]
    kinds += [lambda: random_.uniform(-1, 1) * 10 ** random_.randint(-300, 300)]
    kinds += [lambda: random_.choice('aé😀"\\/\n')]
    if depth < 4:
        some = range(random_.randint(0, 4))
        kinds += [lambda: [made_up(random_, depth + 1) for _ in some]] * 3
        kinds += [lambda: {f"k{i}": made_up(random_, depth + 1) for i in some}] * 2
    return random_.choice(kinds)()


def test_both_parsers_read_the_same():
    random_ = random.Random(1)
    for _ in range(300):
        value = {"a": made_up(random_), "b": made_up(random_)}
        for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=random_.randint(0, 2))):
            assert parse(text.encode()).value == value
            assert _Parser(text.encode()).document() == value


def test_cut_off_documents_never_raise_anything_else():
    random_ = random.Random(2)
    for _ in range(300):
        body = bytearray(json.dumps({"a": made_up(random_), "b": [made_up(random_), 1.5, -2e5]}).encode())
        for _ in range(random_.randint(0, 3)):
            body[random_.randrange(len(body))] = random_.choice(b'[]{}",:0-eN\\\0\xff ')
        try:
            parse(bytes(body[: random_.randint(0, len(body))]))
        except ServingError as error:
            assert error.code == "INVALID_ARGUMENT"


# RapidJSON's PrettyWriter with kFormatSingleLineArray, in JsonValueToDebugString (util/json_tensor.cc).
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ('a"b\n', '"a\\"b\\n"'),
        ([1, [2, "x"], []], '[1, [2, "x"], []]'),
        ({"a": [1], "b": {"c": 2}}, '{\n    "a": [1],\n    "b": {\n        "c": 2\n    }\n}'),
        ({}, "{}"),
        ([{"a": 1}], '[{\n        "a": 1\n    }]'),
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (1e16, "10000000000000000.0"),
        (1e20, "100000000000000000000.0"),
        (1e21, "1e21"),
        (1e22, "1e22"),
        (1.5e22, "1.5e22"),
        (1e-5, "0.00001"),
        (1e-7, "1e-7"),
        (123.25, "123.25"),
        ([1, math.nan, 2], "[1, "),
    ],
)
def test_values_in_messages(value, text):
    assert shown(value) == text


def test_values_in_messages_are_cut_off():
    assert shown(list(range(1000))) == "[" + ", ".join(map(str, range(90)))[:256]
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert shown(deep) == "[" * 256
