"""What the message of a commit asks for: its subject, or the first prose of its body.

Bodies hold much that nobody would ask: trailers, links, lists, logs, code, the headings and check boxes
of a form.  All of that is left out, by line and by paragraph; what is left first is the question.
Everything here is pure, never fails and takes any text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from textwrap import dedent

from mosearch.ranking import parse_query


class Asked(str, Enum):
    """Which part of a message is the question."""

    SUBJECT = "subject"
    BODY = "body"
    """The first prose of the body; a commit without any is not asked."""
    BOTH = "both"
    """The subject and the first prose of the body in one, or the one of them that says something."""


FEWEST_TERMS = 3
"""Terms that a subject has at least to be a question."""
FEWEST_TERMS_OF_PROSE = 5
"""Shorter paragraphs say something about the subject, not about code: "It can never be true elsewhere"."""
MOST_WORDS = 60
"""Words of a paragraph that are asked: more than that nobody types, and an encoder reads no further."""

_TRIVIAL = re.compile(
    r"""(?xi) ^ \W* (?: (?:build|chore|ci|docs?|style|release|bump|merge|revert|wip|version|changelog|typos?
    |lint|format|prepare|update[ ]dep|upgrade|reformat|clippy|rustfmt|prettier|cleanup|clean[ ]up) \b
    | v?\d+\.\d+ )"""
)
_SCOPE = re.compile(r"^\s*(?:[\w-]+(?:\([^)]*\))?!?:|\[[^\]]*\])\s*")
_REFERENCE = re.compile(
    r"\s*\(?(?:(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?|see|refs?)\s+)?(?:GH-|#)\d+\)?", re.IGNORECASE
)

_FENCED = re.compile(r"^ *(```|~~~)[^`\n]*$.*?(?:^ *\1[`~]* *$|\Z)", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_BLANK = re.compile(r"\n(?: *\n)+")
_HEADING = re.compile(
    r"""(?xm) ^ [ ]* (?:
      \#{1,6} [ ] .* $
    | \*\* [^*\n]+ (?: :\*\* | \*\*: | \*\*[ ]*$ ) [ ]*
    | (?: Problem | Solution | Summary | Motivation | Description | Background | Context | Rationale
        | Why | What | (?:Root[ ])?[Cc]ause | Symptoms? | Changes? | Modifications? | Results? | Note
        | BREAKING[ -]CHANGES? | Test[ ]?[Pp]lan | Test(?:s|ing|ed)? | Checklist | Reviewers
        | Release[ -][Nn]otes?
      ) [ ]* : (?!\S) [ ]*
    ) | (?: \A | (?<=\n\n) ) [^\n]+ \n (?: ={3,} | -{3,} ) [ ]* $"""
)
"""A heading in Markdown, or a word that many bodies begin a part with; it ends what stands before it."""
_ASIDE = re.compile(
    r"""(?xi) \b (?: test(?:s|ed|ing)? | verif\w+ | checklist | types?[ ]of[ ]change | review\w*
    | release[ -]?notes? | screenshots? | related | see[ ]also | references | links | documentation
    | contributing | agreement ) \b"""
)
"""In the heading of a part that is not about the change itself."""
_FORM = re.compile(
    r"""(?xi) (?:
      please[ ] (?: describe | explain | include | provide | add | fill | read | make | ensure | check
        | delete | remove | link | list )
    | thank(?:s|[ ]you)[ ]for
    | describe[ ] (?: your | what | why | how | the[ ](?:change|problem|issue|feature|pull|pr)s? )
    | i[ ] (?: confirm | agree | acknowledge | have[ ](?:read|added|tested|checked|reviewed) )
    | by[ ]submitting ) \b"""
)
"""How a sentence of a form begins that nobody filled in."""
_LISTED = re.compile(r" *(?:[-*+\u2022\u2013]|\(?\w{1,2}[.)]) +\S| *(?:[-*+] *)?\[[ xX]?\]")
_TRAILER = re.compile(
    r"""(?xi) [ ]* (?: [\w-]+-by | co-?authors? | cc | change-?id | reviewed[ -](?:on|by) | pr-url
    | differential[ -]revision | fbshipit-source-id | git-svn-id | [\w-]+-rev-?id
    | (?:closes|related|partial)-bug | cq-[\w-]+ | auto-submit | commit-queue | (?:run-)?trybot[\w-]*
    | (?:original|upstream)-commit | bug | test ) [ ]* [:=]"""
)
_HASH = r"\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{7,40}\b"
_POINTER = (
    r"(?:<?\b\w+://[^\s>)]*[^\s>),.;:]>?|(?:(?<![\w.-])[\w.-]+/[\w.-]+)?\#\d+|\bGH-\d+|\[\d+\]"
    rf"|{_HASH}(?:\ \(\"[^\"]*\"\))?)"
)
"""The number of an issue or of a footnote, an address, or a commit, also with its subject."""
_POINTING = re.compile(
    rf"""(?xi) {_POINTER} | \b (?: [A-Z]{{2,9}}-\d+ | close[sd]? | fix(?:e[sd])? | resolve[sd]?
    | address(?:es)? | see | also | refs? | references? | related | issues? | bugs? | tickets? | pull
    | requests? | prs? | part | links? | follow[- ]?ups? | cherry | picked | backport(?:s|ed)?
    | re-?lands? | upstream | commits? | reverts? | this | of | from | to | by | in | for | and | or
    | on ) \b"""
)
"""What a line is made of that only points somewhere else."""
_MENTION = re.compile(
    rf"""(?xi) \s* [(]? (?: \b (?: close[sd]? | fix(?:e[sd])? | resolve[sd]? | see | refs? | issues? | bug
    | prs? | also | commits? | in | at | by | from | via | since | to | with | and | or ) \b :? \s+
    ){{0,3}} {_POINTER} [)]?"""
)
"""A pointer within prose, with the words that lead to it, which without it would lead nowhere."""
_LOG = re.compile(
    r"""(?x) [ ]* (?:
      [>|] | \$[ ] | Traceback\b | File[ ]" | at[ ][\w.$<>/]+\( | Caused[ ]by:
    | [\w.]*(?:Error|Exception):(?!\S) | (?:panic|fatal|error(?:\[\w+\])?|warning):[ ] | goroutine[ ]\d
    | thread[ ]' | \#\d+[ ] | ==\d | \[[ ]*\d+\.\d+\] | \d{4}-\d\d-\d\d[T ]\d | \d\d:\d\d:\d\d | E[ ]{2}
    | (?:---[ ])?FAIL(?:ED)?\b | diff[ ]--git | @@[ ] | [+-]{3}[ ] | [\w./\\-]+\.\w{1,5}:\d+
    | Benchmark\w*[-/ ] | name[ ]+old[ ] | .* (?: \u00b1 | [{}][ ]*$ | \);[ ]*$ ) )"""
)
"""A line of a log, a trace, a diff, a table, a quotation or code."""
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*\)")
_SENTENCE = re.compile(r"(?<=[.!?])(?<!\w\.\w\.)\s+")  # not after "e.g."


def question_from(subject: str, body: str, asked: Asked) -> str:
    """What a commit asks for; empty when the parts asked for say nothing about code."""
    if asked is Asked.SUBJECT:
        return question_of(subject)
    if _TRIVIAL.match(subject):
        return ""
    subject, body = _mended(subject, body)
    prose = body_question(body, subject)
    if asked is Asked.BODY:
        return prose
    return ". ".join(part for part in (question_of(subject), prose) if part)


def question_of(subject: str) -> str:
    """What a commit's subject asks for; empty when it says nothing about code."""
    if _TRIVIAL.match(subject):
        return ""
    text = _titled(subject)
    return text if len(parse_query(text).terms) >= FEWEST_TERMS else ""


def body_question(body: str, subject: str = "") -> str:
    """The body's first paragraph of prose that is not its subject again, on one line, without its links.

    At most `MOST_WORDS` words, by whole sentences where the first one is no longer; empty without such prose.
    """
    for paragraph in _paragraphs(body):
        text = _plain(paragraph)
        if _titled(text) == _titled(subject) or _FORM.match(text):
            continue
        if len(parse_query(text).terms) >= FEWEST_TERMS_OF_PROSE:
            return _shortened(text)
    return ""


def _mended(subject: str, body: str) -> tuple[str, str]:
    """Subject and body, where a subject that was too long goes on in the first line of the body."""
    first, _, rest = body.partition("\n")
    if subject.endswith("\u2026") and first.startswith("\u2026"):
        return subject[:-1] + first[1:], rest
    return subject, body


def _titled(text: str) -> str:
    return _REFERENCE.sub("", _SCOPE.sub("", text)).strip(" .")


def _paragraphs(body: str) -> Iterator[str]:
    """The paragraphs of prose, in lines, without what is no prose in or around them."""
    text = dedent(body.replace("\r\n", "\n").expandtabs(4))
    text = _HEADING.sub(r"\n\n\g<0>\n\n", _FENCED.sub("\n\n", _COMMENT.sub("\n\n", text)))
    aside = listed = False
    for block in _BLANK.split(text.strip("\n")):
        if _HEADING.match(block):
            aside, listed = bool(_ASIDE.search(block)), False
            continue
        indent = len(block) - len(block.lstrip(" "))
        # What is set off is code, or after a list goes on with it.
        if indent >= 4 or (listed and indent >= 2):
            continue
        listed = _LISTED.match(block) is not None
        if not aside:
            yield "\n".join(_prose(block))


def _prose(block: str) -> Iterator[str]:
    """The lines before the first one of a list, a log or code, trailers and pointers left out."""
    before = ""
    for line in block.splitlines():
        set_off = before.endswith(":") and line.startswith("    ")
        commits = not before and re.match(_HASH, line)
        if set_off or commits or _LISTED.match(line) or _LOG.match(line):
            return
        if not _TRAILER.match(line) and re.search(r"[^\W\d_]", _POINTING.sub("", line)):
            yield line
        before = line.rstrip()


def _plain(paragraph: str) -> str:
    return " ".join(_MENTION.sub("", _LINK.sub(r"\1", paragraph)).split()).strip(" .,:\u2026")


def _shortened(text: str) -> str:
    chosen: list[str] = []
    for sentence in _SENTENCE.split(text):
        words = sentence.split()
        if len(chosen) + len(words) > MOST_WORDS:
            chosen = chosen or words[:MOST_WORDS]
            break
        chosen += words
    return " ".join(chosen).strip(" .")
