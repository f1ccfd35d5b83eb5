"""A TCP relay that can be cut: an API server that goes away and comes back, whoever's it is."""

from __future__ import annotations

import socket
import threading
from typing import Optional


class Relay:
    """Listens on a port of 127.0.0.1 and passes bytes to one address, until it is cut."""

    def __init__(self, port: int, target: tuple[str, int]) -> None:
        self.port = port
        self._target = target
        self._lock = threading.Lock()
        self._listener: Optional[socket.socket] = None
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._is_cut = False
        self._flows = threading.Event()
        self._flows.set()
        # How many connections were asked for since the last `cut`.
        self.attempts = 0

    def open(self) -> None:
        listener = socket.create_server(("127.0.0.1", self.port))
        with self._lock:
            self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def cut(self) -> None:
        """Ends every connection and refuses new ones, as a machine does whose program has ended.

        The port stays ours; a connection is accepted only to be reset, which counts the attempt.
        """
        with self._lock:
            self.attempts = 0
            self._is_cut = True
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            _end(*pair)

    def freeze(self) -> None:
        """Holds every byte back until `restore`, and tells nobody, as a network does that is away."""
        self._flows.clear()

    def restore(self) -> None:
        with self._lock:
            self._is_cut = False
        self._flows.set()

    def close(self) -> None:
        self._flows.set()
        with self._lock:
            listener, self._listener = self._listener, None
            pairs, self._pairs = self._pairs, set()
        if listener:
            # Wakes the thread that is waiting in accept().
            try:
                listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            listener.close()
        for pair in pairs:
            _end(*pair)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            self.attempts += 1
            refused = self._is_cut
        try:
            server = None if refused else socket.create_connection(self._target, timeout=5)
        except OSError:
            server = None
        if server is None:
            _reset(client)
            return
        server.settimeout(None)
        pair = (client, server)
        with self._lock:
            is_cut_now = self._is_cut
            if not is_cut_now:
                self._pairs.add(pair)
        if is_cut_now:
            _end(*pair)
            return
        threading.Thread(target=_pass, args=(server, client, self._flows), daemon=True).start()
        _pass(client, server, self._flows)
        with self._lock:
            self._pairs.discard(pair)
        _end(*pair)


def _pass(source: socket.socket, destination: socket.socket, flows: threading.Event) -> None:
    try:
        while data := source.recv(65536):
            flows.wait()
            destination.sendall(data)
        destination.shutdown(socket.SHUT_WR)
    except OSError:
        _end(source, destination)


def _reset(connection: socket.socket) -> None:
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        connection.close()
    except OSError:
        pass


def _end(*connections: socket.socket) -> None:
    for connection in connections:
        # A thread may be waiting in recv() on it, which close() alone would not end.
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        connection.close()
