"""JSON of requests, read as TensorFlow Serving's RapidJSON 1.1 reads it.

orjson reads what is plain. What it refuses is read again by the parser below, which is as exact as it is
slow: it takes any depth, NaN and infinities, bytes that are no UTF-8 and text after the document, keeps the
first of several equal keys, and says of a mistake what RapidJSON says, with its offset.
"""

import dataclasses
import json
import re

import orjson

from keras_cl.serve.errors import ServingError
from keras_cl.serve.json_scanner import Scanner
from keras_cl.serve.json_writer import shown

DEEPEST = 1_000_000  # TensorFlow Serving would read any depth; its own tests go to 500,000
# Numbers of an array, each with its comma, that can be neither too big nor cut off: many are read at once.
NUMBER = rb"-?(?:(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,25})?(?:[eE][+-]?[0-9]{1,2})?|Infinity)|NaN"
RUN = re.compile(rb"(?:(?:" + NUMBER + rb")[ \t\r\n]*,[ \t\r\n]*){1,10000}")
BRACKETS = {b"[": (list, b"]"), b"{": (dict, b"}")}

EMPTY = "The document is empty."
NO_NAME = "Missing a name for object member."
NO_COLON = "Missing a colon after a name of object member."
TOO_DEEP = "Terminate parsing due to Handler error."
NO_COMMA = {
    dict: "Missing a comma or '}' after an object member.",
    list: "Missing a comma or ']' after an array element.",
}


@dataclasses.dataclass(frozen=True)
class Document:
    """The body of a request.

    Attributes:
      value: dict.
      strings: whether there may be strings besides keys and the values of keys of `value`.
      booleans: whether there may be booleans.
    """

    value: dict
    strings: bool
    booleans: bool


def parse(body):
    """The `Document` in the bytes of a body.

    Raises:
      ServingError: if it is not a JSON object.
    """
    if not body:
        raise ServingError("INVALID_ARGUMENT", "JSON Parse error: The document is empty")
    try:
        value = orjson.loads(body)
    except ValueError:
        return _exact(body)
    colons, quotes = body.count(b":"), body.count(b'"')
    if colons != _members(_object(value)):
        # A string has a colon, or an object several equal keys, of which the first counts.
        return _exact(body)
    strings = quotes != 2 * (colons + _own_strings(value))
    booleans = (b"u" in body and b"true" in body) or (b"f" in body and b"false" in body)
    return Document(value, strings, booleans)


def _exact(body):
    parser = _Parser(body)
    value = _object(parser.document())
    return Document(value, parser.strings != _own_strings(value), parser.booleans > 0)


def _own_strings(value):
    return sum(type(own) is str for own in value.values())


def _object(value):
    if type(value) is not dict:
        raise ServingError("INVALID_ARGUMENT", f"JSON Value: {shown(value)} Is not object")
    return value


def _members(value):
    """Number of members of an object and of the objects that requests have in it: inputs by name, base64."""
    count = len(value)
    for own in value.values():
        if type(own) is dict:
            count += _members_of(own)
        elif type(own) is list:
            count += sum(_members_of(item) for item in own if type(item) is dict)
    return count


def _members_of(row):
    return len(row) + sum(len(own) for own in row.values() if type(own) is dict)


class _Parser(Scanner):
    """Reads a document once, from its beginning."""

    def __init__(self, body):
        super().__init__(body)
        self._open, self._keys = [], []  # the arrays and objects around `at`, and the keys of their members

    def document(self):
        """The value of the document. What is open is on a stack of its own, so that any depth is read."""
        if self.next() in (b"", b"]", b"}", b",", b":"):
            self.fail(EMPTY)
        while True:
            token = self.next()
            if token in BRACKETS:
                kind, end = BRACKETS[token]
                self.at += 1
                if self.next() != end:
                    self._begin(kind())
                    continue
                self.at += 1
                value = kind()
            else:
                value = self.scalar(token)
            while self._open:
                value, complete = self._put(value)
                if not complete:
                    break
            else:
                return value

    def _begin(self, holder):
        if len(self._open) >= DEEPEST:
            self.fail(TOO_DEEP)
        self._open.append(holder)
        self._before(holder)

    def _before(self, holder):
        """Reads what stands before the next value: its key, or numbers that stand together."""
        token = self.next()
        if type(holder) is dict:
            if token != b'"':
                self.fail(NO_NAME)
            self._keys.append(self.string())
            if self.next() != b":":
                self.fail(NO_COLON)
            self.at += 1
        else:
            while run := RUN.match(self.text, self.at):
                holder += json.loads(b"[%b]" % run[0].rstrip(b" \t\r\n,"))
                self.at = run.end()

    def _put(self, value):
        """Puts a value where it belongs; returns what holds it and whether that is complete with it."""
        holder = self._open[-1]
        if type(holder) is dict:
            holder.setdefault(self._keys.pop(), value)
        else:
            holder.append(value)
        token = self.next()
        if token == b",":
            self.at += 1
            self._before(holder)
            return holder, False
        if token != (b"}" if type(holder) is dict else b"]"):
            self.fail(NO_COMMA[type(holder)])
        self.at += 1
        return self._open.pop(), True
