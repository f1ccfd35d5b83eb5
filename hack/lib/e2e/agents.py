"""The agents of a check: each a process with a log and an admin port of its own."""

from __future__ import annotations

import os
import signal
import time
import urllib.error
import urllib.request
from typing import Callable

from demo.processes import Processes, Program
from demo.waiting import CheckFailed, expect, wait_until

from .api_requests import ApiRequest, requests_in, writes

READY_SECONDS = 20.0


class Agent:
    """One running agent."""

    def __init__(self, name: str, program: Program, processes: Processes, admin_port: int) -> None:
        self.name = name
        self.program = program
        self.log = program.log
        self.first_line = program.first_line
        self.admin_port = admin_port
        self._processes = processes
        self._is_paused = False

    # Looking

    def readiness(self) -> str:
        """Nothing once the agent is ready; otherwise why it is not."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/readyz", timeout=2) as answer:
                return "" if answer.status == 200 else f"{answer.status} {answer.read()!r}"
        except urllib.error.HTTPError as error:
            return f"{error.code} {error.read().decode(errors='replace').strip()}"
        except OSError as error:
            return str(error)

    def wait_ready(self) -> None:
        def is_ready() -> bool:
            expect(self.program.exit_status() is None, f"{self.name} ended: {self.log.tail(3)}")
            reason = self.readiness()
            expect(not reason, reason)
            return True

        wait_until(f"{self.name} is ready", READY_SECONDS, is_ready, pause=0.02)

    def wait_connected(self) -> None:
        self.log.wait_for("Tunnel connected", READY_SECONDS, after=self.first_line)

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    def metric(self, name: str) -> float:
        """The sum of all series of a metric."""
        values = [
            float(line.rsplit(" ", 1)[1]) for line in self.metrics().splitlines()
            if line.startswith((f"{name} ", f"{name}{{"))
        ]
        expect(values, f"{self.name} has no metric {name}")
        return sum(values)

    def requests(self, after: int = -1) -> list[ApiRequest]:
        """Its requests to the API server since its start, or since a mark in its log."""
        return requests_in(self.log, self.first_line if after < 0 else after)

    def writes(self, after: int = -1) -> list[ApiRequest]:
        """Those that change something other than a Lease."""
        return writes(self.requests(after))

    def wait_quiet(self, seconds: float = 1.5, within: float = 30) -> None:
        """Waits until the agent has made no write for so long."""
        count, since = len(self.writes()), time.monotonic()
        deadline = since + within
        while time.monotonic() - since < seconds:
            now = len(self.writes())
            if now != count:
                count, since = now, time.monotonic()
            expect(time.monotonic() < deadline, f"{self.name} goes on writing: {[str(w) for w in self.writes()[-3:]]}")
            time.sleep(0.05)

    # Ending

    def stop(self) -> None:
        """Asks it to end, as the kubelet does, and expects that it does so cleanly."""
        status = self._processes.stop(self.program)
        expect(status == 0, f"{self.name} ended with status {status} when asked to stop")

    def kill(self) -> None:
        """Ends it as a crash of its machine would."""
        self.program.kill()

    def pause(self) -> None:
        self._is_paused = True
        os.kill(self.program.pid, signal.SIGSTOP)

    def resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            os.kill(self.program.pid, signal.SIGCONT)

    def end(self) -> list[str]:
        """Ends it if it still runs; returns what went wrong."""
        if self.program.exit_status() is not None:
            return []
        try:
            self.resume()
            self.stop()
        except CheckFailed as failure:
            return [str(failure)]
        return []


def stays(what: str, seconds: float, condition: Callable[[], bool]) -> None:
    """Expects that something holds all the time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        expect(condition(), what)
        time.sleep(0.05)
