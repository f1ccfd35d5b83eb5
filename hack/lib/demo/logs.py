"""Reading the programs' logs: one JSON object a line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Callable, Optional

from .waiting import wait_until


@dataclass(frozen=True)
class Entry:
    """One line of a log. A line that is not JSON (a crash report) has its text as `msg` and nothing else."""

    index: int
    fields: dict[str, Any]

    @property
    def message(self) -> str:
        return str(self.fields.get("msg", ""))

    @property
    def time(self) -> datetime:
        return datetime.fromisoformat(str(self.fields["time"]).replace("Z", "+00:00"))

    def __getitem__(self, field: str) -> Any:
        return self.fields.get(field)


Where = Optional[Callable[[Entry], object]]


class Log:
    """A log file that a program is appending to, read as far as it goes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: list[Entry] = []
        self._offset = 0
        self._rest = b""

    def _read(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.strip():
                self._entries.append(Entry(len(self._entries), _parse(line)))

    def mark(self) -> int:
        """The index that the next line will have."""
        self._read()
        return len(self._entries)

    def entries(self, message: str, where: Where = None, after: int = 0) -> list[Entry]:
        self._read()
        return [
            entry for entry in self._entries[after:] if entry.message == message and (where is None or where(entry))
        ]

    def wait_for(self, message: str, seconds: float, where: Where = None, after: int = 0) -> Entry:
        what = f"log line {message!r} in {self.path.name}"
        return wait_until(what, seconds, lambda: next(iter(self.entries(message, where, after)), None))

    def control_messages(self, message_type: str, after: int = 0) -> list[tuple[Entry, dict[str, Any]]]:
        """The control messages of a type that this program sent, with their log lines."""
        found = []
        for entry in self.entries("Control message sent", after=after):
            message = json.loads(entry["message"])
            if message.get("type") == message_type:
                found.append((entry, message))
        return found

    def tail(self, lines: int) -> str:
        self._read()
        return "\n".join(json.dumps(entry.fields) for entry in self._entries[-lines:])


def _parse(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"msg": line.decode(errors="replace")}
