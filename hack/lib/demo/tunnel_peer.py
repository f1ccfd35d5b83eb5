"""A peer at the gateway's tunnel address that does what no agent does."""

from __future__ import annotations

import base64
import os
import socket
import ssl
import struct
from pathlib import Path

TEXT = 0x1
BINARY = 0x2


class TunnelPeer:
    """A WebSocket connection to the tunnel path, up to the point where the peer starts to misbehave."""

    def __init__(self, address: str, port: int, authority: Path, timeout: float = 5.0) -> None:
        context = ssl.create_default_context(cafile=str(authority))
        plain = socket.create_connection((address, port), timeout=timeout)
        self._socket = context.wrap_socket(plain, server_hostname="localhost")
        self._host = f"localhost:{port}"

    def __enter__(self) -> TunnelPeer:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def upgrade(self, token: str) -> int:
        """Asks for the upgrade and returns the status of the answer: 101, or a refusal."""
        key = base64.b64encode(os.urandom(16)).decode()
        fields = [
            "GET /agent/v1/tunnel HTTP/1.1", f"Host: {self._host}", "Upgrade: websocket", "Connection: Upgrade",
            "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Protocol: gateway-tunnel.v1",
            f"Authorization: Bearer {token}",
        ]
        self._socket.sendall(("\r\n".join(fields) + "\r\n\r\n").encode())
        head = b""
        while b"\r\n\r\n" not in head:
            data = self._socket.recv(1)
            if not data:
                return 0
            head += data
        return int(head.split()[1])

    def send(self, opcode: int, payload: bytes) -> None:
        """Sends one masked message."""
        mask = os.urandom(4)
        head = bytes([0x80 | opcode])
        if len(payload) < 126:
            head += bytes([0x80 | len(payload)])
        elif len(payload) < 65536:
            head += bytes([0x80 | 126]) + struct.pack("!H", len(payload))
        else:
            head += bytes([0x80 | 127]) + struct.pack("!Q", len(payload))
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        self._socket.sendall(head + mask + masked)

    def wait_for_end(self) -> bool:
        """Whether the gateway ends the connection within this connection's timeout."""
        try:
            while self._socket.recv(65536):
                pass
        except (ConnectionError, ssl.SSLError):
            return True
        except socket.timeout:
            return False
        return True
