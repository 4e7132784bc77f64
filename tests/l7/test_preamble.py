"""What stands before a connection's own protocol: PROXY headers by HAProxy's proxy-protocol.txt, SOCKS by RFC 1928, 1929 and the
SOCKS4 and 4A memoranda. Headers are put together here, from those texts."""

from __future__ import annotations

import socket
import struct
from typing import Any

import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.l7.conversation import Conversation
from receiver.l7.detect import Detector
from receiver.l7.reading import Reading
from receiver.l7.registry import PROTOCOLS, protocols
from receiver.l7.shared import Shared
from receiver.l7.trust import Trust
from tests.l7.harness import TO_CLIENT, TO_SERVER, Run
from tests.l7.streams import END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, Talk, frame

PEER = "192.0.2.1"  # the client of the harness's connection
GET = b"GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SIGNATURE = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"


def v2(command: int, family: int, rest: bytes, version: int = 2, size: int | None = None) -> bytes:
    return SIGNATURE + bytes((version << 4 | command, family)) + struct.pack("!H", len(rest) if size is None else size) + rest


def inet(source: str, target: str, ports: tuple[int, int] = (51111, 8080)) -> bytes:
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    return socket.inet_pton(family, source) + socket.inet_pton(family, target) + struct.pack("!HH", *ports)


def tlv(kind: int, value: bytes) -> bytes:
    return bytes((kind,)) + struct.pack("!H", len(value)) + value


FOUR, SIX = inet("198.51.100.7", "10.0.0.2"), inet("2001:db8::7", "2001:db8::2")
TLS_TLV = tlv(0x20, b"\x01\x00\x00\x00\x00" + tlv(0x21, b"TLSv1.3"))
ALL_ONES = b"ffff:" * 7 + b"ffff"
HEADERS_OF_PROXIES: dict[str, tuple[bytes, tuple[str, int] | None]] = {
    "v1": (b"PROXY TCP4 198.51.100.7 10.0.0.2 51111 8080\r\n", ("198.51.100.7", 51111)),
    "v1 longest": (b"PROXY TCP6 %b %b 65535 65535\r\n" % (ALL_ONES, ALL_ONES), (ALL_ONES.decode(), 65535)),
    "v1 ipv6": (b"PROXY TCP6 2001:db8::7 2001:db8::2 1 65535\r\n", ("2001:db8::7", 1)),
    "v1 mapped": (b"PROXY TCP6 ::ffff:198.51.100.7 ::ffff:10.0.0.2 51111 8080\r\n", ("198.51.100.7", 51111)),
    "v1 unknown": (b"PROXY UNKNOWN\r\n", None),
    "v1 unknown with addresses": (b"PROXY UNKNOWN ffff:f::f f::f 65535 65535\r\n", None),
    "v2": (v2(1, 0x11, FOUR), ("198.51.100.7", 51111)),
    "v2 ipv6": (v2(1, 0x21, SIX), ("2001:db8::7", 51111)),
    "v2 mapped": (v2(1, 0x21, inet("::ffff:198.51.100.7", "::ffff:10.0.0.2")), ("198.51.100.7", 51111)),
    "v2 with TLVs": (v2(1, 0x11, FOUR + tlv(1, b"h2") + TLS_TLV + tlv(4, bytes(300))), ("198.51.100.7", 51111)),
    "v2 of a datagram": (v2(1, 0x12, FOUR), ("198.51.100.7", 51111)),
    "v2 unix": (v2(1, 0x31, b"/run/a.sock".ljust(108, b"\0") + b"/run/b.sock".ljust(108, b"\0")), None),
    "v2 unspecified": (v2(1, 0x00, b""), None),
    "v2 local": (v2(0, 0x00, b""), None),
    "v2 local with addresses": (v2(0, 0x11, FOUR), None),
    "v2 local with TLVs of no family": (v2(0, 0x7F, tlv(4, b"xyz")), None),
}


def exchanges() -> dict[str, tuple[bytes, bytes]]:
    talk = Talk(opened=False)
    fields = ((":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a.test"))
    asked = frame(HEADERS, END_HEADERS | END_STREAM, 1, talk.block(TO_SERVER, *fields))
    answered = frame(HEADERS, END_HEADERS | END_STREAM, 1, talk.block(TO_CLIENT, (":status", "200")))
    question = dns.message.make_query("a.test", "A", id=7)
    reply = dns.message.make_response(question).to_wire()
    return {
        "http": (GET, OK),
        "http2": (PREFACE + frame(SETTINGS, 0, 0) + asked, frame(SETTINGS, 0, 0) + answered),
        "redis": (b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n", b"$-1\r\n"),
        "dns": (struct.pack("!H", len(question.to_wire())) + question.to_wire(), struct.pack("!H", len(reply)) + reply),
    }


EXCHANGES = exchanges()


def start(**more: Any) -> Run:
    return Run(PROTOCOLS, trusted=[PEER], **more)


def announced(run: Run) -> tuple[str, int] | None:
    endpoints = run.connection.endpoints()
    return None if endpoints.announced_address is None else (endpoints.announced_address, endpoints.announced_port)


def check(run: Run, protocol: str, client: tuple[str, int] | None) -> None:
    assert [(one.protocol, one.outcome) for one in run.seen] == [(protocol, "ok")]
    assert run.pairing.unmatched == 0 and not run.reading.errors and run.reading.bytes_set_aside == 0
    assert announced(run) == client
    assert sum(run.reading.preambles.values()) == 1
    run.end()
    assert run.reading.undetected == {}


@pytest.mark.parametrize("protocol", EXCHANGES)
@pytest.mark.parametrize("name", HEADERS_OF_PROXIES)
def test_what_a_proxy_announces_is_read_before_any_protocol(name: str, protocol: str) -> None:
    header, client = HEADERS_OF_PROXIES[name]
    asked, answered = EXCHANGES[protocol]
    together = start().feed(TO_SERVER, header + asked).feed(TO_CLIENT, answered)
    check(together, protocol, client)
    apart = start().feed(TO_SERVER, header).feed(TO_SERVER, asked).feed(TO_CLIENT, answered)
    check(apart, protocol, client)
    assert [one.content() for one in together.seen] == [one.content() for one in apart.seen]
    assert [one.sizes for one in together.seen] == [one.sizes for one in apart.seen]


@pytest.mark.parametrize("name", HEADERS_OF_PROXIES)
def test_header_is_read_at_every_split_and_byte_by_byte(name: str) -> None:
    header, client = HEADERS_OF_PROXIES[name]
    for at in range(1, len(header)):
        check(start().feed(TO_SERVER, header[:at]).feed(TO_SERVER, header[at:] + GET).feed(TO_CLIENT, OK), "http", client)
    run = start()
    for i, byte in enumerate(header + GET):
        run.feed(TO_SERVER, bytes((byte,)), 1_000 + i)
    run.feed(TO_CLIENT, OK, 9_000)
    assert run.seen[0].times[0] == 1_000 + len(header)  # the request begins behind it
    check(run, "http", client)


def test_tls_behind_a_header_is_tls() -> None:
    hello = b"\x16\x03\x01\x00\x30\x01\x00\x00\x2c\x03\x03" + bytes(32) + b"\x00\x00\x02\x13\x01\x01\x00" + b"\x00\x01\x00"
    for header, client in HEADERS_OF_PROXIES.values():
        run = start().feed(TO_SERVER, header + hello)
        assert run.reading.detected == {"tls": 1}
        assert announced(run) == client


def test_pinned_port_has_a_header_too() -> None:
    redis = next(row for row in PROTOCOLS if row.name == "redis")
    for enabled in (True, False):
        run = start()
        run.reading = Reading(run.pairing, Detector(PROTOCOLS, {0: redis}, enabled), trust=Trust([PEER]))
        run.conversation = Conversation(run.reading, run.connection, True)
        run.feed(TO_SERVER, HEADERS_OF_PROXIES["v2"][0] + b"PING\r\n").feed(TO_CLIENT, b"+PONG\r\n")
        check(run, "redis", ("198.51.100.7", 51111))


def test_announced_address_is_believed_only_of_whom_is_trusted() -> None:
    header = HEADERS_OF_PROXIES["v1"][0]
    for trusted, client in (([], None), (["10.0.0.0/8"], None), (["192.0.2.0/24"], ("198.51.100.7", 51111))):
        run = Run(PROTOCOLS, trusted=trusted).feed(TO_SERVER, header + GET).feed(TO_CLIENT, OK)
        assert (len(run.seen), announced(run)) == (1, client)


def test_what_a_second_proxy_announced_counts_where_the_first_one_s_client_is_trusted() -> None:
    inner = b"PROXY TCP4 203.0.113.9 198.51.100.7 4444 443\r\n"
    header = HEADERS_OF_PROXIES["v1"][0]
    for trusted, client in (([PEER], ("198.51.100.7", 51111)), ([PEER, "198.51.100.7"], ("203.0.113.9", 4444))):
        run = Run(PROTOCOLS, trusted=trusted).feed(TO_SERVER, header + inner + GET).feed(TO_CLIENT, OK)
        assert (len(run.seen), announced(run)) == (1, client)


def test_forwarded_for_is_believed_of_the_announced_client_not_of_the_proxy_before_it() -> None:
    asked = GET[:-2] + b"X-Forwarded-For: 203.0.113.9\r\n\r\n"
    for trusted, client in (([PEER], None), ([PEER, "198.51.100.7"], "203.0.113.9")):
        rows = protocols(Shared(trust=Trust(trusted)))
        run = Run(rows, trusted=trusted).feed(TO_SERVER, HEADERS_OF_PROXIES["v2"][0] + asked).feed(TO_CLIENT, OK)
        assert run.seen[0]["client.address"] == client


def test_headers_one_behind_the_other_are_bounded() -> None:
    run = start().feed(TO_SERVER, b"PROXY UNKNOWN\r\n" * 4 + GET).feed(TO_CLIENT, OK)
    assert len(run.seen) == 1
    flood = b"PROXY UNKNOWN\r\n" * 20_000
    run = start().feed(TO_SERVER, flood)
    assert run.reading.preambles == {"proxy_v1": 4}
    run.end()
    run.feed(TO_SERVER, GET)
    assert run.seen == []
    assert run.reading.bytes_set_aside >= len(flood) - 4 * 15


def test_joined_late_a_header_may_come_or_not() -> None:
    for header, client in ((b"", None), HEADERS_OF_PROXIES["v1"], HEADERS_OF_PROXIES["v2"]):
        run = start(from_start=False).feed(TO_SERVER, header + GET).feed(TO_CLIENT, OK)
        run.end()
        assert [(one.outcome, one["status"]) for one in run.seen] == [("ok", 200)]
        assert announced(run) == client


def test_whoever_sends_a_header_is_the_client_whatever_the_ports_said() -> None:
    run = start(from_start=False).feed(TO_CLIENT, HEADERS_OF_PROXIES["v2"][0] + EXCHANGES["redis"][0])
    assert run.connection.swapped
    run.feed(TO_SERVER, EXCHANGES["redis"][1])  # the harness turns directions as the flow does
    assert [(one.protocol, one.outcome) for one in run.end()] == [("redis", "ok")]


def test_server_sends_none_and_a_connection_that_speaks_already_has_none() -> None:
    run = start().feed(TO_CLIENT, HEADERS_OF_PROXIES["v1"][0])
    assert run.reading.preambles == {}
    run = start().feed(TO_SERVER, GET + b"PROXY TCP4 198.51.100.7 10.0.0.2 51111 8080\r\n" + GET)
    assert run.reading.preambles == {} and announced(run) is None


@pytest.mark.parametrize(
    ("header", "kind", "what"),
    [
        (b"PROXY TCP4 198.51.100.7 10.0.0.2 51111\r\n", "proxy_v1", "line unreadable"),
        (b"PROXY TCP5 198.51.100.7 10.0.0.2 51111 8080\r\n", "proxy_v1", "line unreadable"),
        (b"PROXY TCP4  198.51.100.7 10.0.0.2 51111 8080\r\n", "proxy_v1", "line unreadable"),
        (b"PROXY TCP4 198.51.100.7 10.0.0.2 051111 8080\r\n", "proxy_v1", "line unreadable"),
        (b"PROXY TCP4 198.51.100.7 10.0.0.2 65536 8080\r\n", "proxy_v1", "port unreadable"),
        (b"PROXY TCP4 198.51.100.256 10.0.0.2 1 8080\r\n", "proxy_v1", "address unreadable"),
        (b"PROXY TCP4 2001:db8::7 2001:db8::2 1 8080\r\n", "proxy_v1", "address of another family"),
        (b"PROXY TCP6 198.51.100.7 10.0.0.2 1 8080\r\n", "proxy_v1", "address of another family"),
        (b"PROXY TCP4 198.51.100.7 10.0.0.2 51111 8080\n", "proxy_v1", "line without CR"),
        (b"PROXY UNKNOWN" + b" " * 94 + b"\r\n", "proxy_v1", "line too long"),
        (v2(1, 0x11, FOUR[:-1]), "proxy_v2", "addresses cut short"),
        (v2(1, 0x21, FOUR), "proxy_v2", "addresses cut short"),
        (v2(1, 0x41, FOUR), "proxy_v2", "family"),
        (v2(1, 0x13, FOUR), "proxy_v2", "family"),
        (v2(2, 0x11, FOUR), "proxy_v2", "command"),
        (v2(1, 0x11, FOUR, version=1), "proxy_v2", "version"),
        (v2(1, 0x11, FOUR, size=16369), "proxy_v2", "header too long"),
    ],
)
def test_header_that_breaks_its_rules_is_counted_and_what_follows_is_not_read(header: bytes, kind: str, what: str) -> None:
    for at in range(1, len(header) + 1):
        run = start().feed(TO_SERVER, header[:at]).feed(TO_SERVER, header[at:] + GET).feed(TO_CLIENT, OK)
        run.end()
        assert run.seen == [] and run.reading.errors == {(kind, what): 1}
        assert announced(run) is None and run.reading.preambles == {}
        assert run.reading.bytes_set_aside == len(header + GET + OK)
        assert run.reading.undetected == {"unknown": 1}


def test_header_of_the_longest_kind_is_read() -> None:
    long = v2(1, 0x11, FOUR + tlv(4, bytes(16384 - 16 - 12 - 3)))
    assert len(long) == 16384
    check(start().feed(TO_SERVER, long + GET).feed(TO_CLIENT, OK), "http", ("198.51.100.7", 51111))
    longest = b"PROXY UNKNOWN" + b" " * 92 + b"\r\n"
    assert len(longest) == 107
    check(start().feed(TO_SERVER, longest + GET).feed(TO_CLIENT, OK), "http", None)


@pytest.mark.parametrize(
    "request_head",
    [
        b"PROXY / HTTP/1.1\r\n\r\n",
        b"PROXY http://a.test/ HTTP/1.1\r\n\r\n",
        b"PUT /a HTTP/1.1\r\n\r\n",
        b"PROPFIND / HTTP/1.1\r\n\r\n",
        b"\r\nGET / HTTP/1.1\r\n\r\n",
        b"\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    ],
)
def test_what_only_begins_like_a_header_is_read_as_it_came(request_head: bytes) -> None:
    for at in range(1, len(request_head)):
        run = start().feed(TO_SERVER, request_head[:at], 1_000).feed(TO_SERVER, request_head[at:], 2_000).feed(TO_CLIENT, OK)
        run.end()
        assert [(one.outcome, one["status"]) for one in run.seen] == [("ok", 200)]
        assert run.reading.bytes_set_aside == 0 and run.reading.preambles == {}


def test_header_that_never_ends_is_counted_as_not_read() -> None:
    header = HEADERS_OF_PROXIES["v2 with TLVs"][0]
    for at in (1, 5, 13, 40, len(header) - 1):
        run = start().feed(TO_SERVER, header[:at])
        run.end()
        assert (run.reading.bytes_set_aside, run.reading.undetected) == (at, {"undecided": 1})
        run = start().feed(TO_SERVER, header[:at]).gap(TO_SERVER, 10)
        assert run.reading.bytes_set_aside == at


def test_server_that_speaks_into_a_header_makes_it_none() -> None:
    run = start().feed(TO_SERVER, b"PROXY TCP4 1").feed(TO_CLIENT, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    run.end()
    assert run.reading.preambles == {}


# --- SOCKS ---

ANY, NAME, LOGIN = b"\x05\x01\x00", b"\x03\x0bshop.domain", b"\x01\x04user\x06secret"
BOUND = b"\x05\x00\x00\x01\x0a\x00\x00\x02\x00\x50"
Turns = list[tuple[int, bytes]]
SOCKS: dict[str, Turns] = {
    "socks5 by name": [(0, ANY), (1, b"\x05\x00"), (0, b"\x05\x01\x00" + NAME + b"\x00\x50"), (1, BOUND)],
    "socks5 by address": [(0, b"\x05\x02\x00\x02"), (1, b"\x05\x00"), (0, b"\x05\x01\x00\x01\x0a\x00\x00\x02\x00\x50"), (1, BOUND)],
    "socks5 by address of ipv6": [
        (0, ANY), (1, b"\x05\x00"), (0, b"\x05\x01\x00\x04" + bytes(15) + b"\x01\x00\x50"),
        (1, b"\x05\x00\x00\x04" + bytes(16) + b"\x00\x50"),
    ],
    "socks5 with a password": [
        (0, b"\x05\x02\x00\x02"), (1, b"\x05\x02"), (0, LOGIN), (1, b"\x01\x00"),
        (0, b"\x05\x01\x00" + NAME + b"\x00\x50"), (1, BOUND),
    ],
    "socks5, answered by name": [
        (0, ANY), (1, b"\x05\x00"), (0, b"\x05\x01\x00" + NAME + b"\x00\x50"), (1, b"\x05\x00\x00" + NAME + b"\x00\x50"),
    ],
    "socks4": [(0, b"\x04\x01\x00\x50\x0a\x00\x00\x02me\x00"), (1, b"\x00\x5a" + bytes(6))],
    "socks4 without a user": [(0, b"\x04\x01\x00\x50\x0a\x00\x00\x02\x00"), (1, b"\x00\x5a" + bytes(6))],
    "socks4a": [(0, b"\x04\x01\x00\x50\x00\x00\x00\x01me\x00shop.domain\x00"), (1, b"\x00\x5a" + bytes(6))],
}


@pytest.mark.parametrize("protocol", EXCHANGES)
@pytest.mark.parametrize("name", SOCKS)
def test_protocol_behind_socks_is_read(name: str, protocol: str) -> None:
    asked, answered = EXCHANGES[protocol]
    run = start()
    for direction, said in SOCKS[name]:
        run.feed(direction, said)
    run.feed(TO_SERVER, asked).feed(TO_CLIENT, answered)
    assert run.reading.preambles == {name[:6]: 1}
    check(run, protocol, None)


@pytest.mark.parametrize("name", SOCKS)
def test_socks_is_read_byte_by_byte_and_with_a_request_behind_it(name: str) -> None:
    run = start()
    for direction, said in SOCKS[name]:
        for byte in said:
            run.feed(direction, bytes((byte,)))
    check(run.feed(TO_SERVER, GET).feed(TO_CLIENT, OK), "http", None)
    run = start()
    *before, (last, reply) = SOCKS[name]
    for direction, said in before[:-1]:
        run.feed(direction, said)
    run.feed(TO_SERVER, before[-1][1] + GET).feed(last, reply + OK)  # a client in a hurry
    check(run, "http", None)


def test_socks_behind_a_header_of_a_proxy() -> None:
    run = start().feed(TO_SERVER, HEADERS_OF_PROXIES["v2"][0])
    for direction, said in SOCKS["socks5 by name"]:
        run.feed(direction, said)
    run.feed(TO_SERVER, GET).feed(TO_CLIENT, OK)
    assert len(run.seen) == 1 and run.reading.preambles == {"proxy_v2": 1, "socks5": 1}


@pytest.mark.parametrize(
    "turns",
    [
        [(0, ANY), (1, b"\x05\xff")],
        [(0, ANY), (1, b"\x05\x00"), (0, b"\x05\x01\x00" + NAME + b"\x00\x50"), (1, b"\x05\x05\x00\x01" + bytes(6))],
        [(0, b"\x05\x01\x02"), (1, b"\x05\x02"), (0, LOGIN), (1, b"\x01\x01")],
        [(0, b"\x04\x01\x00\x50\x0a\x00\x00\x02\x00"), (1, b"\x00\x5b" + bytes(6))],
    ],
)
def test_refusal_is_read_and_nothing_follows(turns: Turns) -> None:
    run = start()
    for direction, said in turns:
        run.feed(direction, said)
    run.end()
    assert (run.seen, run.reading.errors, run.reading.bytes_set_aside, run.reading.undetected) == ([], {}, 0, {})


@pytest.mark.parametrize(
    ("turns", "what"),
    [
        ([(0, b"\x05\x01\x01"), (1, b"\x05\x01")], "method"),  # GSSAPI, RFC 1961
        ([(0, ANY), (1, b"\x05\x00"), (0, b"\x05\x02\x00" + NAME + b"\x00\x50")], "command"),  # BIND
        ([(0, ANY), (1, b"\x05\x00"), (0, b"\x05\x01\x00\x07\x00\x50")], "address"),
        ([(0, b"\x04\x02\x00\x50\x0a\x00\x00\x02\x00"), (1, b"\x00\x5a" + bytes(6))], "command"),
    ],
)
def test_what_is_not_followed_is_counted_as_not_read(turns: Turns, what: str) -> None:
    run = start()
    for direction, said in turns:
        run.feed(direction, said)
    run.feed(TO_SERVER, GET)
    run.end()
    assert run.seen == [] and [reason for _, reason in run.reading.errors] == [what]
    assert run.reading.bytes_set_aside == sum(len(said) for _, said in turns) + len(GET)


def test_what_only_begins_like_socks_is_given_back() -> None:
    """DNS over TCP whose length begins so, answered at once."""
    padding = dns.edns.GenericOption(12, bytes(1280))
    question = dns.message.make_query("a.test", "A", id=7, use_edns=0, options=[padding])
    reply = dns.message.make_response(question).to_wire()
    asked = question.to_wire(max_size=65535)
    assert len(asked) >> 8 == 5
    run = start().feed(TO_SERVER, struct.pack("!H", len(asked)) + asked)
    run.feed(TO_CLIENT, struct.pack("!H", len(reply)) + reply)
    assert [(one.protocol, one.outcome) for one in run.end()] == [("dns", "ok")]
    assert (run.reading.preambles, run.reading.bytes_set_aside) == ({}, 0)


PIECES = (
    SIGNATURE, b"PROXY ", b"TCP4 ", b"\r\n", b"\x21\x11\x00\x0c", bytes(9), ANY, b"\x05", b"\x05\x00", b"\x05\x01\x00", NAME, BOUND,
    b"\x04\x01", b"\x00\x5a",
)


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from(PIECES) | st.binary(min_size=1, max_size=30)), max_size=12))
def test_whatever_is_said_nothing_is_raised_and_every_byte_is_counted(turns: Turns) -> None:
    run = start()
    for direction, said in turns:
        run.feed(direction, said)
    run.end()
    if not run.reading.detected and not run.reading.preambles:
        assert run.reading.bytes_set_aside == sum(len(said) for _, said in turns)
