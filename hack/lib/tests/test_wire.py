"""The reader and the table behind `hack/conformance http`, without the programs."""

from __future__ import annotations

import unittest

from conformance.wire.case import HOST, get
from conformance.wire.differential import documented, generate
from conformance.wire.message import Malformed, read_request, read_response
from conformance.wire.page import DEFECTS, GroupResult, by_defect, page, table

try:
    from conformance.wire.groups import GROUPS
except ImportError as missing:
    raise unittest.SkipTest(f"the Python package {missing.name} is not installed") from missing

CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


class Reading(unittest.TestCase):
    def test_a_message_is_read_when_it_is_whole_and_not_before(self) -> None:
        for data in (get("/a"), get("/", "Content-Length: 2", body=b"hi"),
                     CHUNKED + b"2\r\nhi\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n"):
            for size in range(len(data)):
                self.assertIsNone(read_request(data[:size]))
            message = read_request(data + b"next")
            assert message
            self.assertEqual(message.size, len(data))

    def test_chunks_are_joined_and_nothing_else_is_changed(self) -> None:
        message = read_request(CHUNKED + b"2\r\nhi\r\n1\r\n!\r\n0\r\nA:  b \r\n\r\n")
        assert message
        self.assertEqual(message.canonical, CHUNKED + b"3\r\nhi!\r\n0\r\nA: b\r\n\r\n")

    def test_what_is_not_http_is_not_read(self) -> None:
        for data in (
            b"GET  / HTTP/1.1\r\n\r\n", b"GET / HTTP/2.0\r\n\r\n", b"GET / HTTP/1.1\r\nA : b\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n", b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", CHUNKED + b"x\r\n",
            CHUNKED + b"2\r\nhi!\r\n", get("/", "Content-Length: 1", "Transfer-Encoding: chunked"),
            get("/", "Content-Length: 1", "Content-Length: 1"),
        ):
            with self.assertRaises(Malformed, msg=repr(data)):
                read_request(data)

    def test_an_answer_ends_where_its_status_and_method_say(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
        self.assertIsNone(read_response(head))
        self.assertIsNotNone(read_response(head, b"HEAD"))
        self.assertIsNotNone(read_response(head.replace(b"200", b"304")))
        self.assertIsNotNone(read_response(head.replace(b"200", b"103")))
        endless = b"HTTP/1.1 200 OK\r\n\r\nhello"
        self.assertIsNone(read_response(endless))
        message = read_response(endless, has_ended=True)
        assert message
        self.assertEqual(message.body, b"hello")


class Table(unittest.TestCase):
    def test_there_are_enough_cases_and_each_has_a_name_of_its_own(self) -> None:
        names = [case.name for cases in GROUPS.values() for case in cases]
        self.assertGreaterEqual(len(names), 150)
        self.assertEqual(len(names), len(set(names)))

    def test_every_defect_of_the_ancestor_has_a_case(self) -> None:
        groups = [GroupResult(title, [case.name for case in cases]) for title, cases in GROUPS.items()]
        self.assertEqual(set(by_defect(groups)), set(DEFECTS))

    def test_the_page_counts_and_names_what_failed(self) -> None:
        groups = [GroupResult("A", ["one", "3-two"], {"one": "because"}), GroupResult("B", ["three"])]
        self.assertEqual(
            table(groups)[2:], ["| A | 2 | 1 | 1 |", "| B | 1 | 1 | 0 |", "| **All** | 3 | 2 | 1 |"])
        text = page(groups, 2000, 0)
        self.assertIn("none differs", text)
        self.assertIn("- 3, calls never cancelled: `3-two`", text)
        self.assertTrue(text.endswith("Cases that failed:\n\n- `one`\n"))


class Generated(unittest.TestCase):
    def test_requests_are_valid_and_the_same_for_the_same_seed(self) -> None:
        for number in range(300):
            data = generate(7, number)
            self.assertEqual(data, generate(7, number))
            message = read_request(data)
            assert message
            self.assertEqual(message.size, len(data))
        self.assertNotEqual(generate(7, 0), generate(8, 0))

    def test_only_what_is_documented_is_changed(self) -> None:
        message = read_request(get(
            f"http://{HOST}/a?b", "Connection: X-Hop", "X_Hop: 1", "A: 1", "TE: gzip, trailers", "X_Forwarded_For: 2",
            "a: 3", "Content-Length: 2", method="PUT", host="other", body=b"hi"))
        assert message
        self.assertEqual(
            documented(message).canonical,
            get("/a?b", "A: 1", "a: 3", "Content-Length: 2", "TE: trailers", "X-Forwarded-For: 127.0.0.1",
                "X-Forwarded-Proto: http", f"X-Forwarded-Host: {HOST}", method="PUT", body=b"hi"))


if __name__ == "__main__":
    unittest.main()
