"""Text functions that several rooms share: digests and identifier splitting.  Pure, no imports of ours."""

from __future__ import annotations

import hashlib
import re

DIGEST_BYTES = 16

# A run of capitals that ends before a capitalised word ("HTTP" in "HTTPServer"), a capitalised or
# lower-case word, a run of capitals, or digits; a run of letters without case (CJK, …) stays whole.
_WORD = re.compile(
    r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+|[^\W\d_A-Za-z]+",
)
_CASELESS = "ª"
_IDENTIFIER = re.compile(r"[^\W\d]\w*|\d+")


def digest(encoder_text: str, language: str = "") -> str:
    """BLAKE2b-128, in hex, of all that the encoder sees: context line and body, and the language if it is
    told that, too."""
    told = f"{language}\0" if language else ""
    data = (told + encoder_text).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).hexdigest()


def split_identifier(name: str) -> list[str]:
    """The words of one identifier: `parseHTTPResponse_v2` → parse, HTTP, Response, v, 2."""
    if name.isascii():
        return _WORD.findall(name)
    shape = "".join(map(_shape, name))
    return [name[word.start() : word.end()] for word in _WORD.finditer(shape)]


def _shape(letter: str) -> str:
    """What `_WORD` reads in the place of any letter of any alphabet."""
    if letter.isupper():
        return "A"
    if letter.islower():
        return "a"
    if letter.isdigit():
        return "0"
    return _CASELESS if letter.isalpha() else "_"


def identifiers(text: str) -> list[str]:
    """All identifier-like runs of `text`, in order, as written."""
    return _IDENTIFIER.findall(text)
