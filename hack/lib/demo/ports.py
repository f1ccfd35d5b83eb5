"""Finding free TCP ports."""

from __future__ import annotations

import random
import socket
from typing import Iterable

# Below the range from which the kernel takes the ports of outgoing connections, so that none of these can land on a
# port that is briefly free while its program is being restarted.
_RANGE = range(20_000, 32_000)


def can_listen(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


class Ports:
    """Gives every port at most once in a run."""

    def __init__(self, prefer_documented: bool) -> None:
        self._prefer_documented = prefer_documented
        self._taken: set[int] = set()

    def take(self, ports: Iterable[int]) -> None:
        """Keeps ports from being given."""
        self._taken.update(ports)

    def free(self, documented: int) -> int:
        """The documented port, where that is wanted and possible; otherwise any free one."""
        candidates = [documented] if self._prefer_documented else []
        candidates += random.sample(_RANGE, 200)
        for port in candidates:
            if port not in self._taken and can_listen("127.0.0.1", port):
                self._taken.add(port)
                return port
        raise RuntimeError("no free TCP port on 127.0.0.1")


def accepts(address: str, port: int) -> bool:
    """Whether something listens there."""
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True
