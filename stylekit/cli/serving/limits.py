"""What the service accepts: how many requests and bytes, and from whom."""

from __future__ import annotations

import hmac
import threading
from dataclasses import dataclass

from fastapi import Request

LOCAL = ("127.0.0.1", "localhost", "::1")
"""The names of this machine that no other one reaches."""
DISCONNECTED = 499
"""The status of a request whose client has gone, as nginx logs it; nobody receives it."""


@dataclass(frozen=True)
class Limits:
    """What the service accepts.

    Attributes:
        bytes: the largest body of a request
        queue: the most requests that wait or are stylised at the same time
        seconds: the longest time of a request, with its upload and its time in the queue
        held: the most bytes that all requests may hold together
    """

    bytes: int = 50_000_000
    queue: int = 128
    seconds: float = 120.0
    held: int = 2**30


class Load:
    """The requests at the moment, and what they hold in memory.

    Args:
        limits: the most that is accepted
    """

    def __init__(self, limits: Limits) -> None:
        self.limits, self.requests, self.bytes = limits, 0, 0
        self._lock = threading.Lock()  # threads that stylise report the end of their jobs

    def enter(self) -> None:
        """Counts a request.

        Raises:
            Refused: there are too many.
        """
        with self._lock:
            if self.requests >= self.limits.queue:
                raise self._full(f"{self.requests} requests are waiting already.")
            self.requests += 1

    def add(self, size: int) -> None:
        """Counts bytes of a request's body.

        Raises:
            Refused: all requests together hold too many.
        """
        with self._lock:
            self.bytes += size
            if self.bytes > self.limits.held:
                raise self._full("The requests that are waiting hold too much memory.")

    def leave(self, size: int) -> None:
        """Forgets a request with so many bytes."""
        with self._lock:
            self.requests -= 1
            self.bytes -= size

    def _full(self, reason: str) -> Refused:
        return Refused(429, f"{reason} Try again in a moment.", **{"Retry-After": "1"})


class Refused(Exception):
    """A request that is not fulfilled: its status, and a sentence."""

    def __init__(self, status: int, sentence: str, **headers: str) -> None:
        super().__init__(sentence)
        self.status, self.headers = status, headers


def require_origin(request: Request) -> None:
    """Refuses requests that another web page sends: by its origin, or by a name that it gave to this machine."""
    host = request.headers.get("host", "")
    local = request.scope.get("server", ("",))[0] in ("127.0.0.1", "::1")
    known = {f"[{name}]" if ":" in name else name for name in LOCAL}
    if local and known.isdisjoint((host, host.rpartition(":")[0])):
        raise Refused(403, f"This service is not called {host!r}.")
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != host:
        raise Refused(403, f"Requests of {origin} are not answered.")


def require_token(request: Request, token: str) -> None:
    if not token:
        return
    given = request.headers.get("authorization", "").removeprefix("Bearer ") or request.query_params.get("token", "")
    given = given or request.cookies.get("token", "")
    if not hmac.compare_digest(given.encode(), token.encode()):
        raise Refused(
            401, "This needs the token that the service printed when it started: add ?token=... to the address."
        )


def require_length(request: Request, limits: Limits) -> None:
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > limits.bytes:
        raise too_long(limits)


def too_long(limits: Limits) -> Refused:
    return Refused(
        413, f"The request has more than the {limits.bytes / 1e6:g} MB that are accepted.", Connection="close"
    )


def too_slow(limits: Limits) -> Refused:
    return Refused(504, f"It took longer than {limits.seconds:g} seconds. Reduce the picture, or try again later.")
