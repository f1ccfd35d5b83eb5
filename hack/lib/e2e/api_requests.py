"""The requests that agents made to the API server, as their debug log tells them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable

from demo.logs import Entry, Log

MESSAGE = "Kubernetes request"
READS = {"get", "list", "watch"}


@dataclass(frozen=True)
class ApiRequest:
    """One request, in the words of RBAC. `code` is 0 where there was no answer."""

    verb: str
    group: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    code: int = 0

    @property
    def is_write(self) -> bool:
        return self.verb not in READS

    @property
    def is_for_lease(self) -> bool:
        return self.resource == "leases"

    def __str__(self) -> str:
        resource = self.resource + (f"/{self.subresource}" if self.subresource else "")
        place = "/".join(part for part in (self.namespace, self.name) if part)
        code = f" ({self.code})" if self.code else ""
        return f"{self.verb} {resource}{f'.{self.group}' if self.group else ''} {place}{code}"


def parse(entry: Entry) -> ApiRequest:
    def text(field: str) -> str:
        return str(entry[field] or "")

    return ApiRequest(
        text("verb"), text("group"), text("resource"), text("subresource"), text("namespace"), text("name"),
        int(entry["code"] or 0))


def requests_in(log: Log, after: int = 0) -> list[ApiRequest]:
    return [parse(entry) for entry in log.entries(MESSAGE, after=after)]


def writes(requests: Iterable[ApiRequest]) -> list[ApiRequest]:
    """Writes other than those of leader election, which go on for ever."""
    return [request for request in requests if request.is_write and not request.is_for_lease]
