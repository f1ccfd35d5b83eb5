"""wrk, h2load and nghttp before the gateway: many requests, each of which must be answered, and answered right."""

from __future__ import annotations

import hashlib
import re
import subprocess

from bench import load
from demo import interruption
from demo.http_client import Server
from demo.waiting import CheckFailed, expect, expect_equal

from .case import Case, case
from .curl import curl
from .world import LOAD, LOAD_HOST, ThroughWorld

TITLE = "wrk, h2load and nghttp"

SECONDS = 3
SIZE = 20_000
LARGE = 5_000_000


def _sample(world: ThroughWorld, size: int) -> bytes:
    """What the sample application answers without a gateway before it."""
    address, port = world.direct(LOAD)
    return Server(address, port, LOAD_HOST).get(f"/bytes/{size}").body


@case
def wrk_gets_every_request_answered_in_full(world: ThroughWorld) -> None:
    done = load.saturate(world.front(LOAD_HOST), f"/bytes/{SIZE}", 64, SECONDS, SIZE)
    expect(done.requests > 100, f"only {done.requests} requests were answered in {SECONDS} s")


@case
def h2load_gets_every_request_answered_in_full(world: ThroughWorld) -> None:
    for target in (f"/bytes/{SIZE}", "/chunks?count=3&interval=1"):
        _h2load(world, "--h1", target=target)


@case
def h2load_over_tls_gets_every_request_answered_in_full(world: ThroughWorld) -> None:
    _h2load(world, "--h1", target=f"/bytes/{SIZE}", tls=True)


@case
def h2load_with_http_2_gets_every_request_answered_in_full(world: ThroughWorld) -> None:
    _h2load(world, "--max-concurrent-streams", "10", target=f"/bytes/{SIZE}")


@case
def h2load_with_http_2_over_tls_gets_every_request_answered_in_full(world: ThroughWorld) -> None:
    _h2load(world, "--max-concurrent-streams", "10", target=f"/bytes/{SIZE}", tls=True)


@case
def nghttp_gets_the_same_bytes_as_directly(world: ThroughWorld) -> None:
    expected = hashlib.sha256(_sample(world, LARGE)).hexdigest()
    for tls in (False, True):
        got = _run(["nghttp", "--no-verify-peer", f"--header=:authority: {LOAD_HOST}",
                    _local(world, f"/bytes/{LARGE}", tls)])
        expect_equal(hashlib.sha256(got).hexdigest(), expected, "SHA-256 of what nghttp got")


@case
def nghttp_gets_a_hundred_answers_on_one_connection(world: ThroughWorld) -> None:
    said = _run(["nghttp", "--null-out", "--stat", "--multiply=100", f"--header=:authority: {LOAD_HOST}",
                 _local(world, "/bytes/1000", False)]).decode()
    expect_equal(len(re.findall(r" 200 +\S+ /bytes/1000$", said, flags=re.MULTILINE)), 100, "answers")


@case
def body_under_load_is_the_same_as_directly(world: ThroughWorld) -> None:
    """While h2load asks for others."""
    expected = hashlib.sha256(_sample(world, LARGE)).hexdigest()
    command = _h2load_command(world, "--h1", target=f"/bytes/{SIZE}")
    with interruption.held():
        other = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        for _ in range(5):
            done = curl(world, "--header", f"Host: {LOAD_HOST}", target=f"/bytes/{LARGE}")
            expect_equal(done.sha256, expected, "SHA-256 of what curl got")
        output, _ = other.communicate(timeout=SECONDS + load.GRACE_SECONDS)
    finally:
        if other.poll() is None:
            other.kill()
            other.wait()
    load.parse_h2load(output, SIZE)


def _local(world: ThroughWorld, target: str, tls: bool) -> str:
    return f"{'https' if tls else 'http'}://127.0.0.1:{world.tls_port if tls else world.front_port}{target}"


def _h2load_command(world: ThroughWorld, *arguments: str, target: str, tls: bool = False) -> list[str]:
    port = world.tls_port if tls else world.front_port
    return [
        "h2load", *arguments, "--clients", "16", "--threads", "1", "--duration", str(SECONDS), "--connect-to",
        f"127.0.0.1:{port}", f"{'https' if tls else 'http'}://{LOAD_HOST}{target}"]


def _h2load(world: ThroughWorld, *arguments: str, target: str, tls: bool = False) -> None:
    size = int(target.rsplit("/", 1)[1]) if target.startswith("/bytes/") else len("chunk 0\nchunk 1\nchunk 2\n")
    done = load.parse_h2load(_run(_h2load_command(world, *arguments, target=target, tls=tls)).decode(), size)
    expect(done > 100, f"only {done} requests were answered in {SECONDS} s")


def _run(command: list[str]) -> bytes:
    with interruption.held():
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS + load.GRACE_SECONDS, check=False)
    if done.returncode != 0:
        raise CheckFailed(f"{' '.join(command)} ended with status {done.returncode}: {done.stderr.decode()[-1000:]}")
    return done.stdout


CASES: list[Case] = [value for value in globals().values() if isinstance(value, Case)]
