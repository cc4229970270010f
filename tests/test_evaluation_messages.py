"""What a commit's message asks for, told by messages as people and tools write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosearch.evaluation.messages import (
    FEWEST_TERMS_OF_PROSE,
    MOST_WORDS,
    Asked,
    body_question,
    question_from,
    question_of,
)
from mosearch.ranking import parse_query

PROSE = "A connection that the server closed stays in the pool, so the next request fails at once"
NOISE = (
    "Signed-off-by: Ann Example <ann@example.com>",
    "Co-authored-by: Bob <bob@example.com>\nChange-Id: I0123456789abcdef",
    "(cherry picked from commit 0123456789abcdef0123456789abcdef01234567)",
    "Fixes #12, closes owner/name#34",
    "See also: https://example.com/issues/12",
    "[1] https://example.com/a\n[2] https://example.com/b",
    "Follow-up to 0123456789ab",
    'Fixes: 0123456789ab ("pool: forget connections after a while")',
    "This reverts commit 0123456789abcdef0123456789abcdef01234567.",
    "* Add a test for connections that were closed\n* Apply suggestions from code review",
    "- 0123456 Add a test of the pool and of its connections",
    "0123abc Add a test of the pool and of its connections\n89abcde Mend the pool and its test once more",
    "1. First take the lock of the pool\n2. then look at each connection",
    "- [ ] I have added tests that show that the change works\n- [x] Documentation was brought up to date",
    "```python\npool.acquire(timeout=3)  # raises when no connection is free\n```",
    "~~~\nserver.c:12: warning: unused variable in the function\n~~~",
    "    pool = Pool(connections=3, timeout=5)\n    pool.acquire().send(request)",
    'Traceback (most recent call last):\n  File "pool.py", line 3, in acquire\nValueError: no connection',
    "java.lang.IllegalStateException: the pool was closed\n\tat com.example.Pool.acquire(Pool.java:12)",
    "panic: runtime error: index out of range\ngoroutine 1 [running]:",
    "$ make test && ./run --all the tests of the pool\nFAILED tests of the pool, see the log for more",
    "> Somebody asked on the list whether connections should be kept",
    "<!-- Describe what you change and why; link the issue that it resolves -->",
    "Please describe what your change does and why it is wanted here.",
    "| connections | before | after |\n|---|---|---|\n| 100 | 12 ms | 3 ms |",
    "## Type of change\nThis is a change that breaks nothing for people who use it",
    "Testing\n=======\nAll tests of the pool and of connections pass here",
    "---------",
    "Quick fix.",
)


@pytest.mark.parametrize(
    ("subject", "question"),
    [
        ("fix(pool): Raise when no connection is free (#123)", "Raise when no connection is free"),
        ("Retry more often before giving up. Fixes #9", "Retry more often before giving up"),
        ("Bump requests from 2.1 to 2.2", ""),
        ("docs: explain retries of the pool", ""),
        ("v1.2.0", ""),
        ("Fix bug", ""),
        ("Merge branch 'main' of somewhere", ""),
    ],
)
def test_subjects_that_say_something_are_questions(subject: str, question: str) -> None:
    assert question_of(subject) == question


@pytest.mark.parametrize(
    ("body", "question"),
    [
        pytest.param(
            "When the server closes a connection, the pool\nkeeps it.\n\nForget it instead, at once, please.",
            "When the server closes a connection, the pool keeps it",
            id="lines of the first paragraph are joined",
        ),
        pytest.param(
            "* Forget closed connections\n\n  Signed-off-by: Ann <a@example.com>\n\n* middleware: test it\n\n"
            "The pool kept connections that the server\nhad closed, see #12.\n\n---------\n\n"
            "Co-authored-by: Bob <b@example.com>",
            "The pool kept connections that the server had closed",
            id="squashed commits",
        ),
        pytest.param(
            "Problem:  The pool keeps connections that\n          the server closed.\n"
            "Solution: Look at the socket first. (Ann Example)",
            "The pool keeps connections that the server closed",
            id="problem and solution",
        ),
        pytest.param(
            "## Summary\n<!-- what does it change? -->\n\n## Description\nPools forget connections that were "
            "closed, as [the standard](https://example.com/rfc) wants.\n\n## Checklist\n- [x] Tests\n",
            "Pools forget connections that were closed, as the standard wants",
            id="a form that was filled in",
        ),
        pytest.param(
            "## Description\n\nFixes #12\n\n## How has this been tested?\n\nI ran all of the tests myself."
            "\n\n## Checklist:\n- [ ] My code follows the style of this project",
            "",
            id="a form that was not",
        ),
        pytest.param(
            "**Motivation:** connections that were closed stay in the pool for ever.\n\n**Result:** none.",
            "connections that were closed stay in the pool for ever",
            id="bold words before parts",
        ),
        pytest.param(
            "BREAKING CHANGE: Pool.acquire raises when all connections are taken",
            "Pool.acquire raises when all connections are taken",
            id="a breaking change",
        ),
        pytest.param(
            "Acquiring from an empty pool crashed the client:\n    panic: index out of range\n    main.go:12",
            "Acquiring from an empty pool crashed the client",
            id="a log right below",
        ),
        pytest.param(
            "The pool crashes when clients are shut down early:\nTypeError: x is undefined\nand so on",
            "The pool crashes when clients are shut down early",
            id="a log amidst",
        ),
        pytest.param(
            "As reported in #12 and in https://example.com/x, the pool keeps closed connections\n"
            'since 0123456789ab ("pool: be lazy").',
            "As reported, the pool keeps closed connections",
            id="pointers and what leads to them",
        ),
        pytest.param(
            "    The whole body is set off here, as some\n    tools do, and is prose all the same.",
            "The whole body is set off here, as some tools do, and is prose all the same",
            id="a body set off as a whole",
        ),
        pytest.param(
            "- keep connections in the pool\n\n  This is the list's own second paragraph, which explains it.",
            "",
            id="a list's paragraphs",
        ),
        pytest.param(
            "... and forget closed connections in all other pools",
            "and forget closed connections in all other pools",
            id="goes on from the subject",
        ),
        pytest.param(
            "Content-Type: is left out of answers without any body",
            "Content-Type: is left out of answers without any body",
            id="a header's name is no trailer",
        ),
        pytest.param(
            "Pools\r\nforget at once\r\nconnections that were closed\r\n\r\nMore.",
            "Pools forget at once connections that were closed",
            id="carriage returns",
        ),
        pytest.param(
            "接続プールは 閉じた 接続を すぐに 忘れる ように なった",
            "接続プールは 閉じた 接続を すぐに 忘れる ように なった",
            id="other scripts",
        ),
        pytest.param("", "", id="nothing"),
        pytest.param("Signed-off-by: Ann <a@example.com>", "", id="a trailer alone"),
        pytest.param("It should be faster now.", "", id="too little"),
    ],
)
def test_the_first_prose_of_a_body(body: str, question: str) -> None:
    assert body_question(body) == question


def test_a_body_that_repeats_its_subject_is_read_on() -> None:
    body = f"fix(pool): forget connections which the server closed (#12)\n\n{PROSE}."
    assert body_question(body, "fix(pool): forget connections which the server closed") == PROSE


def test_long_paragraphs_end_with_a_sentence() -> None:
    sentence = "The pool keeps, e.g. for later, what the server closed."
    paragraph = " ".join([sentence] * 20)
    assert body_question(paragraph) == " ".join([sentence] * 6).strip(".")
    endless = body_question("the pool keeps connections that servers closed early " * 10)
    assert len(endless.split()) == MOST_WORDS


@pytest.mark.parametrize(
    ("asked", "question"),
    [
        (Asked.SUBJECT, "Forget connections which were closed"),
        (Asked.BODY, PROSE),
        (Asked.BOTH, f"Forget connections which were closed. {PROSE}"),
    ],
)
def test_a_part_of_the_message_is_asked(asked: Asked, question: str) -> None:
    subject = "fix(pool): Forget connections which were closed (#12)"
    assert question_from(subject, f"{PROSE}.\n\nFixes #12", asked) == question


@pytest.mark.parametrize(
    ("subject", "body", "of_body", "of_both"),
    [
        pytest.param("Forget closed connections", "Fixes #12", "", "Forget closed connections", id="no body"),
        pytest.param("Fix bug", PROSE, PROSE, PROSE, id="a body alone says something"),
        pytest.param("docs: explain the pool", PROSE, "", "", id="not about code"),
        pytest.param("Fix bug", "Fixes #12", "", "", id="neither says anything"),
        pytest.param(
            "Forget connections which the ser\u2026",
            f"\u2026ver closed\n\n{PROSE}",
            PROSE,
            f"Forget connections which the server closed. {PROSE}",
            id="a subject that goes on in the body",
        ),
    ],
)
def test_where_a_part_is_missing(subject: str, body: str, of_body: str, of_both: str) -> None:
    assert question_from(subject, body, Asked.BODY) == of_body
    assert question_from(subject, body, Asked.BOTH) == of_both


@given(st.lists(st.sampled_from(NOISE)), st.lists(st.sampled_from(NOISE)))
def test_what_stands_around_prose_changes_nothing(before: list[str], after: list[str]) -> None:
    # What stands under the heading of another part, or beside a list, belongs there.
    before = [each for each in before if not each.startswith(("## Type", "Testing\n"))]
    assert body_question("\n\n".join([*before, f"{PROSE}.", *after])) == PROSE


@given(st.lists(st.sampled_from(NOISE)))
def test_without_prose_there_is_no_question(noise: list[str]) -> None:
    # A body that is set off as a whole is taken for prose, so something stands at the margin.
    assert body_question("\n\n".join(["Fixes #12", *noise])) == ""


_PIECES = st.sampled_from(
    ["\n", "\n\n", "    ", "\t", "- ", "```\n", "<!--", "-->", "# ", "**", ":", "#1", "(", "\u2026"]
)


@given(st.lists(st.text() | _PIECES).map("".join), st.text(), st.sampled_from(list(Asked)))
def test_any_message_gives_one_line_of_bounded_length_or_nothing(
    body: str, subject: str, asked: Asked
) -> None:
    question = question_from(subject, body, asked)
    if asked is Asked.BODY and question:
        assert len(question.split()) <= MOST_WORDS
        assert len(question.splitlines()) == 1
        assert len(parse_query(body).terms) >= FEWEST_TERMS_OF_PROSE
