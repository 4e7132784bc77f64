"""HTTP/1: vectors from real servers through the harness, then each rule of RFC 9112 and each attack by name."""

from __future__ import annotations

import random
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.config import KNOWN_METHODS
from receiver.l7.http import HttpSettings
from receiver.l7.http1 import Http1Decoder
from receiver.l7.registry import PROTOCOLS
from receiver.l7.trust import Trust
from receiver.wire.records import OUTCOMES, Protocol
from tests.l7.harness import (
    CLIENT_SIDE,
    START_NS,
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
ECHOED = HttpSettings(request_headers=("x-id",), response_headers=("X-Id",))
# The servers of the vectors send back the X-Id that they got, so that each pair can be told from every other.
PAIRED = (Protocol("http", "http", partial(Http1Decoder, ECHOED)),)
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


def with_settings(chosen: HttpSettings, **more: object) -> Run:
    return Run((Protocol("http", "http", partial(Http1Decoder, chosen)),), **more)  # type: ignore[arg-type]  # Run's own keywords


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
        (
            dict(s.request.attributes).get("http.request.header.x-id"),
            dict(s.response.attributes).get("http.response.header.x-id"),
        )
        for s in seen
        if s.response is not None
    ]
    assert all(asked == answered for asked, answered in ids if answered is not None)
    assert vector.name in ("node-connect", "node-connect-refused") or any(answered for _, answered in ids)


# --- where a message ends: RFC 9112, 6.3, in its order ---


def test_head_is_answered_without_a_body() -> None:
    requests = get("/a", method="HEAD") + get("/b")
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
    assert answers(head + OK, requests=requests) == [("ok", 200), ("ok", 200)]


def test_head_among_a_thousand_gets() -> None:
    requests = b"".join(get("/", method="HEAD" if i % 7 == 3 else "GET") for i in range(1000))
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    responses = b"".join(head if i % 7 == 3 else head + b"ok" for i in range(1000))
    assert answers(responses, requests=requests) == [("ok", 200)] * 1000


@pytest.mark.parametrize("status", [204, 304])
def test_status_without_a_body(status: int) -> None:
    bare = f"HTTP/1.1 {status} x\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    assert answers(bare + OK, requests=get("/a") + get("/b")) == [("ok", status), ("ok", 200)]


@pytest.mark.parametrize("interim", [100, 102, 103, 199])
def test_interim_response_does_not_end_the_roundtrip(interim: int) -> None:
    first = f"HTTP/1.1 {interim} x\r\nLink: </s>\r\n\r\n".encode()
    assert answers(first * 3 + OK, requests=get("/a")) == [("ok", 200)]


def test_times_are_those_of_first_and_last_bytes() -> None:
    seen = talk(
        (TO_SERVER, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"),
        (TO_SERVER, b"\r\nbo"),
        (TO_SERVER, b"dy"),
        (TO_CLIENT, b"HTTP/1.1 100 Continue\r\n\r\n"),
        (TO_CLIENT, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"),
        (TO_CLIENT, b"k"),
    )
    began = seen[0].times[0]
    assert [t - began for t in seen[0].times] == [0, 2_000_000, 4_000_000, 5_000_000]
    assert seen[0].sizes == (51, 40)


def test_chunked_with_extensions_trailers_and_several_chunks() -> None:
    body = b'1;a=b;c\r\nx\r\nA \t;q="0"\r\n0123456789\r\n000\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n'
    response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" + body
    seen = talk((TO_SERVER, get("/a") + get("/b")), (TO_CLIENT, response + OK))
    assert [s["http.response.body.size"] for s in seen] == [11, 2]
    assert seen[0].sizes[1] == len(response)


def test_transfer_encoding_in_several_lines() -> None:
    response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTRANSFER-ENCODING: Chunked\r\n\r\n0\r\n\r\n"
    assert answers(response + OK, requests=get("/a") + get("/b")) == [("ok", 200)] * 2


def test_bare_lf_ends_chunk_lines_too() -> None:
    response = b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n"
    assert answers(response + OK, requests=get("/a") + get("/b")) == [("ok", 200)] * 2


def test_body_whose_last_coding_is_not_chunked_ends_with_the_connection() -> None:
    response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 1\r\n\r\n"
    seen = talk((TO_SERVER, get("/a")), (TO_CLIENT, response), (TO_CLIENT, OK), (TO_CLIENT, None))
    assert [(s.outcome, s.sizes[1]) for s in seen] == [("ok", len(response + OK))]


def test_identity_is_no_coding() -> None:
    response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok"
    assert answers(response + OK, requests=get("/a") + get("/b")) == [("ok", 200)] * 2


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_close_delimited_body_ends_with_fin(version: str) -> None:
    head = f"HTTP/{version} 200 OK\r\n\r\n".encode()
    seen = talk((TO_SERVER, get("/a")), (TO_CLIENT, head), (TO_CLIENT, b"x" * 100), (TO_CLIENT, None))
    assert [(s.outcome, s["version"], s.sizes[1]) for s in seen] == [("ok", version, len(head) + 100)]


def test_close_delimited_body_cut_by_the_end_is_no_answer() -> None:
    seen = talk((TO_SERVER, get("/a")), (TO_CLIENT, b"HTTP/1.0 200 OK\r\n\r\nxxx"))
    assert [s.outcome for s in seen] == ["closed"]


def test_http_1_0_keep_alive_has_lengths() -> None:
    keep = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"
    requests = b"GET /a HTTP/1.0\r\n\r\nGET /b HTTP/1.0\r\n\r\n"
    assert answers(keep, keep, requests=requests) == [("ok", 200)] * 2


def test_repeated_equal_lengths_are_one() -> None:
    response = b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\nContent-Length: 02\r\n\r\nok"
    assert answers(response + OK, requests=get("/a") + get("/b")) == [("ok", 200)] * 2


def test_early_answer_pairs_before_the_request_ends() -> None:
    post = get("/up", "Content-Length: 10", method="POST")
    seen = talk(
        (TO_SERVER, post + b"01234"),
        (TO_CLIENT, b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"),
        (TO_SERVER, b"56789" + get("/next")),
        (TO_CLIENT, OK),
    )
    assert [(s["operation"], s["status"]) for s in seen] == [("POST", 413), ("GET", 200)]


def test_five_megabytes_are_skipped_and_counted() -> None:
    size = 5 << 20
    run = (
        Run(PROTOCOLS)
        .feed(TO_SERVER, get("/a"))
        .feed(TO_CLIENT, f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
    )
    piece = b"HTTP/1.1 200 no\r\n\r\n".ljust(65536, b"x")
    for _ in range(size // len(piece)):
        assert not run.seen
        run.feed(TO_CLIENT, piece)
    assert [(s["status"], s["http.response.body.size"]) for s in run.seen] == [(200, size)]


def test_gap_inside_skipped_body_keeps_sync() -> None:
    run = Run(PROTOCOLS).feed(TO_SERVER, get("/a") + get("/b"))
    run.feed(TO_CLIENT, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 100)
    run.gap(TO_CLIENT, 800).feed(TO_CLIENT, b"x" * 100 + OK)
    assert [(s.outcome, s["http.response.body.size"]) for s in run.end()] == [("ok", 1000), ("ok", 2)]


def test_gap_inside_a_chunk_keeps_sync() -> None:
    run = Run(PROTOCOLS).feed(TO_SERVER, get("/a") + get("/b"))
    run.feed(TO_CLIENT, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n0123")
    run.gap(TO_CLIENT, 10).feed(TO_CLIENT, b"ef\r\n0\r\n\r\n" + OK)
    assert [(s.outcome, s["http.response.body.size"]) for s in run.end()] == [("ok", 16), ("ok", 2)]


# --- what ends HTTP on a connection ---


def test_upgrade_ends_http_in_both_directions() -> None:
    switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
    run = Run(PROTOCOLS)
    seen = talk(
        (TO_SERVER, get("/chat", "Connection: Upgrade", "Upgrade: websocket")),
        (TO_CLIENT, switch),
        (TO_SERVER, get("/not-http")),
        (TO_CLIENT, OK),
        run=run,
    )
    assert [(s["url.path"], s["status"], s.outcome) for s in seen] == [("/chat", 101, "ok")]
    assert not run.reading.errors


def test_upgrade_insecure_requests_is_no_upgrade() -> None:
    requests = get("/a", "Upgrade-Insecure-Requests: 1", "Connection: Upgrade-Insecure-Requests") + get("/b")
    assert answers(OK + OK, requests=requests) == [("ok", 200)] * 2


def test_refused_upgrade_goes_on_as_http() -> None:
    requests = get("/a", "Connection: Upgrade", "Upgrade: h2c, websocket") + get("/b")
    assert answers(OK + OK, requests=requests) == [("ok", 200)] * 2


def test_connect_answered_with_success_is_a_tunnel() -> None:
    run = Run(PROTOCOLS)
    seen = talk(
        (TO_SERVER, b"CONNECT [2001:db8::1]:8443 HTTP/1.1\r\nHost: other\r\n\r\n"),
        (TO_SERVER, b"\x16\x03\x01 sent before the answer"),
        (TO_CLIENT, b"HTTP/1.1 200 Connected\r\nContent-Length: 7\r\n\r\n"),
        (TO_CLIENT, OK),
        (TO_SERVER, get("/inside")),
        run=run,
    )
    assert [(s["operation"], s["server_address"], s["server_port"]) for s in seen] == [("CONNECT", "2001:db8::1", 8443)]
    assert not run.reading.errors


def test_connect_refused_goes_on_as_http() -> None:
    refused = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno"
    connect = b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n"
    seen = talk((TO_SERVER, connect), (TO_CLIENT, refused), (TO_SERVER, get("/b")), (TO_CLIENT, OK))
    assert [(s["operation"], s["status"]) for s in seen] == [("CONNECT", 407), ("GET", 200)]


# --- lines ---


def test_obs_fold_continues_a_value() -> None:
    request = (
        b"POST / HTTP/1.1\r\nHost:\r\n\ta.test\r\nContent-Length:\r\n  1\r\n 0\r\nUser-Agent: one\r\n  two\r\n\r\n"
    )
    run = Run(PROTOCOLS)
    talk((TO_SERVER, request), run=run)
    assert errors(run) == ["content-length is no number"]
    assert [s["server_address"] for s in run.seen] == ["a.test"]
    request = request.replace(b"  1\r\n 0", b"  10")
    seen = talk((TO_SERVER, request + b"0123456789" + get("/b")), (TO_CLIENT, OK + OK))
    assert [s["server_address"] for s in seen] == ["a.test", "a.test"]
    assert seen[0]["user_agent.original"] == "one two"


def test_empty_lines_before_a_request_are_skipped() -> None:
    assert (
        answers(b"\r\n" + OK, b"\n" + OK, requests=b"\r\n\n\r\n" + get("/a") + b"\r\n" + get("/b")) == [("ok", 200)] * 2
    )


def test_header_names_have_any_case() -> None:
    response = b"hTTP".upper() + b"/1.1 200 OK\r\ncOnTeNt-LeNgTh:2\r\n\r\nok"
    assert answers(response + OK, requests=get("/a") + get("/b")) == [("ok", 200)] * 2


@pytest.mark.parametrize("method", KNOWN_METHODS)
def test_known_methods_have_their_names(method: str) -> None:
    target = "a.test:80" if method == "CONNECT" else "/"
    seen = one(
        f"{method} {target} HTTP/1.1\r\nHost: a.test\r\n\r\n".encode(), b"HTTP/1.1 405 no\r\nContent-Length: 0\r\n\r\n"
    )
    assert (seen["operation"], seen["http.request.method_original"]) == (method, None)


@pytest.mark.parametrize("method", ["get", "PROPFIND", "GETX", "GE", "M-SEARCH"])
def test_unknown_methods_are_other(method: str) -> None:
    seen = one(get("/", method=method))
    assert (seen["operation"], seen["http.request.method_original"]) == ("_OTHER", method)


def test_known_methods_are_a_setting() -> None:
    seen = one(get("/", method="PURGE"), run=with_settings(HttpSettings(methods=("PURGE",))))
    assert seen["operation"] == "PURGE"
    seen = one(get("/"), run=with_settings(HttpSettings(methods=("PURGE",))))
    assert (seen["operation"], seen["http.request.method_original"]) == ("_OTHER", "GET")


def test_head_is_head_even_when_not_among_the_known_methods() -> None:
    run = with_settings(HttpSettings(methods=("GET",)))
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"
    seen = talk((TO_SERVER, get("/a", method="HEAD") + get("/b")), (TO_CLIENT, head + OK), run=run)
    assert [s["operation"] for s in seen] == ["_OTHER", "GET"]


@pytest.mark.parametrize(
    ("target", "host", "address", "port", "path", "query"),
    [
        ("/a?b=c&d", "a.test", "a.test", 80, "/a", "b=c&d"),
        ("/a?", "a.test:8080", "a.test", 8080, "/a", ""),
        ("/?u=http://b.test/", "a.test", "a.test", 80, "/", "u=http://b.test/"),
        ("http://b.test/a?b", "a.test", "b.test", 80, "/a", "b"),
        ("HTTPS://user:pass@b.test:8443?b", "a.test", "b.test", 8443, "/", "b"),
        ("https://[2001:db8::1]", "a.test", "2001:db8::1", 443, "/", None),
        ("*", "[::1]:81", "::1", 81, "*", None),
        ("/a b c", " a.test\t", "a.test", 80, "/a b c", None),
        ("/", "a.test:99999", "a.test", 80, "/", None),
        ("/", "a.test:http", "a.test", 80, "/", None),
        ("/", "", None, 0, "/", None),
        ("/", "x" * 400, None, 0, "/", None),
        ("/", "b\x00c", None, 0, "/", None),
        ("/", "/", None, 0, "/", None),
        ("/", "[::1", None, 0, "/", None),
    ],
)
def test_targets_and_hosts(
    target: str, host: str, address: str | None, port: int, path: str, query: str | None
) -> None:
    seen = one(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("latin-1"))
    assert (seen["server_address"], seen.request.server_port) == (address, port)
    assert (seen["url.path"], seen["url.query"]) == (path, query)


def test_host_that_changes_is_read_again() -> None:
    requests = b"".join(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode() for host in ("a", "b", "a:80", "a"))
    seen = talk((TO_SERVER, requests), (TO_CLIENT, OK * 4))
    assert [(s["server_address"], s["server_port"]) for s in seen] == [("a", 80), ("b", 80), ("a", 80), ("a", 80)]


@pytest.mark.parametrize(
    ("status", "vantage", "outcome", "error_type"),
    [
        (399, CLIENT_SIDE, "ok", None),
        (404, CLIENT_SIDE, "error", "404"),
        (404, 0, "ok", "404"),
        (500, CLIENT_SIDE, "error", "500"),
        (599, 0, "error", "599"),
    ],
)
def test_faults_by_side(status: int, vantage: int, outcome: str, error_type: str | None) -> None:
    response = f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n".encode()
    seen = one(get("/"), response, Run(PROTOCOLS, vantage=vantage))
    assert (seen.outcome, seen["status"], seen["error_type"]) == (outcome, status, error_type)


# --- what only spans need ---


def test_metrics_alone_need_no_attributes() -> None:
    run = Run(PROTOCOLS, detail=False)
    seen = one(get("/a?b", "traceparent: 00-" + "1" * 32 + "-" + "2" * 16 + "-01", "X-Forwarded-Host: c"), run=run)
    assert seen.request.attributes == () and seen.request.trace_id is None
    assert (seen["operation"], seen["server_address"], seen["status"]) == ("GET", "a.test", 200)


def test_trace_context_is_read_in_any_case() -> None:
    seen = one(get("/", "TraceParent: 00-" + "1" * 32 + "-" + "2" * 16 + "-01 ", "TRACESTATE: a=1", "tracestate: b=2"))
    said = seen.request
    assert (said.trace_id, said.parent_id, said.trace_flags) == (b"\x11" * 16, b"\x22" * 8, 1)
    assert said.tracestate == b"a=1,b=2"


def test_trace_context_does_not_pass_on_to_the_next_request() -> None:
    requests = get("/", "traceparent: 00-" + "1" * 32 + "-" + "2" * 16 + "-01") + get("/")
    seen = talk((TO_SERVER, requests), (TO_CLIENT, OK + OK))
    assert [s.request.trace_id for s in seen] == [b"\x11" * 16, None]
    assert seen[1].request.trace_flags == -1


def test_trace_context_of_a_response_is_not_looked_at() -> None:
    response = (
        b"HTTP/1.1 200 OK\r\ntraceparent: 00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01\r\nContent-Length: 0\r\n\r\n"
    )
    seen = one(get("/"), response)
    assert seen.request.trace_id is None and seen.response is not None and seen.response.trace_id is None


def test_propagators_are_a_setting() -> None:
    run = with_settings(HttpSettings(propagators=("b3",)))
    seen = one(get("/", "b3: " + "1" * 32 + "-" + "2" * 16 + "-1"), run=run)
    assert seen.request.trace_id == b"\x11" * 16


TRUSTING = HttpSettings(trust=Trust(["192.0.2.1", "10.0.0.0/8", "fd00::/8"]))  # the harness's client is a proxy then


@pytest.mark.parametrize(
    ("headers", "client", "scheme", "server"),
    [
        (["X-Forwarded-For: 192.0.2.7, 10.0.0.1"], "192.0.2.7", None, ("a.test", 80)),
        (["x-forwarded-for: [2001:db8::7]:4711"], "2001:db8::7", None, ("a.test", 80)),
        (["X-Forwarded-For: 2001:db8::7, fd00::9"], "2001:db8::7", None, ("a.test", 80)),
        (["X-Forwarded-Proto: HTTPS", "X-Forwarded-Host: w.test"], None, "https", ("w.test", 443)),
        (["X-Forwarded-Host: w.test:8443, b.test"], None, None, ("b.test", 80)),
        (
            ['Forwarded: for="[2001:db8::7]:4711";proto=https;host="w.test:99", for=10.0.0.1;host=x'],
            "2001:db8::7",
            "https",
            ("w.test", 99),
        ),
        (["Forwarded: For=192.0.2.8; by=203.0.113.4", "X-Forwarded-For: 192.0.2.7"], "192.0.2.8", None, ("a.test", 80)),
        (['Forwarded: for="_hid;den, x";host=w.test'], None, None, ("w.test", 80)),
        (["Forwarded: for=unknown"], None, None, ("a.test", 80)),
        (["X-Forwarded-Proto: gopher", "X-Forwarded-For: "], None, None, ("a.test", 80)),
        # What the client made up stands first, what the proxies know last (RFC 7239, 8.1), in one line or in several.
        (["X-Forwarded-For: 203.0.113.1, 192.0.2.7, 10.0.0.1"], "192.0.2.7", None, ("a.test", 80)),
        (["X-Forwarded-For: 203.0.113.1", "Accept: */*", "X-Forwarded-For: 192.0.2.7"], "192.0.2.7", None, ("a.test", 80)),
        (["Forwarded: for=203.0.113.1", "Forwarded: for=192.0.2.7;proto=https"], "192.0.2.7", "https", ("a.test", 80)),
        (["X-Forwarded-For: 203.0.113.1, unknown, 10.0.0.1"], None, None, ("a.test", 80)),
        (["X-Forwarded-For: 10.0.0.9, 10.0.0.1"], "10.0.0.9", None, ("a.test", 80)),  # trusted to the end: the first is the client
        (["X-Forwarded-For: ::ffff:10.0.0.1"], "::ffff:10.0.0.1", None, ("a.test", 80)),
        (["X-Forwarded-For: 192.0.2.7, ::ffff:10.0.0.1"], "192.0.2.7", None, ("a.test", 80)),
        (["X-Forwarded-For: 192.0.2.7, 10.0.0.1", "X-Forwarded-Proto: https, http"], "192.0.2.7", "https", ("a.test", 80)),
        (["X-Forwarded-For: 192.0.2.7, 10.0.0.1", "X-Forwarded-Proto: https"], "192.0.2.7", "https", ("a.test", 80)),
        (["X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: http, https"], "192.0.2.7", "https", ("a.test", 80)),
    ],
)
def test_forwarded_facts(headers: list[str], client: str | None, scheme: str | None, server: tuple[str, int]) -> None:
    seen = one(get("/", *headers), run=with_settings(TRUSTING))
    assert (seen["client.address"], seen["url.scheme"]) == (client, scheme)
    assert (seen["server_address"], seen["server_port"]) == server


@pytest.mark.parametrize("trusted", [[], ["10.0.0.0/8"], ["192.0.2.2"], ["::/0"]])
def test_forwarded_facts_of_whom_nobody_trusts_are_none(trusted: list[str]) -> None:
    headers = ["X-Forwarded-For: 192.0.2.7", "X-Forwarded-Host: w.test", "Forwarded: for=192.0.2.8;proto=https"]
    seen = one(get("/", *headers), run=with_settings(HttpSettings(trust=Trust(trusted))))
    assert (seen["client.address"], seen["url.scheme"], seen["server_address"]) == (None, None, "a.test")


def test_list_of_proxies_without_an_end_is_not_followed() -> None:
    many = ", ".join(["192.0.2.7", *["10.0.0.1"] * 40])
    assert one(get("/", f"X-Forwarded-For: {many}"), run=with_settings(TRUSTING))["client.address"] == "10.0.0.1"
    lines = ["X-Forwarded-For: 192.0.2.7"] * 2000
    assert one(get("/", *lines), run=with_settings(TRUSTING))["client.address"] == "192.0.2.7"


def test_forwarded_facts_are_not_the_clients_own() -> None:
    seen = one(
        get("/", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Host: w.test"), run=with_settings(TRUSTING, vantage=CLIENT_SIDE)
    )
    assert (seen["client.address"], seen["server_address"]) == (None, "a.test")


def test_headers_that_are_asked_for() -> None:
    chosen = HttpSettings(request_headers=("X-Tenant", "Accept"), response_headers=("x-cache",))
    response = b"HTTP/1.1 200 OK\r\nX-CACHE: HIT\r\nX-Cache:  \xff \r\nContent-Length: 0\r\n\r\n"
    seen = one(get("/", "x-tenant: one", "Accept: a", "X-TENANT: two", "X-Other: 3"), response, with_settings(chosen))
    assert seen["http.request.header.x-tenant"] == ["one", "two"]
    assert seen["http.request.header.accept"] == ["a"]
    assert seen["http.request.header.x-other"] is None
    assert seen["http.response.header.x-cache"] == ["HIT", "\ufffd"]


@pytest.mark.parametrize("name", ["Authorization", "cookie", "Set-Cookie", "proxy-authorization"])
def test_secrets_are_never_kept(name: str) -> None:
    with pytest.raises(ValueError, match="secret"):
        HttpSettings(request_headers=(name,))
    with pytest.raises(ValueError, match="secret"):
        HttpSettings(response_headers=(name,))


# --- answers that break the rules: the status is what a client gets ---

HELLO = b"5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("lines", "body", "what"),
    [
        # The last coding is chunked, whatever stands beside it: RFC 9112, 6.3 and 7.1; RFC 9110, 5.6.1.
        (["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], HELLO, "coding after chunked"),
        (["Transfer-Encoding: chunked", "Content-Type: text/plain", "transfer-encoding:chunked"], HELLO, "coding after chunked"),
        (["Transfer-Encoding: chunked, chunked"], HELLO, "coding after chunked"),
        (["Transfer-Encoding: chunked ,\tchunked"], HELLO, "coding after chunked"),
        (["Transfer-Encoding: chunked,\r\n chunked"], HELLO, "coding after chunked"),
        (["Transfer-Encoding: chunked,"], HELLO, None),
        (["Transfer-Encoding: , chunked"], HELLO, None),
        (["Transfer-Encoding: gzip", "Transfer-Encoding: chunked, , "], HELLO, None),
        (["Content-Length: ", "Transfer-Encoding: chunked"], HELLO, "content-length is no number"),
        (["Content-Length: 1", "Content-Length: 2", "Transfer-Encoding: chunked"], HELLO, "two content-lengths"),
        (["Transfer-Encoding: chunked", "Content-Length: five"], HELLO, "content-length is no number"),
        (["Transfer-Encoding: chunked", "Content-Length: 5"], HELLO, None),
        # White space before a colon is taken away: RFC 9112, 5.1.
        (["Transfer-Encoding : chunked"], HELLO, "space before a colon"),
        (["Transfer-Encoding \t: chunked"], HELLO, "space before a colon"),
        (["Content-Length : 5"], b"hello", "space before a colon"),
        # What frames nothing is passed over.
        (["\rX: y", "Content-Length: 5"], b"hello", "CR without LF"),
        (["X: y\rContent-Length: 7", "Content-Length: 5"], b"hello", None),
        (["X: a\x00b", "\x00: c", "Content-Length: 5"], b"hello", None),
        (["no colon", ": no name", "Content-Length: 5"], b"hello", None),
        (["Content-Length: 5, 5", "Content-Length:\r\n\t5"], b"hello", None),
        (["Content-Length: 5;x", "Transfer-Encoding: chunked"], HELLO, "content-length is no number"),
    ],
)
def test_answer_with_odd_framing_is_read_as_a_client_reads_it(lines: list[str], body: bytes, what: str | None) -> None:
    answer = "\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode("latin-1") + body
    for cut in range(1, len(answer)):
        run = Run(PROTOCOLS).feed(TO_SERVER, get("/a") + get("/b"))
        run.feed(TO_CLIENT, answer[:cut]).feed(TO_CLIENT, answer[cut:] + OK)
        assert [(s["url.path"], s.outcome, s["http.response.body.size"]) for s in run.end()] == [("/a", "ok", 5), ("/b", "ok", 2)]
        assert run.reading.errors == ({("http", what): 1} if what else {})


@pytest.mark.parametrize(
    "lines",
    [
        ["Transfer-Encoding: chunked", "Transfer-Encoding: gzip"],
        ["Transfer-Encoding: chunked, gzip"],
        ["Transfer-Encoding: gzip", "Content-Length: 1"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding: chunked;x"],
        ['Transfer-Encoding: "chunked"'],
        ["Transfer-Encoding: chunked gzip"],
    ],
)
def test_answer_whose_last_coding_is_another_ends_with_the_connection(lines: list[str]) -> None:
    """RFC 9112, 6.3, 4: a client reads until the server closes."""
    head = "\r\n".join(["HTTP/1.1 404 Not Found", *lines, "", ""]).encode()
    seen = talk((TO_SERVER, get("/a")), (TO_CLIENT, head + b"xxx"), (TO_CLIENT, b"xx"), (TO_CLIENT, None))
    assert [(s["status"], s.outcome, s["http.response.body.size"]) for s in seen] == [(404, "ok", 5)]


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        (["Content-Length: 2", "Content-Length: 3"], "two content-lengths"),
        (["Content-Length: 2", "Content-Length: 3", "Content-Length: 2"], "two content-lengths"),
        (["Content-Length: 2, 3"], "content-length is no number"),
        (["Content-Length: "], "content-length is no number"),
        (["Content-Length: 2", "Content-Length:"], "content-length is no number"),
        (["Content-Length: -1"], "content-length is no number"),
        (["Content-Length: +2"], "content-length is no number"),
        (["Content-Length: 0x2"], "content-length is no number"),
        (["Content-Length: 2 2"], "content-length is no number"),
        (["Content-Length: 2.0"], "content-length is no number"),
        (["Content-Length : 2", "Content-Length: 3"], "space before a colon"),
    ],
)
@pytest.mark.parametrize("vantage", [0, CLIENT_SIDE])
def test_status_is_told_where_the_end_of_the_body_is_unknown(lines: list[str], what: str, vantage: int) -> None:
    answer = "\r\n".join(["HTTP/1.1 503 Service Unavailable", *lines, "", ""]).encode() + b"ok"
    for cut in range(1, len(answer)):
        run = Run(PROTOCOLS, vantage=vantage).feed(TO_SERVER, get("/a")).feed(TO_CLIENT, answer[:cut])
        run.feed(TO_CLIENT, answer[cut:])
        # It is told at once, and the connection goes on if it is not closed.
        assert [(s["url.path"], s["status"], s.outcome, s["http.response.body.size"]) for s in run.seen] == [
            ("/a", 503, "error", None)
        ]
        assert run.reading.errors == {("http", what): 1}
        for path in ("/b", "/c"):
            run.feed(TO_SERVER, get(path)).feed(TO_CLIENT, OK)
        assert [(s["url.path"], s.outcome) for s in run.end()][1:] == [("/b", "ok"), ("/c", "ok")]
        assert run.pairing.unmatched == 0


def test_faulty_length_does_not_matter_where_there_is_no_body() -> None:
    faulty = b"\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n"
    requests = get("/a", method="HEAD") + get("/b") + get("/c") + get("/d")
    responses = b"HTTP/1.1 200 OK" + faulty + b"HTTP/1.1 204 No" + faulty + b"HTTP/1.1 304 No" + faulty + OK
    assert answers(responses, requests=requests) == [("ok", 200), ("ok", 204), ("ok", 304), ("ok", 200)]
    interim = b"HTTP/1.1 103 Early Hints" + faulty
    assert answers(interim + OK, requests=get("/a")) == [("ok", 200)]


def test_what_was_asked_behind_an_answer_without_an_end_is_lost() -> None:
    """How many answers are passed over with its body, nobody knows; the one whose status was read is not among them."""
    broken = b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"
    run = Run(PROTOCOLS).feed(TO_SERVER, get("/a") + get("/b") + get("/c")).feed(TO_CLIENT, broken + b"xx" + OK)
    run.feed(TO_CLIENT, OK).feed(TO_SERVER, get("/d")).feed(TO_CLIENT, OK).feed(TO_SERVER, get("/e")).feed(TO_CLIENT, OK)
    assert [(s["url.path"], s.outcome) for s in run.end()] == [
        ("/a", "ok"),
        ("/b", "lost"),
        ("/c", "lost"),
        ("/d", "ok"),
        ("/e", "ok"),
    ]


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"x\r\n", "no chunk size"),
        (b"5\r\nhello\r\nzz\r\n", "no chunk size"),
        (b"0x5\r\nhello\r\n", "no chunk size"),
        (b"fffffffffffffffff\r\n", "chunk size too large"),
        (b"2\r\nhello\r\n0\r\n\r\n", "chunk longer than its size"),
        (b"5;" + b"x" * 4100 + b"\r\n", "chunk line too long"),
        (b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 20_000, "head too long"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_status_of_an_answer_whose_chunks_are_broken_is_told(body: bytes, what: str) -> None:
    head = b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n"
    run = Run(PROTOCOLS).feed(TO_SERVER, get("/a")).feed(TO_CLIENT, head)
    for at in range(0, len(body), 30_000):
        run.feed(TO_CLIENT, body[at : at + 30_000])
    # How large its body is, nobody knows.
    assert [(s["status"], s.outcome, s["http.response.body.size"]) for s in run.seen] == [(500, "error", None)]
    assert errors(run) == [what]
    run.feed(TO_SERVER, get("/b")).feed(TO_CLIENT, OK)
    assert [(s["url.path"], s.outcome) for s in run.end()] == [("/a", "error"), ("/b", "ok")]


@pytest.mark.parametrize("status", [200, 204, 404])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_status_of_an_answer_with_an_endless_head_is_told(status: int, method: str) -> None:
    run = Run(PROTOCOLS).feed(TO_SERVER, get("/a", method=method)).feed(TO_CLIENT, b"HTTP/1.1 %d x\r\n" % status)
    for _ in range(100):
        run.feed(TO_CLIENT, b"X-Header: " + b"x" * 990 + b"\r\n")
    assert [(s["status"], s.outcome) for s in run.seen] == [(status, "ok")] and errors(run) == ["head too long"]
    run.feed(TO_CLIENT, b"\r\n").feed(TO_SERVER, get("/b")).feed(TO_CLIENT, OK)
    assert [(s["url.path"], s.outcome) for s in run.end()] == [("/a", "ok"), ("/b", "ok")]


@pytest.mark.parametrize(
    ("line", "status", "version"),
    [
        (b"HTTP/1.1 200\r\n", 200, "1.1"),
        (b"HTTP/1.1 200 \r\n", 200, "1.1"),
        (b"HTTP/1.1 200\n", 200, "1.1"),
        (b"HTTP/1.1 299 \xff\x00\r\n", 299, "1.1"),
        (b"HTTP/1.1 999 x\r\n", 999, "1.1"),
        (b"HTTP/1.1  200 OK\r\n", 200, None),
        (b"HTTP/1.1 200OK\r\n", 200, None),
        (b"HTTP/2 200\r\n", 200, None),
        (b"HTTP/2.0 404 Not Found\r\n", 404, None),
        (b"HTTP/1 200 OK\r\n", 200, None),
        (b"HTTP/1.1 200\tOK\r\n", 200, None),
    ],
)
def test_status_lines_that_say_a_status(line: bytes, status: int, version: str | None) -> None:
    answer = line + b"Content-Length: 2\r\n\r\nok"
    for cut in range(1, len(answer)):
        run = Run(PROTOCOLS).feed(TO_SERVER, get("/a") + get("/b"))
        run.feed(TO_CLIENT, answer[:cut]).feed(TO_CLIENT, answer[cut:] + OK)
        seen = run.end()
        assert [(s["status"], s["http.response.body.size"]) for s in seen] == [(status, 2), (200, 2)]
        assert seen[0].response is not None and seen[0].response.version == version
        assert errors(run) == ([] if version else ["no status line"])


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 99 Low\r\n\r\n",
        b"HTTP/1.1 2000 High\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/x.y 200 OK\r\n\r\n",
        b"http/1.1 200 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"<html>as of HTTP/0.9</html>",
        b"\x15\x03\x01\x00\x02\x02\x46",
    ],
)
def test_answer_without_a_status_that_can_be_read_is_unknown(answer: bytes) -> None:
    for cut in range(1, len(answer)):
        run = Run(PROTOCOLS).feed(TO_SERVER, get("/first")).feed(TO_CLIENT, OK).feed(TO_SERVER, get("/a"))
        run.feed(TO_CLIENT, answer[:cut]).feed(TO_CLIENT, answer[cut:])
        run.feed(TO_SERVER, get("/b")).feed(TO_CLIENT, OK)
        assert [(s["url.path"], s["status"], s.outcome) for s in run.end()] == [
            ("/first", 200, "ok"),
            ("/a", None, "unknown"),
            ("/b", 200, "ok"),
        ]
        assert run.reading.errors == {("http", "no status line"): 1} and run.pairing.unmatched == 0


def test_bytes_that_nobody_asked_for_are_no_answer() -> None:
    """A body behind the answer to HEAD."""
    run = Run(PROTOCOLS).feed(TO_SERVER, get("/a", method="HEAD")).feed(TO_CLIENT, OK)
    run.feed(TO_SERVER, get("/b")).feed(TO_CLIENT, OK)
    assert [(s["url.path"], s.outcome) for s in run.end()] == [("/a", "ok"), ("/b", "ok")]
    assert errors(run) == ["no status line"] and run.pairing.unmatched == 0


# --- a request that is answered before it has ended ---


@pytest.mark.parametrize(
    ("request_head", "told"),
    [
        (b"GET /a?b HTTP/1.1\r\nHost: a.test\r\nX: y", ("GET", "/a", "a.test")),
        (b"POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n", ("POST", "/a", "a.test")),
        (b"HEAD /a HTTP/1.1\r\n", ("HEAD", "/a", None)),
        (b"GET /a", ("GET", "/a", None)),
        (b"GET /a\r\n", ("GET", "/a", None)),
        (b"GET /a HTTP/1.1", ("GET", "/a", None)),
    ],
)
@pytest.mark.parametrize("first", [False, True])
def test_answer_to_a_head_that_has_not_ended(request_head: bytes, told: tuple[str, str, str | None], first: bool) -> None:
    """408, 431, 414, 400: the server does not wait for the rest."""
    run = Run(PROTOCOLS)
    if not first:
        run.feed(TO_SERVER, get("/first")).feed(TO_CLIENT, OK)
    run.feed(TO_SERVER, request_head)
    answer = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    run.feed(TO_CLIENT, answer[:20]).feed(TO_CLIENT, answer[20:])
    seen = run.seen[0 if first else 1]
    assert (seen["operation"], seen["url.path"], seen["server_address"], seen["status"]) == (*told, 408)
    assert seen.sizes == (len(request_head), len(answer))
    run.feed(TO_SERVER, b"and the rest of the head\r\n\r\n").feed(TO_SERVER, get("/b")).feed(TO_CLIENT, OK)
    assert [s["url.path"] for s in run.end()][-1] == "/b" and run.pairing.unmatched == 0


def test_answer_to_the_request_before_takes_nothing_of_the_next() -> None:
    """The head of /b is on its way while /a is answered: nothing of it is told before it has ended."""
    run = Run(PROTOCOLS).feed(TO_SERVER, get("/a") + get("/b", "X-Id: 1")[:20]).feed(TO_CLIENT, OK)
    run.feed(TO_SERVER, get("/b", "X-Id: 1")[20:]).feed(TO_CLIENT, OK)
    seen = run.end()
    assert [(s["url.path"], s.sizes[0]) for s in seen] == [("/a", len(get("/a"))), ("/b", len(get("/b", "X-Id: 1")))]


def test_interim_answer_does_not_end_a_head() -> None:
    request = get("/a")
    run = Run(PROTOCOLS).feed(TO_SERVER, request[:30]).feed(TO_CLIENT, b"HTTP/1.1 103 Early Hints\r\n\r\n")
    run.feed(TO_SERVER, request[30:]).feed(TO_CLIENT, OK)
    assert [(s["url.path"], s.sizes[0]) for s in run.end()] == [("/a", len(request))]


# --- a final answer in place of 100: RFC 9110, 10.1.1 ---

REFUSALS = [
    b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nnope",
    b"HTTP/1.1 413 Too Large\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nnope\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
]


def put(path: str, size: int | None, *headers: str) -> bytes:
    framing = "Transfer-Encoding: chunked" if size is None else f"Content-Length: {size}"
    return get(path, framing, "Expect: 100-continue", *headers, method="PUT")


def cuts(payload: bytes) -> list[list[bytes]]:
    """The payload in one piece, in two at every place, and byte by byte."""
    every = [[payload[:at], payload[at:]] for at in range(1, len(payload))]
    return [[payload], *every, [payload[i : i + 1] for i in range(len(payload))]]


def test_answer_in_pieces_behind_one_to_a_request_that_was_cut() -> None:
    """Whether the first answer has a body is as unknown as its request; the next is looked for in whatever piece it comes."""
    for pieces in cuts(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"):
        run = Run(PROTOCOLS).feed(TO_SERVER, get("/")).feed(TO_CLIENT, OK).feed(TO_SERVER, b"GET /trai").gap(TO_SERVER, 80)
        run.feed(TO_CLIENT, OK).feed(TO_SERVER, get("/hints"))
        for piece in pieces:
            run.feed(TO_CLIENT, piece)
        run.feed(TO_CLIENT, OK).feed(TO_SERVER, get("/last")).feed(TO_CLIENT, OK)
        assert [(one["url.path"], one.outcome) for one in run.end() if one["url.path"]] == [
            ("/", "ok"), ("/hints", "ok"), ("/last", "ok")
        ], pieces  # fmt: skip


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("size", [None, 1, 5, 15, 200_000])
@pytest.mark.parametrize("after", ["GET", "PUT", "PROPFIND", "DELETE"])
def test_request_after_a_refusal_is_no_body(refusal: bytes, size: int | None, after: str) -> None:
    for pieces in cuts(get("/next", method=after)):
        run = Run(PROTOCOLS).feed(TO_SERVER, put("/up", size)).feed(TO_CLIENT, refusal)
        for piece in pieces:
            run.feed(TO_SERVER, piece)
        run.feed(TO_CLIENT, OK).feed(TO_SERVER, get("/last")).feed(TO_CLIENT, OK)
        seen = run.end()
        assert [(s["url.path"], s["http.request.body.size"]) for s in seen] == [("/up", None), ("/next", None), ("/last", None)]
        assert run.pairing.unmatched == 0 and not run.reading.errors


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize(
    "body",
    [
        b"z" * 40,
        b"GET",
        b"GET /milk",
        b"POST your opinion to the town",
        b"GET /milk and a bread\r\nHo",
        b"GET /fake HTTP/1.1\r\nHost: fake.test\r\n\r\n",
        b"GET /fake HTTP/1.1\r\nHost: fake.test\r\n\r\nabcdef",
        b"GET /" + b"x" * 8995,
        b"\r\n\r\n\r",
        b"\x00\xff\x00\xff\x00\xff",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"DE\r\n" + b"x" * 0xDE + b"\r\n0\r\n\r\n",
        b"d\r\nGET / HTTP/1.\r\n0\r\n\r\n",
    ],
    ids=lambda value: repr(value)[:30],
)
def test_body_that_comes_after_a_refusal_is_no_request(refusal: bytes, body: bytes) -> None:
    size = None if body.endswith(b"\r\n0\r\n\r\n") else len(body)
    for following in (b"", get("/next")):
        run = Run(PROTOCOLS).feed(TO_SERVER, put("/up", size)).feed(TO_CLIENT, refusal)
        run.feed(TO_SERVER, body + following)
        if not following:
            run.feed(TO_SERVER, get("/next"))
        run.feed(TO_CLIENT, OK)
        seen = run.end()
        assert [(s["operation"], s["url.path"]) for s in seen] == [("PUT", "/up"), ("GET", "/next")]
        assert run.pairing.unmatched == 0 and not run.reading.errors


@pytest.mark.parametrize("interim", [b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" * 2])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    ("size", "body"),
    [(1, b"x"), (44, b"GET /fake HTTP/1.1\r\nHost: fake.test\r\n\r\nabcde"), (None, HELLO), (5, b"hello")],
)
def test_body_that_is_expected_is_read(interim: bytes, late: bool, size: int | None, body: bytes) -> None:
    """Sent after 100, or without waiting for it; 100 may come while it is on its way (`late`)."""
    for pieces in cuts(body):
        run = Run(PROTOCOLS).feed(TO_SERVER, get("/before") + put("/up", size)).feed(TO_CLIENT, OK)
        for i, piece in enumerate(pieces):
            if interim and i == (len(pieces) - 1 if late else 0):
                run.feed(TO_CLIENT, interim)
            run.feed(TO_SERVER, piece)
        run.feed(TO_CLIENT, OK).feed(TO_SERVER, get("/next")).feed(TO_CLIENT, OK)
        sent = 5 if size is None else size
        assert [(s["url.path"], s["http.request.body.size"]) for s in run.end()] == [
            ("/before", None),
            ("/up", sent),
            ("/next", None),
        ]
        assert run.pairing.unmatched == 0 and not run.reading.errors


def test_body_that_follows_100_is_a_body_though_the_final_answer_came_first() -> None:
    body = b"GET /fake HTTP/1.1\r\nHost: a\r\n\r\n"
    run = Run(PROTOCOLS).feed(TO_SERVER, put("/up", len(body) + 10))
    run.feed(TO_CLIENT, b"HTTP/1.1 100 Continue\r\n\r\n" + REFUSALS[1]).feed(TO_SERVER, body).feed(TO_SERVER, b"x" * 10)
    run.feed(TO_SERVER, get("/next")).feed(TO_CLIENT, OK)
    assert [s["url.path"] for s in run.end()] == ["/up", "/next"]


def test_refusal_of_a_pipelined_upload() -> None:
    """The answer to /a is not the one that /up waits for."""
    run = Run(PROTOCOLS).feed(TO_SERVER, get("/a") + put("/up", 500)).feed(TO_CLIENT, OK)
    run.feed(TO_CLIENT, REFUSALS[0]).feed(TO_SERVER, get("/b") + put("/up", 3)).feed(TO_CLIENT, OK)
    run.feed(TO_CLIENT, b"HTTP/1.1 100 Continue\r\n\r\n").feed(TO_SERVER, b"abc" + get("/c")).feed(TO_CLIENT, OK + OK)
    assert [(s["url.path"], s["status"], s["http.request.body.size"]) for s in run.end()] == [
        ("/a", 200, None),
        ("/up", 417, None),
        ("/b", 200, None),
        ("/up", 200, 3),
        ("/c", 200, None),
    ]


def test_expect_of_a_request_without_a_body_changes_nothing() -> None:
    requests = get("/a", "Expect: 100-continue") + get("/b", "Expect: 100-continue", "Content-Length: 0", method="POST")
    assert answers(OK + OK + OK, requests=requests + get("/c")) == [("ok", 200)] * 3


def test_upload_that_is_broken_off_without_expectation() -> None:
    """413 with `Connection: close` while the body is on its way: what came is told, not what was announced."""
    for framing, sent in (("Content-Length: 100000", b"x" * 700), ("Transfer-Encoding: chunked", b"2bc\r\n" + b"x" * 700)):
        run = Run(PROTOCOLS).feed(TO_SERVER, get("/up", framing, method="POST")).feed(TO_SERVER, sent[:300])
        run.feed(TO_SERVER, sent[300:])
        run.feed(TO_CLIENT, b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        run.feed(TO_SERVER, b"x" * 100)
        head = len(get("/up", framing, method="POST"))
        (seen,) = run.end()
        assert (seen["status"], seen["http.request.body.size"], seen.sizes[0]) == (413, 700, head + len(sent))


# --- sizes of bodies are what came ---


@pytest.mark.parametrize("outcome", ["closed", "reset"])
@pytest.mark.parametrize(
    ("framing", "sent", "size"),
    [
        ("Content-Length: 1000000", b"x" * 70, 70),
        ("Content-Length: 1000000", b"", 0),
        ("Content-Length: 18446744073709551615", b"x" * 70, 70),
        ("Transfer-Encoding: chunked", b"10\r\n" + b"x" * 16 + b"\r\nfff\r\n" + b"x" * 54, 70),
        ("Connection: close", b"x" * 70, 70),
    ],
)
def test_body_that_is_broken_off_has_the_size_that_came(outcome: str, framing: str, sent: bytes, size: int) -> None:
    head = f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode()
    for pieces in cuts(sent or b" ")[:: 1 if sent else 99]:
        run = Run(PROTOCOLS).feed(TO_SERVER, get("/a")).feed(TO_CLIENT, head)
        for piece in pieces if sent else ():
            run.feed(TO_CLIENT, piece)
        (seen,) = run.end(OUTCOMES.index(outcome))
        assert (seen.outcome, seen["status"], seen["http.response.body.size"]) == (outcome, 200, size)
        assert seen.sizes[1] == len(head) + len(sent)


@pytest.mark.parametrize("framing", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
def test_request_body_that_is_broken_off_has_the_size_that_came(framing: str) -> None:
    sent = b"x" * 70 if "Length" in framing else b"fff\r\n" + b"x" * 70
    run = Run(PROTOCOLS).feed(TO_SERVER, get("/a", framing, method="POST") + sent[:30]).feed(TO_SERVER, sent[30:])
    (seen,) = run.end()
    assert (seen.outcome, seen["http.request.body.size"]) == ("closed", 70)


def test_size_of_a_body_with_a_hole_is_unknown() -> None:
    """A hole that the chunks around it cannot measure. One inside a body of known size takes nothing from it."""
    run = Run(PROTOCOLS).feed(TO_SERVER, get("/a", "Transfer-Encoding: chunked", method="POST") + b"3\r\nabc\r\n")
    run.gap(TO_SERVER, 20).feed(TO_SERVER, b"0\r\n\r\n")
    run.feed(TO_CLIENT, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").gap(TO_CLIENT, 20)
    (seen,) = run.end()
    assert (seen["http.request.body.size"], seen["http.response.body.size"]) == (None, None)

# --- joined late, and after holes ---


def test_joined_between_request_and_answer() -> None:
    """The answer may be to a HEAD: nothing is believed of it, and the next exchange is read."""
    run = Run(PROTOCOLS, from_start=False)
    seen = talk(
        (TO_CLIENT, b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"),
        (TO_SERVER, get("/b")),
        (TO_CLIENT, OK),
        run=run,
    )
    assert [(s["url.path"], s["status"], s.outcome) for s in seen] == [("/b", 200, "ok")]
    assert run.pairing.unmatched == 1


def test_joined_inside_a_body() -> None:
    run = Run(PROTOCOLS, from_start=False)
    seen = talk((TO_CLIENT, b"x" * 500), (TO_CLIENT, b"y" * 500), (TO_SERVER, get("/b")), (TO_CLIENT, OK), run=run)
    assert [(s["url.path"], s.outcome) for s in seen] == [("/b", "ok")]


def test_server_that_speaks_first_in_the_capture_is_the_server() -> None:
    run = Run(PROTOCOLS, from_start=False)
    # What the flow took for the client's direction carries responses.
    talk((TO_SERVER, OK), (TO_CLIENT, get("/a")), (TO_SERVER, OK), run=run)
    assert run.connection.swapped
    assert [(s["url.path"], s["status"]) for s in run.seen] == [("/a", 200)]


def test_request_lost_in_a_hole_may_have_been_a_head() -> None:
    run = Run(PROTOCOLS)
    run.feed(TO_SERVER, get("/a")).feed(TO_CLIENT, OK)
    run.gap(TO_SERVER, 100)
    run.feed(TO_CLIENT, b"HTTP/1.1 200 OK\r\nContent-Length: 70\r\n\r\n")
    run.feed(TO_SERVER, get("/c")).feed(TO_CLIENT, OK)
    assert [(s["url.path"], s.outcome) for s in run.end()] == [("/a", "ok"), ("/c", "ok")]


def test_pipeline_with_a_lost_head_gives_no_wrong_pair() -> None:
    """HEAD /b is lost: its answer's length must not eat the answer to /c, and /c is not paired with it."""
    run = Run(PAIRED)
    run.feed(TO_SERVER, get("/a", "X-Id: a")).gap(TO_SERVER, 100).feed(TO_SERVER, get("/c", "X-Id: c"))
    to_head = b"HTTP/1.1 200 OK\r\nX-Id: b\r\nContent-Length: 55\r\n\r\n"
    run.feed(TO_CLIENT, OK.replace(b"\r\n\r\n", b"\r\nX-Id: a\r\n\r\n"))
    run.feed(TO_CLIENT, to_head)
    run.feed(TO_CLIENT, OK.replace(b"\r\n\r\n", b"\r\nX-Id: c\r\n\r\n"))
    seen = run.end()
    assert [(s["url.path"], s.paired) for s in seen] == [("/a", True), ("/c", False)]


def test_answers_passed_over_with_a_doubtful_one_leave_no_wrong_pair() -> None:
    """/b is lost; the answers to /b, /c and /d come in one piece, of which only the first is seen."""
    run = Run(PROTOCOLS).feed(TO_SERVER, get("/a")).gap(TO_SERVER, 100).feed(TO_SERVER, get("/c") + get("/d"))
    run.feed(TO_CLIENT, OK).feed(TO_CLIENT, OK * 3)
    # After that the next batch is read whole: everything known is answered, and given up.
    run.feed(TO_SERVER, get("/e") + get("/f")).feed(TO_CLIENT, OK * 2)
    run.feed(TO_SERVER, get("/g")).feed(TO_CLIENT, OK)
    seen = [(s["url.path"], s.outcome) for s in run.end()]
    assert [one for one in seen if one[1] == "ok"] == [("/a", "ok"), ("/e", "ok"), ("/f", "ok"), ("/g", "ok")]
    assert [one for one in seen if one[1] != "ok"] == [("/c", "lost"), ("/d", "lost")]


def test_lost_head_among_overlapping_requests_eats_no_answer() -> None:
    """The client keeps one request more on its way than it has answers, so no moment shows that all is answered."""
    run = Run(PROTOCOLS).feed(TO_SERVER, get("/a") + get("/b")).feed(TO_CLIENT, OK).feed(TO_SERVER, get("/c"))
    run.feed(TO_CLIENT, OK).gap(TO_SERVER, 100).feed(TO_CLIENT, OK).feed(TO_SERVER, get("/e"))
    run.feed(TO_CLIENT, b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n")  # to HEAD /d
    for path in "fghijk":
        run.feed(TO_SERVER, get("/" + path)).feed(TO_CLIENT, OK)
    run.ts_ns += 2_000_000_000
    run.feed(TO_CLIENT, OK).feed(TO_SERVER, get("/l")).feed(TO_CLIENT, OK)
    run.ts_ns += 2_000_000_000
    run.feed(TO_SERVER, get("/m")).feed(TO_CLIENT, OK)
    seen = [s["url.path"] for s in run.end() if s.paired]
    assert seen[:3] == ["/a", "/b", "/c"] and seen[-1] == "/m"
    assert not set(seen) & {"/e", "/f", "/g", "/h", "/i", "/j", "/k"}
    assert not run.reading.errors


def test_response_head_lost_gives_up_its_request_alone() -> None:
    run = Run(PROTOCOLS).feed(TO_SERVER, get("/a")).feed(TO_CLIENT, OK).feed(TO_SERVER, get("/b"))
    run.gap(TO_CLIENT, 60).feed(TO_CLIENT, b"the rest of a body")
    run.feed(TO_SERVER, get("/c")).feed(TO_CLIENT, OK)
    assert [(s["url.path"], s.outcome) for s in run.end()] == [("/a", "ok"), ("/b", "lost"), ("/c", "ok")]


def test_answer_behind_a_hole_may_come_in_pieces() -> None:
    run = Run(PROTOCOLS).feed(TO_SERVER, get("/a")).feed(TO_CLIENT, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    run.gap(TO_CLIENT, 24)
    run.feed(TO_SERVER, get("/a"))
    for piece in (b"HTTP", b"/1.1 20", b"0 OK\r\nContent-Length: 0\r\n\r\n"):
        run.feed(TO_CLIENT, piece)
    run.feed(TO_SERVER, get("/a")).feed(TO_CLIENT, b"HTTP/1.1 204 No Content\r\n\r\n")
    assert [(one.outcome, one["status"]) for one in run.end()] == [("lost", 200), ("ok", 200), ("ok", 204)]


def test_hole_of_unknown_size_inside_a_body_is_a_loss() -> None:
    run = Run(PROTOCOLS).feed(TO_SERVER, get("/a"))
    run.feed(TO_CLIENT, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx").gap(TO_CLIENT, 0)
    run.feed(TO_CLIENT, b"x" * 500).feed(TO_SERVER, get("/b")).feed(TO_CLIENT, OK)
    assert ("/b", "ok") in [(s["url.path"], s.outcome) for s in run.end()]


# --- what is not HTTP ---


@pytest.mark.parametrize(
    "start",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"*1\r\n$4\r\nPING\r\n",
        b"GET key\r\n",
        b"SET a /b HTTP/9\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"OPTIONS rtsp://a.test RTSP/1.0\r\n",
        b"INVITE sip:a@b.test SIP/2.0\r\n",
        b"GET /\r\n",
        b"AMQP\x00\x00\x09\x01",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HELO a.test\r\n",
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
        b"USER a b HTTP/1.\r\n",
    ],
)
def test_look_alikes_are_not_taken(start: bytes) -> None:
    run = Run((HTTP,))
    run.feed(TO_SERVER, start).feed(TO_CLIENT, b"220 hello\r\n").feed(TO_SERVER, start)
    assert run.end() == [] and not run.reading.detected


@pytest.mark.parametrize("start", [b"G", b"GET", b"GET /", b"GET /x HTTP/1.1", b"GET /x HTTP/1.1\r", b"\r\n", b"HTTP"])
def test_what_could_still_be_http_waits(start: bytes) -> None:
    run = Run((HTTP,)).feed(TO_CLIENT if start == b"HTTP" else TO_SERVER, start)
    assert run.conversation.state == "detecting" and not run.reading.detected


def test_long_request_line_is_taken_before_its_end() -> None:
    path = "/" + "x" * 20_000
    run = Run((HTTP,))
    request = get(path)
    run.feed(TO_SERVER, request[:9000]).feed(TO_SERVER, request[9000:]).feed(TO_CLIENT, OK)
    assert [s["url.path"] for s in run.end()] == [path]


# --- attacks ---


BAD = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nbad"


def refused(request: bytes) -> tuple[str, str, str | None]:
    """What is told of a request that the server answers with 400, and which rule it breaks."""
    told: list[tuple[str, str, str | None]] = []
    for cut in {0, len(request) // 2, len(request) - 1}:
        run = Run(PROTOCOLS).feed(TO_SERVER, get("/first")).feed(TO_CLIENT, OK)
        run.feed(TO_SERVER, request[:cut]) if cut else None
        run.feed(TO_SERVER, request[cut:]).feed(TO_SERVER, b"what follows is no request").feed(TO_CLIENT, BAD)
        # The connection goes on.
        run.feed(TO_SERVER, get("/after")).feed(TO_CLIENT, OK)
        seen = run.end()
        assert [s["status"] for s in seen] == [200, 400, 200] and run.pairing.unmatched == 0
        assert (seen[0]["url.path"], seen[2]["url.path"]) == ("/first", "/after")
        (what,) = errors(run)
        assert run.reading.errors == {("http", what): 1}
        told.append((what, seen[1]["operation"], seen[1]["url.path"]))
    assert len(set(told)) == 1
    return told[0]


def test_smuggling_cl_te_follows_transfer_encoding() -> None:
    """RFC 9112, 6.3: Transfer-Encoding overrides Content-Length."""
    smuggled = get("/smuggled")
    chunked = get("/a", f"Content-Length: {len(smuggled) + 5}", "Transfer-Encoding: chunked", method="POST")
    seen = talk((TO_SERVER, chunked + b"0\r\n\r\n" + smuggled), (TO_CLIENT, OK + OK))
    assert [s["url.path"] for s in seen] == ["/a", "/smuggled"]


def test_smuggling_te_cl_follows_transfer_encoding() -> None:
    inner = get("/smuggled")
    body = f"{len(inner):x}\r\n".encode() + inner + b"\r\n0\r\n\r\n"
    seen = talk(
        (TO_SERVER, get("/a", "Transfer-Encoding: chunked", "Content-Length: 4", method="POST") + body + get("/b")),
        (TO_CLIENT, OK + OK),
    )
    assert [s["url.path"] for s in seen] == ["/a", "/b"]


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        (["Content-Length: 5", "Content-Length: 6"], "two content-lengths"),
        (["Content-Length: 5, 6"], "content-length is no number"),
        (["Content-Length: -1"], "content-length is no number"),
        (["Content-Length: +5"], "content-length is no number"),
        (["Content-Length: 0x10"], "content-length is no number"),
        (["Content-Length: 5 5"], "content-length is no number"),
        (["Content-Length:"], "content-length is no number"),
        (["Content-Length : 5"], "space before a colon"),
        (["Transfer-Encoding : chunked"], "space before a colon"),
        (["Transfer-Encoding\t: chunked"], "space before a colon"),
        (["Transfer-Encoding: chunked", "Transfer-Encoding: gzip"], "coding after chunked"),
        (["Transfer-Encoding: xchunked"], "request body of unknown length"),
        (["Transfer-Encoding: \x0bchunked"], "request body of unknown length"),
        (["Transfer-Encoding: chunked;x"], "request body of unknown length"),
        (["Transfer-Encoding: chunked, identity"], "request body of unknown length"),
    ],
)
def test_request_that_nobody_can_frame_is_told_with_its_refusal(lines: list[str], what: str) -> None:
    assert refused(get("/a", *lines, method="POST")) == (what, "POST", "/a")


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        (["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], "coding after chunked"),
        (["Transfer-Encoding: chunked, chunked"], "coding after chunked"),
        (["Content-Length: 5", "Content-Length: 6", "Transfer-Encoding: chunked"], "two content-lengths"),
        (["Transfer-Encoding: chunked", "Content-Length: "], "content-length is no number"),
    ],
)
def test_transfer_encoding_overrides_what_is_wrong_beside_it(lines: list[str], what: str) -> None:
    """RFC 9112, 6.3: whoever reads on, reads chunks."""
    run = Run(PROTOCOLS).feed(TO_SERVER, get("/a", *lines, method="POST") + b"5\r\nhello\r\n0\r\n\r\n" + get("/b"))
    run.feed(TO_CLIENT, BAD + OK)
    assert [(s["url.path"], s["status"], s["http.request.body.size"]) for s in run.end()] == [
        ("/a", 400, 5),
        ("/b", 200, None),
    ]
    assert errors(run) == [what]


@pytest.mark.parametrize(
    ("request_head", "told"),
    [
        (b"GET /a HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n", ("CR without LF", "GET", "/a")),
        (b" /a HTTP/1.1\r\n\r\n", ("no method", "_OTHER", "/a")),
        (b"G(T) /a HTTP/1.1\r\n\r\n", ("no method", "_OTHER", "/a")),
        (b"A" * 65 + b" /a HTTP/1.1\r\n\r\n", ("no method", "_OTHER", "/a")),
        (b"GET /a\r\n\r\n", ("no version", "GET", "/a")),
        (b"GET /a?b c\r\n\r\n", ("no version", "GET", "/a")),
        (b"GET /a HTTP/2.0\r\nHost: a\r\n\r\n", ("no version", "GET", "/a")),
        (b"POST /a HTTP/9.9\r\nContent-Length: 3\r\n\r\n", ("no version", "POST", "/a")),
        (b"GET  HTTP/1.1\r\n\r\n", ("no version", "GET", None)),
        (b"GET /a HTTP/1.x\r\n\r\n", ("no version", "GET", "/a")),
        (b"GET /a HTTP/1.1 \r\n\r\n", ("no version", "GET", "/a")),
        (b"GET /a http/1.1\r\n\r\n", ("no version", "GET", "/a")),
        (b"GET http://b.test/a HTTP/3\r\n\r\n", ("no version", "GET", "/a")),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.10\r\n\r\n", ("no version", "GET", "/" + "x" * 20_000)),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_broken_request_line_is_told_with_its_refusal(request_head: bytes, told: tuple[str, str, str]) -> None:
    assert refused(request_head) == told


@pytest.mark.parametrize("junk", [b"\x00\x00\x00\x00\r\n", b"{the rest of a body, " + b"x" * 2000 + b" HTTP/1.1\r\n"])
def test_bytes_that_are_no_request_are_a_hole(junk: bytes) -> None:
    run = Run(PROTOCOLS).feed(TO_SERVER, get("/first")).feed(TO_CLIENT, OK).feed(TO_SERVER, junk)
    assert run.pairing.requests == 1 and errors(run) == ["no method"]
    run.feed(TO_SERVER, get("/after")).feed(TO_CLIENT, OK)
    assert [s["url.path"] for s in run.end()] == ["/first", "/after"]


def test_cr_alone_before_a_request_is_skipped() -> None:
    """As nginx and Node.js do."""
    assert answers(OK + OK, requests=b"\r" + get("/a") + b"\r\r\n" + get("/b")) == [("ok", 200)] * 2


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"\r\n", "no chunk size"),
        (b"x\r\n", "no chunk size"),
        (b"-1\r\n", "no chunk size"),
        (b"0x5\r\n", "no chunk size"),
        (b"5\rx\n", "no chunk size"),
        (b"fffffffffffffffff\r\n", "chunk size too large"),
        (b"1\r\nab\r\n", "chunk longer than its size"),
        (b"1\r\na\rb", "chunk longer than its size"),
        (b"5;" + b"x" * 4100, "chunk line too long"),
        (b"5;" + b"x" * 4100 + b"\r\n", "chunk line too long"),
    ],
)
def test_broken_chunks(body: bytes, what: str) -> None:
    run = Run(PROTOCOLS).feed(TO_SERVER, get("/a", "Transfer-Encoding: chunked", method="POST") + body)
    assert errors(run) == [what]
    run.feed(TO_CLIENT, OK)
    run.feed(TO_SERVER, get("/b")).feed(TO_CLIENT, OK)
    assert ("/b", "ok") in [(s["url.path"], s.outcome) for s in run.end()]


@pytest.mark.parametrize("length", ["18446744073709551615", "18446744073709551616", "9" * 400])
def test_huge_length_overflows_nothing(length: str) -> None:
    """As RFC 9112 reads it, all that follows is body; a size that never came is not counted."""
    run = Run(PROTOCOLS)
    run.feed(TO_SERVER, get("/a", f"Content-Length: {length}", method="POST") + get("/smuggled"))
    run.feed(TO_CLIENT, OK)
    seen = run.end()
    came = len(get("/smuggled"))
    assert [(s["url.path"], s.outcome, s["http.request.body.size"]) for s in seen] == [("/a", "ok", came)]
    assert seen[0].sizes[0] < 1000


def test_leading_zeros_are_no_trick() -> None:
    request = get("/a", "Content-Length: " + "0" * 50 + "10", method="POST") + b"0123456789"
    seen = talk((TO_SERVER, request + get("/b")), (TO_CLIENT, OK + OK))
    assert [s["url.path"] for s in seen] == ["/a", "/b"]


def test_endless_head_ends_the_message_not_the_flow() -> None:
    run = Run(PROTOCOLS, head_max=65536).feed(TO_SERVER, b"GET /endless HTTP/1.1\r\n")
    for _ in range(200):
        run.feed(TO_SERVER, b"X-Header: " + b"x" * 990 + b"\r\n")
    assert errors(run) == ["head too long"]
    run.feed(TO_CLIENT, b"HTTP/1.1 431 Too Large\r\nContent-Length: 0\r\n\r\n")
    run.feed(TO_SERVER, get("/after")).feed(TO_CLIENT, OK)
    assert [(s["url.path"], s["status"]) for s in run.end()] == [("/endless", 431), ("/after", 200)]


def test_endless_target_is_told_as_far_as_it_was_read() -> None:
    run = Run(PROTOCOLS, head_max=4096)
    for _ in range(10):
        run.feed(TO_SERVER, (b"" if run.ts_ns > START_NS else b"GET /long?") + b"x" * 990)
        run.ts_ns += 1
    run.feed(TO_CLIENT, b"HTTP/1.1 414 URI Too Long\r\nContent-Length: 0\r\n\r\n")
    run.feed(TO_SERVER, get("/after")).feed(TO_CLIENT, OK)
    assert [(s["operation"], s["url.path"], s["status"]) for s in run.end()] == [
        ("GET", "/long", 414),
        ("GET", "/after", 200),
    ]
    assert errors(run) == ["head too long"]


def test_head_of_exactly_the_limit_is_read_and_of_one_more_not() -> None:
    for size, expected in ((4096, []), (4097, ["head too long"])):
        run = Run(PROTOCOLS, head_max=4096)
        head = get("/a")[:-2] + b"X: "
        head += b"x" * (size - len(head))
        run.feed(TO_SERVER, head).feed(TO_SERVER, b"\r\n\r\n").feed(TO_CLIENT, OK)
        assert [(s["url.path"], s["status"]) for s in run.end()] == [("/a", 200)] and errors(run) == expected


def test_ten_thousand_headers() -> None:
    request = get("/a", *(f"h{i}: {i}" for i in range(10_000)), "Content-Length: 3", method="POST") + b"abc"
    seen = talk((TO_SERVER, request + get("/b")), (TO_CLIENT, OK + OK))
    assert [(s["url.path"], s["status"]) for s in seen] == [("/a", 200), ("/b", 200)]


def test_nul_bytes_in_headers_are_carried_not_obeyed() -> None:
    seen = one(get("/\x00a", "X\x00: \x00", "Content-Length\x00: 9", "User-Agent: \x00u"))
    assert (seen["url.path"], seen["user_agent.original"]) == ("/\x00a", "\x00u")


def test_long_header_byte_by_byte_is_one_message() -> None:
    run = Run(PROTOCOLS, head_max=1 << 20).feed(TO_SERVER, b"GET / HTTP/1.1\r\nX: ")
    for _ in range(3000):
        run.feed(TO_SERVER, b"y")
    run.feed(TO_SERVER, b"\r\n\r\n").feed(TO_CLIENT, OK)
    assert [s["status"] for s in run.end()] == [200]


def test_of_thousands_of_heads_in_a_pipeline_each_gets_its_own_answer() -> None:
    for count in (1024, 1025, 2500):
        run = Run(PROTOCOLS).feed(TO_SERVER, b"".join(get(f"/{400 + i % 200}", method="HEAD") for i in range(count)))
        for i in range(count):
            run.feed(TO_CLIENT, b"HTTP/1.1 %d OK\r\nContent-Length: 9\r\n\r\n" % (400 + i % 200))
        seen = run.end()
        assert (len([s for s in seen if s.paired]), len(seen)) == (count, count)
        assert all(s["url.path"] == f"/{s['status']}" for s in seen)


@pytest.mark.parametrize("beyond", ["HEAD", "GET"])
def test_answers_to_requests_beyond_the_limit_are_read_and_go_to_nobody(beyond: str) -> None:
    """One place keeps all that are beyond; of HEADs among GETs there nobody knows whose answer has a body."""
    run = Run(PROTOCOLS, pending_max=1)
    deep = run.pairing.pipeline_max
    run.feed(TO_SERVER, get("/a") * deep + get("/a", method="HEAD") + get("/a", method=beyond) + get("/a", method="HEAD"))
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    run.feed(TO_CLIENT, OK * deep + body + body + (b"hi" if beyond == "GET" else b"") + body)
    run.feed(TO_SERVER, get("/b")).feed(TO_CLIENT, OK)
    seen = [(s["url.path"], s.outcome) for s in run.end()]
    assert run.pairing.refused == 3
    assert seen.count(("/a", "ok")) == deep and seen.count(("/a", "lost")) == 3
    assert ("/b", "ok") in seen


def test_answers_nobody_asked_for() -> None:
    run = Run(PROTOCOLS).feed(TO_SERVER, get("/a")).feed(TO_CLIENT, OK)
    run.feed(TO_CLIENT, b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n").feed(TO_SERVER, get("/b")).feed(
        TO_CLIENT, OK
    )
    assert [(s["url.path"], s["status"]) for s in run.end()] == [("/a", 200), ("/b", 200)]
    assert run.pairing.unmatched == 1


def test_sixteen_broken_messages_set_the_connection_aside() -> None:
    run = Run(PROTOCOLS).feed(TO_SERVER, get("/a")).feed(TO_CLIENT, OK)
    for _ in range(20):
        run.feed(TO_SERVER, get("/x") + b"\x00\x00\x00\x00\r\n")
    assert sum(run.reading.errors.values()) == 16
    before = run.reading.bytes_set_aside
    run.feed(TO_SERVER, get("/b")).feed(TO_CLIENT, OK)
    assert run.reading.bytes_set_aside == before + len(get("/b")) + len(OK)
    assert {s["url.path"] for s in run.end()} == {"/a", "/x"}


# --- any bytes ---


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from((TO_SERVER, TO_CLIENT)), st.binary(max_size=80)), max_size=12), st.booleans())
def test_any_bytes_after_a_request_raise_nothing_else(turns: list[tuple[int, bytes]], from_start: bool) -> None:
    run = Run(PROTOCOLS, from_start=from_start).feed(TO_SERVER, get("/a"))
    for direction, payload in turns:
        run.feed(direction, payload)
    run.end()


@settings(max_examples=60)
@given(st.sampled_from(VECTORS), st.integers(0, 1 << 32))
def test_any_mutation_of_a_vector_raises_nothing_else(vector: Vector, seed: int) -> None:
    """Bytes changed, doubled, dropped and swapped, events lost and repeated, gaps anywhere: the books stay right."""
    chance = random.Random(seed)
    run = Run(PROTOCOLS, from_start=chance.random() < 0.8, head_max=chance.choice((200, 65536)))
    for event in vector.events:
        if event.payload is None:
            run.event(event)
            continue
        payload = bytearray(event.payload)
        for _ in range(chance.choice((0, 0, 1, 1, 5))):
            at = chance.randrange(len(payload))
            kind = chance.randrange(4)
            if kind == 0:
                payload[at] = chance.choice(b"\x00\r\n :,;0159afGHP\xff")
            elif kind == 1:
                del payload[at : at + chance.randrange(1, 20)]
            elif kind == 2:
                payload[at:at] = payload[at : at + chance.randrange(1, 40)]
            else:
                payload[at:at] = chance.choice(
                    (b"\r\n", b"\r\n\r\n", b"Content-Length: 7\r\n", b"Transfer-Encoding: chunked\r\n")
                )
            if not payload:
                break
        if chance.random() < 0.1:
            run.gap(event.direction, chance.choice((0, 1, 50, 5000)))
        cut = chance.randrange(len(payload) + 1)
        for piece in (bytes(payload[:cut]), bytes(payload[cut:])):
            if piece:
                run.feed(event.direction, piece, event.ts_ns)
        run.check_books()
    run.end()
