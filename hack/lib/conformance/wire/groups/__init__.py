"""The table: groups of cases, in the order in which they run and are printed."""

from __future__ import annotations

from ..case import Case
from . import (
    bodies, characters, connections, fields, forwarding, heads, http2_floods, http2_frames, http2_malformed,
    http2_requests, http2_schedules, http2_sockets, http2_violations, limits, methods, origin, refusals, smuggling,
    streaming, targets, upgrades,
)

GROUPS: dict[str, list[Case]] = {
    module.TITLE: module.CASES
    for module in (
        smuggling, heads, characters, targets, methods, fields, forwarding, bodies, streaming, limits, connections,
        origin, refusals, upgrades, http2_requests, http2_sockets, http2_frames, http2_malformed, http2_violations,
        http2_floods, http2_schedules,
    )
}
