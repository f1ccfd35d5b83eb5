"""The application: methods that show what arrived, on messages of plain bytes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Iterator, Optional

import grpc

SERVICE = "check.Calls"
LARGEST = 16 << 20


class Application:
    """A server of gRPC, which may be stopped and started again at the same address."""

    def __init__(self, address: str, credentials: Optional[grpc.ServerCredentials] = None) -> None:
        self.address = address
        self._credentials = credentials
        # Calls of Wait that have begun, and those of them whose end the server has seen.
        self.waiting = 0
        self.cancelled = 0
        self._lock = threading.Lock()
        self._server: Optional[grpc.Server] = None
        self.start()

    def start(self) -> None:
        methods = {
            "Echo": self._echo, "Count": self._count, "Collect": self._collect, "Fail": self._fail, "Wait": self._wait,
        }
        handlers = {name: grpc.stream_stream_rpc_method_handler(method) for name, method in methods.items()}
        self._server = grpc.server(
            ThreadPoolExecutor(max_workers=64), options=[
                ("grpc.max_receive_message_length", LARGEST), ("grpc.max_send_message_length", LARGEST)])
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
        port = (
            self._server.add_secure_port(self.address, self._credentials) if self._credentials
            else self._server.add_insecure_port(self.address))
        if not port:
            raise RuntimeError(f"{self.address} cannot be listened on")
        self._server.start()

    def stop(self, grace: float = 0) -> None:
        """Ends: calls under way have `grace` seconds."""
        if self._server:
            self._server.stop(grace).wait()
        self._server = None

    @staticmethod
    def _echo(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        """Each message at once, with the metadata that begin with x-."""
        seen = [(name, value) for name, value in context.invocation_metadata() if name.startswith("x-asked")]
        context.send_initial_metadata([*seen, ("x-peer-te", dict(context.invocation_metadata()).get("te", ""))])
        for message in requests:
            yield message
        context.set_trailing_metadata([("x-trailing", "yes"), ("x-trailing-bin", b"\x00\xff")])

    @staticmethod
    def _count(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        for number in range(int(next(requests))):
            yield str(number).encode()

    @staticmethod
    def _collect(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        messages = list(requests)
        yield f"{len(messages)} {sum(map(len, messages))}".encode()

    @staticmethod
    def _fail(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        number = int(next(requests))
        code = next(code for code in grpc.StatusCode if code.value[0] == number)
        context.abort(code, "50 % of é")
        yield b""

    def _wait(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        ended = threading.Event()

        def end() -> None:
            with self._lock:
                self.cancelled += 1
            ended.set()

        context.add_callback(end)
        with self._lock:
            self.waiting += 1
        yield b"begun"
        ended.wait(30)
