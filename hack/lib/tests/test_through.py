"""What is made of the cases of `hack/conformance websocket`, `browser` and `clients`, without the programs."""

from __future__ import annotations

import hashlib
import threading
import unittest
from dataclasses import replace

from conformance.through import browser, curl, loads
from conformance.through.application import EVENTS, Application, Handler, content
from conformance.through.autobahn import Seen, differences
from conformance.through.case import Case, Skipped
from conformance.through.curl import Done
from conformance.through.results import HEAD, GroupResult, section, table, with_section
from conformance.through.world import HOST
from demo.http_client import Server
from demo.waiting import CheckFailed

SEEN = Seen(("OK", "OK"), (1000, "bye", True), "[]", ("(2, '0x03e8'), 8, True",), 4)


class Comparing(unittest.TestCase):
    def test_whatever_is_not_the_same_is_told(self) -> None:
        self.assertEqual(differences({"1.1.1": SEEN}, {"1.1.1": SEEN}), [])
        for other in (
            replace(SEEN, verdicts=("OK", "FAILED")), replace(SEEN, close=(1001, "bye", True)),
            replace(SEEN, events="[1]"), replace(SEEN, frames=()), replace(SEEN, octets=5),
        ):
            found = differences({"1.1.1": SEEN, "1.1.2": SEEN}, {"1.1.1": other, "1.1.2": SEEN})
            self.assertEqual([text.split(":")[0] for text in found], ["1.1.1"])

    def test_a_case_that_ran_only_one_way_is_told(self) -> None:
        self.assertEqual(differences({"1.1.1": SEEN}, {}), ["1.1.1: ran only one way"])


class WritingDown(unittest.TestCase):
    GROUP = GroupResult("A", ["one", "two", "three"], {"two": "because\nof this"}, {"three": "not here"})

    def test_passed_failed_and_skipped_are_counted(self) -> None:
        self.assertEqual(table([self.GROUP])[2:], ["| A | 3 | 1 | 1 | 1 |"])

    def test_a_section_takes_the_place_of_the_one_before(self) -> None:
        order = ["First", "Second"]
        page = with_section("", order, "Second", section("Second", "curl 1", [self.GROUP]))
        page = with_section(page, order, "First", section("First", "curl 1", [GroupResult("B", ["four"])]))
        self.assertTrue(page.startswith(HEAD))
        self.assertLess(page.index("## First"), page.index("## Second"))
        self.assertIn("- `two`: because\n", page)
        self.assertIn("- `three`: not here", page)
        again = with_section(page, order, "Second", section("Second", "curl 2", [GroupResult("A", ["one"])]))
        self.assertNotIn("because", again)
        self.assertIn("With curl 2.", again)
        self.assertEqual(again.count("## "), 2)

    def test_cases_have_names_of_their_own(self) -> None:
        cases: list[Case] = [*browser.CASES, *curl.CASES, *loads.CASES]
        self.assertEqual(len({case.name for case in cases}), len(cases))


class Reading(unittest.TestCase):
    def test_heads_are_read_from_what_curl_says(self) -> None:
        done = Done(b"", "> GET / HTTP/1.1\r\n< HTTP/1.1 103 Early Hints\r\n< Link: </a>\r\n< \r\n< HTTP/2 200 \r\n< A: b\r\n")
        self.assertEqual(done.heads, [(103, {"link": "</a>"}), (200, {"a": "b"})])

    def test_events_must_come_once_and_in_order(self) -> None:
        events = {"data": ["1 after 0", "2 after 0", "3 after 0", "4 after 3", "5 after 3", "6 after 3", "7 after 6"],
                  "id": str(EVENTS), "opened": 3}
        browser._events(events)
        for change in ({"data": events["data"][1:]}, {"id": "6"}, {"opened": 2}):
            with self.assertRaises(CheckFailed):
                browser._events({**events, **change})

    def test_without_a_browser_its_cases_are_skipped(self) -> None:
        found, browser.COMMANDS = browser.COMMANDS, ("no-such-browser",)
        try:
            with self.assertRaisesRegex(Skipped, "no-such-browser"):
                browser.report(None)  # type: ignore[arg-type]
        finally:
            browser.COMMANDS = found


class TheApplication(unittest.TestCase):
    def setUp(self) -> None:
        Handler.log_message = lambda *_: None  # type: ignore[method-assign]
        self.application = Application("127.0.0.1", 0)
        threading.Thread(target=self.application.serve_forever, daemon=True).start()
        self.server = Server("127.0.0.1", self.application.server_address[1], HOST)

    def tearDown(self) -> None:
        self.application.shutdown()
        self.application.server_close()

    def test_ranges_are_those_asked_for(self) -> None:
        for asked, status, part in (
            ("bytes=0-0", 206, content(100)[:1]), ("bytes=-10", 206, content(100)[90:]),
            ("bytes=90-", 206, content(100)[90:]), ("bytes=100-", 416, b""), ("", 200, content(100)),
        ):
            answer = self.server.get("/bytes/100", [("Range", asked)])
            self.assertEqual((answer.status, answer.body), (status, part))

    def test_a_body_in_chunks_is_read_to_its_end(self) -> None:
        answer = self.server.request(
            "PUT", "/digest", [("Transfer-Encoding", "chunked")], b"3\r\nabc\r\n2\r\nde\r\n0\r\nA: b\r\n\r\n").json()
        self.assertEqual((answer["bytes"], answer["sha256"]), (5, hashlib.sha256(b"abcde").hexdigest()))
        self.assertEqual(answer["trailers"], [["A", "b"]])

    def test_events_go_on_after_the_last_one(self) -> None:
        text = self.server.get("/events", [("Last-Event-ID", "5")]).text
        self.assertEqual(text.count("event: tick"), 2)
        self.assertIn("id: 6\nevent: tick\ndata: 6 after 5\n", text)

    def test_what_a_page_reports_is_kept_for_its_run(self) -> None:
        self.assertIsNone(self.server.get("/report?run=a").json())
        body = b'{"a": 1}'
        self.assertEqual(
            self.server.request("POST", "/report?run=a", [("Content-Length", str(len(body)))], body).status, 204)
        self.assertEqual(self.server.get("/report?run=a").json(), {"a": 1})
        self.assertIsNone(self.server.get("/report?run=b").json())


if __name__ == "__main__":
    unittest.main()
