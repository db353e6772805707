"""What the lab saw: requests, bytes and statuses per endpoint, connections, commits, tokens.

The wire counts by itself. A handler only adds ``counters.commit(hub, accepted=...)`` and calls
``counters.watch(token)`` for tokens it issues. Tokens are looked for in every header, the path, the
query and the JSON bodies; anything in an ``Authorization`` header or an ``m_session_id`` cookie is
recorded even if nobody knows it.
"""

from __future__ import annotations

import base64
import binascii
import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote


class _Endpoint:
    def __init__(self) -> None:
        self.requests = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.in_flight = 0
        self.max_in_flight = 0
        self.statuses: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()

    def to_json(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "max_in_flight": self.max_in_flight,
            "statuses": dict(self.statuses),
            "faults": dict(self.faults),
        }


class Counters:
    """Thread-safe counts; bodies only, no headers, in the byte figures."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: set[str] = set()
        self._clear()

    def _clear(self) -> None:
        self._endpoints: defaultdict[str, _Endpoint] = defaultdict(_Endpoint)
        self._connections: Counter[str] = Counter()
        self._max_connections: Counter[str] = Counter()
        self._commits: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._tokens: defaultdict[str, set[tuple[str, str, str]]] = defaultdict(set)
        self._unknown: Counter[str] = Counter()

    def reset(self) -> None:
        """Start from nothing; watched tokens stay watched."""
        with self._lock:
            self._clear()

    def watch(self, token: str) -> None:
        """Look for this value everywhere from now on."""
        with self._lock:
            self._watched.add(token)

    def connected(self, origin: str, open_now: int) -> None:
        """Count a new connection; ``open_now`` includes it."""
        with self._lock:
            self._connections[origin] += 1
            self._max_connections[origin] = max(self._max_connections[origin], open_now)

    def started(self, endpoint: str) -> None:
        """Count a request that has arrived."""
        with self._lock:
            entry = self._endpoints[endpoint]
            entry.requests += 1
            entry.in_flight += 1
            entry.max_in_flight = max(entry.max_in_flight, entry.in_flight)

    def ended(self, endpoint: str, status: str, fault: str | None) -> None:
        """Count a request's end: its status, or ``aborted``; and the fault it met."""
        with self._lock:
            entry = self._endpoints[endpoint]
            entry.in_flight -= 1
            entry.statuses[status] += 1
            if fault:
                entry.faults[fault] += 1

    def moved(self, endpoint: str, *, bytes_in: int = 0, bytes_out: int = 0) -> None:
        """Count body bytes."""
        with self._lock:
            entry = self._endpoints[endpoint]
            entry.bytes_in += bytes_in
            entry.bytes_out += bytes_out

    def commit(self, hub: str, *, accepted: bool) -> None:
        """Count a commit made or refused."""
        with self._lock:
            self._commits[hub]["made" if accepted else "refused"] += 1

    def unknown(self, request_line: str) -> None:
        """Count a request for a page the lab does not have."""
        with self._lock:
            self._unknown[request_line] += 1

    def scan_head(
        self, origin: str, endpoint: str, target: str, headers: Mapping[str, str]
    ) -> None:
        """Note each token in the path, the query and the headers."""
        path, _, query = unquote(target).partition("?")
        self._scan(origin, endpoint, "path", path)
        self._scan(origin, endpoint, "query", query)
        for name, value in headers.items():
            self._scan(origin, endpoint, name.title(), value)
            for token in _tokens_of(name.lower(), value):
                self._note(token, origin, endpoint, name.title())

    def scan_body(self, origin: str, endpoint: str, body: bytes) -> None:
        """Note each watched token in a body."""
        with self._lock:
            found = [token for token in self._watched if token.encode() in body]
        for token in found:
            self._note(token, origin, endpoint, "body")

    def snapshot(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        with self._lock:
            return {
                "endpoints": {name: e.to_json() for name, e in sorted(self._endpoints.items())},
                "connections": {
                    origin: {"distinct": count, "max_at_once": self._max_connections[origin]}
                    for origin, count in sorted(self._connections.items())
                },
                "commits": {
                    hub: {"made": c["made"], "refused": c["refused"]}
                    for hub, c in self._commits.items()
                },
                "unknown": dict(self._unknown),
                "tokens": {
                    token: [
                        {"origin": origin, "endpoint": endpoint, "where": where}
                        for origin, endpoint, where in sorted(places)
                    ]
                    for token, places in self._tokens.items()
                },
            }

    def requests(self, prefix: str = "") -> int:
        """Return how many requests went to endpoints whose names start with ``prefix``."""
        return sum(e["requests"] for e in self._matching(prefix))

    def bytes_in(self, prefix: str = "") -> int:
        """Return the body bytes received by these endpoints."""
        return sum(e["bytes_in"] for e in self._matching(prefix))

    def bytes_out(self, prefix: str = "") -> int:
        """Return the body bytes sent by these endpoints."""
        return sum(e["bytes_out"] for e in self._matching(prefix))

    def commits_made(self, hub: str) -> int:
        """Return the commits a hub accepted."""
        with self._lock:
            return self._commits[hub]["made"]

    def token_origins(self, token: str) -> set[str]:
        """Return the origins that saw ``token``."""
        with self._lock:
            return {origin for origin, _, _ in self._tokens.get(token, set())}

    def _matching(self, prefix: str) -> list[dict[str, Any]]:
        with self._lock:
            return [e.to_json() for name, e in self._endpoints.items() if name.startswith(prefix)]

    def _scan(self, origin: str, endpoint: str, where: str, text: str) -> None:
        with self._lock:
            found = [token for token in self._watched if token in text]
        for token in found:
            self._note(token, origin, endpoint, where)

    def _note(self, token: str, origin: str, endpoint: str, where: str) -> None:
        with self._lock:
            self._tokens[token].add((origin, endpoint, where))


def _tokens_of(header: str, value: str) -> list[str]:
    if header == "authorization":
        scheme, _, rest = value.partition(" ")
        if scheme.lower() == "basic":
            return [basic_password(rest)]
        return [rest or scheme]
    if header == "cookie":
        pairs = (part.strip().partition("=") for part in value.split(";"))
        return [text for name, _, text in pairs if name == "m_session_id" and text]
    return []


def basic_password(encoded: str) -> str:
    """Return the password of an HTTP Basic credential, or the text itself if it is not one."""
    try:
        return base64.b64decode(encoded).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return encoded
