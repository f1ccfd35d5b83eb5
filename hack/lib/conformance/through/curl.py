"""curl before the gateway."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from demo import interruption
from demo.waiting import CheckFailed, expect, expect_equal

from .application import content
from .case import Case, case
from .world import HOST, ThroughWorld

TITLE = "curl"

SECONDS = 30
LARGE = 20_000_000


@dataclass(frozen=True)
class Done:
    """What curl got and said: heads on its standard error, because of --verbose."""

    body: bytes
    said: str

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def heads(self) -> list[tuple[int, dict[str, str]]]:
        """Status and fields, their names in lower case, of each answer; informational ones too."""
        found: list[tuple[int, dict[str, str]]] = []
        for line in re.findall(r"^< (.*?)\r?$", self.said, flags=re.MULTILINE):
            if status := re.match(r"HTTP/[0-9.]+ (\d+)", line):
                found.append((int(status[1]), {}))
            elif ": " in line:
                name, _, value = line.partition(": ")
                found[-1][1][name.lower()] = value
        return found

    @property
    def statuses(self) -> list[int]:
        return [status for status, _ in self.heads]


def curl(world: ThroughWorld, *arguments: str, target: str = "/", tls: bool = False, status: int = 0) -> Done:
    """Runs it, and fails unless it exits with this status."""
    command = [
        "curl", "--verbose", "--silent", "--show-error", "--no-buffer", "--max-time", str(SECONDS),
        "--noproxy", "*", "--connect-to", f"{HOST}::127.0.0.1:", "--cacert", str(world.authority_file), *arguments,
        world.url(target, tls=tls)]
    with interruption.held():
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS + 5, check=False)
    said = done.stderr.decode("latin-1")
    if done.returncode != status:
        raise CheckFailed(f"{' '.join(command)} ended with status {done.returncode}:\n{said[-2000:]}")
    return Done(done.stdout, said)


def upload(world: ThroughWorld, *arguments: str, size: int = LARGE, **more: Any) -> Done:
    """Sends a body of this size, which must arrive as it is."""
    with tempfile.NamedTemporaryFile() as file:
        body = content(size)
        Path(file.name).write_bytes(body)
        done = curl(world, *(argument.replace("FILE", file.name) for argument in arguments), target="/digest", **more)
    got = done.json()
    expect_equal(
        (got["bytes"], got["sha256"]), (size, hashlib.sha256(body).hexdigest()), "the body at the application")
    return done


@case
def get_has_status_fields_and_body_of_the_application(world: ThroughWorld) -> None:
    done = curl(world, target="/bytes/1000")
    expect_equal(done.statuses, [200], "statuses")
    expect(done.body == content(1000), "the body is another")
    expect_equal(done.heads[0][1].get("content-length"), "1000", "Content-Length")


@case
def head_has_the_length_and_no_body(world: ThroughWorld) -> None:
    done = curl(world, "--head", target="/bytes/123456")
    expect_equal(done.statuses, [200], "statuses")
    expect_equal(done.heads[0][1].get("content-length"), "123456", "Content-Length")


@case
def answers_without_a_body_end_at_once(world: ThroughWorld) -> None:
    for status in (204, 304):
        done = curl(world, target=f"/status/{status}")
        expect_equal((done.statuses, done.body), ([status], b""), "status and body")


@case
def download_of_20_mb_is_the_applications(world: ThroughWorld) -> None:
    expect_equal(
        curl(world, target=f"/bytes/{LARGE}").sha256, hashlib.sha256(content(LARGE)).hexdigest(), "SHA-256")


@case
def ranges_are_parts_of_the_whole(world: ThroughWorld) -> None:
    whole = content(1_000_000)
    for asked, part in (
        ("0-0", whole[:1]), ("500-999", whole[500:1000]), ("999000-", whole[999_000:]), ("-100", whole[-100:]),
    ):
        done = curl(world, "--range", asked, target="/bytes/1000000")
        expect_equal(done.statuses, [206], f"statuses of the range {asked}")
        expect(done.body == part, f"the range {asked} is another")
    expect_equal(curl(world, "--range", "2000000-", target="/bytes/1000000").statuses, [416], "statuses")


@case
def interrupted_download_is_taken_up_again(world: ThroughWorld) -> None:
    whole = content(1_000_000)
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(whole[:400_000])
        curl(world, "--continue-at", "-", "--output", file.name, target="/bytes/1000000")
        expect(Path(file.name).read_bytes() == whole, "the two parts are not the whole")


@case
def put_of_a_file_has_its_length(world: ThroughWorld) -> None:
    got = upload(world, "--upload-file", "FILE").json()
    expect_equal(
        (got["method"], got["length"], got["coding"]), ("PUT", str(LARGE), None), "method, length and coding")


@case
def put_in_chunks_arrives_in_chunks(world: ThroughWorld) -> None:
    got = upload(world, "--upload-file", "FILE", "--header", "Transfer-Encoding: chunked").json()
    expect_equal((got["length"], got["coding"]), (None, "chunked"), "length and coding")


@case
def upload_of_more_than_100_mb_arrives(world: ThroughWorld) -> None:
    size = 120_000_000
    with tempfile.NamedTemporaryFile() as file:
        # Zeros, which take no room on the disk.
        file.truncate(size)
        got = curl(world, "--upload-file", file.name, target="/digest").json()
    expect_equal(
        (got["bytes"], got["sha256"]), (size, hashlib.sha256(bytes(size)).hexdigest()), "the body at the application")


@case
def post_waits_for_100_continue_and_gets_it(world: ThroughWorld) -> None:
    # Without an answer curl would wait for longer than it may take.
    done = upload(world, "--data-binary", "@FILE", "--header", "Expect: 100-continue", "--expect100-timeout", "60")
    expect_equal(done.statuses, [100, 200], "statuses")
    expect_equal(done.json()["expect"], "100-continue", "Expect at the application")


@case
def refused_expectation_keeps_the_body_from_being_sent(world: ThroughWorld) -> None:
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(content(LARGE))
        done = curl(
            world, "--upload-file", file.name, "--header", "Expect: 100-continue", "--expect100-timeout", "60",
            "--write-out", "%{size_upload}", target="/refuse")
    expect_equal((done.statuses, done.body), ([403], b"no\n0"), "statuses, answer and bytes sent")


@case
def trailers_of_the_application_reach_the_client(world: ThroughWorld) -> None:
    _trailers(world)


def _trailers(world: ThroughWorld, *arguments: str) -> None:
    with tempfile.NamedTemporaryFile() as fields:
        # Trailers are shown nowhere but there.
        done = curl(world, *arguments, "--dump-header", fields.name, target="/trailers")
        shown = Path(fields.name).read_bytes().decode("latin-1").lower()
    expect_equal(done.body, b"with trailers\n", "body")
    _, _, behind = shown.partition("\r\n\r\n")
    expect(f"x-digest: {done.sha256}" in behind, f"no trailer came:\n{shown}")


@case
def early_hints_reach_the_client(world: ThroughWorld) -> None:
    done = curl(world, target="/hints")
    expect_equal(done.statuses, [103, 200], "statuses")
    expect("preload" in done.heads[0][1].get("link", ""), "the hint has no Link")


@case
def client_of_http_1_0_gets_whole_answers(world: ThroughWorld) -> None:
    for target, body in (("/bytes/70000", content(70_000)), ("/slow?pause=0", b"part 0\npart 1\npart 2\n")):
        done = curl(world, "--http1.0", target=target)
        expect_equal(done.statuses, [200], "statuses")
        expect(done.body == body, f"{target}: the body is another")
        expect("transfer-encoding" not in done.heads[0][1], "an answer to HTTP/1.0 is in chunks")


@case
def cookies_and_credentials_pass(world: ThroughWorld) -> None:
    with tempfile.NamedTemporaryFile() as jar:
        done = curl(world, "--cookie-jar", jar.name, target="/cookie")
        expect_equal(len(re.findall(r"^< set-cookie:", done.said, flags=re.MULTILINE | re.IGNORECASE)), 2, "cookies")
        got = curl(world, "--cookie", jar.name, "--user", "name:secret", target="/fields").json()
    fields = {name.lower(): value for name, value in got["fields"]}
    expect_equal(sorted(fields["cookie"].split("; ")), ["first=1", "second=two%20words"], "cookies that come back")
    expect_equal(fields["authorization"], "Basic bmFtZTpzZWNyZXQ=", "Authorization")


@case
def path_and_query_reach_the_application_untouched(world: ThroughWorld) -> None:
    for target in ("/fields/a%2Fb/../c//d?x=1&x=2&%20=%2f&y", "/fields/compare/a...b", "/fields/https://x.example/?"):
        got = curl(world, "--path-as-is", target=target).json()
        expect_equal(got["target"], target, "target at the application")


@case
def parts_of_an_answer_come_as_they_are_sent(world: ThroughWorld) -> None:
    done = curl(world, "--write-out", "%{time_starttransfer} %{time_total}", target="/slow?count=3&pause=0.4")
    began, ended = map(float, done.body.split(b"\n")[-1].split())
    expect(ended - began > 0.4, f"the answer was collected: its first byte came at {began} s, its last at {ended} s")


@case
def connection_is_used_again(world: ThroughWorld) -> None:
    done = curl(world, world.url("/bytes/10"), world.url("/bytes/20"), target="/bytes/30")
    expect_equal(len(re.findall(r"Re-using existing connection", done.said)), 2, "connections used again")
    expect(done.body == content(10) + content(20) + content(30), "the bodies are others")


@case
def fifty_transfers_at_once_are_all_whole(world: ThroughWorld) -> None:
    done = curl(
        world, "--parallel", "--parallel-immediate", "--parallel-max", "50", "--write-out", "%{http_code}\n",
        *[world.url(f"/status/2{number:02}") for number in range(10, 59)], target="/status/200")
    codes = re.findall(rb"(2\d\d)\n", done.body)
    # Each body says the status, too.
    expect_equal(len(codes), 100, "statuses and bodies")


@case
def tls_with_a_verified_certificate_passes(world: ThroughWorld) -> None:
    done = curl(world, target=f"/bytes/{LARGE}", tls=True)
    expect_equal(done.sha256, hashlib.sha256(content(LARGE)).hexdigest(), "SHA-256")
    upload(world, "--upload-file", "FILE", tls=True)
    fields = dict(curl(world, target="/fields", tls=True).json()["fields"])
    expect_equal(fields.get("X-Forwarded-Proto"), "https", "X-Forwarded-Proto")


@case
def http_2_over_tls_passes(world: ThroughWorld) -> None:
    done = curl(world, "--http2", target=f"/bytes/{LARGE}", tls=True)
    expect("< HTTP/2 200" in done.said, f"HTTP/2 was not spoken:\n{done.said[-2000:]}")
    expect_equal(done.sha256, hashlib.sha256(content(LARGE)).hexdigest(), "SHA-256")
    upload(world, "--http2", "--upload-file", "FILE", tls=True)


@case
def http_2_without_tls_passes(world: ThroughWorld) -> None:
    done = curl(world, "--http2-prior-knowledge", target=f"/bytes/{LARGE}")
    expect("< HTTP/2 200" in done.said, f"HTTP/2 was not spoken:\n{done.said[-2000:]}")
    expect_equal(done.sha256, hashlib.sha256(content(LARGE)).hexdigest(), "SHA-256")
    upload(world, "--http2-prior-knowledge", "--upload-file", "FILE")
    _trailers(world, "--http2-prior-knowledge")


CASES: list[Case] = [value for value in globals().values() if isinstance(value, Case)]
