"""Detection among all protocols: who is told apart from whom, on ports that say something else, late, and at what price."""

from __future__ import annotations

import random
import struct

import pytest

from receiver.engine import Engine
from receiver.l7.detect import Detector
from receiver.l7.matcher import Pairing
from receiver.l7.reading import Reading
from receiver.l7.registry import PROTOCOLS
from receiver.pcap.flow import FlowTable
from receiver.pcap.stream import Reassembly
from tests.l7.harness import TO_CLIENT, TO_SERVER, Collector
from tests.l7.test_tls import hello

Turn = tuple[int, bytes]

SYN, ACK = 0x02, 0x10
DLT_RAW = 12

HTTP = b"GET /cart HTTP/1.1\r\nHost: a.test\r\n\r\n"
HTTP_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
PING = b"*1\r\n$4\r\nPING\r\n"
LOOKUP = b"\xab\xcd\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04shop\x04test\x00\x00\x01\x00\x01"
STARTUP = b"\x00\x00\x00\x10\x00\x03\x00\x00user\x00a\x00\x00"
MONGODB_PING = b"\x32\0\0\0\x07\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\x1d\0\0\0\x10ping\0\1\0\0\0\x02$db\0\5\0\0\0shop\0\0"
MONGODB_ANSWER = b"\x26\0\0\0\x01\0\0\0\x07\0\0\0\xdd\x07\0\0\0\0\0\0\0\x11\0\0\0\x01ok\0\0\0\0\0\0\0\xf0?\0"
ADDRESS = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x07"
LOOKUP_ANSWER = LOOKUP[:2] + b"\x81\x80" + LOOKUP[4:6] + b"\x00\x01" + LOOKUP[8:] + ADDRESS
NTP = b"\x23\x00\x06\xec" + bytes(44)
QUIC = b"\xc3\x00\x00\x00\x01\x08" + bytes(range(200, 250)) * 24

KNOWN: dict[str, list[Turn]] = {
    "http": [(TO_SERVER, HTTP), (TO_CLIENT, HTTP_ANSWER)],
    "http2": [(TO_SERVER, PREFACE), (TO_CLIENT, b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")],
    "redis": [(TO_SERVER, PING), (TO_CLIENT, b"+PONG\r\n")],
    "dns": [(TO_SERVER, len(LOOKUP).to_bytes(2, "big") + LOOKUP)],
    "mysql": [
        (TO_SERVER, b"\x0b\x00\x00\x00\x03select 'a'"),
        (TO_CLIENT, b"\x01\x00\x00\x01\x01\x17\x00\x00\x02\x03def\x00\x00\x00\x01a\x00\x0c\x2d\x00\x04\x00\x00\x00\xfd\x01\x00\x1f"
         b"\x00\x00\x05\x00\x00\x03\xfe\x00\x00\x02\x00\x02\x00\x00\x04\x01a\x05\x00\x00\x05\xfe\x00\x00\x02\x00"),
    ],
    "tls": [(TO_SERVER, hello()), (TO_CLIENT, b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03" + bytes(116))],
    "mongodb": [(TO_SERVER, MONGODB_PING), (TO_CLIENT, MONGODB_ANSWER)],
    "amqp": [
        (TO_SERVER, b"AMQP\x00\x00\x09\x01"),
        (TO_CLIENT, b"\x01\x00\x00\x00\x00\x00\x2e\x00\x0a\x00\x0a\x00\x09" + bytes(40) + b"\xce"),
    ],
    "amqp1": [
        (TO_SERVER, b"AMQP\x03\x01\x00\x00"),
        (TO_CLIENT, b"AMQP\x03\x01\x00\x00\x00\x00\x00\x1a\x02\x01\x00\x00" + bytes(18)),
    ],
    "kafka": [
        (TO_SERVER, b"\x00\x00\x00\x2b\x00\x12\x00\x04\x00\x00\x00\x00\x00\x07java-tx\x00\x12apache-kafka-java\x064.1.0\x00"),
        (TO_CLIENT, b"\x00\x00\x00\x0a\x00\x00\x00\x00\x00\x23\x00\x00\x00\x00"),
    ],
    "postgresql": [(TO_SERVER, STARTUP), (TO_CLIENT, b"R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I")],
}
STRANGERS: dict[str, list[Turn]] = {
    "ssh": [
        (TO_CLIENT, b"SSH-2.0-OpenSSH_9.6\r\n"),
        (TO_SERVER, b"SSH-2.0-Go\r\n"),
        (TO_SERVER, b"\x00\x00\x05\xdc\x07\x14" + bytes(60)),
    ],
    "memcached": [
        (TO_SERVER, b"get session:1\r\n"),
        (TO_CLIENT, b"VALUE session:1 0 5\r\nhello\r\nEND\r\n"),
        (TO_SERVER, b"incr n 1\r\n"),
    ],
    "memcached meta": [(TO_SERVER, b"mg key v\r\n"), (TO_CLIENT, b"VA 5\r\nhello\r\n")],
    "memcached binary": [(TO_SERVER, b"\x80\x00\x00\x03" + bytes(20) + b"key"), (TO_CLIENT, b"\x81\x00\x00\x00" + bytes(20))],
    "smtp": [
        (TO_CLIENT, b"220 mail.test ESMTP\r\n"),
        (TO_SERVER, b"EHLO a.test\r\n"),
        (TO_CLIENT, b"250-mail.test\r\n250 STARTTLS\r\n"),
        (TO_SERVER, b"MAIL FROM:<a@a.test>\r\n"),
    ],
    "zeros": [(TO_SERVER, bytes(100)), (TO_CLIENT, bytes(100))],
}




class Wire:
    """Packets of one connection between two addresses, through the engine."""

    def __init__(self, server_port: int, late: bool = False, udp: bool = False) -> None:
        self.collector = Collector()
        ports = {port for row in PROTOCOLS for port in row.ports}
        self.reading = Reading(Pairing(self.collector), Detector(PROTOCOLS))
        self.engine = Engine(FlowTable(Reassembly(), server_ports=ports), self.reading)
        self.server_port = server_port
        self.udp = udp
        self.sequence = [1000, 5000]
        self.ts_us = 0
        if not late and not udp:
            self.send(TO_SERVER, b"", SYN).send(TO_CLIENT, b"", SYN | ACK)

    def send(self, direction: int, payload: bytes, flags: int = ACK) -> Wire:
        source, target = (40000, self.server_port) if direction == TO_SERVER else (self.server_port, 40000)
        if self.udp:
            body = struct.pack(">4H", source, target, 8 + len(payload), 0) + payload
        else:
            sequence, other = self.sequence[direction], self.sequence[1 - direction]
            body = struct.pack(">HHIIBBHHH", source, target, sequence, other, 0x50, flags, 8192, 0, 0) + payload
            self.sequence[direction] += len(payload) + (1 if flags & SYN else 0)
        ends = (192, 0, 2, 1, 192, 0, 2, 2) if direction == TO_SERVER else (192, 0, 2, 2, 192, 0, 2, 1)
        packet = struct.pack(">BBHIBBH", 0x45, 0, 20 + len(body), 0, 64, 17 if self.udp else 6, 0) + bytes(ends) + body
        self.ts_us += 1000
        self.engine.process_batch(packet, struct.pack("=4I", 1_700_000_000, self.ts_us, 0, len(packet)), DLT_RAW)
        return self

    def say(self, turns: list[Turn]) -> Wire:
        for direction, payload in turns:
            self.send(direction, payload)
        return self

    @property
    def detected(self) -> dict[str, int]:
        return self.reading.detected


# --- content against port ---


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("port", [80, 53, 443, 6379, 50051, 9999])
@pytest.mark.parametrize("name", KNOWN)
def test_content_tells_the_protocol_on_any_port(name: str, port: int, late: bool) -> None:
    assert Wire(port, late).say(KNOWN[name]).detected == {name: 1}


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("port", [80, 53, 443, 6379, 50051, 9999])
@pytest.mark.parametrize("name", STRANGERS)
def test_stranger_is_nothing_on_any_port(name: str, port: int, late: bool) -> None:
    wire = Wire(port, late).say(STRANGERS[name])
    assert wire.detected == {} and not wire.reading.errors
    wire.engine.finish()
    assert wire.collector.seen == []


@pytest.mark.parametrize("port", [80, 53, 443, 6379, 50051, 9999])
def test_random_bytes_are_nothing(port: int) -> None:
    chance = random.Random(port)
    for number in range(100):
        wire = Wire(port, late=bool(number % 2))
        for direction in (TO_SERVER, TO_CLIENT, TO_SERVER):
            wire.send(direction, chance.randbytes(chance.randrange(8, 300)))
        assert wire.detected == {} and not wire.reading.errors


# --- late ---


@pytest.mark.parametrize("name", KNOWN)
def test_joined_in_the_middle_of_a_large_message(name: str) -> None:
    """Its bytes say nothing, however many there are; what the other side says next does."""
    if name == "tls":
        return  # a hello is not said twice; tests/l7/test_tls.py joins late where TLS goes on
    first = KNOWN[name][0][0]
    wire = Wire(9999, late=True)
    for _ in range(200):
        wire.send(1 - first, b"\x9d" * 1400)
    assert wire.say(KNOWN[name]).detected == {name: 1}


# --- the price ---


def test_stranger_is_looked_at_four_times() -> None:
    """Joined late the direction's turns are looked at, for one of them may begin with a message."""
    for turns in (3, 4):
        wire = Wire(9999, late=True)
        for number in range(turns):
            wire.send((TO_SERVER, TO_CLIENT)[number % 2], b"\x9d" * 100)
        wire.send((TO_SERVER, TO_CLIENT)[turns % 2], HTTP)
        assert wire.detected == ({"http": 1} if turns == 3 else {})
        assert wire.reading.bytes_set_aside == turns * 100 + (0 if turns == 3 else len(HTTP))


def test_what_could_still_be_something_is_kept_up_to_4_kib() -> None:
    wire = Wire(9999)
    for _ in range(2047):
        wire.send(TO_SERVER, b"\r\n")  # before a request of HTTP/1, which may stand empty lines
    assert wire.reading.bytes_set_aside == 0
    wire.send(TO_SERVER, b"\r\n")
    assert wire.reading.bytes_set_aside == 4096
    wire.send(TO_SERVER, HTTP)
    assert wire.detected == {}


# --- datagrams ---


@pytest.mark.parametrize("port", [53, 5300, 8600, 60053])
def test_dns_is_found_on_any_port_and_paired(port: int) -> None:
    wire = Wire(port, udp=True).send(TO_SERVER, LOOKUP).send(TO_CLIENT, LOOKUP_ANSWER)
    assert wire.detected == {"dns": 1}
    assert [(one["operation"], one.outcome) for one in wire.collector.seen] == [("A", "ok")]


def test_dns_answers_tell_who_the_server_is() -> None:
    """Without a handshake the lower port is taken for the server's, until the content says better."""
    wire = Wire(60053, udp=True).send(TO_CLIENT, LOOKUP_ANSWER).send(TO_SERVER, LOOKUP).send(TO_CLIENT, LOOKUP_ANSWER)
    assert [(one["operation"], one.outcome) for one in wire.collector.seen] == [("A", "ok")]


@pytest.mark.parametrize("payload", [NTP, QUIC, b"\x40" + bytes(range(1, 200)), LOOKUP[:-1], b"\x80\x60" + bytes(170)])
@pytest.mark.parametrize("port", [53, 123, 443, 3478, 9999])
def test_other_datagrams_are_nothing(payload: bytes, port: int) -> None:
    wire = Wire(port, udp=True)
    for number in range(8):
        wire.send(TO_CLIENT if number % 3 == 2 else TO_SERVER, payload)
    assert wire.detected == {} and not wire.reading.errors
    assert wire.reading.bytes_set_aside == 8 * len(payload)


def test_flow_of_other_datagrams_is_looked_at_four_times() -> None:
    for turns in (3, 4):
        wire = Wire(9999, udp=True)
        for number in range(turns):
            wire.send((TO_SERVER, TO_CLIENT)[number % 2], QUIC)
        wire.send((TO_SERVER, TO_CLIENT)[turns % 2], LOOKUP if turns == 4 else LOOKUP_ANSWER)
        assert wire.detected == ({"dns": 1} if turns == 3 else {})


def test_of_datagrams_in_one_direction_four_are_looked_at() -> None:
    for strangers, found in ((3, {"dns": 1}), (4, {})):
        wire = Wire(9999, udp=True)
        for _ in range(strangers):
            wire.send(TO_SERVER, QUIC)
        for _ in range(1000):
            wire.send(TO_SERVER, LOOKUP)
        assert wire.detected == found


def test_llmnr_has_no_roundtrips() -> None:
    """Whoever answers does so from an address that was not asked. mDNS: tests/l7/test_dns.py."""
    wire = Wire(5355, udp=True).send(TO_SERVER, LOOKUP).send(TO_CLIENT, LOOKUP_ANSWER)
    wire.engine.finish()
    assert wire.detected == {"dns": 1} and wire.collector.seen == []
    assert wire.reading.pairing.unmatched == 0
