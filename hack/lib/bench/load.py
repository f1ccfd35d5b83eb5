"""Small requests sent by programs made for it: wrk for as many as a server can answer, h2load for a rate in bursts."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

from demo import interruption
from demo.http_client import Server
from demo.waiting import CheckFailed, expect

_WRK_SCRIPT = Path(__file__).with_name("wrk.lua")
# How long a program may need beyond the time it was given.
GRACE_SECONDS = 10.0


@dataclass(frozen=True)
class Load:
    """What came of it: every request was answered 200, in full."""

    requests: int
    seconds: float


@dataclass(frozen=True)
class Saturation(Load):
    p50_us: float


def saturate(server: Server, path: str, connections: int, seconds: float, body_bytes: int) -> Saturation:
    """Keeps a request under way on every connection. Knows whole seconds only."""
    output = _run([
        "wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{max(1, round(seconds))}s",
        "--timeout", "5s", "--script", str(_WRK_SCRIPT), "--header", f"Host: {server.host}",
        f"{server.scheme}://{server.address}:{server.port}{path}"], seconds)
    return parse_wrk(output, body_bytes)


def send_bursts(
    server: Server, path: str, connections: int, rate: float, seconds: float, body_bytes: int
) -> Load:
    """Sends every 10 ms what has become due since. Knows whole seconds only."""
    seconds = max(1, round(seconds))
    output = _run([
        "h2load", "--h1", "--clients", str(connections), "--threads", "1", "--rps", f"{rate / connections:g}",
        "--duration", str(seconds), "--connect-to", f"{server.address}:{server.port}", f"http://{server.host}{path}",
    ], seconds)
    return Load(parse_h2load(output, body_bytes), seconds)


def saturate_http2(
    server: Server, path: str, connections: int, streams: int, seconds: float, body_bytes: int
) -> Load:
    """Keeps requests under way on so many streams of every connection. Knows whole seconds only."""
    seconds = max(1, round(seconds))
    output = _run([
        "h2load", "--clients", str(connections), "--threads", "1", "--max-concurrent-streams", str(streams),
        "--duration", str(seconds), *_http2_target(server, path)], seconds)
    return Load(parse_h2load(output, body_bytes), seconds)


def download_http2(server: Server, path: str, count: int, seconds: float, body_bytes: int) -> Load:
    """Fetches a large body so often, one after the other on one connection; it may take so many seconds."""
    output = _run(["h2load", "--clients", "1", "--threads", "1", "--max-concurrent-streams", "1", "--requests",
                   str(count), *_http2_target(server, path)], seconds)
    done = parse_h2load(output, body_bytes)
    expect(done == count, f"h2load had {done} of {count} requests answered")
    return Load(done, parse_h2load_seconds(output))


def _http2_target(server: Server, path: str) -> list[str]:
    return ["--connect-to", f"{server.address}:{server.port}", f"{server.scheme}://{server.host}{path}"]


def _run(command: Sequence[str], seconds: float) -> str:
    name = command[0]
    with interruption.held():
        program = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True)
    try:
        output, _ = program.communicate(timeout=seconds + GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        raise CheckFailed(f"{name} did not end within {seconds + GRACE_SECONDS:g} s") from None
    finally:
        if program.poll() is None:
            program.kill()
            program.wait()
    expect(program.returncode == 0, f"{name} ended with status {program.returncode}: {output.strip()}")
    return output


def parse_wrk(output: str, body_bytes: int) -> Saturation:
    """Reads the line that `wrk.lua` prints."""
    try:
        counted = json.loads(output.strip().rpartition("\n")[2])
    except ValueError:
        raise CheckFailed(f"wrk printed no summary: {output.strip()!r}") from None
    _expect_answers("wrk", counted["requests"], counted["failed"], counted["bytes"], body_bytes)
    return Saturation(counted["requests"], counted["seconds"], counted["p50_us"])


def parse_h2load(output: str, body_bytes: int) -> int:
    """Reads how many requests h2load has seen answered."""
    requests = re.search(
        r"^requests: .* (\d+) done, .* (\d+) failed, (\d+) errored, (\d+) timeout$", output, flags=re.MULTILINE)
    statuses = re.search(r"^status codes: \d+ 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx$", output, flags=re.MULTILINE)
    data = re.search(r"^traffic: .* \S+ \((\d+)\) data$", output, flags=re.MULTILINE)
    if not (requests and statuses and data):
        raise CheckFailed(f"h2load printed no summary: {output.strip()!r}")
    done, failed = int(requests[1]), sum(int(requests[number]) for number in (2, 3, 4))
    # Those with a good status may be more than those that are done: the last ones are cut off by the time.
    _expect_answers("h2load", done, failed + sum(map(int, statuses.groups())), int(data[1]), body_bytes)
    return done


def parse_h2load_seconds(output: str) -> float:
    """Reads how long h2load took."""
    took = re.search(r"^finished in ([0-9.]+)(us|ms|s),", output, flags=re.MULTILINE)
    if not took:
        raise CheckFailed(f"h2load printed no time: {output.strip()!r}")
    return float(took[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[took[2]]


def _expect_answers(program: str, requests: int, failed: int, received: int, body_bytes: int) -> None:
    """Whoever measures the cost of answers wants no other among them."""
    expect(requests > 0, f"no request of {program}'s was answered")
    expect(not failed, f"{failed} requests of {program}'s failed, of {requests} that were answered")
    expect(
        received >= requests * body_bytes,
        f"answers to {program} were shorter than {body_bytes} bytes: {received} bytes in {requests}")
