"""The protocol's rules that pygls leaves out: every request gets an answer, whatever it holds.

On top of pygls: a request that cannot be read is answered with an error that says why (pygls drops it and
lets the client wait); requests before `initialize` and after `shutdown` are refused; cancelling reaches
commands; documents are kept by `mosearch.lsp.text`, with LSP's idea of a line.
"""

from __future__ import annotations

import contextvars
import inspect
import logging
from collections.abc import Callable, Generator
from typing import Any, TypeGuard
from urllib.parse import unquote

import cattrs
from cattrs import transform_error
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcInvalidParams
from pygls.protocol import LanguageServerProtocol, lsp_method

from mosearch import __version__
from mosearch.lsp.text import Document

_log = logging.getLogger(__name__)

PROTOCOL_VERSION = 1
"""Of our own requests and notifications: see `docs/protocol.md`."""

_EXIT_WITHOUT_SHUTDOWN = 1


class Protocol(LanguageServerProtocol):
    """pygls's protocol with our documents and stricter manners."""

    def __init__(self, server: Any, converter: cattrs.Converter) -> None:
        super().__init__(server, converter)
        self.documents: dict[str, Document] = {}
        """Open documents by URI, unquoted: clients do not agree on what to quote."""
        self.encoding: str = lsp.PositionEncodingKind.Utf16.value
        """Of all positions, agreed on at `initialize`."""
        self.on_document: Callable[[str], None] = lambda _: None
        """Called with the URI of a document that was opened, edited or closed."""
        self._documents_changed: dict[str, Callable[[Any], None]] = {
            lsp.TEXT_DOCUMENT_DID_OPEN: self._did_open,
            lsp.TEXT_DOCUMENT_DID_CHANGE: self._did_change,
            lsp.TEXT_DOCUMENT_DID_CLOSE: self._did_close,
        }
        self.on_exit: Callable[[int], None] = lambda _: None
        """Called with the exit code when the client sends `exit`."""

    def document(self, uri: str) -> Document | None:
        """The open document of that name."""
        return self.documents.get(unquote(uri))

    def receive(self, message: object) -> None:
        """Handle one message as JSON gave it.  Never raises."""
        try:
            self._receive(message)
        except Exception:
            _log.exception("a message could not be handled")

    def _receive(self, message: object) -> None:
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            self.refuse(None, lsp.ErrorCodes.InvalidRequest, "A message is an object with jsonrpc: '2.0'.")
            return
        method, number = message.get("method"), message.get("id")
        if method is None and "id" in message:
            self._receive_response(message)
        elif not isinstance(method, str):
            self.refuse(
                number if _is_number(number) else None,
                lsp.ErrorCodes.InvalidRequest,
                "`method` must be a string.",
            )
        elif "id" not in message:
            self._receive_notification(method, message)
        elif not _is_number(number):
            self.refuse(None, lsp.ErrorCodes.InvalidRequest, "`id` must be a number or a string.")
        else:
            self._receive_request(number, method, message)

    def _receive_request(self, number: int | str, method: str, message: dict[str, Any]) -> None:
        if self._shutdown:
            self.refuse(number, lsp.ErrorCodes.InvalidRequest, "The server has been shut down.")
        elif self._workspace is None and method != lsp.INITIALIZE:
            self.refuse(number, lsp.ErrorCodes.ServerNotInitialized, "Send `initialize` first.")
        elif self._workspace is not None and method == lsp.INITIALIZE:
            self.refuse(number, lsp.ErrorCodes.InvalidRequest, "`initialize` may be sent only once.")
        else:
            try:
                params = self._params(message)
            except Exception as error:
                self.refuse(number, lsp.ErrorCodes.InvalidParams, f"{method}: {_what_is_wrong(error)}")
                return
            # Each request in a context of its own, as pygls has it: it keeps the request's id there.
            contextvars.copy_context().run(self._handle_request, number, method, params)

    def _receive_notification(self, method: str, message: dict[str, Any]) -> None:
        if method != lsp.EXIT and (self._shutdown or self._workspace is None):
            return
        try:
            params = self._params(message)
        except Exception as error:
            _log.warning("%s is ignored: %s", method, _what_is_wrong(error))
            return
        if method in self._documents_changed:
            # Without the detours of `_handle_notification`: one for every key, sometimes thousands at once.
            self._documents_changed[method](params)
            self.on_document(params.text_document.uri)
        else:
            self._handle_notification(method, params)

    def _receive_response(self, message: dict[str, Any]) -> None:
        future = self._request_futures.get(message["id"]) if _is_number(message["id"]) else None
        if future is None or future.done():
            _log.debug("an answer to a question that nobody asks any more")
            return
        try:
            answer = super().structure_message(message)
        except Exception as error:
            self._request_futures.pop(message["id"], None)
            future.set_exception(JsonRpcInvalidParams(f"the client's answer: {_what_is_wrong(error)}"))
            return
        self.handle_message(answer)

    def _params(self, message: dict[str, Any]) -> Any:
        """The parameters as their type if LSP has one; those of our own methods stay plain JSON."""
        kind = self.get_message_type(message["method"])
        if kind is None:
            return message.get("params")
        return getattr(self._converter.structure(message, kind), "params", None)

    def refuse(self, number: int | str | None, code: int, why: str) -> None:
        """Answer a request, or a message that cannot even be told to be one, with an error."""
        error = {"code": int(code), "message": why}
        self._send_data({"jsonrpc": "2.0", "id": number, "error": error})

    @lsp_method(lsp.INITIALIZE)
    def lsp_initialize(self, params: lsp.InitializeParams) -> Generator[Any, Any, lsp.InitializeResult]:
        result = yield from super().lsp_initialize(params)
        self.encoding = lsp.PositionEncodingKind(result.capabilities.position_encoding).value
        own = {"version": __version__, "protocol": PROTOCOL_VERSION}
        result.capabilities.experimental = {"mosearch": own}
        return result

    @lsp_method(lsp.SHUTDOWN)
    def lsp_shutdown(self, *args: Any) -> Generator[Any, Any, None]:
        handler = self.fm.features.get(lsp.SHUTDOWN)
        if handler is not None:
            yield handler, args, None
        self._shutdown = True
        # A copy: a request that is cancelled leaves the table at once.
        for number, future in list(self._request_futures.items()):
            if number != self.msg_id and not future.done():
                future.cancel()

    @lsp_method(lsp.EXIT)
    def lsp_exit(self, *_args: Any) -> None:  # type: ignore[override]  # pygls takes plain functions, too
        self.on_exit(0 if self._shutdown else _EXIT_WITHOUT_SHUTDOWN)

    @lsp_method(lsp.WORKSPACE_EXECUTE_COMMAND)
    async def lsp_workspace__execute_command(  # type: ignore[override]  # and coroutines
        self, params: lsp.ExecuteCommandParams
    ) -> Any:
        command = self.fm.commands.get(params.command)
        if command is None:
            known = ", ".join(self.fm.commands)
            raise JsonRpcInvalidParams(f"There is no command {params.command!r}. Commands are: {known}.")
        arguments = list(params.arguments or [])
        if len(arguments) > 1:
            raise JsonRpcInvalidParams(f"{params.command} takes one argument, not {len(arguments)}.")
        result = command(*arguments)
        return await result if inspect.isawaitable(result) else result

    def _did_open(self, params: lsp.DidOpenTextDocumentParams) -> None:
        item = params.text_document
        self.documents[unquote(item.uri)] = Document(item.uri, item.text, item.version, self.encoding)

    def _did_change(self, params: lsp.DidChangeTextDocumentParams) -> None:
        document = self.document(params.text_document.uri)
        if document is None:
            _log.warning("%s changed, but was not opened: ignored", params.text_document.uri)
            return
        for change in params.content_changes:
            if isinstance(change, lsp.TextDocumentContentChangePartial):
                document.edit(change.range, change.text)
            else:
                document.replace(change.text)
        document.version = params.text_document.version

    def _did_close(self, params: lsp.DidCloseTextDocumentParams) -> None:
        self.documents.pop(unquote(params.text_document.uri), None)


def _is_number(value: object) -> TypeGuard[int | str]:
    """Whether a value can be the id of a request."""
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _what_is_wrong(error: Exception) -> str:
    """The places in a message that do not fit its type."""
    if isinstance(error, cattrs.BaseValidationError):
        return "; ".join(transform_error(error)[:3])
    return f"{type(error).__name__}: {error}"
