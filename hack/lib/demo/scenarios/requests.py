"""Requests through the gateway: nothing added, nothing lost, nothing held back."""

from __future__ import annotations

import hashlib
import threading
import uuid
from typing import Iterator

from ..http_client import Fields, RawExchange, Response
from ..steady_load import SAMPLE_BLOCK
from ..waiting import expect, expect_equal
from ..world import EXAMPLE_HOST, World

MEBIBYTE = 1024 * 1024
TRANSFER_BYTES = 64 * MEBIBYTE
MEMORY_LIMIT = 100 * MEBIBYTE
CONCURRENT_REQUESTS = 200
CHUNK_COUNT = 5
CHUNK_INTERVAL_MS = 100

# What a proxy may add to a request or change in it, in lower case.
_PROXY_FIELDS = {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id", "host", "connection"}
# What belongs to one connection, or to the moment of the answer.
_CONNECTION_FIELDS = {"connection", "keep-alive", "date"}


def _without(fields: Fields, names: set[str]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in fields if name.lower() not in names]


def request_arrives_untouched(world: World) -> str:
    """Target, header fields and cookies of a request arrive at the application untouched."""
    sent = [
        ("Cookie", "session=abc123; theme=dark"), ("Authorization", "Bearer user-token"), ("X-Auth-Token", "t0ken"),
        ("x-oDD-cASe", "Kept As Is"), ("X-Repeated", "one"), ("X-Between", "1"), ("X-Repeated", "two"),
        ("Accept-Encoding", "br;q=1.0, gzip;q=0.5"), ("User-Agent", "check/1"), ("X-Empty", ""),
    ]
    target = "/headers/a%2Fb/compare/a...b/%C3%A4?z=1&a=%20+&z=2&empty="
    echo = world.front().get(target, sent).json()
    expect_equal(echo["target"], target, "target")
    expect_equal(echo["method"], "GET", "method")
    received = [(name, value) for name, value in echo["headers"]]
    expect_equal(_without(received, _PROXY_FIELDS), sent, "header fields")
    hosts = [value for name, value in received if name.lower() == "host"]
    expect_equal(hosts, [EXAMPLE_HOST], "Host")
    # Hop-by-hop fields are for the gateway alone, with those that Connection names.
    hop = world.front().get("/headers", [("Connection", "X-Hop"), ("X-Hop", "1"), ("X-End", "1")]).json()
    names = {name.lower() for name, _ in hop["headers"]}
    expect("x-hop" not in names, "a field named by Connection was passed on")
    expect("x-end" in names, "an end-to-end field was removed")
    return f"{len(sent)} fields and the raw target"


def response_arrives_untouched(world: World) -> str:
    """Status, header fields, cookies and body of a response arrive as the application sent them."""
    through, direct = world.front().get(), world.my_app.direct().get()
    expect_equal(through.status, direct.status, "status")
    fields = _without(through.fields, _CONNECTION_FIELDS)
    expect_equal(fields, _without(direct.fields, _CONNECTION_FIELDS), "header fields")
    expect_equal(through.body, direct.body, "body")
    expect_equal(len(through.values("Set-Cookie")), 2, "number of Set-Cookie fields")
    expect(through.values("ETag"), "no ETag")
    for status in (204, 304, 404, 500):
        expect_equal(world.front().get(f"/status/{status}").status, status, f"GET /status/{status}")
    head = world.front().request("HEAD", "/")
    expect_equal((head.status, head.body), (200, b""), "HEAD /")
    return f"{len(fields)} fields, of which two Set-Cookie"


def forwarding_fields_are_the_gateways(world: World) -> str:
    """X-Forwarded-For, -Proto and -Host are set by the gateway; forged ones are replaced."""
    forged = [
        ("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.example.com"),
        ("Forwarded", "for=203.0.113.7"), ("X-Real-IP", "203.0.113.7"),
    ]
    expected = {"x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http", "x-forwarded-host": EXAMPLE_HOST}
    for fields in ([], forged):
        received = world.front().get("/headers", fields).json()["headers"]
        found: dict[str, str] = {}
        for name, value in received:
            if name.lower().startswith("x-forwarded-") or name.lower() in ("forwarded", "x-real-ip"):
                expect(name.lower() not in found, f"{name} occurs twice")
                found[name.lower()] = value
        expect_equal(found, expected, "forwarding fields")
    return ", ".join(f"{name}: {value}" for name, value in expected.items())


def _expect_memory(world: World) -> str:
    figures = []
    for program in (world.gateway, world.agent):
        peak = program.peak_memory()
        expect(peak < MEMORY_LIMIT, f"{program.name} used {peak / MEBIBYTE:.1f} MiB, more than 100 MiB")
        figures.append(f"{program.name} {peak / MEBIBYTE:.1f} MiB")
    return "peak memory " + ", ".join(figures)


def _reset_memory(world: World) -> None:
    for program in (world.gateway, world.agent):
        program.reset_peak_memory()


def download_is_exact(world: World) -> str:
    """A 64 MiB download is byte-exact while gateway and agent stay under 100 MiB."""
    _reset_memory(world)
    response = world.front().get(f"/bytes/{TRANSFER_BYTES}", timeout=30)
    expect_equal(response.status, 200, "status")
    expect_equal(len(response.body), TRANSFER_BYTES, "length")
    expected = hashlib.sha256()
    for _ in range(TRANSFER_BYTES // 65536):
        expected.update(SAMPLE_BLOCK)
    expect_equal(hashlib.sha256(response.body).hexdigest(), expected.hexdigest(), "SHA-256")
    return f"{64 / response.seconds:.0f} MiB/s, {_expect_memory(world)}"


def upload_is_exact(world: World) -> str:
    """A 64 MiB upload is byte-exact, with a length and chunked, while gateway and agent stay under 100 MiB."""
    _reset_memory(world)
    expected = hashlib.sha256()
    for _ in range(TRANSFER_BYTES // 65536):
        expected.update(SAMPLE_BLOCK)
    known = world.front().request(
        "POST", "/checksum", [("Content-Length", str(TRANSFER_BYTES))], _blocks(), timeout=30)
    _expect_checksum(known, expected.hexdigest(), TRANSFER_BYTES)
    small = 3 * 65536
    chunks = b"".join(b"10000\r\n" + SAMPLE_BLOCK + b"\r\n" for _ in range(3)) + b"0\r\n\r\n"
    chunked = world.front().request("POST", "/checksum", [("Transfer-Encoding", "chunked")], chunks)
    _expect_checksum(chunked, hashlib.sha256(SAMPLE_BLOCK * 3).hexdigest(), small)
    return f"{64 / known.seconds:.0f} MiB/s, {_expect_memory(world)}"


def _blocks() -> Iterator[bytes]:
    for _ in range(TRANSFER_BYTES // 65536):
        yield SAMPLE_BLOCK


def _expect_checksum(response: Response, sha256: str, size: int) -> None:
    expect_equal(response.status, 200, f"status ({response.text[:200]})")
    answer = response.json()
    expect_equal((answer["bytes"], answer["sha256"]), (size, sha256), "what the application received")


def chunks_arrive_one_by_one(world: World) -> str:
    """A chunked response arrives chunk by chunk, not at its end."""
    target = f"/chunks?count={CHUNK_COUNT}&interval={CHUNK_INTERVAL_MS}"
    request = f"GET {target} HTTP/1.1\r\nHost: {EXAMPLE_HOST}\r\n\r\n".encode()
    with RawExchange(world.front(), request) as exchange:
        status, fields = exchange.head()
        expect_equal(status, 200, "status")
        expect_equal(fields.get("transfer-encoding"), "chunked", "Transfer-Encoding")
        arrived = list(exchange.chunks())
    expect_equal([chunk for _, chunk in arrived], [f"chunk {k}\n".encode() for k in range(CHUNK_COUNT)], "chunks")
    gaps = [later[0] - earlier[0] for earlier, later in zip(arrived, arrived[1:])]
    # Held-back chunks would come together, with gaps of nothing. Half the interval leaves room for a busy machine.
    expect(min(gaps) > CHUNK_INTERVAL_MS / 2000, f"chunks came together: gaps {[f'{gap:.3f}' for gap in gaps]} s")
    return "gaps " + ", ".join(f"{gap * 1000:.0f}" for gap in gaps) + " ms"


def concurrent_requests_get_their_own_answers(world: World) -> str:
    """200 concurrent requests all get their own answers."""
    answers: dict[str, Response] = {}
    ready = threading.Barrier(CONCURRENT_REQUESTS)

    def ask(target: str) -> None:
        ready.wait()
        answers[target] = world.front().get(target, timeout=20)

    targets = [f"/own/{number}/{uuid.uuid4()}" for number in range(CONCURRENT_REQUESTS)]
    threads = [threading.Thread(target=ask, args=(target,), daemon=True) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wrong = [
        f"{target}: {answers[target].status} {answers[target].text[:100]!r}" for target in targets
        if (answers[target].status, answers[target].text) != (200, f"my-app:{target}\n")
    ]
    expect(not wrong, f"{len(wrong)} wrong answers, the first: {wrong[:1]}")
    return f"slowest {max(answer.seconds for answer in answers.values()) * 1000:.0f} ms"
