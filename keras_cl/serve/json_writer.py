"""JSON of errors, written as TensorFlow Serving's RapidJSON 1.1 writes it."""

import json
import math

LONGEST = 256  # bytes after which a value in a message is cut off
# Stands for a NaN or an infinity, where RapidJSON stops; no quoted string contains it.
NOT_WRITTEN = "\0"
TYPES = {type(None): "Null", dict: "Object", list: "Array", str: "String", int: "Number", float: "Number"}


def error_body(message):
    """The bytes of an answer that says what was wrong."""
    return b'{\n    "error": %b\n}' % quoted(message).encode(errors="surrogateescape")


def type_of(value):
    """RapidJSON's name of the type of a value."""
    return str(value) if isinstance(value, bool) else TYPES[type(value)]


def shown(value):
    """A value as messages quote it: its JSON, cut off after the token that exceeds 256 bytes."""
    text = _Text()
    # A value may be nested more deeply than Python calls can be; no token is taken that is not written.
    stack = [_tokens(value, 0)]
    while stack:
        token = next(stack[-1], None)
        if token is None:
            stack.pop()
        elif isinstance(token, str):
            if not text.add(token) or token.endswith(NOT_WRITTEN):
                break
        else:
            stack.append(token)
    return text.value.removesuffix(NOT_WRITTEN)


class _Text:
    def __init__(self):
        self.value, self._size = "", 0

    def add(self, token):
        """Appends a token; returns whether another may follow."""
        self.value += token
        self._size += len(token.encode(errors="surrogateescape"))
        return self._size < LONGEST


def _tokens(value, depth):
    """Tokens of a value, and iterators over those of its parts: objects indented, arrays on a line."""
    if type(value) is dict:
        yield "{"
        for place, (key, own) in enumerate(value.items()):
            yield f"{',' if place else ''}\n{'    ' * (depth + 1)}{quoted(key)}"
            yield from _part(": ", own, depth)
        yield f"\n{'    ' * depth}}}" if value else "}"
    elif type(value) is list:
        yield "["
        for place, own in enumerate(value):
            yield from _part(", " if place else "", own, depth)
        yield "]"
    else:
        yield _scalar(value)


def _part(before, value, depth):
    """The tokens of a part, the first of them with what separates it: one token, as far as the bound goes."""
    if type(value) in (dict, list):
        yield _after(before, _tokens(value, depth + 1))
    else:
        yield before + _scalar(value)


def _after(before, tokens):
    yield before + next(tokens)
    yield from tokens


def _scalar(value):
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, float):
        return _decimal(value)
    return "null" if value is None else str(value).lower()


def quoted(text):
    """A string of JSON; what is no UTF-8 stays in it as surrogates."""
    return json.dumps(text, ensure_ascii=False)


def _decimal(value):
    """A float in RapidJSON's form: up to 21 digits before the point where Python has 16."""
    if not math.isfinite(value):
        return NOT_WRITTEN
    sign = "-" if math.copysign(1, value) < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if not digits:
        return f"{sign}0.0"
    if len(digits) <= point <= 21:
        return f"{sign}{digits.ljust(point, '0')}.0"
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    return f"{sign}{digits[0]}{'.' * (len(digits) > 1)}{digits[1:]}e{point - 1}"
