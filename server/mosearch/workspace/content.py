"""From bytes to UTF-8, and which contents are not worth searching.  Pure.

What is left out, beside binary and empty files:

- minified: bundles by name (`*.min.js`), and any code whose bytes sit mostly in very long lines;
- generated: by a comment near the top (`Code generated … DO NOT EDIT`, `@generated`, the marks of
  autoconf, automake and libtool), and by name (`*_pb2.py`, lock files, source maps);
- data: drawings, tables, translations, certificates and keys, project files of Visual Studio, and
  lists of installed files.  They answer no question about code.

These hold whatever an ignore file says: a rule there takes a file in for the scan, not its kind.

JSON, YAML and notebooks are searched like any text, unless their lines make them minified (a
notebook with pictures in it).
"""

from __future__ import annotations

import codecs
import re

from mosearch.types import SkipReason

_UTF32 = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"))
_UTF16 = ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_TEXT_CONTROLS = b"\t\n\r\f\b\x1b\x1a"
_CONTROLS = bytes(set(range(32)) - set(_TEXT_CONTROLS)) + b"\x7f"

_HEAD_BYTES = 4096
_LONG_LINE_BYTES = 500
_AVERAGE_LINE_BYTES = 250
_SMALLEST_MINIFIED_BYTES = 2000
_ORDINARY_SHARE = 0.2
"""At most this share of a minified file's bytes is in lines of ordinary length (a licence, say)."""

# A paragraph on one line is how prose is written, not minified.
_PROSE = (".md", ".mdx", ".markdown", ".rst", ".txt", ".adoc", ".asciidoc", ".org", ".tex")

_MINIFIED_NAME = re.compile(r"[.-](?:min|bundle)\.(?:js|mjs|cjs|css)$")
_GENERATED_NAME = re.compile(
    r"""(?x)
    (?: \.(?: map | snap )
    | \.pb\.(?: go | cc | h ) | \.pb\.gw\.go | _pb2(?:_grpc)?\.pyi?
    | \.g\.(?: cs | dart ) | \.g\.i\.cs | \.designer\.cs | \.freezed\.dart
    )\Z"""
)
_DATA_NAME = re.compile(
    r"""(?x)
    (?: \.(?: svg | csv | tsv | po | pot | sln | vcxproj | vcproj | vcxproj\.filters | dsp
      | crt | pem | key | cer | der | p12 )
    | \.dist-info/record )\Z"""
)
_GENERATED_NAMES = frozenset(
    {
        "bun.lock",
        "cargo.lock",
        "composer.lock",
        "deno.lock",
        "flake.lock",
        "gemfile.lock",
        "go.sum",
        "gradle.lockfile",
        "libtool.m4",
        "lt~obsolete.m4",
        "ltmain.sh",
        "ltoptions.m4",
        "ltsugar.m4",
        "ltversion.m4",
        "mix.lock",
        "npm-shrinkwrap.json",
        "package-lock.json",
        "package.resolved",
        "packages.lock.json",
        "pdm.lock",
        "pipfile.lock",
        "pnpm-lock.yaml",
        "podfile.lock",
        "poetry.lock",
        "pubspec.lock",
        "uv.lock",
        "yarn.lock",
    }
)
# Only where a comment begins: code that writes or looks for such a mark holds it in a string.
_GENERATED_COMMENT = re.compile(
    rb"""(?xim)
    ^[ \t]* (?: // | \# | /\* | \* | -- | ; | <!-- | % | \(\* | \{- ) [^\n]*?
    (?: \b(?:auto-?)?generated\b [^\n]* \bdo\ not\ (?:edit|modify)\b
      | \bdo\ not\ (?:edit|modify)\b [^\n]* \b(?:auto-?)?generated\b
      | (?<![\w.`'"]) @generated (?![\w`'"])
      | <auto-?generated\b
      | \bgenerated\ by\ (?:GNU\ autoconf|automake)\ \d
      | \bgenerated\ automatically\ by\ aclocal\b
    )"""
)


def decode(data: bytes) -> bytes | None:
    """`data` as UTF-8 without a byte order mark; None if it is no text.

    Understands UTF-8 (a few broken characters are replaced), UTF-16 and UTF-32 with a mark, UTF-16
    without one if it is mostly ASCII, and reads any other text as Windows-1252.
    """
    if data.startswith(codecs.BOM_UTF8):
        data = data[len(codecs.BOM_UTF8) :]
    for mark, encoding in (*_UTF32, *_UTF16):
        if data.startswith(mark):
            return _recode(data, encoding)
    if b"\0" in data:
        guess = _unmarked_utf16(data)
        return _recode(data, guess) if guess else None
    if _is_mostly_control(data):
        return None
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return _repaired_utf8(data) or _legacy(data)
    return data


def classify(path: str, data: bytes) -> SkipReason | None:
    """Why the file at `path` with the text `data` (UTF-8, as `decode` gives it) is left out, if it is."""
    reason = classify_name(path)
    if reason is not None:
        return reason
    if b"\0" in data or _is_mostly_control(data):
        return SkipReason.BINARY
    if not data or data.isspace():
        return SkipReason.EMPTY
    prose = path.lower().endswith(_PROSE)
    if not prose and _GENERATED_COMMENT.search(data, 0, _HEAD_BYTES):
        return SkipReason.GENERATED
    return SkipReason.MINIFIED if not prose and _is_minified(data) else None


def classify_name(path: str) -> SkipReason | None:
    """As `classify`, by what the file's name alone tells."""
    if _DATA_NAME.search(path.lower()):
        return SkipReason.DATA
    name = path.rpartition("/")[2].lower()
    if _MINIFIED_NAME.search(name):
        return SkipReason.MINIFIED
    if name in _GENERATED_NAMES or _GENERATED_NAME.search(name):
        return SkipReason.GENERATED
    return None


def _recode(data: bytes, encoding: str) -> bytes | None:
    try:
        text = data.decode(encoding).removeprefix("\ufeff").encode("utf-8")
    except UnicodeError:
        return None
    return None if b"\0" in text or _is_mostly_control(text) else text


def _unmarked_utf16(data: bytes) -> str | None:
    """ASCII in UTF-16 has a zero in every other byte, and none between."""
    if len(data) % 2:
        return None
    even, odd = data[::2].count(0), data[1::2].count(0)
    half = len(data) // 2
    if even == 0 and odd > 0.7 * half:
        return "utf-16-le"
    if odd == 0 and even > 0.7 * half:
        return "utf-16-be"
    return None


def _is_mostly_control(data: bytes) -> bool:
    """More than one control character in a hundred: no text has that many."""
    return _count(data, _CONTROLS) * 100 > len(data)


def _repaired_utf8(data: bytes) -> bytes | None:
    """UTF-8 with broken characters replaced, if they are few among those beyond ASCII."""
    text = data.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    beyond_ascii = len(text) - len(text.encode("ascii", "ignore"))
    return text.encode("utf-8") if broken * 10 <= beyond_ascii else None


def _legacy(data: bytes) -> bytes | None:
    # A byte order unknown to us and compressed data have control characters; a legacy text has none.
    if _count(data, _CONTROLS):
        return None
    try:
        return data.decode("cp1252").encode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1").encode("utf-8")


def _count(data: bytes, members: bytes) -> int:
    return len(data) - len(data.translate(None, members))


def _is_minified(data: bytes) -> bool:
    if len(data) < _SMALLEST_MINIFIED_BYTES:
        return False
    lines = data.splitlines()
    if len(data) < _AVERAGE_LINE_BYTES * len(lines):
        return False
    ordinary = sum(len(line) for line in lines if len(line) <= _LONG_LINE_BYTES)
    return ordinary <= _ORDINARY_SHARE * len(data)
