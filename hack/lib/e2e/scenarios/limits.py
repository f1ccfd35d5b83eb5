"""More connections than a gateway may have, and than its process may open files."""

from __future__ import annotations

import socket
from contextlib import ExitStack, contextmanager
from typing import Iterator

from demo.http_client import Server
from demo.ports import accepts
from demo.waiting import expect, wait_until

from ..expectations import simple_ingress
from ..world import E2EWorld

HOST = "limits.e2e.example.com"
REQUEST = f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
SECONDS = 10.0


class _Gateway:
    """A gateway of its own, whose process may open so many files."""

    def __init__(self, world: E2EWorld, files: int, *flags: str) -> None:
        self.front_port, self.tunnel_port, self.admin_port = world.free_port(), world.free_port(), world.free_port()
        certificates = world.workspace.certificates
        self.program = world.processes.start(
            f"gateway-{files}-files",
            [
                "/bin/sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", world.binary("pipeops-gateway"),
                "--listen", f"127.0.0.1:{self.front_port}", "--agent-listen", f"127.0.0.1:{self.tunnel_port}",
                "--admin-listen", f"127.0.0.1:{self.admin_port}",
                "--clusters-file", str(world.workspace.clusters),
                "--agent-tls-certificate", str(certificates / "tls.crt"),
                "--agent-tls-key", str(certificates / "tls.key"), "--shutdown-grace", "1s", *flags,
            ])
        self.front = Server("127.0.0.1", self.front_port, HOST)

    def wait(self) -> None:
        wait_until("the gateway listens", SECONDS, lambda: accepts("127.0.0.1", self.tunnel_port), pause=0.05)

    def wait_served(self) -> None:
        def is_served() -> bool:
            response = self.front.get()
            expect(response.status == 200, f"status {response.status} {response.text[:200]!r}")
            return True

        wait_until("requests are answered", SECONDS, is_served, pause=0.1)

    def metric(self, series: str) -> float:
        text = Server("127.0.0.1", self.admin_port, "localhost").get("/metrics").text
        values = [line.rsplit(" ", 1)[1] for line in text.splitlines() if line.startswith(f"{series} ")]
        expect(len(values) == 1, f"there is not one {series}")
        return float(values[0])


@contextmanager
def _gateway(world: E2EWorld, files: int, *flags: str) -> Iterator[_Gateway]:
    gateway = _Gateway(world, files, *flags)
    try:
        gateway.wait()
        yield gateway
        expect(gateway.program.exit_status() is None, "the gateway has ended")
    finally:
        world.processes.stop(gateway.program)


@contextmanager
def _agent(world: E2EWorld, gateway: _Gateway) -> Iterator[None]:
    url = f"wss://localhost:{gateway.tunnel_port}"
    with world.running_agent("--gateway-url", url, name="agent-limits"):
        gateway.wait_served()
        yield


@contextmanager
def _flood(gateway: _Gateway, count: int) -> Iterator[list[socket.socket]]:
    """So many connections that stay open as far as the gateway lets them."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection(("127.0.0.1", gateway.front_port), timeout=SECONDS))
            for _ in range(count)
        ]


def _is_open(connection: socket.socket) -> bool:
    """Whether a connection on which nothing was sent is still open."""
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def _is_answered(connection: socket.socket) -> bool:
    connection.settimeout(SECONDS)
    connection.sendall(REQUEST)
    return connection.recv(1024).startswith(b"HTTP/1.1 200 ")


def connections_leave_files_for_tunnels(world: E2EWorld) -> str:
    """Connections beyond the limit are closed at once; tunnels, metrics and those that are open go on."""
    files, count = 160, 200
    limit = files // 4 * 3
    ingress = simple_ingress(world, "limits", HOST, world.blue().service)
    with world.serving(ingress), _gateway(world, files) as gateway, _flood(gateway, count) as connections:
        def refused() -> float:
            number = gateway.metric('gateway_refused_connections_total{reason="connection_limit"}')
            expect(number >= count - limit, f"{number:g} refused")
            return number

        number = wait_until("connections are refused", SECONDS, refused, pause=0.05)
        # The tunnel is dialled while the front door is full.
        agent_url = f"wss://localhost:{gateway.tunnel_port}"
        with world.running_agent("--gateway-url", agent_url, name="agent-limits"):
            still_open = [connection for connection in connections if _is_open(connection)]
            expect(len(still_open) == limit, f"{len(still_open)} of {count} are open, and {limit} may be")
            wait_until("an open connection is served", SECONDS, lambda: _is_answered(still_open.pop()), pause=0.1)
            for connection in connections:
                connection.close()
            gateway.wait_served()
    return f"{files} files, {limit} connections, {number:g} of {count} refused"


def files_run_out(world: E2EWorld) -> str:
    """A process that may not open more files goes on with what it has, and accepts again when it may."""
    files, count = 80, 200
    ingress = simple_ingress(world, "limits", HOST, world.blue().service)
    with world.serving(ingress), _gateway(world, files, "--max-connections", "1000") as gateway:
        with _agent(world, gateway):
            with _flood(gateway, count) as connections:
                # The first was accepted, the last waits for a file.
                expect(_is_answered(connections[0]), "a connection from before is not served any more")
                try:
                    connections[-1].settimeout(1)
                    connections[-1].sendall(REQUEST)
                    expect(not connections[-1].recv(1), f"{files} files were enough for {count} connections")
                except TimeoutError:
                    pass
                expect(gateway.program.exit_status() is None, "the gateway has ended")
                expect(_is_answered(connections[0]), "a connection from before is not served any more")
            gateway.wait_served()
    return f"{files} files, {count} connections"


CHECKS = (connections_leave_files_for_tunnels, files_run_out)
