"""A function's tokens with the surface of another language: for code-to-code pairs.

This is no translator: the result need not compile.  It swaps keywords, literals, sigils, statement
ends and block marks by table, so that an encoder which reads both versions as the same learns to look past
a language's accent to the names, numbers and steps that both share.
"""

from __future__ import annotations

import re
from random import Random

LANGUAGES = ("python", "javascript", "typescript", "java", "go", "rust", "ruby", "php", "c", "cpp")

_COLUMNS = {
    "python": "python", "javascript": "script", "typescript": "script", "java": "java", "go": "go",
    "rust": "rust", "ruby": "ruby", "php": "php", "c": "c", "cpp": "cpp",
}  # fmt: skip
_HEADER = "python script java go rust ruby php c cpp"
_TABLE = """
None null null nil None nil null NULL nullptr
True true true true true true true true true
False false false false false false false false false
self this this s self self $this self this
def function public func fn def function static auto
elif else_if else_if else_if else_if elsif elseif else_if else_if
and && && && && && && && &&
or || || || || || || || ||
not ! ! ! ! ! ! ! !
raise throw throw panic panic! raise throw abort throw
except catch catch recover Err rescue catch catch catch
str string String string String String string char string
int number int int i64 Integer int int int
float number double float64 f64 Float float double double
bool boolean boolean bool bool Boolean bool bool bool
list Array List slice Vec Array array array vector
dict Map Map map HashMap Hash array struct map
print console.log System.out.println fmt.Println println! puts echo printf cout
append push add append push push array_push append push_back
len length size len len length count size size
import import import import use require use #include #include
Exception Error Exception error Error StandardError Exception error exception
"""
_ROWS = [dict(zip(_HEADER.split(), row.split(), strict=True)) for row in _TABLE.strip().splitlines()]
_BRACED = frozenset(("script", "java", "go", "rust", "php", "c", "cpp"))
_ENDED = frozenset(("script", "java", "rust", "php", "c", "cpp"))
_WORD = re.compile(r"console\.log|System\.out\.println|fmt\.Println|\$?[A-Za-z_]\w*!?|&&|\|\||!(?!=)")
_COUNTED = re.compile(r"\bfor (\w+) in range\((?:([^,()]+), ?)?([^,]+?)\)$", re.MULTILINE)
_C_LOOP = re.compile(
    r"\bfor \(?(?:[a-z]\w* )?(\$?\w+) :?= ?([^;]+); ?\$?\w+ ?<=? ?([^;]+); ?[^;{]*?\)?(?= ?\{?$)",
    re.MULTILINE,
)
_DECLARED = re.compile(
    r"\b(?:(?:final|static|const|let|var|mut|auto|unsigned|int|long|double|float|bool|boolean|char|string|String|size_t|"
    r"(?:std::)?[A-Z]?\w+<[\w<>, ]+>)[ &*]+)+(?=\$?\w+ ?=)"
)
_ASSIGNED = re.compile(r"^(\s*)([a-z_]\w*) = ", re.MULTILINE)
_DECLARATION = {"script": "let ", "java": "int ", "rust": "let mut ", "c": "int ", "cpp": "auto "}
_BLOCK = re.compile(
    r"^(\s*)(if|for|while|switch|else if|elif|foreach|unless|until)\b\s*(.*?)\s*(:|\{|do|then)?\s*$"
)


def with_accent(code: str, source: str, target: str, draw: Random) -> str:
    """`code`, written in `source`, with the surface of `target` (both in `LANGUAGES`)."""
    old, new = _COLUMNS[source], _COLUMNS[target]
    words = {row[old]: row[new].replace("_", " ", row[new].count("else_if")) for row in _ROWS}
    text = _C_LOOP.sub(r"for \1 in range(\2, \3)", _strip_blocks(code, old))
    text = _DECLARED.sub("", text)
    text = _WORD.sub(lambda match: words.get(match.group(), match.group()), text)
    if new not in ("python", "ruby"):
        text = _COUNTED.sub(lambda match: _counted(match, new), text)
    text = _declare(text, new)
    if new == "php":
        text = re.sub(r"(?<![\w$.>:])([a-z_]\w*)(?=\s*(?:[-+*/.]?=(?!=)|\[))", r"$\1", text)
    return _dress(text, new, draw)


def _counted(match: re.Match[str], new: str) -> str:
    name, start, stop = match.group(1), match.group(2) or "0", match.group(3)
    if new == "rust":
        return f"for {name} in {start}..{stop}"
    if new == "go":
        return f"for {name} := {start}; {name} < {stop}; {name}++"
    declared = "let " if new == "script" else "" if new == "php" else "int "
    return f"for ({declared}{name} = {start}; {name} < {stop}; {name}++)"


def _declare(text: str, new: str) -> str:
    """A declaration at the first assignment of each name, where the language wants one."""
    known: set[str] = set()

    def declared(match: re.Match[str]) -> str:
        indent, name = match.groups()
        if name in known or new not in (*_DECLARATION, "go"):
            return match.group()
        known.add(name)
        return f"{indent}{name} := " if new == "go" else f"{indent}{_DECLARATION[new]}{name} = "

    return _ASSIGNED.sub(declared, text)


def _strip_blocks(text: str, old: str) -> str:
    """Lines without braces, statement ends and sigils: their depth alone shows the blocks."""
    lines = []
    for line in text.splitlines():
        bare = line.rstrip()
        bare = bare.replace("$", "") if old == "php" else bare
        bare = re.sub(r"\s*[;{]\s*$", "", bare)
        bare = re.sub(r"^(\s*)\}\s*", r"\1", bare)
        if old in ("python", "ruby"):
            bare = re.sub(r":\s*$", "", bare)
        if bare.strip() and not (old == "ruby" and bare.strip() == "end"):
            lines.append(bare.expandtabs(4))
    return "\n".join(lines)


def _dress(text: str, new: str, draw: Random) -> str:
    """Blocks and statement ends in the new language's way, following depth."""
    unit = draw.choice(("  ", "    ", "\t"))
    opened: list[int] = []
    out: list[str] = []
    lines = text.splitlines()
    depths = [len(line) - len(line.lstrip()) for line in lines]
    for number, (line, depth) in enumerate(zip(lines, depths, strict=True)):
        while opened and depth <= opened[-1]:
            opened.pop()
            if new != "python":
                out.append(unit * len(opened) + ("end" if new == "ruby" else "}"))
        opens = number + 1 < len(lines) and depths[number + 1] > depth
        out.append(unit * len(opened) + _statement(line.strip(), new, opens))
        if opens:
            opened.append(depth)
    if new != "python":
        out += [unit * depth + ("end" if new == "ruby" else "}") for depth in reversed(range(len(opened)))]
    return "\n".join(out)


def _bracketed(condition: str) -> bool:
    return condition.startswith("(") and condition.endswith(")")


def _statement(line: str, new: str, opens: bool) -> str:
    match = _BLOCK.match(line)
    if match and opens and new in _BRACED - {"go", "rust"} and not _bracketed(match.group(3)):
        line = f"{match.group(2)} ({match.group(3)})"
    if opens:
        return line + (" {" if new in _BRACED else ":" if new == "python" else "")
    return line + (";" if new in _ENDED and not line.endswith((",", "(")) else "")
