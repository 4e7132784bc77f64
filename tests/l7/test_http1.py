"""HTTP/1: vectors from real servers through the harness, then each rule of RFC 9112 and each attack by name."""

from __future__ import annotations

import random
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.l7.http1 import KNOWN_METHODS, Http1Decoder, Http1Settings
from receiver.l7.registry import PROTOCOLS
from receiver.wire.records import Protocol
from tests.l7.harness import (
    CLIENT_SIDE,
    TO_CLIENT,
    TO_SERVER,
    Run,
    Seen,
    Vector,
    check_vector,
    exchange,
    feed_recorded,
    load_all,
)

HTTP = next(protocol for protocol in PROTOCOLS if protocol.name == "http")
ECHOED = Http1Settings(request_headers=("x-id",), response_headers=("X-Id",))
# The servers of the vectors send back the X-Id that they got, so that each pair can be told from every other.
PAIRED = (Protocol("http", 1, "http", partial(Http1Decoder, ECHOED)),)
VECTORS = load_all("http1")

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def get(path: str, *headers: str, method: str = "GET") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: a.test", *headers, "", ""]
    return "\r\n".join(lines).encode()


def talk(*turns: tuple[int, bytes | None], run: Run | None = None) -> list[Seen]:
    run = run or Run(PROTOCOLS)
    for event in exchange(*turns):
        run.event(event)
    return run.end()


def with_settings(chosen: Http1Settings, **more: object) -> Run:
    return Run((Protocol("http", 1, "http", partial(Http1Decoder, chosen)),), **more)  # type: ignore[arg-type]


def one(request: bytes, response: bytes = OK, run: Run | None = None) -> Seen:
    seen = talk((TO_SERVER, request), (TO_CLIENT, response), run=run)
    assert len(seen) == 1
    return seen[0]


def answers(*responses: bytes, requests: bytes) -> list[tuple[str, int | None]]:
    """The outcome and status of each request, all sent before the first answer."""
    turns: list[tuple[int, bytes | None]] = [(TO_SERVER, requests)]
    turns.extend((TO_CLIENT, response) for response in responses)
    return [(seen.outcome, seen["status"]) for seen in talk(*turns)]


def errors(run: Run) -> list[str]:
    return [what for _, what in run.reading.errors]


# --- vectors ---


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_vector(vector: Vector) -> None:
    # A word that is no known method could be the rest of one, so a request with it is nothing to resume at.
    check_vector(PAIRED, vector, lambda seen: seen.request.operation != "_OTHER")


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_answer_carries_its_requests_id(vector: Vector) -> None:
    seen = feed_recorded(lambda: Run(PAIRED), vector)
    ids = [
        (dict(s.request.attributes).get("http.request.header.x-id"), dict(s.response.attributes).get("http.response.header.x-id"))
        for s in seen
        if s.response is not None
    ]
    assert all(asked == answered for asked, answered in ids if answered is not None)
    assert vector.name in ("node-connect", "node-connect-refused") or any(answered for _, answered in ids)
