"""The Autobahn cases with a fuzzing client before the gateway and an echo behind the agent, and straight to the echo:
what the client sees must be the same, byte for byte."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from demo.waiting import expect

from ..autobahn import outcome
from .case import Case
from .world import ECHO, ECHO_HOST, ThroughWorld

TITLE = "Autobahn, through the gateway as directly"

# How long large messages take, and compression, which the echo does not offer.
WITHOUT = ["9.*", "12.*", "13.*"]
COUNT = 247
CONCURRENCY = 8


@dataclass(frozen=True)
class Seen:
    """All that the fuzzing client saw of one case, but for when, and how the bytes were cut on their way."""

    verdicts: tuple[str, str]
    close: tuple[Any, ...]
    events: str
    # Opcode, final bit, reserved bits, length and the payload's beginning.
    frames: tuple[str, ...]
    octets: int

    @classmethod
    def of(cls, result: Any) -> Seen:
        log = [entry for entry in result.wirelog if entry[0] in ("RF", "RO")]
        return cls(
            (result.behavior.value, result.behavior_close.value),
            (result.remote_close_code, result.remote_close_reason, result.was_clean, result.closed_by_me,
             result.failed_by_me, result.dropped_by_me, result.was_not_clean_reason),
            repr(result.received), tuple(repr(entry[1:]) for entry in log if entry[0] == "RF"),
            sum(entry[1][0] for entry in log if entry[0] == "RO"))


def run(host: str, port: int) -> dict[str, Seen]:
    import kosoku

    found = asyncio.run(outcome(
        kosoku.run_fuzzingclient(f"ws://{host}:{port}", None, WITHOUT, concurrency=CONCURRENCY)))
    return {result.case_id: Seen.of(result) for result in found}


def differences(direct: dict[str, Seen], through: dict[str, Seen]) -> list[str]:
    """One text for each case that is not the same."""
    found = [f"{case}: ran only one way" for case in sorted(direct.keys() ^ through.keys())]
    for case in sorted(direct.keys() & through.keys()):
        if direct[case] != through[case]:
            found.append(f"{case}:\n    direct  {direct[case]}\n    through {through[case]}")
    return found


def every_case_is_the_same_through_the_gateway(world: ThroughWorld) -> None:
    direct = run(*world.direct(ECHO))
    through = run(ECHO_HOST, world.front_port)
    expect(len(direct) == COUNT, f"the suite has {len(direct)} cases of these groups, not {COUNT}")
    failed = [case for case, seen in through.items() if set(seen.verdicts) - {"OK", "INFORMATIONAL", "NON-STRICT"}]
    expect(not failed, f"failed through the gateway: {', '.join(failed)}")
    # Where the peer may do as it likes, some cases depend on who is quicker: these get a second chance to agree.
    found = differences(direct, through)
    if found:
        again = run(*world.direct(ECHO)), run(ECHO_HOST, world.front_port)
        found = [text for text in found if text.split(":")[0] in {one.split(":")[0] for one in differences(*again)}]
    expect(not found, f"{len(found)} of {COUNT} cases are not the same: " + "\n".join(found[:5]))


CASES = [Case(f"the-{COUNT}-cases-are-the-same-byte-for-byte", every_case_is_the_same_through_the_gateway)]
