"""The page's own examples, read from it."""

from __future__ import annotations

import json
import unittest
from pathlib import Path
from typing import Any, Iterator

from .tunnel_agent import control, frames
from .tunnel_agent.frames import Data, Frame, GoAway, Headers, Request, Reset, Response, Trailers, Window
from .tunnel_agent.violation import Violation

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tunnel-protocol.md"


def blocks(kind: str) -> Iterator[str]:
    for block in PAGE.read_text(encoding="utf-8").split(f"```{kind}\n")[1:]:
        yield block.split("```", 1)[0]


def described(block: str) -> tuple[list[Frame], bytes]:
    """The frames of a vector, and its bytes."""
    found: list[dict[str, Any]] = []
    data = b""
    for line in block.splitlines():
        key, _, value = line.partition(": ")
        if key == "frame":
            found.append({"frame": value, "fields": []})
        elif key == "field":
            name, _, text = value.partition(": ")
            found[-1]["fields"].append((name, text))
        elif key == "hex":
            data += bytes.fromhex(value)
        else:
            found[-1][key.rstrip(":")] = value
    return [_frame(entry) for entry in found], data


def _frame(entry: dict[str, Any]) -> Frame:
    stream, end = int(entry.get("stream", 0)), entry.get("end_stream") == "yes"
    if entry["frame"] == "DATA":
        return Data(stream, entry["payload"].encode(), end)
    if entry["frame"] == "WINDOW":
        return Window(stream, int(entry["increment"]))
    if entry["frame"] == "RESET":
        return Reset(stream, entry["code"], entry["detail"])
    if entry["frame"] == "GOAWAY":
        return GoAway(int(entry["last_stream"]), entry["detail"])
    if entry["kind"] == "request":
        head: frames.Head = Request(
            int(entry["window"]), entry["method"], entry.get("authority", ""), entry["target"], entry["fields"],
            entry.get("upgrade", ""))
    elif entry["kind"] == "response":
        head = Response(int(entry["status"]), entry["fields"])
    else:
        head = Trailers(entry["fields"])
    return Headers(stream, head, end)


class Vectors(unittest.TestCase):
    def test_every_vector_decodes_to_its_description_and_encodes_to_its_bytes(self) -> None:
        count = 0
        for block in blocks("vector"):
            expected, data = described(block)
            with self.subTest(expected=expected):
                self.assertEqual(list(frames.decode(data)), expected)
                self.assertEqual(b"".join(frames.encode(frame) for frame in expected), data)
            count += 1
        self.assertGreaterEqual(count, 10)

    def test_every_frame_type_and_kind_has_a_vector(self) -> None:
        seen = set()
        for block in blocks("vector"):
            for frame in described(block)[0]:
                seen.add(type(frame))
                if isinstance(frame, Headers):
                    seen.add(type(frame.head))
        self.assertEqual(seen, {Headers, Data, Window, Reset, GoAway, Request, Response, Trailers})

    def test_every_message_has_an_example_that_is_a_control_message(self) -> None:
        kinds = {control.decode(block)[0] for block in blocks("json")}
        self.assertEqual(
            kinds,
            {
                "hello", "welcome", "ingress_routes", "ingress_routes_ack", "heartbeat", "heartbeat_ack", "resync",
                "error",
            })

    def test_the_digest_is_that_of_the_page_in_any_order(self) -> None:
        for block in blocks("digest"):
            example = json.loads(block)
            self.assertEqual(control.digest(example["routes"]), example["digest"])
            self.assertEqual(control.digest(reversed(example["routes"])), example["digest"])

    def test_the_reset_codes_are_those_of_the_page(self) -> None:
        rows = [line.split("|")[1:3] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
        codes = [(code, name) for code, name in rows if code.strip().isdigit() and name.startswith(" `")]
        listed = {int(code): name.strip(" `") for code, name in codes}
        self.assertEqual(listed, dict(enumerate(frames.RESET_CODES)))

    def test_a_vector_cut_anywhere_is_truncated_or_ends_between_frames(self) -> None:
        for block in blocks("vector"):
            expected, data = described(block)
            ends = [0]
            for frame in expected:
                ends.append(ends[-1] + len(frames.encode(frame)))
            for cut in range(len(data)):
                if cut in ends:
                    self.assertEqual(list(frames.decode(data[:cut])), expected[:ends.index(cut)])
                else:
                    with self.assertRaises(Violation) as caught:
                        list(frames.decode(data[:cut]))
                    self.assertEqual(caught.exception.code, "truncated")


class Paging(unittest.TestCase):
    def test_pages_fit_a_message_and_hold_every_route_once_in_order(self) -> None:
        routes = [control.route(f"host-{index}.example.com", annotations={"a": "ü" * (index % 50)})
                  for index in range(3_000)]
        pages = [control.decode(text)[1] for text in control.sync_pages("c", 7, routes)]
        self.assertGreater(len(pages), 5)
        for text in control.sync_pages("c", 7, routes):
            self.assertLessEqual(len(text.encode()), control.TEXT_LIMIT)
        self.assertEqual([page["page"]["index"] for page in pages], list(range(len(pages))))
        self.assertEqual([page["page"]["last"] for page in pages], [False] * (len(pages) - 1) + [True])
        self.assertEqual([entry for page in pages for entry in page["routes"]], routes)
