"""TLS is recognised by its records and named by its hello, and nothing else of it is read.

Hellos and handshakes come from OpenSSL, through Python's `ssl`; what they asked for is the expected value.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import ssl
import subprocess
from pathlib import Path

import pytest

from receiver.l7.registry import PROTOCOLS
from receiver.wire.records import Endpoints
from tests.l7.harness import START_NS, TO_CLIENT, TO_SERVER, Pair, Run

Turn = tuple[int, bytes]


class Kept(Pair):
    """Keeps its endpoints, as a flow does."""

    def __init__(self, roles_known: bool) -> None:
        super().__init__(roles_known)
        self.known = super().endpoints()

    def endpoints(self) -> Endpoints:
        return self.known


def client(name: str | None = "Shop.Test", alpn: tuple[str, ...] = ("h2", "http/1.1")) -> tuple[ssl.SSLObject, ssl.MemoryBIO]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    side = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        side.do_handshake()
    return side, outgoing


def hello(name: str | None = "Shop.Test", alpn: tuple[str, ...] = ("h2", "http/1.1")) -> bytes:
    return client(name, alpn)[1].read()


def started(from_start: bool = True) -> Run:
    run = Run(PROTOCOLS, from_start=from_start)
    run.connection = Kept(from_start)
    from receiver.l7.conversation import Conversation

    run.conversation = Conversation(run.reading, run.connection, from_start, False)
    return run


def named(run: Run) -> tuple[str | None, str | None]:
    known = run.connection.endpoints()
    return known.tls_server_name, known.tls_protocols


@pytest.fixture(scope="module")
def conversation(tmp_path_factory: pytest.TempPathFactory) -> list[Turn]:
    """A whole connection over TLS 1.2, whose server's side says more in clear than 1.3's."""
    folder: Path = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "cert.pem"
    made = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=shop.test"]
    subprocess.run(["openssl", "req", *made, "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=30)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(up, down, server_side=True)
    asks = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asks.check_hostname = False
    asks.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    peer = asks.wrap_bio(incoming, outgoing, server_hostname="shop.test")
    turns: list[Turn] = []

    def step(side: ssl.SSLObject, out: ssl.MemoryBIO, into: ssl.MemoryBIO, direction: int) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
        if said := out.read():
            turns.append((direction, said))
            into.write(said)

    for _ in range(3):
        step(peer, outgoing, up, TO_SERVER)
        step(server, down, incoming, TO_CLIENT)
    for side, out, direction in ((peer, outgoing, TO_SERVER), (server, down, TO_CLIENT)) * 3:
        side.write(b"GET / HTTP/1.1\r\n\r\n" * 20)
        turns.append((direction, out.read()))
    return turns


# --- names ---


def test_hello_names_the_server_and_the_protocols() -> None:
    run = started().feed(TO_SERVER, hello())
    assert named(run) == ("shop.test", "h2,http/1.1")
    assert run.reading.detected == {"tls": 1}
    assert run.end() == [] and not run.reading.errors and run.reading.bytes_set_aside == 0


def test_hello_in_two_segments_cut_anywhere() -> None:
    whole = hello()
    for at in range(1, len(whole)):
        run = started().feed(TO_SERVER, whole[:at]).feed(TO_SERVER, whole[at:])
        assert (named(run), run.reading.detected) == (("shop.test", "h2,http/1.1"), {"tls": 1}), at


def test_hello_byte_by_byte() -> None:
    run = started()
    for byte in hello():
        run.feed(TO_SERVER, bytes((byte,)))
    assert named(run) == ("shop.test", "h2,http/1.1")


@pytest.mark.parametrize(
    ("name", "alpn", "told"),
    [(None, (), (None, None)), ("a.test", (), ("a.test", None)), (None, ("h2",), (None, "h2"))],
)
def test_what_the_hello_does_not_say_is_unknown(name: str | None, alpn: tuple[str, ...], told: tuple[str, str]) -> None:
    assert named(started().feed(TO_SERVER, hello(name, alpn))) == told


def test_many_protocols_are_cut_at_a_name() -> None:
    offered = tuple(f"protocol-{i}" for i in range(40))
    _, told = named(started().feed(TO_SERVER, hello(alpn=offered)))
    assert told == ",".join(offered[:5])
    assert len(told) <= 64


def with_name(name: bytes) -> bytes:
    """A hello with the bytes of a name in place of as many others."""
    place = b"x" * len(name)
    return hello(place.decode()).replace(place, name)


@pytest.mark.parametrize("name", [b"a b.test", b"\x00\x01\x02\x03", b"\xc3\xa4.test", b"a/../b"])
def test_name_that_is_none_is_not_kept(name: bytes) -> None:
    run = started().feed(TO_SERVER, with_name(name))
    assert named(run) == (None, "h2,http/1.1") and run.reading.detected == {"tls": 1}


def test_lengths_that_lie_give_no_names_and_no_error() -> None:
    whole = hello()
    for at, value in itertools.product(range(9, len(whole)), (0, 1, 0x7F, 0xFF)):
        run = started().feed(TO_SERVER, whole[:at] + bytes((value,)) + whole[at + 1 :])
        run.feed(TO_CLIENT, b"\x16\x03\x03\x00\x7a\x02")
        assert not run.reading.errors, at
        run.end()


def test_hello_longer_than_the_limit_is_not_waited_for() -> None:
    run = started().feed(TO_SERVER, b"\x16\x03\x01\x40\x00" + b"\x01\x00\x3f\xfc\x03\x03" + bytes(1000))
    assert run.reading.detected == {"tls": 1} and named(run) == (None, None)


# --- detection ---


def test_connection_is_counted_once_and_nothing_of_it_is_read(conversation: list[Turn]) -> None:
    run = started()
    for direction, payload in conversation:
        run.feed(direction, payload)
    assert named(run) == ("shop.test", None)
    assert run.end() == [] and run.reading.detected == {"tls": 1}
    assert not run.reading.errors and run.reading.bytes_set_aside == 0


def test_joined_late_at_every_turn(conversation: list[Turn]) -> None:
    for first in range(1, len(conversation)):
        run = started(from_start=False)
        for direction, payload in conversation[first:]:
            run.feed(direction, payload)
        assert run.reading.detected == {"tls": 1}, first
        assert run.end() == [] and not run.reading.errors


def test_joined_inside_a_record_the_next_one_tells(conversation: list[Turn]) -> None:
    run = started(from_start=False)
    for number, (direction, payload) in enumerate(conversation[-4:]):
        run.feed(direction, payload[100:] if number == 0 else payload)
    assert run.reading.detected == {"tls": 1}


def test_client_s_side_is_known_by_its_hello() -> None:
    run = started(from_start=False).feed(TO_CLIENT, hello())
    assert run.connection.swapped and named(run) == ("shop.test", "h2,http/1.1")


def test_hole_in_the_hello_costs_the_names_alone() -> None:
    whole = hello()
    run = started().feed(TO_SERVER, whole[:40]).gap(TO_SERVER, 60).feed(TO_SERVER, whole[100:])
    run.feed(TO_CLIENT, b"\x15\x03\x03\x00\x02\x02\x28")
    assert named(run) == (None, None) and run.reading.detected == {"tls": 1} and not run.reading.errors


@pytest.mark.parametrize(
    "payload",
    [
        b"\x16\x03\x01",
        b"\x16\x03\x09\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x16\x03\x01\x02\x00\x07\x00\x01\xfc\x03\x03",
        b"\x16\x03\x01\x02\x00\x01\x09\x01\xfc\x03\x03",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x07\x03",
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03\x03",
        b"\x17\x03\x03\x49\x00\x01" + bytes(20),
        b"\x17\x03\x03\x00\x00\x01" + bytes(20),
        b"\x17\x03\x03\x00\x10" + bytes(16) + b"HTTP/1.1",
        b"\x15\x03\x03\x00\x02\x07\x28",
        b"\x18\x03\x03\x00\x20" + bytes(32),  # heartbeats are long gone
        b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10",  # SSL 2
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"220 mail.test ESMTP\r\n",
        b"\x16\x00\x00\x00\x0a8.0.36",  # MySQL's greeting of 22 bytes
    ],
)
def test_look_alikes_are_refused(payload: bytes) -> None:
    for direction in (TO_SERVER, TO_CLIENT):
        assert "tls" not in started(from_start=False).feed(direction, payload).reading.detected


def test_random_bytes_are_not_tls() -> None:
    chance = random.Random(443)
    for _ in range(20_000):
        run = started(from_start=False).feed(TO_SERVER, chance.randbytes(chance.randrange(12, 200)), START_NS)
        assert "tls" not in run.reading.detected
