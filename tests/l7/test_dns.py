"""DNS: vectors from unbound and dnsmasq, messages made and read by dnspython, real captures, and bytes that lie.

Expected values come from dnspython (the other implementation), from the clients' own records in the vectors, and from the RFC
named in the test.
"""

from __future__ import annotations

import gc
import ipaddress
import os
import random
import struct
from functools import partial
from pathlib import Path
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.engine import Engine
from receiver.l7.conversation import Conversation
from receiver.l7.detect import Detector
from receiver.l7.dns import NUMBERS_MAX, QUESTIONS_MAX, DnsDecoder, DnsSettings
from receiver.l7.matcher import Pairing
from receiver.l7.reading import Reading
from receiver.l7.registry import PROTOCOLS
from receiver.pcap.bpf import FilterPlan, build_filter
from receiver.pcap.file import FileSource
from receiver.pcap.flow import FlowTable
from receiver.pcap.stream import Reassembly
from receiver.wire.names import Names
from receiver.wire.records import Endpoints, Protocol
from tests.l7.harness import (
    COMPILED,
    START_NS,
    TO_CLIENT,
    TO_SERVER,
    Collector,
    Event,
    Pair,
    Run,
    Seen,
    Vector,
    check_expected,
    check_released,
    check_vector,
    contents,
    load_all,
)

VECTORS = load_all("dns")
DATAGRAMS = [vector for vector in VECTORS if "-udp" in vector.name]
STREAMS = [vector for vector in VECTORS if "-tcp" in vector.name]
CAPTURES = Path(__file__).resolve().parents[3] / "shared" / "pcaps" / "dns"


def dns_with(names: Names | None = None, questions: bool = False) -> Protocol:
    return Protocol("dns", "dns", partial(DnsDecoder, DnsSettings(names, questions)), over_udp=True, repeats=True)


def datagram_run(protocol: Protocol | None = None, detail: bool = True) -> Run:
    return Run([protocol] if protocol else PROTOCOLS, from_start=False, detail=detail, datagrams=True)


def query(name: str = "a.test", kind: str = "A", identity: int = 77, **options: Any) -> dns.message.Message:
    return dns.message.make_query(name, kind, id=identity, **options)


def answer(asked: dns.message.Message, *rrsets: dns.rrset.RRset, rcode: int = 0) -> dns.message.Message:
    made = dns.message.make_response(asked)
    made.set_rcode(dns.rcode.Rcode(rcode))
    made.answer.extend(rrsets)
    return made


def rrset(name: str, kind: str, *values: str, ttl: int = 60) -> dns.rrset.RRset:
    return dns.rrset.from_text(name, ttl, "IN", kind, *values)


def a_record(*addresses: str, name: str = "a.test.", ttl: int = 60) -> dns.rrset.RRset:
    return rrset(name, "AAAA" if ":" in addresses[0] else "A", *addresses, ttl=ttl)


def prefixed(*wires: bytes) -> bytes:
    return b"".join(len(wire).to_bytes(2, "big") + wire for wire in wires)


def exchanged(asked: bytes, answered: bytes, run: Run | None = None) -> Seen:
    """The one roundtrip of a query and its answer as datagrams."""
    run = run or datagram_run()
    run.feed(TO_SERVER, asked, START_NS).feed(TO_CLIENT, answered, START_NS + 1000)
    assert not run.reading.errors
    (seen,) = run.end()
    return seen


def errors_of(run: Run) -> list[str]:
    return [what for _, what in run.reading.errors]


# --- vectors ---


@pytest.mark.parametrize("vector", STREAMS, ids=str)
def test_stream_vectors_cut_followed_and_damaged(vector: Vector) -> None:
    check_vector(PROTOCOLS, vector)


@pytest.mark.parametrize("vector", DATAGRAMS, ids=str)
def test_datagram_vectors_are_what_the_client_saw(vector: Vector) -> None:
    run = datagram_run()
    for event in vector.events:
        run.event(event)
    assert not run.reading.errors
    check_expected(vector, run.end())


@pytest.mark.parametrize("vector", DATAGRAMS, ids=str)
def test_datagram_vectors_lost_doubled_and_swapped(vector: Vector) -> None:
    """Each datagram can be lost, come twice or late; what is paired is true, and only what was touched is missing."""
    run = datagram_run()
    for event in vector.events:
        run.event(event)
    seen = run.end()
    truth = contents(seen)
    released = check_released(datagram_run, vector, seen)
    assert released == sum(row.paired for row in seen)  # in these vectors one question waits at a time
    for i in range(len(vector.events)):
        events = list(vector.events)
        lost = replay(events[:i] + events[i + 1 :])
        assert [one.content() for one in lost if one.paired] == truth[: i // 2] + truth[i // 2 + 1 :]
        assert [one.content() for one in replay([*events[: i + 1], events[i], *events[i + 1 :]]) if one.paired] == truth
        if i + 3 < len(events):
            events[i], events[i + 2] = events[i + 2], events[i]
            assert all(one.content() in truth for one in replay(events) if one.paired)


class Clinging(Run):
    """Whoever reads stays."""

    def release(self) -> bool:
        return False


def test_a_reader_that_stays_where_nobody_waits_is_noticed() -> None:
    """Or the comparison above would be one of a run with itself."""
    vector = DATAGRAMS[0]
    truth = replay(list(vector.events))
    with pytest.raises(AssertionError):
        check_released(lambda: Clinging(PROTOCOLS, from_start=False, datagrams=True), vector, truth)
    with pytest.raises(AssertionError):
        check_released(lambda: Run(PROTOCOLS, from_start=False, datagrams=False), vector, truth)


def replay(events: list[Event]) -> list[Seen]:
    run = datagram_run()
    for event in events:
        run.event(event)
    return run.end()


@pytest.mark.parametrize("vector", DATAGRAMS, ids=str)
def test_datagram_vectors_cut_short_say_nothing_that_was_not_said(vector: Vector) -> None:
    first = vector.events[0].payload or b""
    second = vector.events[1].payload or b""
    whole = exchanged(first, second)
    for n in range(len(first)):
        run = datagram_run(dns_with())
        run.feed(TO_SERVER, first[:n], START_NS)
        assert run.end() == []
    for n in range(len(second)):
        run = datagram_run()
        run.feed(TO_SERVER, first, START_NS).feed(TO_CLIENT, second[:n], START_NS + 1000)
        for seen in run.end():
            # A truncated answer (TC) may end anywhere; it says what it says.
            assert not seen.paired or seen["pcap_receiver.dns.truncated"]
            assert seen.request == whole.request


def test_without_detail_the_same_roundtrips_without_attributes() -> None:
    for vector in DATAGRAMS:
        full, lean = datagram_run(), datagram_run(detail=False)
        for event in vector.events:
            full.event(event)
            lean.event(event)
        assert not lean.reading.errors
        for one, other in zip(full.end(), lean.end(), strict=True):
            assert (one["operation"], one["status"], one.times, one.sizes) == (
                other["operation"], other["status"], other.times, other.sizes,
            )
            assert other.request.attributes == () and other.request.target is None


# --- pairing ---


def test_a_name_in_random_case_is_the_same_name() -> None:
    """draft-vixie-dnsext-dns0x20; a server may answer in another case than it was asked."""
    seen = exchanged(query("wWw.ExAmPlE.tEsT").to_wire(), answer(query("www.example.TEST")).to_wire())
    assert seen["dns.question.name"] == "www.example.test"
    assert seen.outcome == "ok"


@pytest.mark.parametrize(
    "other", [query("b.test"), query("a.test", "AAAA"), query("a.test", identity=78)], ids=["name", "type", "id"]
)
def test_an_answer_to_another_question_pairs_with_nothing(other: dns.message.Message) -> None:
    run = datagram_run()
    run.feed(TO_SERVER, query().to_wire(), START_NS).feed(TO_CLIENT, answer(other).to_wire(), START_NS + 1)
    assert [one.outcome for one in run.end()] == ["closed"]
    assert run.pairing.unmatched == 1


def test_a_query_sent_again_is_one_roundtrip_and_is_counted() -> None:
    asked = query()
    run = datagram_run()
    for after_ns in (0, 5_000, 10_000):
        run.feed(TO_SERVER, asked.to_wire(), START_NS + after_ns)
    run.feed(TO_CLIENT, answer(asked).to_wire(), START_NS + 10_500)
    (seen,) = run.end()
    assert seen.outcome == "ok"
    assert seen.times == (START_NS, START_NS + 10_000, START_NS + 10_500, START_NS + 10_500)
    assert seen.sizes[0] == 3 * len(asked.to_wire())
    assert (run.pairing.requests, run.pairing.repeated, run.pairing.paired) == (3, 2, 1)


def test_a_second_answer_is_unmatched() -> None:
    asked = query()
    run = datagram_run()
    run.feed(TO_SERVER, asked.to_wire(), START_NS)
    for _ in range(2):
        run.feed(TO_CLIENT, answer(asked).to_wire())
    assert len(run.end()) == 1
    assert run.pairing.unmatched == 1


def test_no_answer_is_a_timeout_counted_from_the_last_try() -> None:
    run = datagram_run()
    run.feed(TO_SERVER, query().to_wire(), START_NS).feed(TO_SERVER, query().to_wire(), START_NS + 5_000_000_000)
    run.conversation.expire(START_NS + 31_000_000_000)
    assert run.seen == []
    run.conversation.expire(START_NS + 36_000_000_000)
    assert [one.outcome for one in run.seen] == ["timeout"]
    run.check_books()


def test_answers_in_any_order_on_one_connection() -> None:
    """RFC 7766, 6.2.1.1."""
    asked = [query(f"n{i}.test", identity=i) for i in range(100)]
    answers = [answer(one, a_record(f"192.0.2.{i}", name=f"n{i}.test.")) for i, one in enumerate(asked)]
    random.Random(7).shuffle(answers)
    run = Run(PROTOCOLS)
    run.feed(TO_SERVER, prefixed(*(one.to_wire() for one in asked)))
    run.feed(TO_CLIENT, prefixed(*(one.to_wire() for one in answers)))
    seen = run.end()
    assert [one["dns.question.name"] for one in seen] == [str(one.question[0].name)[:-1] for one in answers]
    assert all(one["dns.answers"] == [f"192.0.2.{one['dns.question.name'][1:-5]}"] for one in seen)


@pytest.mark.parametrize("rcode", [1, 4])
def test_an_answer_without_its_question_belongs_to_the_query_with_its_id(rcode: int) -> None:
    """Servers that do not understand a query send its header back (RFC 1035, 4.1.1: FORMERR, NOTIMP)."""
    asked = query().to_wire()
    bare = struct.pack(">6H", 77, 0x8000 | rcode, 0, 0, 0, 0)
    assert exchanged(asked, bare).outcome == "error"


def test_the_query_without_a_question_of_dns_cookies() -> None:
    """RFC 7873, 5.4."""
    cookie = dns.message.QueryMessage(id=5)
    cookie.use_edns(0, options=[dns.edns.GenericOption(10, b"12345678")])
    bare = dns.message.QueryMessage(id=5)
    bare.flags |= dns.flags.QR
    seen = exchanged(cookie.to_wire(), bare.to_wire(), _pinned())
    assert (seen.outcome, seen["operation"]) == ("ok", None)


def _pinned() -> Run:
    """A run whose port is known to be DNS's, so that content need not prove it."""
    run = datagram_run()
    run.reading = Reading(run.pairing, Detector(PROTOCOLS, {0: PROTOCOLS[1]}))
    run.conversation = Conversation(run.reading, run.connection, False, True)
    return run


# --- what is read out of a message ---


@pytest.mark.parametrize("rcode", [*range(12), *range(16, 24)])
def test_response_codes_have_their_registered_names(rcode: int) -> None:
    asked = query(use_edns=0)
    seen = exchanged(asked.to_wire(), answer(asked, rcode=rcode).to_wire())
    name = "BADVERS" if rcode == 16 else dns.rcode.to_text(dns.rcode.Rcode(rcode))
    assert seen["status"] == name
    answers = (dns.rcode.NOERROR, dns.rcode.NXDOMAIN)
    assert seen["error_type"] == (None if rcode in answers else name)
    assert seen.outcome == ("ok" if rcode in answers else "error")


def test_no_such_name_is_an_answer_to_a_question_and_refuses_an_update() -> None:
    """RFC 2308, 2.1; RFC 2136, 2.2: there the name was to be in use."""
    asked = query("zone.test", "SOA")
    asked.set_opcode(dns.opcode.UPDATE)
    seen = exchanged(asked.to_wire(), answer(asked, rcode=dns.rcode.NXDOMAIN).to_wire())
    assert (seen.outcome, seen["error_type"], seen["status"]) == ("error", "NXDOMAIN", "NXDOMAIN")


def test_a_name_without_such_records_is_an_answer() -> None:
    """NODATA, RFC 2308, 2.2: NOERROR, no answer, the zone's SOA."""
    asked = query("a.test", "AAAA")
    told = answer(asked)
    told.authority.append(soa(1))
    seen = exchanged(asked.to_wire(), told.to_wire())
    assert (seen.outcome, seen["status"], seen["error_type"], seen["dns.answers"]) == ("ok", "NOERROR", None, None)


def test_a_search_path_that_ends_well_has_no_error() -> None:
    """resolv.conf(5), `search`: each domain in turn, until one has the name."""
    run = datagram_run()
    for i, name in enumerate(("db.shop.svc.cluster.local", "db.svc.cluster.local", "db.cluster.local", "db")):
        asked = query(name, identity=i)
        records = [a_record("192.0.2.1", name="db.")] if name == "db" else []
        run.feed(TO_SERVER, asked.to_wire()).feed(TO_CLIENT, answer(asked, *records, rcode=0 if records else 3).to_wire())
    seen = run.end()
    assert [(one.outcome, one["status"]) for one in seen] == [("ok", "NXDOMAIN")] * 3 + [("ok", "NOERROR")]


@pytest.mark.parametrize(
    ("rcode", "records", "size", "said"),
    [
        (16, 0, -11, ("unknown", None)),  # its OPT record is gone, and with it what makes BADVERS of NOERROR
        (0, 0, -11, ("unknown", None)),
        (0, 1, -11, ("ok", "NOERROR")),  # an answer with records is no BADVERS
        (2, 0, -11, ("error", "SERVFAIL")),
        (16, 0, None, ("error", "BADVERS")),
    ],
)
def test_a_response_code_whose_upper_bits_are_cut_off_is_not_read(
    rcode: int, records: int, size: int | None, said: tuple[str, str | None]
) -> None:
    asked = query(use_edns=0)
    whole = answer(asked, *[a_record("192.0.2.1")] * records, rcode=rcode).to_wire()
    run = datagram_run().feed(TO_SERVER, asked.to_wire(), START_NS)
    if size is not None:
        run.gap(TO_CLIENT, -size)
    (seen,) = run.feed(TO_CLIENT, whole[:size], START_NS + 1000).end()
    assert (seen.outcome, seen["status"]) == said


def test_a_response_code_of_twelve_bits() -> None:
    """RFC 6891, 6.1.3: the upper eight stand in the OPT record."""
    asked = query(use_edns=0)
    assert exchanged(asked.to_wire(), answer(asked, rcode=3841).to_wire())["status"] == "RCODE3841"


@pytest.mark.parametrize("kind", ["A", "ANY", "DNSKEY", "HTTPS", "NAPTR", "TYPE65280"])
def test_the_type_is_the_operation(kind: str) -> None:
    asked = query(kind=kind)
    assert exchanged(asked.to_wire(), answer(asked).to_wire())["operation"] == kind


@pytest.mark.parametrize(
    ("opcode", "name"), [(dns.opcode.NOTIFY, "NOTIFY"), (dns.opcode.UPDATE, "UPDATE")], ids=["notify", "update"]
)
def test_other_operations_have_their_name(opcode: dns.opcode.Opcode, name: str) -> None:
    asked = query("zone.test", "SOA")
    asked.set_opcode(opcode)
    assert exchanged(asked.to_wire(), answer(asked).to_wire())["operation"] == name


RECORDS = [
    ("A", "192.0.2.1", None),
    ("AAAA", "2001:db8::1", None),
    ("AAAA", "::ffff:192.0.2.1", None),
    ("CNAME", "x.test.", "x.test"),
    ("NS", "ns.test.", "ns.test"),
    ("PTR", "host.test.", "host.test"),
    ("MX", "10 mail.test.", "10 mail.test"),
    ("SRV", "1 2 443 srv.test.", "1 2 443 srv.test"),
    ("SOA", "ns.test. admin.test. 4294967295 2 3 4 5", "ns.test admin.test 4294967295 2 3 4 5"),
    ("TXT", r'"one" "two \"quoted\" \\ back" "\000\200\255"', None),
    ("TXT", '""', None),
    ("SVCB", "0 other.test.", "0 other.test"),
    ("HTTPS", '1 . alpn="h2,h3" port="8443" ipv4hint="192.0.2.1,192.0.2.2" ipv6hint="2001:db8::1"', None),
    ("HTTPS", '1 . mandatory="alpn,port" alpn="h2" no-default-alpn port="1"', None),
    ("CAA", '0 issue "ca.test"', "TYPE257"),
    ("LOC", "42 21 54.000 N 71 6 18.000 W -24.00m 30.00m", "TYPE29"),
]


@pytest.mark.parametrize(("kind", "text", "shown"), RECORDS, ids=[f"{kind} {text[:20]}" for kind, text, _ in RECORDS])
def test_answers_are_shown_as_zone_files_have_them(kind: str, text: str, shown: str | None) -> None:
    asked = query("a.test", kind)
    found = exchanged(asked.to_wire(), answer(asked, rrset("a.test.", kind, text)).to_wire())["dns.answers"]
    assert found == [shown or dns.rdata.from_text("IN", kind, text).to_text()]


def test_names_with_odd_bytes_are_escaped() -> None:
    """RFC 1035, 5.1: a dot inside a label, a backslash, bytes that cannot be shown."""
    name = dns.name.Name((b"a.b", b"c\\d", b"\xff\x00 ", b"test", b""))
    asked = dns.message.make_query(name, "A", id=1)
    seen = exchanged(asked.to_wire(), answer(asked).to_wire(), _pinned())
    assert seen["dns.question.name"] == r"a\.b.c\\d.\255\000\032.test" == name.to_text(omit_final_dot=True)


def test_the_root_is_a_dot() -> None:
    asked = query(".", "NS")
    assert exchanged(asked.to_wire(), answer(asked).to_wire())["dns.question.name"] == "."


def test_edns_size_and_class_are_attributes() -> None:
    asked = dns.message.make_query("version.bind", "TXT", rdclass="CH", use_edns=0, payload=1232, id=4)
    seen = exchanged(asked.to_wire(), answer(asked).to_wire())
    assert seen["pcap_receiver.dns.edns.udp_size"] == 1232
    assert seen["pcap_receiver.dns.question.class"] == "CH"


def test_no_more_answers_than_a_span_takes() -> None:
    asked = query()
    many = a_record(*(f"10.0.{i}.1" for i in range(200)))
    found = exchanged(asked.to_wire(), answer(asked, many).to_wire(max_size=65535))["dns.answers"]
    assert len(found) == 64


def test_a_truncated_answer_may_end_in_the_middle_of_a_record() -> None:
    asked = query()
    whole = answer(asked, a_record(*(f"10.0.{i}.1" for i in range(100))))
    whole.flags |= dns.flags.TC
    seen = exchanged(asked.to_wire(), whole.to_wire(max_size=65535)[:512])
    assert seen.outcome == "ok"
    assert seen["pcap_receiver.dns.truncated"] is True
    assert 0 < len(seen["dns.answers"]) < 32


def test_an_answer_longer_than_is_read_costs_nothing_and_keeps_step() -> None:
    """On TCP, 65 535 bytes are a message (RFC 1035, 4.2.2); the bytes beyond 16 KiB are passed over."""
    asked, next_asked = query(kind="TXT", identity=1), query(kind="TXT", identity=2)
    big = answer(asked, rrset("a.test.", "TXT", *(f'"{i:05d}{"x" * 240}"' for i in range(250))))
    run = Run(PROTOCOLS)
    run.feed(TO_SERVER, prefixed(asked.to_wire(), next_asked.to_wire()))
    stream = prefixed(big.to_wire(max_size=65535), answer(next_asked).to_wire())
    assert len(stream) > 60000
    for at in range(0, len(stream), 1448):
        run.feed(TO_CLIENT, stream[at : at + 1448])
    first, second = run.end()
    assert (first.outcome, second.outcome) == ("ok", "ok")
    assert first.sizes[1] == len(big.to_wire(max_size=65535)) + 2
    assert not run.reading.errors


# --- zone transfers ---


def transfer(kind: str, *messages: list[dns.rrset.RRset], questions: int = 99) -> list[Seen]:
    """An answer of several messages, and a query after it that shows that the next one is not taken for more of it."""
    asked = query("zone.test", kind, identity=9)
    wires = []
    for i, rrsets in enumerate(messages):
        piece = answer(asked, *rrsets)
        if i >= questions:
            piece.question = []
        wires.append(piece.to_wire(max_size=65535))
    after = query("a.test", identity=9)
    run = Run(PROTOCOLS)
    run.feed(TO_SERVER, prefixed(asked.to_wire(), after.to_wire()), START_NS)
    for i, wire in enumerate([*wires, answer(after).to_wire()]):
        run.feed(TO_CLIENT, prefixed(wire), START_NS + (i + 1) * 1000)
    assert not run.reading.errors and not run.pairing.unmatched
    return run.end()


def soa(serial: int) -> dns.rrset.RRset:
    return rrset("zone.test.", "SOA", f"ns.test. admin.test. {serial} 1 1 1 1")


@pytest.mark.parametrize("questions", [99, 1], ids=["question each time", "question once"])
def test_a_zone_transfer_is_one_roundtrip_that_ends_with_its_last_message(questions: int) -> None:
    """RFC 5936, 2.2."""
    host = a_record("192.0.2.1", name="h.zone.test.")
    seen = transfer("AXFR", [soa(3), host], [host], [host], [host, soa(3)], questions=questions)
    assert [(one["operation"], one.outcome) for one in seen] == [("AXFR", "ok"), ("A", "ok")]
    assert seen[0].times == (START_NS, START_NS, START_NS + 1000, START_NS + 4000)


def test_a_zone_transfer_in_one_message() -> None:
    seen = transfer("AXFR", [soa(3), a_record("192.0.2.1", name="h.zone.test."), soa(3)])
    assert [one["operation"] for one in seen] == ["AXFR", "A"]


def test_an_incremental_transfer_ends_with_the_third_newest_soa() -> None:
    """RFC 1995, 4: new, old, deletions, new, additions, new."""
    host = a_record("192.0.2.1", name="h.zone.test.")
    seen = transfer("IXFR", [soa(5), soa(3), host], [soa(4), host, soa(4), host], [soa(5), host], [host, soa(5)])
    assert [one["operation"] for one in seen] == ["IXFR", "A"]
    assert seen[0].times[3] == START_NS + 4000


def test_an_incremental_transfer_of_nothing_is_one_soa() -> None:
    first, _ = transfer("IXFR", [soa(5)])
    assert first.times[3] == START_NS + 1000


def test_a_refused_transfer_is_over() -> None:
    asked = query("zone.test", "AXFR")
    run = Run(PROTOCOLS)
    run.feed(TO_SERVER, prefixed(asked.to_wire())).feed(TO_CLIENT, prefixed(answer(asked, rcode=5).to_wire()))
    assert [one["status"] for one in run.end()] == ["REFUSED"]


# --- bytes that lie ---

QUERY = query().to_wire()


def broken(wire: bytes, direction: int = TO_CLIENT) -> list[str]:
    """What is wrong with a datagram, in a flow that is known to be DNS."""
    run = _pinned()
    if direction == TO_CLIENT:
        run.feed(TO_SERVER, QUERY)
    run.feed(direction, wire)
    run.end()
    assert not any(one.paired for one in run.seen)
    return errors_of(run)


def header(identity: int = 77, flags: int = 0x8180, counts: tuple[int, int, int, int] = (1, 1, 0, 0)) -> bytes:
    return struct.pack(">6H", identity, flags, *counts)


QUESTION = QUERY[12:]
RECORD = struct.pack(">HHIH", 1, 1, 60, 4) + bytes((192, 0, 2, 1))


def test_pointer_to_itself_is_malformed() -> None:
    assert broken(header() + QUESTION + struct.pack(">H", 0xC000 | 12 + len(QUESTION)) + RECORD) == ["name broken"]


def test_pointer_forward_is_malformed() -> None:
    assert broken(header() + QUESTION + struct.pack(">H", 0xC000 | 200) + RECORD) == ["name broken"]


def test_pointer_in_the_question_is_malformed() -> None:
    assert broken(header(flags=0x0100, counts=(1, 0, 0, 0)) + b"\xc0\x0c\x00\x01\x00\x01", TO_SERVER)


def test_pointer_into_the_header_is_no_name() -> None:
    """Backwards, but no name stands there; the answer pairs, its text does not invent one."""
    wire = header() + QUESTION + b"\xc0\x0c" + struct.pack(">HHIH", 5, 1, 60, 2) + b"\xc0\x02"
    assert exchanged(QUERY, wire)["dns.answers"] == ["TYPE5"]


def test_chain_of_pointers_ends_and_is_short() -> None:
    """16 000 records, each the target of the next: a name is read once each, and none is longer than 255 bytes."""
    wire = bytearray(header(counts=(1, 4000, 0, 0)) + QUESTION)
    before = 12
    for _ in range(4000):
        at = len(wire)
        wire += struct.pack(">H", 0xC000 | 12) + struct.pack(">HHIH", 5, 1, 60, 4) + b"\x01x" + struct.pack(">H", 0xC000 | before)
        before = at + 12 if at + 12 < 0x3FFF else before
    found = exchanged(QUERY, bytes(wire))["dns.answers"]
    assert len(found) == 64
    assert all(len(text) <= 255 for text in found)


def test_label_overrun_is_malformed() -> None:
    assert broken(header(flags=0x0100, counts=(1, 0, 0, 0)) + b"\x3fabc", TO_SERVER) == ["question cut short"]


@pytest.mark.parametrize("length", [0x40, 0x80, 0xBF])
def test_reserved_label_types_are_malformed(length: int) -> None:
    assert broken(header(flags=0x0100, counts=(1, 0, 0, 0)) + bytes([length]) + b"x" * 200, TO_SERVER)


@pytest.mark.parametrize("good", [True, False])
def test_a_name_has_255_bytes_at_most(good: bool) -> None:
    """RFC 1035, 2.3.4: 3 x 64 + 62 + 1 is 255."""
    name = (b"\x3f" + b"a" * 63) * 3 + (b"\x3d" + b"b" * 61 if good else b"\x3e" + b"b" * 62) + b"\x00"
    assert len(name) == (255 if good else 256)
    wire = header(flags=0x0100, counts=(1, 0, 0, 0)) + name + b"\x00\x01\x00\x01"
    assert broken(wire, TO_SERVER) == ([] if good else ["name too long"])


@pytest.mark.parametrize("count", [2, 100, 65535])
def test_more_records_announced_than_there_are_is_malformed(count: int) -> None:
    assert broken(header(counts=(1, count, 0, 0)) + QUESTION + b"\xc0\x0c" + RECORD) == ["record cut short"]


def test_data_longer_than_the_message_is_malformed() -> None:
    record = struct.pack(">HHIH", 1, 1, 60, 500) + b"\x01\x02\x03\x04"
    assert broken(header() + QUESTION + b"\xc0\x0c" + record) == ["record cut short"]


def test_data_that_does_not_fit_its_type_is_not_shown() -> None:
    wrong = {1: b"123", 28: b"1234", 15: b"\x00", 33: b"123456", 6: b"\x00\x00", 16: b"\x09abc"}
    wrong[65] = b"\x00\x01\x00\x00\x01\x00\x09h"
    for kind, data in wrong.items():
        wire = header() + QUESTION + b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(data)) + data
        assert exchanged(QUERY, wire)["dns.answers"] == [f"TYPE{kind}"]


def test_a_query_from_the_server_is_an_error_not_a_request() -> None:
    run = datagram_run()
    run.feed(TO_SERVER, QUERY).feed(TO_CLIENT, QUERY)
    assert errors_of(run) == ["query from the server"]


@pytest.mark.parametrize("length", range(12))
def test_a_length_below_a_header_is_not_dns(length: int) -> None:
    run = Run(PROTOCOLS)
    run.feed(TO_SERVER, prefixed(QUERY)).feed(TO_SERVER, length.to_bytes(2, "big") + bytes(length))
    run.end()
    assert errors_of(run) == ["not this protocol"]


# --- multicast ---


def meeting(client: str, client_port: int, server: str, server_port: int, *datagrams: tuple[int, bytes]) -> Run:
    run = datagram_run()
    endpoints = Endpoints(client, client_port, server, server_port, "udp", 0, group=ipaddress.ip_address(server).is_multicast)

    class Given(Pair):
        def endpoints(self) -> Endpoints:
            return endpoints

    run.conversation = Conversation(run.reading, Given(False), False, True)
    for direction, wire in datagrams:
        run.feed(direction, wire)
    return run


@pytest.mark.parametrize(
    ("client", "port", "server"),
    [
        ("192.0.2.1", 5353, "224.0.0.251"),
        ("fe80::1", 5353, "ff02::fb"),
        ("192.0.2.1", 40000, "224.0.0.251"),
        ("192.0.2.1", 5353, "192.0.2.2"),
    ],
)
def test_multicast_dns_is_recognised_and_not_paired(client: str, port: int, server: str) -> None:
    """RFC 6762: several questions, answers without a question, both from anybody; id 0."""
    asked = query("_http._tcp.local", "PTR", identity=0)
    asked.question.append(dns.rrset.RRset(dns.name.from_text("x.local."), dns.rdataclass.IN, dns.rdatatype.SRV))
    asked.flags = dns.flags.Flag(0)
    told = dns.message.QueryMessage(id=0)
    told.flags = dns.flags.QR | dns.flags.AA
    told.answer.append(a_record("192.0.2.9", name="x.local."))
    said = [(TO_SERVER, asked.to_wire()), (TO_SERVER, told.to_wire()), (TO_CLIENT, told.to_wire())]
    run = meeting(client, port, server, 5353, *said)
    assert run.reading.detected == {"dns": 1}
    assert run.end() == [] and not run.reading.errors


def test_a_server_on_port_5353_is_paired() -> None:
    """Cluster DNS servers listen there."""
    asked = query()
    run = meeting("192.0.2.1", 40000, "192.0.2.2", 5353, (TO_SERVER, asked.to_wire()), (TO_CLIENT, answer(asked).to_wire()))
    assert [one.outcome for one in run.end()] == ["ok"]


# --- detection ---


def detected(wire: bytes, datagrams: bool = True, direction: int = TO_SERVER) -> dict[str, int]:
    run = Run([dns_with()], from_start=not datagrams, datagrams=datagrams)
    run.feed(direction, wire)
    return run.reading.detected


def test_either_side_is_recognised_whichever_comes_first() -> None:
    for first in (QUERY, answer(query(), a_record("192.0.2.1")).to_wire()):
        assert detected(first) == detected(first, direction=TO_CLIENT) == {"dns": 1}


NETBIOS = header(flags=0x0110, counts=(1, 0, 0, 0)) + b"\x20" + b"CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" + b"\x00\x00\x21\x00\x01"
LOOK_ALIKES = {
    "netbios name service": NETBIOS,
    "memcached over udp": b"\x00\x01\x00\x00\x00\x01\x00\x00get some_key_or_other\r\n",
    "syslog": b"<34>Oct 11 22:14:15 host su: 'su root' failed for user on /dev/pts/8",
    "ssdp": b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\n\r\n",
    "sip": b"OPTIONS sip:nm SIP/2.0\r\nVia: SIP/2.0/UDP nm;branch=foo\r\n\r\n",
    "ntp": b"\x23\x00\x06\xec" + bytes(44),
    "dhcp": b"\x01\x01\x06\x00\x39\x03\xf3\x26" + bytes(232) + b"\x63\x82\x53\x63\x35\x01\x01\xff",
    "stun": b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(range(12)),
    "quic": b"\xc3\x00\x00\x00\x01\x08" + bytes(range(200, 250)) * 24,
    "radius": b"\x01\x05\x00\x26" + bytes(range(16)) + b"\x01\x0bnobody\x02\x09secrets",
    "statsd": b"requests.count:1|c|#env:prod",
    "zeros": bytes(64),
    "a query with a byte too many": QUERY + b"\x00",
    "a query of a type that does not exist": QUERY[:-4] + b"\x7f\xff\x00\x01",
    "a query of a class that does not exist": QUERY[:-4] + b"\x00\x01\x00\x07",
    "a query with a bit that must be zero": QUERY[:3] + b"\x40" + QUERY[4:],
}


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_look_alikes_are_refused(name: str) -> None:
    wire = LOOK_ALIKES[name]
    assert detected(wire) == {}
    assert detected(wire, direction=TO_CLIENT) == {}


@pytest.mark.parametrize(
    "opening",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(505),
        b"220 mail.test ESMTP\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x00\x00\x00\x29\x00\x12\x00\x04\x00\x00\x00\x00\x00\x0aclient-one",
        bytes(100),
    ],
    ids=["http", "ssh", "tls", "smtp", "redis", "http2", "kafka", "zeros"],
)
def test_look_alikes_on_streams_are_refused(opening: bytes) -> None:
    for direction in (TO_SERVER, TO_CLIENT):
        assert detected(opening, datagrams=False, direction=direction) == {}


def test_random_datagrams_are_not_dns() -> None:
    chance = random.Random(53)
    for _ in range(20000):
        assert detected(chance.randbytes(chance.randrange(12, 120))) == {}


def test_a_server_that_sends_lengths_by_themselves_is_read_again_after_a_hole() -> None:
    asked = [query(f"n{i}.test", identity=i) for i in range(8)]
    run = Run(PROTOCOLS)
    for i, one in enumerate(asked):
        run.feed(TO_SERVER, prefixed(one.to_wire()))
        wire = answer(one).to_wire()
        if i == 2:
            run.gap(TO_CLIENT, 2 + len(wire))
        else:
            run.feed(TO_CLIENT, prefixed(wire)[:2]).feed(TO_CLIENT, wire)
    names = [one["dns.question.name"] for one in run.end() if one.paired]
    assert names == ["n0.test", "n1.test", "n4.test", "n5.test", "n6.test", "n7.test"]


# --- names ---


def test_answers_teach_the_names_of_addresses() -> None:
    names = Names()
    asked = query("www.shop.test")
    addresses = a_record("192.0.2.7", "192.0.2.8", name="lb.cloud.test.", ttl=300)
    told = answer(asked, rrset("www.shop.test.", "CNAME", "lb.cloud.test."), addresses)
    for detail in (True, False):
        exchanged(asked.to_wire(), told.to_wire(), datagram_run(dns_with(names), detail))
    assert names.name_of(bytes((192, 0, 2, 8)), START_NS + 299_000_000_000) == "www.shop.test"
    assert names.name_of(bytes((192, 0, 2, 8)), START_NS + 301_000_000_000) is None


@pytest.mark.parametrize("rcode", [2, 3])
def test_errors_teach_nothing(rcode: int) -> None:
    names = Names()
    asked = query()
    exchanged(asked.to_wire(), answer(asked, a_record("192.0.2.7"), rcode=rcode).to_wire(), datagram_run(dns_with(names)))
    assert names.size() == 0


def test_what_is_no_host_name_is_not_learnt() -> None:
    names = Names()
    asked = query("*.test")
    exchanged(asked.to_wire(), answer(asked, a_record("192.0.2.7")).to_wire(), datagram_run(dns_with(names)))
    assert names.size() == 0


def test_the_question_becomes_the_target_when_a_metric_wants_it() -> None:
    asked = query("Www.test")
    seen = exchanged(asked.to_wire(), answer(asked).to_wire(), datagram_run(dns_with(questions=True), detail=False))
    assert seen.request.target == "www.test"
    full = exchanged(asked.to_wire(), answer(asked).to_wire(), datagram_run(dns_with(questions=True)))
    assert "dns.question.name" not in dict(full.request.attributes)


# --- limits ---


def test_names_and_numbers_made_up_by_a_client_are_bounded() -> None:
    shared = DnsSettings(questions=True)
    protocol = Protocol("dns", "dns", partial(DnsDecoder, shared), over_udp=True, repeats=True)
    run = datagram_run(protocol, detail=False)
    run.feed(TO_SERVER, QUERY)
    for i in range(QUESTIONS_MAX + 1):
        run.feed(TO_SERVER, header(i & 0xFFFF, 0x0100, (1, 0, 0, 0)) + b"\x06%06x\x00" % i + struct.pack(">HH", 300 + i, 1))
    operations = {one.request.operation for one in run.end()}
    assert "_OTHER" in operations
    assert len(operations) == NUMBERS_MAX + 2  # A is known


def test_transfers_that_never_end_are_bounded() -> None:
    run = Run(PROTOCOLS)
    run.feed(TO_SERVER, prefixed(*(query(f"z{i}.test", "AXFR", identity=i).to_wire() for i in range(200))))
    for i in range(200):
        told = answer(query(f"z{i}.test", "AXFR", identity=i), soa(1)).to_wire()
        run.feed(TO_CLIENT, prefixed(told))
    assert len(run.seen) == 200 - 64
    run.end()


@pytest.mark.skipif(not COMPILED, reason="plain objects are always tracked")
def test_a_look_up_from_a_new_port_leaves_nothing_for_the_collector() -> None:
    """Stub resolvers take a new port each time, so a look-up is a flow; tracked, all flows are walked again and again."""
    collector = Collector()
    table = FlowTable(Reassembly(), server_ports={53})
    engine = Engine(table, Reading(Pairing(collector), Detector(PROTOCOLS)))
    gc.collect()
    before = {id(one) for one in gc.get_objects()}
    for port in (40000, 40001):
        udp = struct.pack(">4H", port, 53, 8 + len(QUERY), 0) + QUERY
        packet = struct.pack(">BBHIBBH", 0x45, 0, 20 + len(udp), 0, 64, 17, 0) + bytes((192, 0, 2, 1, 192, 0, 2, 2)) + udp
        engine.process_batch(packet, struct.pack("=4I", 1_700_000_000, 0, 0, len(packet)), 12)
    assert table.open == 2
    ours = {type(one).__module__ + "." + type(one).__name__ for one in gc.get_objects() if id(one) not in before}
    assert {name for name in ours if name.startswith("receiver.")} == set()
    engine.finish()
    assert len(collector.seen) == 2


# --- damage ---

MESSAGES = [event.payload for vector in VECTORS for event in vector.events if event.payload]


@settings(max_examples=400)
@given(st.data())
def test_nothing_but_malformed_comes_of_any_bytes(data: st.DataObject) -> None:
    """Real messages with bytes changed, cut, joined: `internal` would be the count of another exception."""
    datagrams = data.draw(st.booleans())
    run = _pinned() if datagrams else Run(PROTOCOLS, from_start=data.draw(st.booleans()))
    for _ in range(data.draw(st.integers(1, 6))):
        wire = bytearray(data.draw(st.sampled_from(MESSAGES)))
        for at, byte in data.draw(st.lists(st.tuples(st.integers(0, len(wire) - 1), st.integers(0, 255)), max_size=8)):
            wire[at] = byte
        wire = wire[: data.draw(st.integers(0, len(wire)))] + data.draw(st.binary(max_size=12))
        run.feed(data.draw(st.sampled_from((TO_SERVER, TO_CLIENT))), bytes(wire))
        if not datagrams and data.draw(st.booleans()):
            run.gap(data.draw(st.sampled_from((TO_SERVER, TO_CLIENT))), data.draw(st.integers(0, 30)))
    run.end()


@settings(max_examples=300)
@given(
    st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=8),
    st.integers(0, 65535),
    st.integers(0, 65535),
)
def test_any_question_that_dnspython_makes_is_read_as_dnspython_reads_it(labels: list[bytes], kind: int, identity: int) -> None:
    name = dns.name.Name((*labels, b""))
    asked = dns.message.make_query(name, dns.rdatatype.RdataType.make(kind), id=identity)
    wire = asked.to_wire()
    seen = exchanged(wire, answer(asked).to_wire(), _pinned())
    shown = "".join(name.canonicalize().to_text(omit_final_dot=True))
    # dnspython escapes more than it must: RFC 1035, 5.1 lets a backslash stand before any letter.
    for special in '"();@$':
        shown = shown.replace("\\" + special, special)
    assert seen["dns.question.name"] == shown
    assert seen.outcome == "ok"


# --- captures made by others ---


@pytest.mark.skipif(not CAPTURES.is_dir(), reason=f"NOT RUN: no captures in {CAPTURES}")
@pytest.mark.parametrize("name", sorted(path.stem for path in CAPTURES.glob("*.pcap")))
def test_captures_say_what_zeek_says(name: str) -> None:
    collector = Collector()
    reading = Reading(Pairing(collector), Detector(PROTOCOLS))
    engine = Engine(FlowTable(Reassembly()), reading)
    source = FileSource((os.fspath(CAPTURES / f"{name}.pcap"),), partial(build_filter, FilterPlan()))
    source.open()
    source.run(engine.process_batch, lambda now: None, lambda: False)
    source.close()
    engine.finish()
    lines = (CAPTURES / f"{name}.zeek.log").read_text().splitlines()
    fields = next(line for line in lines if line.startswith("#fields")).split("\t")[1:]
    rows = [dict(zip(fields, line.split("\t"), strict=True)) for line in lines if not line.startswith("#")]
    # Zeek has a second row for a second answer to the same query; we have one roundtrip, and an unmatched answer.
    asked = list({(row["uid"], row["trans_id"], row["query"]): row for row in reversed(rows)}.values())[::-1]
    # Where the second one is the same packet, captured again (one identification), it is no answer at all.
    assert reading.pairing.unmatched + engine.skipped_packets()["duplicate"] == len(rows) - len(asked)
    assert not reading.errors
    assert len(collector.seen) == len(asked) > 0
    for one, row in zip(collector.seen, asked, strict=True):
        assert one.paired
        assert one["dns.question.name"] == row["query"].lower()
        assert row["qtype_name"] in ("-", {"ANY": "*"}.get(one["operation"], one["operation"]))
        assert one["status"] == row["rcode_name"]
        theirs = [] if row["answers"] == "-" else row["answers"].split(",")
        assert len(one["dns.answers"] or []) == len(theirs)
        for text, other in zip(one["dns.answers"] or [], theirs, strict=True):
            # Zeek has its own words for the types that are TYPEnnn here, and for TXT.
            assert text == other.lower() or text.startswith(("TYPE", '"'))
        if row["rtt"] != "-":
            assert abs((one.times[2] - one.times[0]) / 1e9 - float(row["rtt"])) < 2e-6


def test_answer_that_a_short_snaplen_cut_tells_its_code_and_no_addresses() -> None:
    asked = query()
    wire = answer(asked, a_record("192.0.2.1"), a_record("192.0.2.2")).to_wire()
    run = datagram_run().feed(TO_SERVER, asked.to_wire())
    run.gap(TO_CLIENT, 20)
    run.feed(TO_CLIENT, wire[:-20])
    (seen,) = run.end()
    assert (seen.outcome, seen["status"], seen["dns.answers"]) == ("ok", "NOERROR", None)
    assert not run.reading.errors


def test_answer_that_is_short_without_a_cut_is_malformed_still() -> None:
    asked = query()
    run = datagram_run().feed(TO_SERVER, asked.to_wire())
    run.gap(TO_CLIENT, 20)
    run.feed(TO_CLIENT, answer(asked, a_record("192.0.2.1")).to_wire()[:-3])
    run.feed(TO_CLIENT, answer(asked, a_record("192.0.2.1")).to_wire()[:-3])
    assert errors_of(run) == ["record cut short"]
