"""A TCP relay that is a long way: whatever enters it leaves later, both ways, at any bandwidth."""

from __future__ import annotations

import math
import select
import socket
import threading
import time
from collections import deque
from functools import partial
from typing import Callable, Optional

from .connecting import wait

READ_BYTES = 512 * 1024
# How much may be on its way in one direction before the sender is held back: far more than any window of the tunnel's.
IN_FLIGHT_BYTES = 64 * 1024 * 1024
# How many pieces are handed to the kernel at once.
PIECES = 64
CONNECT_SECONDS = 5.0


class DelayLine:
    """What is on its way in one direction. Time is told to it."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._pieces: deque[tuple[float, memoryview]] = deque()
        # When the end of the stream comes out; nothing while it has not gone in.
        self._end: Optional[float] = None
        self.size = 0

    def enter(self, data: bytes, now: float) -> None:
        self._pieces.append((now + self._delay, memoryview(data)))
        self.size += len(data)

    def end(self, now: float) -> None:
        self._end = now + self._delay

    def due(self, now: float) -> list[memoryview]:
        """What has arrived, in order; it stays until it is `taken`."""
        pieces: list[memoryview] = []
        for when, piece in self._pieces:
            if when > now or len(pieces) == PIECES:
                break
            pieces.append(piece)
        return pieces

    def taken(self, count: int) -> None:
        """So many bytes of what had arrived have been passed on."""
        self.size -= count
        while count:
            when, piece = self._pieces[0]
            if len(piece) > count:
                self._pieces[0] = when, piece[count:]
                return
            self._pieces.popleft()
            count -= len(piece)

    @property
    def next_due(self) -> Optional[float]:
        """When something arrives next, the end included."""
        return self._pieces[0][0] if self._pieces else self._end

    def has_ended(self, now: float) -> bool:
        """Whether the end has arrived, after everything before it."""
        return not self._pieces and self._end is not None and self._end <= now


class _Direction:
    """From one socket to another."""

    def __init__(self, source: socket.socket, target: socket.socket, delay: float) -> None:
        self.source = source
        self.target = target
        self.line = DelayLine(delay)
        self._may_read = True
        # Whether the target takes nothing more for now.
        self.is_blocked = False
        # Whether the end has been passed on.
        self.is_over = False

    @property
    def wants_to_read(self) -> bool:
        return self._may_read and self.line.size < IN_FLIGHT_BYTES

    def read(self, now: float) -> bool:
        """Takes what has come; returns whether there may be more."""
        try:
            data = self.source.recv(READ_BYTES)
        except BlockingIOError:
            return False
        if data:
            self.line.enter(data, now)
            return True
        self._may_read = False
        self.line.end(now)
        return False

    def write(self, now: float) -> None:
        """Passes on what has arrived."""
        while not self.is_blocked and (pieces := self.line.due(now)):
            try:
                self.line.taken(self.target.sendmsg(pieces))
            except BlockingIOError:
                self.is_blocked = True
        if not self.is_over and self.line.has_ended(now):
            self.is_over = True
            self.target.shutdown(socket.SHUT_WR)


class _Link:
    """One connection through the relay: two sockets, and a direction each way."""

    def __init__(self, client: socket.socket, server: socket.socket, delay: float, poll: select.epoll) -> None:
        self._directions = _Direction(client, server, delay), _Direction(server, client, delay)
        self._poll = poll
        # What each socket is watched for. One that has nothing more to tell is not watched.
        self._watched = {end.fileno(): 0 for end in (client, server)}
        for descriptor in self._watched:
            poll.register(descriptor, 0)

    @property
    def descriptors(self) -> list[int]:
        return [direction.source.fileno() for direction in self._directions]

    @property
    def is_over(self) -> bool:
        return all(direction.is_over for direction in self._directions)

    @property
    def next_due(self) -> float:
        """When something has to be passed on; never, where only an event can tell."""
        due = [
            direction.line.next_due for direction in self._directions
            if not direction.is_blocked and not direction.is_over]
        return min((when for when in due if when is not None), default=math.inf)

    def handle(self, descriptor: int, events: int, now: float) -> None:
        for direction in self._directions:
            if direction.target.fileno() == descriptor and events & select.EPOLLOUT:
                direction.is_blocked = False
            if direction.source.fileno() == descriptor and events & select.EPOLLIN:
                direction.read(now)
            if direction.source.fileno() == descriptor and events & (select.EPOLLHUP | select.EPOLLERR):
                while direction.read(now):
                    pass
                # It would be told for ever.
                self._poll.unregister(descriptor)
                del self._watched[descriptor]

    def write(self, now: float) -> None:
        for direction in self._directions:
            direction.write(now)
        for direction, opposite in (self._directions, self._directions[::-1]):
            descriptor = direction.source.fileno()
            wanted = select.EPOLLIN * direction.wants_to_read | select.EPOLLOUT * opposite.is_blocked
            if self._watched.get(descriptor, wanted) != wanted:
                self._poll.modify(descriptor, wanted)
                self._watched[descriptor] = wanted

    def close(self) -> None:
        for descriptor in self._watched:
            self._poll.unregister(descriptor)
        for direction in self._directions:
            direction.source.close()


class DelayingRelay:
    """Listens on a port of 127.0.0.1 and passes bytes on, each `delay` seconds later, in a thread of its own."""

    def __init__(self, port: int, target: tuple[str, int], delay: float) -> None:
        self._target = target
        self._delay = delay
        self._listener = socket.create_server(("127.0.0.1", port))
        # Closing one tells the thread to end, which waits at the other.
        self._end, self._told = socket.socketpair()
        self._poll = select.epoll()
        for waited in (self._listener, self._told):
            self._poll.register(waited, select.EPOLLIN)
        self._links: dict[int, _Link] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends every connection and the relay."""
        self._end.close()
        self._thread.join()

    def _run(self) -> None:
        while True:
            next_due = min((link.next_due for link in self._links.values()), default=math.inf)
            seconds = None if math.isinf(next_due) else next_due - time.monotonic()
            for descriptor, events in wait(self._poll, seconds):
                if descriptor == self._told.fileno():
                    self._close_all()
                    return
                if descriptor == self._listener.fileno():
                    self._accept()
                elif descriptor in self._links:
                    link = self._links[descriptor]
                    self._attempt(link, partial(link.handle, descriptor, events))
            for link in set(self._links.values()):
                self._attempt(link, link.write)

    def _attempt(self, link: _Link, action: Callable[[float], None]) -> None:
        """Does something with a connection; one that fails or is over ends both ways."""
        try:
            action(time.monotonic())
        except OSError:
            self._remove(link)
        else:
            if link.is_over:
                self._remove(link)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(self._target, CONNECT_SECONDS)
        except OSError:
            client.close()
            return
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.setblocking(False)
        link = _Link(client, server, self._delay, self._poll)
        self._links.update({descriptor: link for descriptor in link.descriptors})

    def _remove(self, link: _Link) -> None:
        for descriptor in link.descriptors:
            del self._links[descriptor]
        link.close()

    def _close_all(self) -> None:
        for link in set(self._links.values()):
            self._remove(link)
        for waited in (self._listener, self._told, self._poll):
            waited.close()
