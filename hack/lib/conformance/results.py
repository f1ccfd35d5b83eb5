"""What the cases said: counted, and written down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Mapping, Sequence

GROUPS = {
    "1": "Framing", "2": "Pings and pongs", "3": "Reserved bits", "4": "Opcodes", "5": "Fragmentation",
    "6": "UTF-8", "7": "Closing handshake", "9": "Limits and performance", "10": "Various",
    "12": "Compression", "13": "Compression",
}


@dataclass(frozen=True)
class Result:
    """One case: verdicts as the suite spells them."""

    case: str
    behavior: str
    close: str
    detail: str = ""

    @property
    def kind(self) -> str:
        verdicts = {self.behavior, self.close}
        if verdicts <= {"OK"}:
            return "passed"
        if verdicts <= {"OK", "INFORMATIONAL"}:
            return "informational"
        if verdicts <= {"OK", "INFORMATIONAL", "NON-STRICT"}:
            return "non-strict"
        return "failed"


KINDS = ("passed", "informational", "non-strict", "failed")


def order(case: str) -> tuple[int, ...]:
    return tuple(int(part) for part in case.split("."))


def counts(results: Iterable[Result]) -> dict[str, int]:
    kinds = [result.kind for result in results]
    return {kind: kinds.count(kind) for kind in KINDS}


def summary(name: str, results: Sequence[Result]) -> str:
    numbers = counts(results)
    return f"{name}: {len(results)} cases, " + ", ".join(f"{numbers[kind]} {kind}" for kind in KINDS)


def page(ends: Mapping[str, Sequence[Result]], suite: str) -> str:
    """docs/websocket-conformance.md; the same for the same results."""
    lines = [
        "# WebSocket conformance",
        "",
        f"Written by `hack/conformance tunnel`, which runs the Autobahn cases ({suite}) against the WebSocket layer of the "
        "tunnel: the gateway's accepting end under the suite's fuzzing client, the agent's dialling end under its "
        "fuzzing server, each with an echo on it instead of a tunnel (`Tests/WebSocketEcho`). The compression cases "
        "(12 and 13) are left out, because no extension is ever negotiated. *Informational* cases have no right "
        "answer; *non-strict* ones are answered as the RFC allows but not as it recommends.",
        "",
        "| Group | End | Cases | Passed | Informational | Non-strict | Failed |",
        "|---|---|---|---|---|---|---|",
    ]
    groups = sorted({result.case.split(".")[0] for results in ends.values() for result in results}, key=int)
    for group in groups:
        for end, results in ends.items():
            lines.append(_row(f"{group} {GROUPS.get(group, '')}".strip(), end, [
                result for result in results if result.case.split(".")[0] == group]))
    for end, results in ends.items():
        lines.append(_row("**All**", end, results))
    others = [(end, result) for end, results in ends.items() for result in results if result.kind != "passed"]
    if others:
        lines += ["", "Cases that are not simply passed:", ""]
        for end, result in sorted(others, key=lambda entry: (order(entry[1].case), entry[0])):
            lines.append(f"- {result.case}, {end}: {result.kind}. {result.detail}".rstrip())
    return "\n".join(lines) + "\n"


def _row(group: str, end: str, results: Sequence[Result]) -> str:
    numbers = counts(results)
    cells = [group, end, str(len(results)), *(str(numbers[kind]) for kind in KINDS)]
    return "| " + " | ".join(cells) + " |"
