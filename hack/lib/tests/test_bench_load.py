"""What the benchmarks read from the programs and connections that make load."""

import socket
import threading
import unittest
from contextlib import suppress

from bench.load import parse_h2load, parse_h2load_seconds, parse_wrk
from bench.paced import PacedClient, answer_size
from bench.sink import Sink
from bench.stalled import StalledDownloads
from bench.transfer import TransferClient
from demo.http_client import Server
from demo.ports import Ports
from demo.waiting import CheckFailed

WRK = """Running 2s test @ http://127.0.0.1:23880/small
  1 threads and 32 connections
Requests/sec:  30211.45
Transfer/sec:     34.12MB
{"requests":60443,"seconds":2.000658,"bytes":71625955,"p50_us":996,"failed":%d}
"""
H2LOAD = """finished in 4.00s, 1998.00 req/s, 2.24MB/s
requests: 7992 total, 8000 started, 7992 done, %d succeeded, %d failed, 0 errored, 0 timeout
status codes: %d 2xx, 0 3xx, 0 4xx, %d 5xx
traffic: 8.95MB (9382608) total, 1.17MB (1230768) headers (space savings 0.00%%), 7.80MB (8183808) data
"""


class WrkTests(unittest.TestCase):
    def test_requests_seconds_and_median_are_read(self):
        load = parse_wrk(WRK % 0, 1024)
        self.assertEqual((load.requests, load.seconds, load.p50_us), (60443, 2.000658, 996))

    def test_a_request_that_failed_spoils_it(self):
        with self.assertRaisesRegex(CheckFailed, "1 requests of wrk's failed"):
            parse_wrk(WRK % 1, 1024)

    def test_answers_that_are_too_short_spoil_it(self):
        with self.assertRaisesRegex(CheckFailed, "shorter than 2048 bytes"):
            parse_wrk(WRK % 0, 2048)

    def test_what_wrk_says_instead_is_told(self):
        with self.assertRaisesRegex(CheckFailed, "unable to connect"):
            parse_wrk("unable to connect to 127.0.0.1:1 Connection refused\n", 1024)


class H2loadTests(unittest.TestCase):
    def test_requests_are_read(self):
        self.assertEqual(parse_h2load(H2LOAD % (7992, 0, 7992, 0), 1024), 7992)

    def test_seconds_are_read_in_any_unit(self):
        self.assertEqual(parse_h2load_seconds(H2LOAD % (7992, 0, 7992, 0)), 4.0)
        self.assertAlmostEqual(parse_h2load_seconds("finished in 250.50ms, 8 req/s, 1MB/s\n"), 0.2505)
        with self.assertRaises(CheckFailed):
            parse_h2load_seconds("nothing")

    def test_good_statuses_of_requests_that_time_cut_off_are_no_failures(self):
        self.assertEqual(parse_h2load(H2LOAD % (7992, 0, 7995, 0), 1024), 7992)

    def test_another_status_spoils_it(self):
        with self.assertRaisesRegex(CheckFailed, "requests of h2load's failed"):
            parse_h2load(H2LOAD % (7991, 1, 7991, 1), 1024)
        with self.assertRaisesRegex(CheckFailed, "1 requests of h2load's failed"):
            parse_h2load(H2LOAD % (7992, 0, 7995, 1), 1024)

    def test_answers_that_are_too_short_spoil_it(self):
        with self.assertRaisesRegex(CheckFailed, "shorter than 1025 bytes"):
            parse_h2load(H2LOAD % (7992, 0, 7992, 0), 1025)


class AnswerSizeTests(unittest.TestCase):
    HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"

    def test_is_unknown_before_the_head_is_whole(self):
        for end in range(len(self.HEAD)):
            self.assertEqual(answer_size(self.HEAD[:end]), (None, 0))

    def test_is_that_of_head_and_body(self):
        self.assertEqual(answer_size(self.HEAD + b"he"), (200, len(self.HEAD) + 5))

    def test_without_a_length_it_is_no_answer_that_counts(self):
        self.assertEqual(answer_size(b"HTTP/1.1 200 OK\r\n\r\n"), (0, 0))


class ScriptedServer:
    """Answers each request on each connection with the next of some texts; an empty one closes the connection."""

    def __init__(self, *answers):
        self._answers = iter(answers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.server = Server(*self._listener.getsockname(), "host.example.com")
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            # The client may go away at any time.
            with connection, suppress(ConnectionError):
                while connection.recv(65536):
                    answer = next(self._answers)
                    if not answer:
                        break
                    connection.sendall(answer)

    def close(self):
        self._listener.close()


class PacedClientTests(unittest.TestCase):
    ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    def run_client(self, *answers):
        scripted = ScriptedServer(*answers)
        client = PacedClient(scripted.server, "/", 2, connections=1, rate=100.0)
        try:
            return client.run(len(answers) / 100 - 0.001)
        finally:
            client.close()
            scripted.close()

    def test_sends_what_is_due_and_no_more(self):
        answers = self.run_client(*[self.ANSWER] * 5)
        self.assertEqual((len(answers.latencies), answers.failures), (5, []))

    def test_another_status_is_a_failure(self):
        refusal = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno"
        answers = self.run_client(self.ANSWER, refusal, self.ANSWER)
        self.assertEqual((len(answers.latencies), answers.failures), (2, [f"unusable: {refusal!r}"]))

    def test_goes_on_with_a_new_connection_where_one_ends(self):
        answers = self.run_client(self.ANSWER, b"", self.ANSWER)
        self.assertEqual((len(answers.latencies), answers.failures), (2, ["the connection was closed"]))


class TransferTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        port = Ports(prefer_documented=False).free(0)
        threading.Thread(target=Sink("127.0.0.1", port).run, daemon=True).start()
        cls.server = Server("127.0.0.1", port, "host.example.com")

    def test_the_sink_reads_every_byte_and_says_how_many(self):
        before = int(self.server.get("/received").text)
        client = TransferClient(self.server)
        try:
            self.assertEqual([client.upload("/", size) for size in (1_000_000, 0, 1)], [1_000_000, 0, 1])
        finally:
            client.close()
        self.assertEqual(int(self.server.get("/received").text) - before, 1_000_001)

    def test_a_body_without_a_length_is_refused(self):
        self.assertEqual(self.server.request("PUT", "/", [("Transfer-Encoding", "chunked")]).status, 411)

    def test_a_download_of_another_length_is_refused(self):
        scripted = ScriptedServer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        client = TransferClient(scripted.server)
        try:
            with self.assertRaisesRegex(CheckFailed, "length of the answer: expected 3, got 2"):
                client.download("/file", 3)
        finally:
            client.close()
            scripted.close()

    def test_an_answer_before_the_end_of_an_upload_is_told(self):
        scripted = ScriptedServer(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n", b"")
        client = TransferClient(scripted.server)
        try:
            with self.assertRaisesRegex(CheckFailed, "PUT /file"):
                client.upload("/file", 1 << 30)
        finally:
            client.close()
            scripted.close()


class StalledDownloadsTests(unittest.TestCase):
    def test_how_they_were_answered_is_seen_without_reading(self):
        scripted = ScriptedServer(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
        stalled = StalledDownloads(scripted.server, "/")
        try:
            stalled.add(1)
            while stalled.statuses() == [None]:
                pass
            self.assertEqual([stalled.statuses(), stalled.statuses()], [[503], [503]])
        finally:
            stalled.close()
            scripted.close()


if __name__ == "__main__":
    unittest.main()
