"""The application behind WebSockets: what a client sends comes back, and its commands are done.

`python3 -m conformance.through.socket_application ADDRESS PORT`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import sys
from typing import Optional, Sequence

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from .world import COMMAND

# The best first.
SUBPROTOCOLS = ["echo.v2", "echo.v1"]


async def handle(connection: ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for message in connection:
            if isinstance(message, str) and message.startswith(COMMAND):
                await carry_out(connection, json.loads(message[len(COMMAND):]))
            else:
                await connection.send(message)
    print(f"closed {connection.close_code} {connection.close_reason!r}", flush=True)
    closed[connection.request.headers.get("X-Run", "")] = [connection.close_code, connection.close_reason]


# How connections ended, by what their clients called them.
closed: dict[str, list[object]] = {}


async def carry_out(connection: ServerConnection, command: dict[str, object]) -> None:
    if command["name"] == "close":
        await connection.close(int(str(command["code"])), str(command["reason"]))
    elif command["name"] == "ping":
        waiter = await connection.ping(str(command["data"]).encode())
        await connection.send(f"pong after {await waiter:.3f}")
    elif command["name"] == "fragments":
        await connection.send([str(part) for part in command["parts"]])  # type: ignore[attr-defined]
    elif command["name"] == "digest":
        message = await connection.recv()
        data = message.encode() if isinstance(message, str) else message
        await connection.send(json.dumps({"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}))
    elif command["name"] == "handshake":
        request = connection.request
        await connection.send(json.dumps({"path": request.path, "fields": list(request.headers.raw_items())}))
    elif command["name"] == "how-ended":
        await connection.send(json.dumps(closed.get(str(command["run"]))))


def chosen(_: ServerConnection, offered: Sequence[Subprotocol]) -> Optional[Subprotocol]:
    return next((Subprotocol(name) for name in SUBPROTOCOLS if name in offered), None)


async def main(address: str, port: int) -> None:
    async with serve(
        handle, address, port, subprotocols=[Subprotocol(name) for name in SUBPROTOCOLS], select_subprotocol=chosen,
        max_size=None, ping_interval=None,
    ) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
