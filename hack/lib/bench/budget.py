"""A memory budget that stalled downloads use up: further requests are told to come back later."""

from __future__ import annotations

from demo.http_client import Response, Server
from demo.waiting import wait_until

from . import usage
from .figures import Figures
from .nginx import SMALL_PATH
from .options import BenchOptions
from .stalled import StalledDownloads
from .traffic import TrafficWorld, expect_served

BUDGET = "4MiB"
STALLED_BYTES = 100 * 1024 * 1024
STALLED_STEP = 10
STALLED_MOST = 600
# What was asked for by one step has arrived, or is refused, when this many requests in a row were answered.
PROBES = 20
PROBE_SECONDS = 3.0
RECOVERY_SECONDS = 10.0


def measure(world: TrafficWorld, _: BenchOptions, figures: Figures) -> None:
    path = world.write_file("stalled", STALLED_BYTES)
    flags = ["--tunnel-memory", BUDGET]
    pair = world.start_pair(gateway_flags=flags, agent_flags=[*flags, *world.one_tunnel])
    programs = {"gateway": pair.gateway.pid, "agent": pair.agent.pid}
    before = {name: usage.anonymous(pid) for name, pid in programs.items()}
    stalled = StalledDownloads(pair.front, path)
    figures.phase(f"Stalled downloads until a budget of {BUDGET} is used up")
    try:
        answers = _fill(stalled, pair.front)
        figures.add("budget_stalled", len(stalled), "", f"Budget of {BUDGET}: downloads until a request was refused")
        figures.add(
            "budget_refused", sum(map(_is_refusal, answers)), "", "Budget: 503 with Retry-After once it is used up", 1,
            at_least=True)
        wrong = [answer for answer in answers if answer.status != 200 and not _is_refusal(answer)]
        if wrong:
            figures.note("budget_wrong_answer", f"{wrong[0].status} {wrong[0].text[:100]}")
        figures.add("budget_wrong", len(wrong), "", "Budget: answered neither 200 nor so", 0)
        for name, pid in programs.items():
            figures.add(
                f"budget_{name}_memory_mib", usage.anonymous(pid) - before[name], "MiB",
                f"Budget: growth of memory (RssAnon), {name}")
    finally:
        stalled.close()
    wait_until("requests are served again when nothing stalls", RECOVERY_SECONDS, lambda: expect_served(pair.front))
    world.stop_pair(pair)


def _fill(stalled: StalledDownloads, front: Server) -> list[Response]:
    """Adds stalled downloads until not every request is answered 200, and returns how those after it were."""
    answers: list[Response] = []
    while len(stalled) < STALLED_MOST:
        stalled.add(STALLED_STEP)
        answers = [front.get(SMALL_PATH, timeout=PROBE_SECONDS) for _ in range(PROBES)]
        if any(answer.status != 200 for answer in answers):
            break
    return answers


def _is_refusal(answer: Response) -> bool:
    return answer.status == 503 and bool(answer.values("Retry-After"))
