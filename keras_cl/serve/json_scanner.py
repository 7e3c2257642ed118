"""Strings, numbers and words of JSON, with the mistakes that RapidJSON 1.1 finds in them."""

import math
import re

from keras_cl.serve.errors import ServingError

BOM = b"\xef\xbb\xbf"
SPACE = re.compile(rb"[ \t\r\n]*")
PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
HEX = re.compile(rb"[0-9a-fA-F]{4}")
DIGITS = re.compile(rb"[0-9]*")
LITERALS = {b"t": (b"true", True), b"f": (b"false", False), b"n": (b"null", None)}
ESCAPES = {
    **{letter: letter for letter in (b'"', b"/", b"\\")},
    b"b": b"\b",
    b"f": b"\f",
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
}
LARGEST = 1.7976931348623157e307  # an integer may have no further digit

NO_VALUE = "Invalid value."
NO_QUOTE = "Missing a closing quotation mark in string."
NO_HEX = "Incorrect hex digit after \\u escape in string."
NO_ESCAPE = "Invalid escape character in string."
NO_PAIR = "The surrogate pair in string is invalid."
NO_FRACTION = "Miss fraction part in number."
NO_EXPONENT = "Miss exponent in number."
TOO_BIG = "Number too big to be stored in double."


class Scanner:
    """Reads values that hold no others.

    Attributes:
      text: the document.
      at: offset of the next byte.
      strings, booleans: how many were read as values.
    """

    def __init__(self, body):
        # RapidJSON takes a zero byte for the end.
        self.text, self.at = body.partition(b"\0")[0], 3 * body.startswith(BOM)
        self.strings, self.booleans = 0, 0

    def next(self):
        """The next byte that is no space; b"" at the end."""
        self.at = SPACE.match(self.text, self.at).end()
        return self._peek()

    def fail(self, what, at=None):
        """Raises the error of a mistake at an offset, by default here."""
        offset = self.at if at is None else at
        raise ServingError("INVALID_ARGUMENT", f"JSON Parse error: {what} at offset: {offset}")

    def scalar(self, token):
        """The string, number or word that begins with `token`."""
        if token == b'"':
            self.strings += 1
            return self.string()
        if token in LITERALS:
            word, value = LITERALS[token]
            self.booleans += value is not None
            self._expect(word)
            return value
        return self._number()

    def string(self):
        """The string that begins here; bytes that are no UTF-8 are surrogates in it."""
        self.at += 1
        pieces = []
        while True:
            plain = PLAIN.match(self.text, self.at)
            pieces.append(plain[0])
            self.at = plain.end()
            token = self._peek()
            if token == b'"':
                self.at += 1
                return b"".join(pieces).decode(errors="surrogateescape")
            if token != b"\\":
                self.fail(NO_ESCAPE if token else NO_QUOTE)
            pieces.append(self._escaped())

    def _escaped(self):
        start, letter = self.at, self.text[self.at + 1 : self.at + 2]
        self.at += 2
        if letter in ESCAPES:
            return ESCAPES[letter]
        if letter != b"u":
            self.fail(NO_ESCAPE, start)
        code = self._hexadecimal(start)
        if 0xD800 <= code <= 0xDBFF:
            if self.text[self.at : self.at + 2] != b"\\u":
                self.fail(NO_PAIR, start)
            self.at += 2
            low = self._hexadecimal(start)
            if not 0xDC00 <= low <= 0xDFFF:
                self.fail(NO_PAIR, start)
            code = 0x10000 + ((code - 0xD800) << 10) + low - 0xDC00
        return chr(code).encode(errors="surrogatepass")

    def _hexadecimal(self, start):
        digits = HEX.match(self.text, self.at)
        if not digits:
            self.fail(NO_HEX, start)
        self.at += 4
        return int(digits[0], 16)

    def _number(self):
        start = self.at
        sign = -1 if self._peek() == b"-" else 1
        self.at += sign < 0
        token = self._peek()
        if token == b"N":
            self._expect(b"NaN")
            return math.nan
        if token == b"I":
            self._expect(b"Inf")
            if self._peek() == b"i":
                self._expect(b"inity")
            return sign * math.inf
        whole = token if token == b"0" else DIGITS.match(self.text, self.at)[0]
        if not whole:
            self.fail(NO_VALUE)
        self.at += len(whole)
        if len(whole) > 308 and float(whole[:-1]) >= LARGEST:
            self.fail(TOO_BIG, start)
        real = self._fraction(start)
        text = self.text[start : self.at]
        if not real and len(whole) <= 20 and -(2**63) <= int(text) < 2**64:
            return int(text)
        return float(text)

    def _fraction(self, start):
        """Reads what follows the digits of an integer; returns whether it is one no more."""
        digits = b""
        real = self._peek() in (b".", b"e", b"E")
        if self._peek() == b".":
            self.at += 1
            digits = self._digits(NO_FRACTION)
        if self._peek() in (b"e", b"E"):
            self.at += 1
            negative = self._peek() == b"-"
            self.at += self._peek() in (b"+", b"-")
            exponent = self._digits(NO_EXPONENT).lstrip(b"0")
            if not negative and (len(exponent) > 3 or int(exponent or b"0") > 308 + min(len(digits), 17)):
                self.fail(TOO_BIG, start)
        return real

    def _digits(self, missing):
        digits = DIGITS.match(self.text, self.at)[0]
        if not digits:
            self.fail(missing)
        self.at += len(digits)
        return digits

    def _expect(self, word):
        for place in range(len(word)):
            if self._peek() != word[place : place + 1]:
                self.fail(NO_VALUE)
            self.at += 1

    def _peek(self):
        return self.text[self.at : self.at + 1]
