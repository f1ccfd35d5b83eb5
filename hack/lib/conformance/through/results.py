"""What the cases said, counted, and written into docs/client-conformance.md."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Sequence

HEAD = """\
# Client conformance

Written by `hack/conformance websocket`, `browser` and `clients`, which put real clients before the gateway and real
applications behind the agent: both programs as processes, on the embedded API server. The cases are in
`hack/lib/conformance/through`, one module for each group; a case's name says what holds. What raw bytes show is in
[HTTP conformance](http-conformance.md), and how the tunnel's own WebSocket layer does is in
[WebSocket conformance](websocket-conformance.md).
"""


@dataclass
class GroupResult:
    title: str
    names: list[str] = field(default_factory=list)
    # By the name of the case.
    failures: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> int:
        return len(self.names) - len(self.failures) - len(self.skipped)


def table(groups: Sequence[GroupResult]) -> list[str]:
    lines = ["| Group | Cases | Passed | Failed | Skipped |", "|---|---|---|---|---|"]
    for group in groups:
        lines.append(
            f"| {group.title} | {len(group.names)} | {group.passed} | {len(group.failures)} | {len(group.skipped)} |")
    return lines


def section(title: str, clients: str, groups: Sequence[GroupResult]) -> str:
    """The same for the same results."""
    lines = [f"## {title}", "", f"With {clients}.", "", *table(groups), ""]
    lines += [*(f"- {group.title}: " + ", ".join(f"`{name}`" for name in group.names) for group in groups), ""]
    for heading, texts in (("Failed", [group.failures for group in groups]),
                           ("Skipped", [group.skipped for group in groups])):
        named = [(name, reason) for found in texts for name, reason in found.items()]
        if named:
            lines += [f"{heading}:", "", *(f"- `{name}`: {reason.splitlines()[0]}" for name, reason in named), ""]
    return "\n".join(lines)


def with_section(page: str, order: Sequence[str], title: str, text: str) -> str:
    """The page with one section put in place of the one of its title; sections stand in the order given."""
    parts = re.split(r"^(?=## )", page, flags=re.MULTILINE)[1:]
    sections = {part.splitlines()[0][3:]: part.strip() for part in parts}
    sections[title] = text.strip()
    return "\n\n".join([HEAD.strip(), *(sections[name] for name in order if name in sections)]) + "\n"
