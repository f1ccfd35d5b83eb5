"""A browser before the gateway: headless Chromium, which loads a page that tries everything and reports what it saw."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import uuid
from typing import Any

from demo.waiting import CheckFailed, expect, expect_equal, wait_until

from .application import EVENTS, EVENTS_AT_ONCE, content
from .case import Case, Skipped, case
from .world import HOST, ThroughWorld

TITLE = "Chromium"

# Debian's names; the first is the smallest.
COMMANDS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
SECONDS = 40
# What the page fetches, in a hundred parts.
SIZE = 3_000_000


def command() -> str | None:
    return next((found for name in COMMANDS if (found := shutil.which(name))), None)


def version() -> str:
    found = command()
    if not found:
        return "no browser"
    done = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=20, check=False)
    return " ".join(done.stdout.split()[:2]) or found


def report(world: ThroughWorld, tls: bool = False) -> Any:
    """Loads the page, and returns what it says."""
    found = command()
    if not found:
        raise Skipped(
            f"no browser: none of {', '.join(COMMANDS)} is on PATH, and {COMMANDS[0]} could not be installed")
    run = uuid.uuid4().hex
    port = world.tls_port if tls else world.front_port
    with tempfile.TemporaryDirectory() as profile:
        browser = world.processes.start(
            f"browser-{'tls' if tls else 'plain'}", [
                found, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                "--disable-background-networking", "--no-proxy-server", f"--user-data-dir={profile}",
                f"--host-resolver-rules=MAP {HOST} 127.0.0.1:{port}", "--ignore-certificate-errors",
                "--enable-logging=stderr",
                # Without it the browser ends when the page is loaded, which is before anything interesting.
                "--remote-debugging-port=0", world.url(f"/?run={run}&size={SIZE}", tls=tls)])
        try:
            direct = world.direct_server()

            def reported() -> Any:
                if browser.exit_status() is not None:
                    raise RuntimeError(f"the browser ended with status {browser.exit_status()}:\n{browser.log.tail(5)}")
                return direct.get(f"/report?run={run}").json()

            return wait_until("the page reports what it saw", SECONDS, reported, pause=0.1)
        finally:
            browser.kill()
            wait_until("the browser's processes are gone", 5, lambda: not browser.has_leftovers())


def everything_works(world: ThroughWorld, seen: Any) -> None:
    """Of each part of the page: what it reports, or why it could not."""
    problems = {name: text for name, text in seen.items() if isinstance(text, str) and text.startswith("failed")}
    expect(not problems, f"the page reports {problems}")
    _events(seen["events"])
    expect_equal(
        seen["socket"], {"protocol": "echo.v1", "extensions": "permessage-deflate", "text": "ü" * 100,
                         "bytes": 1 << 20, "same": True, "code": 4321, "reason": "as asked", "clean": True},
        "WebSocket")
    download = seen["download"]
    expect_equal((download["bytes"], download["sum"]), (SIZE, sum(content(SIZE))), "bytes fetched, and their sum")
    expect(download["parts"] > 1, "the body came in one part")
    slow = seen["slow"]
    expect_equal(slow["text"], "part 0\npart 1\npart 2\n", "parts")
    expect(slow["milliseconds"] >= 300, f"the parts were collected: {slow['milliseconds']} ms between first and last")
    expect_equal(seen["upload"], {"bytes": SIZE, "same": True}, "upload")
    expect_equal(seen["cookies"], {"visible": "second=two%20words", "sent": ["first=1", "second=two%20words"]}, "cookies")
    expect_equal(seen["aborted"], "AbortError", "a fetch that was given up")


def _events(events: Any) -> None:
    """All came, once and in order; after each connection the browser said which was the last."""
    expected = [
        f"{number} after {(number - 1) // EVENTS_AT_ONCE * EVENTS_AT_ONCE}" for number in range(1, EVENTS + 1)]
    expect_equal(events["data"], expected, "events, each with the last one before its connection")
    expect_equal(events["id"], str(EVENTS), "lastEventId")
    expect(events["opened"] >= -(-EVENTS // EVENTS_AT_ONCE), f"the stream was opened {events['opened']} times")


@case
def page_with_events_websocket_streams_and_cookies_works(world: ThroughWorld) -> None:
    everything_works(world, report(world))


@case
def page_over_tls_works(world: ThroughWorld) -> None:
    seen = report(world, tls=True)
    everything_works(world, seen)
    expect_equal(seen["protocol"], "h2", "protocol of the page")
    if "error" in seen["stream"]:
        raise CheckFailed(f"an upload of a stream, which needs HTTP/2, failed: {seen['stream']}")
    expect_equal(seen["stream"], {"bytes": 5, "text": "abcde"}, "an upload of a stream")


CASES: list[Case] = [value for value in globals().values() if isinstance(value, Case)]
