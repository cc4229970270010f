"""The encoder as the engine sees it: reached when first needed, missed without harm."""

from __future__ import annotations

import threading

from mosearch import encoder
from mosearch.encoder import EncoderClient
from mosearch.errors import EncoderError, HostError
from mosearch.settings import Settings


class Connection:
    """A client of the encoder host, connected once and shared by all threads of an engine."""

    def __init__(self, settings: Settings, linger_seconds: float | None) -> None:
        """`linger_seconds`: how long the host is asked to stay after `close`; None: `idle_seconds`."""
        self.trouble = ""
        """Why `client_if_any` last had none to give."""
        self.is_closed = False
        self._settings = settings
        self._linger_seconds = linger_seconds
        self._lock = threading.Lock()
        self._client: EncoderClient | None = None
        self._warming = threading.Lock()
        self._warm_up: threading.Thread | None = None

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
                self._client = client
                self.trouble = ""
            if client is None or self.is_closed:
                if client is not None:
                    client.close()
                raise HostError("This index is closed.")
            return client

    def client_if_any(self, patience_seconds: float | None = None) -> EncoderClient | None:
        """The client, or None when no host can be reached or started; `trouble` then says why.

        Waits for a host that starts, for `patience_seconds` at most; None: until it is there.
        """
        if patience_seconds is not None and self._client is None:
            connecting = self.warm_up()
            connecting.join(patience_seconds)
            if connecting.is_alive():
                self.trouble = "The encoder is still starting; ask again in a moment."
                return None
            return self._client
        try:
            return self.client()
        except EncoderError as error:
            self.trouble = str(error)
            return None

    def warm_up(self) -> threading.Thread:
        """Begin to connect, in the background, unless that is under way."""
        with self._warming:
            if self._warm_up is None or not self._warm_up.is_alive():
                self._warm_up = threading.Thread(
                    target=self.client_if_any, name="mosearch-warm-up", daemon=True
                )
                self._warm_up.start()
            return self._warm_up

    def running(self) -> tuple[str, str]:
        """Where a running host computes and what is wrong with it; both empty if none runs.  Starts none."""
        settings = self._settings
        try:
            with encoder.connect(
                settings.model, device=settings.device, linger_seconds=0, start=False
            ) as client:
                status = client.status()
                return status.device, status.trouble
        except EncoderError:
            return "", ""

    def close(self) -> None:
        """Hang up.  Whoever connects at this moment sees the flag and hangs up, too: nobody waits here
        for a host to start."""
        self.is_closed = True
        client, self._client = self._client, None
        if client is not None:
            client.close()
