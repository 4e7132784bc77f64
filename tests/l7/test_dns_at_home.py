"""On DNS's own port, or one that is pinned to it, a message is one whatever it asks and however it calls it; elsewhere the content
has to prove it. Messages are dnspython's, and so are the names that are expected."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import pytest

from receiver.build import make_engine
from receiver.config import Config, PcapReceiver, Receivers
from receiver.engine import Engine
from receiver.pcap.file import FileSource
from tests.l7.harness import Collector, Seen
from tests.pcap.packets import Line, Wire, ip, udp

CASES = Path(__file__).resolve().parent.parent / "cases"
PAIRS = [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")]

NAMES = [
    (b"Office Printer 2", b"_ipp", b"_tcp", b"example", b"test"),  # RFC 6763, 4.1.1
    ("Café".encode(), b"_http", b"_tcp", b"example", b"test"),
    ("bücher".encode(), b"example", b"test"),
    (b"\x00\x01\xff", b"a.b", b"c\\d", b"test"),  # RFC 2181, 11: any bytes
    (b"\x1b[31mred", b"\r\n", b"test"),
    (b"*", b"under_score", b"test"),
    (b"\xff" * 63, b"\x00" * 63, b" " * 63, b"\\" * 61),  # 255 bytes
]


def question(*labels: bytes, kind: int = 1, klass: int = 1, identity: int = 700) -> dns.message.Message:
    return dns.message.make_query(
        dns.name.Name((*labels, b"")), dns.rdatatype.RdataType.make(kind), dns.rdataclass.RdataClass.make(klass), id=identity
    )


def shown(*labels: bytes) -> str:
    """The name as dnspython has it; it escapes more than it must (RFC 1035, 5.1)."""
    text = dns.name.Name((*labels, b"")).canonicalize().to_text(omit_final_dot=True)
    for special in '"();@$':
        text = text.replace("\\" + special, special)
    return text


def reply(asked: dns.message.Message, rcode: int = 3) -> bytes:
    told = dns.message.make_response(asked)
    told.set_rcode(dns.rcode.Rcode(rcode))
    return told.to_wire()


def reader(kept: Collector, **pcap: Any) -> Engine:
    config = Config(receivers=Receivers(pcap=PcapReceiver(**pcap)))
    return make_engine(config, kept, detail=True, local=())


def looked_up(asked: bytes, told: bytes | None, port: int = 53, names: tuple[str, str] = PAIRS[0], **pcap: Any) -> list[Seen]:
    """The roundtrips of a query and its answer as datagrams, ten milliseconds apart."""
    kept = Collector()
    wire = Wire(reader(kept, **pcap))
    wire.packet(ip(*names, 17, udp(40000, port, asked), 1))
    if told is not None:
        wire.packet(ip(*reversed(names), 17, udp(port, 40000, told), 2), 10)
    wire.engine.finish()
    assert not [what for _, what in wire.engine.reading.errors if what == "internal"]
    return kept.seen


def over_tcp(asked: bytes, told: bytes, port: int = 53, names: tuple[str, str] = PAIRS[0], late: bool = False) -> list[Seen]:
    kept = Collector()
    wire = Wire(reader(kept))
    line = Line(wire, *names, ports=(40000, port))
    if not late:
        line.opened()
    line.c(len(asked).to_bytes(2, "big") + asked).s(len(told).to_bytes(2, "big") + told, after_ms=10)
    line.closed()
    wire.engine.finish()
    return kept.seen


def told_of(seen: list[Seen]) -> tuple[Any, ...]:
    (one,) = seen
    assert one.times[2] - one.times[0] == 10_000_000
    return one["dns.question.name"], one["operation"], one["status"], one.outcome


# --- names ---


@pytest.mark.parametrize("names", PAIRS, ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("labels", NAMES, ids=range(len(NAMES)))
def test_a_name_of_any_bytes_is_looked_up_and_shown_escaped(labels: tuple[bytes, ...], names: tuple[str, str]) -> None:
    asked = question(*labels, kind=33)
    expected = (shown(*labels), "SRV", "NXDOMAIN", "ok")
    assert told_of(looked_up(asked.to_wire(), reply(asked), names=names)) == expected
    assert told_of(over_tcp(asked.to_wire(), reply(asked), names=names)) == expected
    assert expected[0].isascii() and expected[0].isprintable() and len(expected[0]) < 1024


def test_an_odd_name_without_an_answer_is_a_request_that_got_none() -> None:
    (one,) = looked_up(question(*NAMES[0]).to_wire(), None)
    assert (one["dns.question.name"], one.outcome) == (shown(*NAMES[0]), "lost")  # the capture ends: nobody knows


@pytest.mark.parametrize("labels", NAMES[:5], ids=range(5))
def test_on_other_ports_a_name_of_any_bytes_proves_nothing(labels: tuple[bytes, ...]) -> None:
    asked = question(*labels)
    assert looked_up(asked.to_wire(), reply(asked), 5300) == []
    assert over_tcp(asked.to_wire(), reply(asked), 5300) == []
    assert told_of(looked_up(asked.to_wire(), reply(asked), 5300, ports={"dns": (5300,)}))[0] == shown(*labels)


def test_an_odd_name_is_read_on_a_connection_that_was_open_before() -> None:
    asked = question(*NAMES[0])
    assert told_of(over_tcp(asked.to_wire(), reply(asked), late=True))[0] == shown(*NAMES[0])


# --- headers ---

FLAGS = {"AA": 0x0400, "RA": 0x0080, "Z": 0x0040, "TC": 0x0200, "AD": 0x0020, "CD": 0x0010, "a response code": 0x0003}


@pytest.mark.parametrize("flag", FLAGS)
def test_a_flag_that_a_query_should_not_have(flag: str) -> None:
    asked = question(b"a", b"test")
    wire = bytearray(asked.to_wire())
    wire[2:4] = (int.from_bytes(wire[2:4], "big") | FLAGS[flag]).to_bytes(2, "big")
    assert told_of(looked_up(bytes(wire), reply(asked))) == ("a.test", "A", "NXDOMAIN", "ok")
    assert told_of(over_tcp(bytes(wire), reply(asked))) == ("a.test", "A", "NXDOMAIN", "ok")


@pytest.mark.parametrize(("kind", "name"), [(300, "TYPE300"), (65535, "TYPE65535"), (41, "OPT"), (32, "TYPE32")])
def test_a_type_that_nobody_registered(kind: int, name: str) -> None:
    asked = question(b"a", b"test", kind=kind)
    assert told_of(looked_up(asked.to_wire(), reply(asked, 0))) == ("a.test", name, "NOERROR", "ok")


@pytest.mark.parametrize(("klass", "name"), [(3, "CH"), (4, "HS"), (255, "ANY"), (254, "NONE"), (2, "CLASS2"), (0, "CLASS0")])
def test_any_class(klass: int, name: str) -> None:
    asked = question(b"a b", b"test", klass=klass)
    (one,) = looked_up(asked.to_wire(), reply(asked, 5))
    assert (one["pcap_receiver.dns.question.class"], one["status"], one.outcome) == (name, "REFUSED", "error")


@pytest.mark.parametrize("padding", [b"\0", bytes(100), b"\xff" * 7], ids=len)
def test_bytes_behind_the_message(padding: bytes) -> None:
    asked = question(b"a", b"test")
    assert told_of(looked_up(asked.to_wire() + padding, reply(asked) + padding)) == ("a.test", "A", "NXDOMAIN", "ok")
    assert told_of(over_tcp(asked.to_wire() + padding, reply(asked) + padding)) == ("a.test", "A", "NXDOMAIN", "ok")


@pytest.mark.parametrize("repeated", [False, True], ids=["question not repeated", "question repeated"])
def test_two_questions_are_named_by_the_first(repeated: bool) -> None:
    """RFC 9619: servers answer FORMERR."""
    asked = question(b"a", b"test")
    asked.question += question(b"b", b"test", kind=28).question
    wire = asked.to_wire()
    bare = wire[:2] + bytes((0x81, 0x81)) + bytes(8)
    told = wire[:2] + bytes((0x81, 0x81)) + wire[4:] if repeated else bare
    assert told_of(looked_up(wire, told)) == ("a.test", "A", "FORMERR", "error")


def cookie(identity: int = 5) -> dns.message.Message:
    """RFC 7873, 5.4: no question, an OPT record with a cookie."""
    asked = dns.message.QueryMessage(id=identity)
    asked.use_edns(0, options=[dns.edns.GenericOption(10, b"12345678")])
    return asked


def test_a_cookie_without_a_question() -> None:
    told = cookie()
    told.flags |= dns.flags.QR
    assert told_of(looked_up(cookie().to_wire(), told.to_wire())) == (None, None, "NOERROR", "ok")
    assert told_of(over_tcp(cookie().to_wire(), told.to_wire())) == (None, None, "NOERROR", "ok")


@pytest.mark.parametrize("opcode", range(1, 16))
@pytest.mark.parametrize("names", PAIRS, ids=["ipv4", "ipv6"])
def test_an_operation_that_the_server_does_not_know(opcode: int, names: tuple[str, str]) -> None:
    asked = question(b"a", b"test", kind=6)
    asked.set_opcode(dns.opcode.Opcode(opcode))
    known = {1: "IQUERY", 2: "STATUS", 4: "NOTIFY", 5: "UPDATE", 6: "DSO"}
    expected = ("a.test", known.get(opcode, f"OPCODE{opcode}"), "NOTIMP", "error")
    wire = asked.to_wire()
    told = wire[:2] + bytes((0x80 | opcode << 3, 4)) + wire[4:]
    assert told_of(looked_up(wire, told, names=names)) == expected
    assert told_of(looked_up(wire, told[:4] + bytes(8), names=names)) == expected  # the header alone
    assert told_of(over_tcp(wire, told, names=names)) == expected


# --- the header alone ---

BARE = b"\x00\x07" + bytes(10)
REFUSAL = b"\x00\x07\x80\x01" + bytes(8)


def test_an_empty_query_is_told_with_the_answer_that_has_its_id() -> None:
    assert told_of(looked_up(BARE, REFUSAL)) == (None, None, "FORMERR", "error")
    assert told_of(over_tcp(BARE, REFUSAL)) == (None, None, "FORMERR", "error")
    assert looked_up(BARE, REFUSAL, 5300) == []


@pytest.mark.parametrize("told", [None, b"\x00\x08" + REFUSAL[2:], BARE, bytes(40)], ids=["none", "another", "a query", "zeros"])
def test_an_empty_query_without_its_answer_is_told_as_nothing(told: bytes | None) -> None:
    """It could be anybody's zeros."""
    assert looked_up(BARE, told) == []


def test_several_empty_queries_wait_for_their_answers() -> None:
    kept = Collector()
    wire = Wire(reader(kept))
    for identity in (1, 2, 3):
        wire.packet(ip(*PAIRS[0], 17, udp(40000, 53, bytes((0, identity)) + BARE[2:]), identity))
    for identity in (2, 1, 3):
        wire.packet(ip(*reversed(PAIRS[0]), 17, udp(53, 40000, bytes((0, identity)) + REFUSAL[2:]), 10 + identity))
    wire.engine.finish()
    assert [one.outcome for one in kept.seen] == ["error"] * 3
    assert wire.engine.reading.pairing.unmatched == 0


# --- others on port 53 ---

STRANGERS = {
    "wireguard": (b"\x01\0\0\0" + bytes(range(1, 145)), b"\x02\0\0\0" + bytes(range(88))),
    "openvpn": (b"\x38" + bytes(range(65, 73)) + bytes(5), b"\x40" + bytes(range(80, 88)) + b"\x01\0\0\0\0" + bytes(12)),
    "quic": (b"\xc3\0\0\0\x01\x08" + bytes(range(200, 250)) * 24, b"\xc3\0\0\0\x01\0" + bytes(range(200, 250)) * 24),
    "http": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 400 Bad\r\n\r\n"),
    "zeros": (bytes(64), bytes(64)),
    "ones": (b"\xff" * 64, b"\xff" * 64),
    "counts of what is not there": (BARE[:4] + b"\0\x01" + bytes(6), REFUSAL[:4] + b"\0\x01" + bytes(6)),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_what_is_not_dns_on_its_port_is_told_as_nothing(name: str) -> None:
    assert looked_up(*STRANGERS[name]) == []


def test_random_datagrams_on_its_port_are_not_dns() -> None:
    chance = random.Random(54)
    kept = Collector()
    wire = Wire(reader(kept))
    for port in range(20000, 30000):
        for direction in (0, 1):
            payload = chance.randbytes(chance.randrange(12, 200))
            ends, ports = (PAIRS[0], (port, 53)) if direction == 0 else (PAIRS[0][::-1], (53, port))
            wire.packet(ip(*ends, 17, udp(*ports, payload), port), 0.1)
    wire.engine.finish()
    assert kept.seen == []
    assert wire.engine.reading.detected == {}


# --- captures ---


def test_lookups_of_odd_names_in_a_capture() -> None:
    """`dns_names.pcap`: a name with spaces, two in UTF-8, and one as all; each query has its answer 10 ms later."""
    kept = Collector()
    engine = reader(kept)
    source = FileSource((str(CASES / "dns_names.pcap"),), lambda _: "")
    source.open()
    source.run(engine.process_batch, lambda _: None, lambda: False)
    engine.finish()
    names = [NAMES[0], NAMES[1], NAMES[2], (b"plain", b"example", b"test")]
    kinds = ["SRV", "TXT", "A", "A"]
    assert [told_of([one]) for one in kept.seen] == [
        (shown(*labels), kind, "NXDOMAIN", "ok") for labels, kind in zip(names, kinds, strict=True)
    ]
