"""The client's configuration, asked for or sent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lsprotocol import types as lsp

from mosearch.lsp.configuration import SECTION, pushed_section, read_values
from mosearch.lsp.state import Server

_log = logging.getLogger(__name__)

_REGISTRATION_ID = "mosearch-configuration"
# A client that promises an answer and does not give one shall not keep the folder closed.
_ANSWER_S = 3.0


async def pull(ls: Server, folders: Mapping[Path, str]) -> None:
    """Ask the client for the settings of folders, given with their URIs, if it can be asked."""
    workspace = ls.client_capabilities.workspace
    if workspace is None or not workspace.configuration or not folders or not ls.admitted:
        return
    items = [lsp.ConfigurationItem(scope_uri=uri, section=SECTION) for uri in folders.values()]
    request = ls.workspace_configuration_async(lsp.ConfigurationParams(items))
    try:
        sections = await asyncio.wait_for(request, _ANSWER_S)
    except Exception as error:  # whatever the client does with the question, there are other sources
        _log.warning("the client does not tell its configuration: %s", error or type(error).__name__)
        return
    for root, section in zip(folders, sections, strict=False):
        ls.client_settings[root] = read_values(section)


async def changed(ls: Server, settings: object) -> None:
    """The configuration is another now: what was sent, or, where the client can be asked, what it says."""
    section = pushed_section(settings)
    if section is not None:
        ls.client_settings[None] = section
    await pull(ls, {root: folder.uri for root, folder in ls.folders.items()})
    for root, folder in list(ls.folders.items()):
        await asyncio.to_thread(folder.configure, ls.sources(root))


def registrations(ls: Server) -> list[lsp.Registration]:
    """What to register for to be told of changes, where the client wants that."""
    workspace = ls.client_capabilities.workspace
    capability: Any = workspace.did_change_configuration if workspace is not None else None
    if capability is None or not capability.dynamic_registration:
        return []
    options = lsp.DidChangeConfigurationRegistrationOptions(section=SECTION)
    return [lsp.Registration(_REGISTRATION_ID, lsp.WORKSPACE_DID_CHANGE_CONFIGURATION, options)]
