"""What steady load counts as answered, failed and repeated."""

from __future__ import annotations

import hashlib
import socket
import threading
import unittest
from contextlib import contextmanager
from typing import Callable, Iterator

from demo.http_client import Server
from demo.steady_load import SAMPLE_BLOCK, SteadyLoad
from demo.waiting import CheckFailed, wait_until

Answer = Callable[[str, bytes, int], bytes]


def _sample(target: str, body: bytes, _: int) -> bytes:
    """The sample application's answers, as far as the load asks for them."""
    if target == "/checksum":
        content = hashlib.sha256(body).hexdigest().encode()
    elif target.startswith("/bytes/"):
        content = SAMPLE_BLOCK * (int(target[7:]) // len(SAMPLE_BLOCK))
    elif target.startswith("/delay/"):
        content = b"app\n"
    else:
        content = f"app:{target}\n".encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content


@contextmanager
def _serving(answer: Answer) -> Iterator[Server]:
    """A server whose answers are given target, body, and which request of its connection it is; an empty one closes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        number = 0
        with connection, connection.makefile("rb") as incoming:
            while line := incoming.readline():
                length = 0
                while field := incoming.readline().strip():
                    if field.lower().startswith(b"content-length:"):
                        length = int(field.split(b":")[1])
                reply = answer(line.split()[1].decode(), incoming.read(length), number)
                if not reply:
                    return
                connection.sendall(reply)
                if b"Connection: close" in reply:
                    return
                number += 1

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield Server("127.0.0.1", listener.getsockname()[1], "app.test")
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _run(answer: Answer, requests: int = 60) -> SteadyLoad:
    with _serving(answer) as server, SteadyLoad(server, "app", clients=4, pause=0.001) as load:
        wait_until("requests are done", 10, lambda: load.answered + load.failed >= requests)
    return load


class SteadyLoadTests(unittest.TestCase):
    def test_right_answers_are_no_failures(self) -> None:
        load = _run(_sample)
        load.expect_no_failure()
        self.assertIn("0 repeated", str(load))

    def test_a_kept_connection_that_ends_before_an_answer_is_no_failure_and_is_counted(self) -> None:
        load = _run(lambda target, body, number: b"" if number == 3 else _sample(target, body, number))
        load.expect_no_failure()
        self.assertNotIn(" 0 repeated", str(load))

    def test_a_new_connection_that_ends_before_an_answer_is_a_failure(self) -> None:
        with self.assertRaises(CheckFailed):
            _run(lambda *_: b"").expect_no_failure()

    def test_another_status_another_body_and_half_an_answer_are_failures(self) -> None:
        for wrong in (
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\napp",
            b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\nConnection: close\r\n\r\nhalf",
        ):
            def answer(target: str, body: bytes, number: int, wrong: bytes = wrong) -> bytes:
                return wrong if target == "/small/2" else _sample(target, body, number)

            with self.subTest(wrong), self.assertRaisesRegex(CheckFailed, "GET small"):
                load = _run(answer)
                load.expect_no_failure()

    def test_a_failure_of_what_cannot_be_sent_again_is_told_apart(self) -> None:
        def answer(target: str, body: bytes, number: int) -> bytes:
            if len(body) > 65536:
                return b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
            return _sample(target, body, number)

        load = _run(answer)
        load.expect_no_failure()
        self.assertNotIn(" 0 others failed", str(load))


if __name__ == "__main__":
    unittest.main()
