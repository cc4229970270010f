"""What embeds, as the engine sees it: the model's token table in this process, and the encoder host for
all that is deeper, which is reached when first needed and missed without harm."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from mosearch import encoder
from mosearch.encoder import EncoderClient
from mosearch.encoder.table import STATIC_EXIT, TokenTable, load_table
from mosearch.errors import EncoderError, HostError, ModelError
from mosearch.settings import Settings
from mosearch.tempo import Tempo
from mosearch.types import ModelInfo, Priority, TextKind

_RECONNECT_S = 0.05


class Connection:
    """One model's table and a client of its host, each made once and shared by all threads of an engine."""

    def __init__(
        self, settings: Settings, linger_seconds: float | None, fingerprint: Callable[[], str]
    ) -> None:
        """`linger_seconds`: how long the host is asked to stay after `close`; None: `idle_seconds`.

        `fingerprint` is that of the model under which vectors are filed: nothing is embedded with another.
        """
        self.trouble = ""
        """Why there was no host when one was last wanted."""
        self.is_closed = False
        self.tempo = Tempo()
        """How fast the host embeds for re-ranking."""
        self._settings = settings
        self._linger_seconds = linger_seconds
        self._fingerprint = fingerprint
        self._lock = threading.Lock()
        self._client: EncoderClient | None = None
        self._table_lock = threading.Lock()
        self._table: TokenTable | None = None
        self._has_table: bool | None = None
        self._watching = threading.Lock()
        self._watcher: EncoderClient | None = None
        """Sees what a host does, but starts none."""
        self._warming = threading.Lock()
        self._warm_up: threading.Thread | None = None

    def encode(
        self,
        texts: Sequence[str],
        kind: TextKind,
        exits: Collection[int],
        *,
        priority: Priority,
        languages: Sequence[str] | None = None,
        cancel: threading.Event | None = None,
    ) -> dict[int, NDArray[np.float16]]:
        """L2-normalised float16 [len(texts), dim] by exit, in the order of `texts`.

        The host is asked, and started if none runs, only for exits that the table lacks.
        Raises `EncoderError`; `CancelledError` when `cancel` is raised.
        """
        found: dict[int, NDArray[np.float16]] = {}
        table = self.table() if STATIC_EXIT in exits else None
        if table is not None:
            found[STATIC_EXIT] = table.encode(texts, kind, languages)
        deeper = [exit for exit in exits if exit not in found]
        if deeper:
            found |= self.client().encode(
                texts, kind, deeper, priority=priority, languages=languages, cancel=cancel
            )
            self.trouble = ""
        return found

    def needs_host(self, exit: int) -> bool:
        """Whether only the host embeds at an exit.  Raises `EncoderError` for a model that is damaged."""
        return exit != STATIC_EXIT or self.table() is None

    def exits_at_hand(
        self, base: int, wanted: Collection[int], patience_seconds: float | None
    ) -> frozenset[int]:
        """The exits at which a text can be embedded now; empty when there is neither table nor host.

        A host is sought in the background if one of `wanted` needs it, and waited for if `base` does: for
        `patience_seconds` at most.  With None it is always waited for.
        """
        free: frozenset[int] = frozenset()
        try:
            if self.table() is not None:
                free = frozenset({STATIC_EXIT})
        except EncoderError as error:
            self.trouble = str(error)
            return free
        if free.issuperset(wanted):
            return free
        waits = patience_seconds is None or base not in free
        client = self._client_within(patience_seconds if waits else 0.0)
        return frozenset(client.info.exits) if client is not None else free

    def table(self) -> TokenTable | None:
        """The model's static exit, if it has one that can be read here.  Raises `ModelError`."""
        with self._table_lock:
            if self._has_table is None:
                folder = encoder.find_model(self._settings.model)
                self._check(encoder.model_info(self._settings.model))
                self._table = load_table(folder, encoder.load_config(folder))
                self._has_table = self._table is not None
            return self._table

    def client(self) -> EncoderClient:
        """The connected client; starts a host if none runs.  Raises `EncoderError`."""
        with self._lock:
            client = self._client
            if client is None and not self.is_closed:
                client = encoder.connect(
                    self._settings.model,
                    device=self._settings.device,
                    threads=self._settings.threads,
                    idle_seconds=self._settings.idle_seconds,
                    linger_seconds=self._linger_seconds,
                    memory_mb=self._settings.memory_mb,
                    niceness=self._settings.niceness,
                )
                try:
                    self._check(client.info)
                except ModelError:
                    client.close()
                    raise
                self._client = client
                self.trouble = ""
            if client is None or self.is_closed:
                if client is not None:
                    client.close()
                raise HostError("This index is closed.")
            return client

    def _check(self, found: ModelInfo) -> None:
        """Raises ModelError for a model that was replaced since the index was opened."""
        if found.fingerprint != self._fingerprint():
            raise ModelError(
                f"The model {found.name} was replaced since this index was opened. Open it again: in an "
                "editor, restart the language server."
            )

    @property
    def host_trouble(self) -> str:
        """What the user should know of the connected host, e.g. that its GPU was lost."""
        client = self._client
        return client.trouble if client is not None else ""

    def warm_up(self) -> threading.Thread:
        """Begin to connect, in the background, unless that is under way."""
        with self._warming:
            if self._warm_up is None or not self._warm_up.is_alive():
                self._warm_up = threading.Thread(
                    target=self._client_if_any, name="mosearch-warm-up", daemon=True
                )
                self._warm_up.start()
            return self._warm_up

    def running(self) -> tuple[str, str]:
        """Where a running host computes and what is wrong with it; both empty if none runs.  Starts none."""
        with self._watching:
            try:
                watcher = self._watcher  # which `close` may take away at any moment
                if watcher is None:
                    settings = self._settings
                    self._watcher = watcher = encoder.connect(
                        settings.model, device=settings.device, linger_seconds=0, start=False
                    )
                status = watcher.status()
            except EncoderError:
                self._look_away()
                return "", ""
            if self.is_closed:
                self._look_away()
            return status.device, status.trouble

    def _look_away(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.close()

    def close(self) -> None:
        """Hang up.  Whoever connects at this moment sees the flag and hangs up, too: nobody waits here
        for a host to start."""
        self.is_closed = True
        client, self._client = self._client, None
        if client is not None:
            client.close()
        self._look_away()

    def _client_within(self, patience_seconds: float | None) -> EncoderClient | None:
        """The client of a running host; None when none is there in time.

        A host that left when it was idle is started again, but not waited for beyond one's patience.
        """
        if patience_seconds is None:
            return self._client_if_any()
        client = self._client
        if client is None or not client.is_connected():
            connecting = self.warm_up()
            # A question that was cancelled has hung up: another connection takes some milliseconds.
            connecting.join(max(patience_seconds, _RECONNECT_S if client is not None else 0.0))
            if connecting.is_alive() or self.trouble:
                return None
        else:
            self.trouble = ""
        return self._client

    def _client_if_any(self) -> EncoderClient | None:
        """The client, connected; None, and `trouble`, when no host can be reached or started."""
        try:
            client = self.client()
            client.reconnect()
        except EncoderError as error:
            self.trouble = str(error)
            return None
        self.trouble = ""
        return client
