"""docs/http-conformance.md: what the cases said, counted."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Mapping, Sequence

# Defects of this project's ancestor that cases are about, by the number in their names.
DEFECTS = {
    1: "bodies in JSON, those of 10 KB and more lost", 2: "bodies cut at the limit for the head",
    3: "calls never cancelled", 4: "one slow upload stalls the tunnel", 5: "frames overtake each other",
    6: "data dropped where it does not fit", 7: "WebSockets framed anew, close codes lost",
    15: "an application's `/api/…` sent to the Kubernetes API server",
    16: "paths with `..` or `://` refused, others decoded, queries sorted",
    17: "`https` believed, TLS dialled without verification",
    18: "no `TE`, trailers or 1xx, fields named by `Connection` kept",
    19: "uploads with a length sent in chunks", 20: "any service can be dialled",
}

HEAD = """\
# HTTP conformance

Written by `hack/conformance http`, which sends raw bytes to the gateway's front door and compares what a recording
application gets behind the agent, and what the client gets back, byte for byte: both programs as processes, on the
embedded API server. The cases are in `hack/lib/conformance/wire/groups`, one module for each group; a case's name says
what holds.

What the gateway changes of a request, and nothing else:

- `Host` comes first; a target in absolute form becomes path and query, and its authority replaces `Host`.
- Fields of one connection go (RFC 9110 §7.6.1): `Connection` and what it names, `Keep-Alive`, `Proxy-Connection`,
  `Proxy-Authenticate`, `Proxy-Authorization`, `Upgrade`, `Transfer-Encoding`, and of `TE` all but `trailers`. A body in
  chunks is sent in chunks again, cut otherwise. For a switch to another protocol `Connection` and `Upgrade` are sent
  anew.
- `X-Forwarded-*`, `Forwarded` and `X-Real-IP` go, unless a trusted proxy sent them; `X-Forwarded-For`, `-Proto` and
  `-Host` are written by the gateway. What the operator or the route has removed goes too.
- So does every field whose name equals one of these, or `Content-Length`, once `_` is read as `-`, whoever sent it: an
  application that reads fields as CGI variables cannot tell `X_Forwarded_For` from `X-Forwarded-For`.
- `X-Request-Id` passes even where `Connection` names it: the request has one name from end to end.
- Trailers lose what means something only before a body.

And of an answer: fields of one connection go here too, and a body is framed as the client's version of HTTP needs it; a
`Content-Length` in a 1xx or 204 goes, because nothing follows; the reason phrase is the standard's; a client gets at
most 16 informational answers to a request, and one of HTTP/1.0 none.

Refused although some servers take it: a target with `#` or with bytes that are not UTF-8, `CONNECT`, `*` with another
method than `OPTIONS`, an absolute target of another scheme than `http` and `https` or without a `Host` field beside it,
a `Host` with bytes above ASCII, a `Content-Length` that is repeated, even with the same number.
"""


@dataclass
class GroupResult:
    title: str
    names: list[str] = field(default_factory=list)
    # By the name of the case.
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> int:
        return len(self.names) - len(self.failures)


def table(groups: Sequence[GroupResult]) -> list[str]:
    everything = GroupResult("**All**")
    for group in groups:
        everything.names += group.names
        everything.failures.update(group.failures)
    lines = ["| Group | Cases | Passed | Failed |", "|---|---|---|---|"]
    for group in [*groups, everything]:
        lines.append(f"| {group.title} | {len(group.names)} | {group.passed} | {len(group.failures)} |")
    return lines


def page(groups: Sequence[GroupResult], generated: int, differences: int) -> str:
    """The same for the same results."""
    lines = [HEAD, *table(groups), ""]
    lines.append(
        f"Beside them {generated} generated requests, valid and odd, are sent to the application straight and through "
        f"the gateway: {'none differs' if not differences else f'at least {differences} differ'} but by the changes "
        "above.")
    lines += ["", "Defects of the programs that came before this one, and the cases that show that they are gone:", ""]
    for number, names in sorted(by_defect(groups).items()):
        lines.append(f"- {number}, {DEFECTS[number]}: " + ", ".join(f"`{name}`" for name in names))
    failed = [name for group in groups for name in group.failures]
    if failed:
        lines += ["", "Cases that failed:", "", *(f"- `{name}`" for name in failed)]
    return "\n".join(lines) + "\n"


def by_defect(groups: Sequence[GroupResult]) -> Mapping[int, list[str]]:
    found: dict[int, list[str]] = {}
    for group in groups:
        for name in group.names:
            number = re.match(r"(\d+)-", name)
            if number and int(number[1]) in DEFECTS:
                found.setdefault(int(number[1]), []).append(name)
    return found
