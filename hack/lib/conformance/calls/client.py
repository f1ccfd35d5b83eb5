"""Two clients with one face: grpcio by HTTP/2, and calls of gRPC by HTTP/1.1, which the gateway carries as well."""

from __future__ import annotations

import base64
import queue
import socket
import struct
from typing import Iterator, Optional, Protocol, Union
from urllib.parse import unquote

import grpc

from .server import LARGEST, SERVICE

Value = Union[str, bytes]
Metadata = list[tuple[str, Value]]
SECONDS = 20


class Call(Protocol):
    """One call: messages both ways, and what the server says at its beginning and end."""

    initial: Metadata
    trailing: Metadata
    code: Optional[int]
    details: str

    def send(self, message: bytes) -> None: ...
    def end(self) -> None: ...
    def receive(self) -> Optional[bytes]: ...
    def cancel(self) -> None: ...


class GrpcioClient:
    """grpcio, without TLS."""

    name = "grpcio"

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = f"{address[0]}:{address[1]}"

    def open(self, host: str, method: str, metadata: Metadata = [], seconds: float = SECONDS) -> Call:
        return GrpcioCall(self._address, host, method, metadata, seconds)


class GrpcioCall:
    def __init__(self, address: str, host: str, method: str, metadata: Metadata, seconds: float) -> None:
        self.initial: Metadata = []
        self.trailing: Metadata = []
        self.code: Optional[int] = None
        self.details = ""
        self._channel = grpc.insecure_channel(
            address, options=[
                ("grpc.default_authority", host), ("grpc.max_receive_message_length", LARGEST),
                ("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)])
        self._requests: queue.Queue[Optional[bytes]] = queue.Queue()
        call = self._channel.stream_stream(f"/{SERVICE}/{method}")
        self._call = call(iter(self._requests.get, None), metadata=metadata, timeout=seconds)

    def send(self, message: bytes) -> None:
        self._requests.put(message)

    def end(self) -> None:
        self._requests.put(None)

    def receive(self) -> Optional[bytes]:
        try:
            return next(self._call)
        except StopIteration:
            pass
        except grpc.RpcError:
            pass
        self.code = self._call.code().value[0]
        self.details = self._call.details() or ""
        self.initial = list(self._call.initial_metadata() or [])
        self.trailing = list(self._call.trailing_metadata() or [])
        self.end()
        self._channel.close()
        return None

    def cancel(self) -> None:
        self._call.cancel()
        self.end()
        self._channel.close()


class RawClient:
    """Frames of gRPC in the chunks of HTTP/1.1."""

    name = "HTTP/1.1"

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address

    def open(self, host: str, method: str, metadata: Metadata = [], seconds: float = SECONDS) -> Call:
        return RawCall(self._address, host, method, metadata, seconds)


class RawCall:
    def __init__(
        self, address: tuple[str, int], host: str, method: str, metadata: Metadata, seconds: float
    ) -> None:
        self.initial: Metadata = []
        self.trailing: Metadata = []
        self.code: Optional[int] = None
        self.details = ""
        self._socket = socket.create_connection(address, timeout=seconds)
        self._input = self._socket.makefile("rb")
        self._body: Optional[Iterator[bytes]] = None
        self._bytes = b""
        lines = [
            f"POST /{SERVICE}/{method} HTTP/1.1", f"Host: {host}", "Content-Type: application/grpc", "TE: trailers",
            "Transfer-Encoding: chunked", *(f"{name}: {_encoded(value)}" for name, value in metadata)]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())

    def send(self, message: bytes) -> None:
        frame = struct.pack("!BI", 0, len(message)) + message
        self._socket.sendall(b"%x\r\n%s\r\n" % (len(frame), frame))

    def end(self) -> None:
        self._socket.sendall(b"0\r\n\r\n")

    def receive(self) -> Optional[bytes]:
        if self._body is None:
            status = int(self._input.readline().split()[1])
            if status != 200:
                raise RuntimeError(f"the answer has status {status}")
            self.initial = self._fields()
            self._body = self._chunks()
        while len(self._bytes) < 5 or len(self._bytes) < 5 + struct.unpack("!I", self._bytes[1:5])[0]:
            more = next(self._body, None)
            if more is None:
                self._finish()
                return None
            self._bytes += more
        size = struct.unpack("!I", self._bytes[1:5])[0]
        message, self._bytes = self._bytes[5:5 + size], self._bytes[5 + size:]
        return message

    def cancel(self) -> None:
        self._input.close()
        self._socket.close()

    def _chunks(self) -> Iterator[bytes]:
        if ("transfer-encoding", "chunked") not in self.initial:
            return
        while True:
            size = int(self._input.readline(), 16)
            if size == 0:
                break
            yield self._input.read(size)
            self._input.readline()
        self.trailing = self._fields()

    def _fields(self) -> Metadata:
        fields: Metadata = []
        while line := self._input.readline().rstrip(b"\r\n").decode():
            name, _, value = line.partition(": ")
            name = name.lower()
            fields.append((name, base64.b64decode(value + "==") if name.endswith("-bin") else value))
        return fields

    def _finish(self) -> None:
        # Of an answer that is only a head, this has what trailers would have.
        fields = dict(self.trailing) or dict(self.initial)
        self.code = int(fields.get("grpc-status", -1))
        self.details = unquote(str(fields.get("grpc-message", "")))
        self.cancel()


def _encoded(value: Value) -> str:
    return value if isinstance(value, str) else base64.b64encode(value).decode()
