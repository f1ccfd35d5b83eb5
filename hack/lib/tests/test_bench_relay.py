"""The long way: everything arrives, in order, and not before its time."""

import socket
import threading
import time
import unittest

from bench.relay import DelayingRelay, DelayLine
from demo.ports import Ports


class DelayLineTests(unittest.TestCase):
    def setUp(self):
        self.line = DelayLine(1.0)

    def arrived(self, now):
        return [bytes(piece) for piece in self.line.due(now)]

    def test_nothing_arrives_before_its_time(self):
        self.line.enter(b"one", 10.0)
        self.line.enter(b"two", 10.5)
        self.assertEqual(
            [self.arrived(now) for now in (10.9, 11.0, 11.4, 11.5)], [[], [b"one"], [b"one"], [b"one", b"two"]])

    def test_what_was_not_taken_stays(self):
        self.line.enter(b"one", 10.0)
        self.line.enter(b"two", 10.0)
        self.line.taken(4)
        self.assertEqual((self.arrived(11.0), self.line.size), ([b"wo"], 2))

    def test_the_end_comes_after_everything(self):
        self.line.enter(b"one", 10.0)
        self.line.end(10.0)
        self.assertFalse(self.line.has_ended(20.0))
        self.line.taken(3)
        self.assertEqual([self.line.has_ended(now) for now in (10.9, 11.0)], [False, True])

    def test_next_due_is_the_first_piece_or_the_end(self):
        self.assertIsNone(self.line.next_due)
        self.line.enter(b"one", 10.0)
        self.line.end(12.0)
        self.assertEqual(self.line.next_due, 11.0)
        self.line.taken(3)
        self.assertEqual(self.line.next_due, 13.0)


class DelayingRelayTests(unittest.TestCase):
    DELAY = 0.05

    def setUp(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        port = Ports(prefer_documented=False).free(0)
        self.relay = DelayingRelay(port, self.listener.getsockname(), self.DELAY)
        self.client = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.server, _ = self.listener.accept()
        self.server.settimeout(5)

    def tearDown(self):
        for each in (self.client, self.server, self.listener, self.relay):
            each.close()

    def test_delays_each_way(self):
        for sender, receiver in ((self.client, self.server), (self.server, self.client)):
            began = time.monotonic()
            sender.sendall(b"x")
            self.assertEqual(receiver.recv(1), b"x")
            self.assertGreaterEqual(time.monotonic() - began, self.DELAY)

    def test_passes_on_all_of_it_and_the_end_while_the_other_way_stays_open(self):
        sent = bytes(range(256)) * 40_000
        sender = threading.Thread(target=lambda: (self.client.sendall(sent), self.client.shutdown(socket.SHUT_WR)))
        sender.start()
        received = b""
        while data := self.server.recv(1 << 20):
            received += data
        sender.join()
        self.assertEqual(received, sent)
        self.server.sendall(b"x")
        self.assertEqual(self.client.recv(1), b"x")

    def test_its_end_ends_connections(self):
        self.relay.close()
        self.assertEqual(self.client.recv(1), b"")


if __name__ == "__main__":
    unittest.main()
