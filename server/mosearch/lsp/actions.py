"""The code action "Find similar code", and showing what it finds where the client does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer

from mosearch.lsp.outlines import Outlines
from mosearch.lsp.text import Document, newlines_before, split_lines

KIND = "mosearch.similar"
COMMAND = "mosearch.findSimilar"
TITLE = "Find similar code"

_CHOICES = 10


def offer(
    params: lsp.CodeActionParams, path: str, document: Document, outlines: Outlines, *, show: bool
) -> list[lsp.CodeAction]:
    """The action for a selection that holds code, or for the definition around the cursor.

    `show` is whether the server shows what it finds.
    """
    context, span = params.context, params.range
    if context.only and not any(_covers(str(getattr(kind, "value", kind))) for kind in context.only):
        return []
    arguments: dict[str, Any] = {"textDocument": {"uri": document.uri}, "show": show}
    if _is_cursor(span):
        if context.trigger_kind == lsp.CodeActionTriggerKind.Automatic:
            return []  # a light bulb on every line says nothing
        line = newlines_before(split_lines(document.source), span.start.line)
        chunk = outlines.at(path, document, line) if document.line(span.start.line).strip() else None
        if chunk is None:
            return []
        title = f"{TITLE}: {chunk.symbol}"
        arguments["position"] = _json(span.start)
    else:
        lines = range(span.start.line, min(span.end.line + 1, document.line_count))
        if not any(document.line(number).strip() for number in lines):
            return []
        title = TITLE
        arguments["range"] = {"start": _json(span.start), "end": _json(span.end)}
    return [lsp.CodeAction(title, kind=KIND, command=lsp.Command(title, COMMAND, arguments=[arguments]))]


def _is_cursor(span: lsp.Range) -> bool:
    """Nothing is selected; in some editors a cursor is a selection of one character."""
    return span.start.line == span.end.line and span.end.character - span.start.character <= 1


def _covers(kind: str) -> bool:
    return not kind or kind == KIND or KIND.startswith(kind + ".")


def _json(position: lsp.Position) -> dict[str, int]:
    return {"line": position.line, "character": position.character}


def locations(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The places of an answer's hits, as a client shows references."""
    return [hit["location"] for hit in answer["hits"]]


async def show(ls: LanguageServer, hits: Sequence[dict[str, Any]]) -> None:
    """Let the user choose one of the hits, and open it if the client can."""
    if not hits:
        ls.window_show_message(
            lsp.ShowMessageParams(lsp.MessageType.Info, "MoSEarch: nothing similar found.")
        )
        return
    choices = [_choice(number, hit) for number, hit in enumerate(hits[:_CHOICES], 1)]
    window = ls.client_capabilities.window
    if window is None or window.show_document is None or not window.show_document.support:
        # Indented, for clients that put lines one behind the other.
        message = "MoSEarch: similar code" + "".join(f"\n  {choice}" for choice in choices)
        ls.window_show_message(lsp.ShowMessageParams(lsp.MessageType.Info, message))
        return
    request = lsp.ShowMessageRequestParams(
        lsp.MessageType.Info, "MoSEarch: similar code", [lsp.MessageActionItem(choice) for choice in choices]
    )
    chosen = await ls.window_show_message_request_async(request)
    if chosen is not None and chosen.title in choices:
        place = hits[choices.index(chosen.title)]["location"]
        start = lsp.Position(**place["range"]["start"])
        document = lsp.ShowDocumentParams(place["uri"], take_focus=True, selection=lsp.Range(start, start))
        await ls.window_show_document_async(document)


def _choice(number: int, hit: dict[str, Any]) -> str:
    """One line that says what and where; numbers keep those of equal names apart."""
    line = hit["location"]["range"]["start"]["line"] + 1
    name = ".".join(filter(None, [hit["container"], hit["symbol"]])) or unquote(hit["path"])
    return f"{number}. {name}  {hit['path']}:{line}"
