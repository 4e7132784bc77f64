"""No packet is read into its neighbour, no payload into what stands behind it in the buffer.

A batch is one buffer with other packets' bytes on both sides of each; a payload lies in it between headers. So everything is read
once with nothing around it, and again with foreign bytes there, which would be a longer header, another length, another
message, or what comes next in truth: every figure must be the same.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from receiver.telemetry.snapshot import NumberPoint
from tests.figures import Figures, Packet, Receiver, differences, inputs, name_of, packets, read, rows
from tests.fuzz.replay import CORPUS, results
from tests.l7.harness import COMPILED, VECTORS, Run, Vector, load
from tests.l7.streams import ROWS

Around = tuple[bytes, bytes]

# TCP options that go on, with a time; more of a header; a length; a line's end, an empty line, a chunk; digits and a bulk string;
# HTTP/2 frames; a DNS header with its question; a TLS record.
OPTIONS = b"\x01\x01\x08\x0a\x00\x00\xff\xff\x00\x00\xff\xff\x05\x0a\x00\x00\x00\x00\x00\x00\x00\x01\x02\x04\x05\xb4" * 2
DIGITS = b"99\r\n$9\r\n0123456789\r\n+OK\r\n:1\r\n"
LINES = b"\r\n\r\nContent-Length: 7\r\n\r\n0\r\n\r\nGET /beyond HTTP/1.1\r\nHost: beyond\r\n\r\nHTTP/1.1 500 No\r\n\r\n"
FRAMES = b"\x00\x00\x01\x01\x05\x00\x00\x00\x01\x88\x00\x00\x00\x04\x01\x00\x00\x00\x00" * 2
QUESTION = b"\x12\x34\x81\x83\x00\x01\x00\x01" + bytes(4) + b"\x06beyond\x04test\x00" + b"\x00\x01\x00\x01\xc0\x0c" * 4
RECORD = b"\x16\x03\x01\x00\x40\x01\x00\x00\x3c\x03\x03" + bytes(40)

KINDS = bytes(96), b"\xff" * 96, OPTIONS, DIGITS, LINES, FRAMES, QUESTION, RECORD
# Each place has one kind, and the next place the next: so two readings give it two. Plain source takes thirty times as long.
TURNS = (0, 4) if COMPILED else (0,)


def fixed(place: int) -> bytes:
    return KINDS[place % len(KINDS)]


def assert_same(clean: Figures, poisoned: Figures, *where: object) -> None:
    if clean != poisoned:
        found = differences(rows(clean), rows(poisoned))
        raise AssertionError("\n".join((f"without (-) and with (+) foreign bytes around: {where}", *found[:8])))


# --- packets ---


def poisoned(what: tuple[Packet, ...], around: Callable[[int, Packet], Around]) -> Figures:
    receiver = Receiver("explicit")
    for i, packet in enumerate(what):
        receiver.take(packet, *around(i, packet))
    return receiver.told()


@pytest.mark.parametrize("path", inputs(), ids=name_of)
def test_what_stands_around_a_packet_is_not_read(path: Path) -> None:
    what = packets(path)
    clean = read("explicit", what)
    for turn in TURNS:
        assert_same(clean, poisoned(what, lambda i, packet, turn=turn: (fixed(i + turn), fixed(i + turn))), turn)
    if COMPILED:  # its own bytes once more: a header that fits, a payload that goes on
        assert_same(clean, poisoned(what, lambda i, packet: (packet.frame, packet.frame)), "itself")


def ends(packet: Packet) -> bool:
    """Whether IP itself says that the packet ends with the frame, or before."""
    frame = packet.frame
    if packet.link_type != 1 or len(frame) < 34:
        return False
    if frame[12:14] == b"\x08\x00":
        return 0 < int.from_bytes(frame[16:18], "big") <= len(frame) - 14
    return frame[12:14] == b"\x86\xdd" and 0 < int.from_bytes(frame[18:20], "big") <= len(frame) - 54


@pytest.mark.parametrize("path", inputs()[::3], ids=name_of)
def test_what_stands_between_a_packet_and_the_end_of_its_frame_is_not_read(path: Path) -> None:
    """Ethernet's padding, or a trailer: it was captured, but is not IP's."""
    what = packets(path)
    assert_same(read("explicit", trailed(what, lambda i: bytes(24))), read("explicit", trailed(what, lambda i: fixed(i)[:24])))


def trailed(what: Iterable[Packet], trailer: Callable[[int], bytes]) -> Iterator[Packet]:
    for i, packet in enumerate(what):
        yield packet._replace(frame=packet.frame + trailer(i)) if ends(packet) else packet


def behind_the_cut(packet: Packet, cut: int, place: int) -> Iterator[bytes]:
    """Nothing; and what was cut away, or something else, or with plain source one of them in turn."""
    yield b""
    kinds = packet.frame[cut:] + OPTIONS, fixed(place)
    yield from kinds if COMPILED else kinds[place % 2 : place % 2 + 1]


class Cut:
    """Receivers of packets that were cut: for the first there is nothing behind the cut, nor before the packet."""

    def __init__(self) -> None:
        self.receivers = [Receiver("explicit") for _ in range(3 if COMPILED else 2)]

    def take(self, packet: Packet, cut: int, place: int) -> None:
        for receiver, behind in zip(self.receivers, behind_the_cut(packet, cut, place), strict=True):
            receiver.take(packet, packet.frame if behind else b"", behind, cut)

    def check(self, *where: object) -> None:
        clean, *others = (receiver.told() for receiver in self.receivers)
        for other in others:
            assert_same(clean, other, *where)


@pytest.mark.parametrize("path", inputs()[:: 1 if COMPILED else 3], ids=name_of)
def test_a_packet_that_was_cut_ends_there(path: Path) -> None:
    """Every other packet is cut, each elsewhere: behind the cut stands nothing, or what was cut away, or something else."""
    what = packets(path)
    both = Cut()
    for i, packet in enumerate(what):
        size = len(packet.frame)
        both.take(packet, size if i % 2 else i * 7 % (size + 1), i)
    both.check()


def shape(packet: Packet) -> object:
    """Packets whose headers look the same to who reads them: sizes, types and flags, but no addresses, ports and numbers."""
    frame, link = packet.frame, packet.link_type
    at = {1: 14, 113: 16, 276: 20, 0: 4, 108: 4}.get(link, 0)
    head = frame[max(0, at - 2) : at]
    if len(frame) <= at:
        return link, frame
    if frame[at] >> 4 == 4:
        inside = frame[at + (frame[at] & 15) * 4 :]
        return link, head, frame[at], frame[at + 6 : at + 8], frame[at + 9 : at + 10], transport(frame[at + 9 : at + 10], inside)
    return link, head, frame[at : at + 1], frame[at + 6 : at + 7], transport(frame[at + 6 : at + 7], frame[at + 40 :])


def transport(protocol: bytes, inside: bytes) -> object:
    if protocol == b"\x06":
        size = inside[12:13]
        return size, inside[13:14], inside[20:21] if size > b"\x5f" else b"", len(inside) > 60
    return inside[:2] if protocol in (b"\x01", b"\x3a", b"\x2f") else len(inside) > 20


def shapes() -> dict[object, Packet]:
    found: dict[object, Packet] = {}
    for path in inputs():
        for packet in packets(path):
            found.setdefault(shape(packet), packet)
    return found


def test_every_shape_of_packet_cut_at_every_length() -> None:
    """Of each kind of header one, cut at each byte of the headers and of the first 64 behind them, with nothing behind the cut; or
    with what was cut away, or else."""
    # Errors last, when the flows that they name are there.
    found = [*shapes().values(), *MADE.values(), *ERRORS.values()]
    assert len(found) > 40
    both = Cut()
    for number, packet in enumerate(found):
        for cut in range(min(len(packet.frame), 176) + 1):
            both.take(packet._replace(seconds=1_700_000_000 + number, micros=cut * 1000), cut, cut)
    both.check()


PAYLOAD = b"GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n"
SEGMENT = struct.pack("!HHIIBBHHH", 40000, 80, 1, 1, 0xA0, 0x18, 512, 0, 0) + OPTIONS[:20] + PAYLOAD
ETHERNET = bytes(12)


def made(kind: bytes, body: bytes, link_type: int = 1, head: bytes = ETHERNET) -> Packet:
    return Packet(1_700_000_000, 0, link_type, head + kind + body)


def four(protocol: int, body: bytes, options: bytes = b"") -> bytes:
    """An IPv4 packet."""
    size = 20 + len(options)
    head = struct.pack("!BBHHHBBH", 0x40 | size // 4, 0, size + len(body), 7, 0x4000, 64, protocol, 0)
    return head + bytes((10, 0, 0, 1, 10, 0, 0, 2)) + options + body


def six(*headers: tuple[int, bytes], last: int = 6, body: bytes = SEGMENT) -> bytes:
    """An IPv6 packet whose header is followed by these, each without its first byte."""
    following = [kind for kind, _ in headers] + [last]
    chain = b"".join(bytes((after,)) + rest for after, (_, rest) in zip(following[1:], headers, strict=True)) + body
    return struct.pack("!IHBB", 6 << 28, len(chain), following[0], 64) + bytes(15) + b"\x01" + bytes(15) + b"\x02" + chain


IP4, IP6, TAG = b"\x08\x00", b"\x86\xdd", b"\x81\x00"
DATAGRAM = struct.pack("!HHHH", 40000, 53, 8 + len(PAYLOAD), 9) + PAYLOAD
UNREACHABLE = bytes((3, 1)) + bytes(6) + four(6, SEGMENT[:20], b"\x01" * 8)
UNREACHABLE6 = bytes((1, 0)) + bytes(6) + six(body=SEGMENT[:20])
ATOMIC, AUTHENTICATION = (44, bytes(7)), (51, b"\x04" + bytes(22))
# What no capture may have, or none that is there everywhere; all of them are read.
MADE = {
    "hop by hop": made(IP6, six((0, bytes(7)))),
    "routing": made(IP6, six((43, b"\x02" + bytes(22)))),
    "destination": made(IP6, six((60, b"\x01" + bytes(14)))),
    "atomic fragment": made(IP6, six(ATOMIC)),
    "authentication": made(IP6, six(AUTHENTICATION)),
    "all of them": made(IP6, six((0, bytes(7)), (60, b"\x01" + bytes(14)), (43, bytes(7)), ATOMIC, AUTHENTICATION)),
    "ipv6 datagram": made(IP6, six(last=17, body=DATAGRAM)),
    "ipv4 options": made(IP4, four(6, SEGMENT, b"\x01" * 12)),
    "ipv4 datagram": made(IP4, four(17, DATAGRAM)),
    "ipv4 datagram without a length": made(IP4, b"\x45\x00\x00\x00" + four(17, DATAGRAM)[4:]),
    "one tag": made(TAG + b"\x00\x07" + IP4, four(6, SEGMENT)),
    "two tags": made(b"\x88\xa8\x00\x07" + TAG + b"\x00\x07" + IP6, six()),
    "cooked": made(IP4, four(6, SEGMENT), 113, bytes(14)),
    "cooked tag": made(TAG + b"\x00\x07" + IP4, four(6, SEGMENT), 113, bytes(14)),
    "cooked 2": made(IP6 + bytes(18), six(), 276, b""),
    "null": made(b"\x02\x00\x00\x00", four(6, SEGMENT), 0, b""),
    "raw": made(b"", six(), 12, b""),
}
# Answers of others, which are read when they name a flow that is known.
ERRORS = {
    "unreachable": made(IP4, four(1, UNREACHABLE)),
    "unreachable without options": made(IP4, four(1, UNREACHABLE[:8] + four(6, SEGMENT[:8]))),
    "ipv6 unreachable": made(IP6, six(last=58, body=UNREACHABLE6)),
}


@pytest.mark.parametrize("name", MADE)
def test_what_is_made_here_is_read(name: str) -> None:
    """Or the test above would see nothing of it."""
    receiver = Receiver("explicit")
    receiver.take(MADE[name])
    assert (receiver.engine.parsed, receiver.engine.packets) == (1, 1)


def test_what_is_made_here_ends_where_ip_says() -> None:
    """Also where IP ends in the middle of a header: it must not go on in the trailer."""
    short = []
    for packet in (*MADE.values(), *ERRORS.values()):
        if ends(packet):
            version = packet.frame[14] >> 4
            at = 16 if version == 4 else 18
            whole = int.from_bytes(packet.frame[at : at + 2], "big")
            for size in range(20 if version == 4 else 1, whole):
                stop = 14 + size + (0 if version == 4 else 40)
                head = packet.frame[:at] + size.to_bytes(2, "big") + packet.frame[at + 2 : stop]
                short.append((packet._replace(frame=head), packet.frame[stop:] + OPTIONS))
    assert len(short) > 800
    clean, other = (Receiver("explicit") for _ in range(2))
    for number, (packet, rest) in enumerate(short):
        at = packet._replace(seconds=packet.seconds + number)
        clean.take(at._replace(frame=at.frame + bytes(len(rest))))
        other.take(at._replace(frame=at.frame + rest))
    assert_same(clean.told(), other.told())


@pytest.mark.parametrize("name", ERRORS)
def test_error_of_a_known_flow_is_read(name: str) -> None:
    receiver = Receiver("explicit")
    receiver.take(MADE["one tag"])
    receiver.take(MADE["raw"])
    receiver.take(ERRORS[name])
    assert receiver.engine.parsed == 3


@pytest.mark.parametrize("length", [1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1])
def test_jumbo_payload_of_any_length(length: int) -> None:
    """RFC 2675: 32 bits without a sign, which C's shifts would give one from 2 GiB on. The rest of it was not captured."""
    option = b"\xc2\x04" + length.to_bytes(4, "big")
    packet = made(IP6, six((0, b"\x00" + option)))
    frame = packet.frame[:18] + bytes(2) + packet.frame[20:]
    receiver = Receiver("explicit")
    receiver.take(packet._replace(frame=frame))
    assert receiver.engine.skipped_packets()["truncated"] == 0
    (sent,) = (metric for metric in receiver.told().snapshot.metrics if metric.name == "pcap_receiver.network.io")
    assert [point.value for point in sent.points if isinstance(point, NumberPoint)] == [length - 8 - 40]


# --- payloads ---


VECTOR_FILES = sorted(VECTORS.glob("*/*.jsonl"))


def runs(vector: Vector, path: Path, around: Callable[[int, bytes, bytes, bytes], Around], size: int) -> tuple[object, ...]:
    """All that is told of a vector whose payloads come in pieces of `size`; `around` has what stands around each: given its number,
    what came before it in truth, the piece, and what follows."""
    run = Run(ROWS, datagrams="-udp" in path.name)
    number = 0
    for event in vector.events:
        if not event.payload:
            run.event(event)
            continue
        step = len(event.payload) if run.datagrams else size
        for at in range(0, len(event.payload), step):
            piece = event.payload[at : at + step]
            run.around = around(number, event.payload[:at], piece, event.payload[at + step :])
            run.feed(event.direction, piece, event.ts_ns)
            number += 1
    seen = run.end()
    pairing, reading = run.pairing, run.reading
    counted = pairing.requests, pairing.responses, pairing.paired, pairing.unmatched, pairing.one_way, pairing.repeated
    return seen, counted, sorted(reading.errors.items()), sorted(reading.limits.items()), reading.bytes_set_aside


@pytest.mark.parametrize("path", VECTOR_FILES, ids=name_of)
def test_what_stands_around_a_payload_is_not_read(path: Path) -> None:
    vector = load(path)
    large = sum(len(event.payload or b"") for event in vector.events) > 8000
    small = 7 if COMPILED else 3
    for size in (1 << 20, 61 if large else small, *((1,) if COMPILED and not large else ())):
        clean = runs(vector, path, lambda *_: (b"", b""), size)
        for name, around in surroundings():
            assert runs(vector, path, around, size) == clean, (name, size)


def surroundings() -> Iterator[tuple[str, Callable[[int, bytes, bytes, bytes], Around]]]:
    yield "truth", lambda number, before, piece, behind: (before, behind)
    yield "itself", lambda number, before, piece, behind: (piece, piece)
    for turn in TURNS:
        yield f"{turn}", lambda number, before, piece, behind, turn=turn: (fixed(number + turn), fixed(number + turn))


@pytest.mark.parametrize("path", [path for path in VECTOR_FILES if "-udp" in path.name], ids=name_of)
def test_a_datagram_that_was_cut_ends_there(path: Path) -> None:
    """On a flow whose protocol is known: a question and its answer, then both again, cut at every length."""
    question, answer = load(path).events[:2]
    told = []
    for foreign in (False, True):
        run = Run(ROWS, datagrams=True)
        for event in (question, answer):
            run.event(event)
        for event in (question, answer):
            payload = event.payload or b""
            for cut in range(len(payload)):
                run.around = (payload[:cut], payload[cut:] + b"\xff" * 64) if foreign else (b"", b"")
                run.feed(event.direction, payload[:cut], event.ts_ns)
        told.append((run.end(), sorted(run.reading.errors.items()), run.reading.bytes_set_aside))
    assert told[0] == told[1]


def test_what_stands_around_what_the_fuzzers_found_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "around", (b"", b""))
    clean = results(CORPUS)
    for kind in (LINES, DIGITS, FRAMES) if COMPILED else (LINES,):
        monkeypatch.setattr(Run, "around", (kind, kind))
        assert results(CORPUS) == clean, kind
