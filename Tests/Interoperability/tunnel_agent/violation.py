"""What the page calls a violation: it ends the tunnel (§7)."""

from __future__ import annotations


class Violation(Exception):
    """The gateway broke the protocol."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
