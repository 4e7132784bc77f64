"""Captures as packets that can be changed: what is in a file, what a vector's client and server would have sent.

Each packet knows which packets of the capture its bytes come from (`origins`); the times of the packets of a capture differ, so a
time that the engine tells names a packet.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from receiver.pcap.savefile import SavefileReader
from tests.l7.harness import VECTORS, Vector, load

ROOT = Path(__file__).resolve().parents[2]
CAPTURES = ROOT.parent / "shared" / "pcaps"

FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
ETHERNET, NULL, RAW, COOKED, COOKED2 = 1, 0, 12, 113, 276
TCP, UDP = 6, 17
MSS = 1448
WRAP = 1 << 32

Flow = tuple[bytes, bytes, int]
"""The two ends (address and port), sorted, and IP's number of the transport."""


@dataclass(frozen=True)
class Packet:
    """`head` is everything before the payload, `source` 0 or 1: which end of `flow` sent it. `wire_length` counts the payload as
    it was on the wire. What is neither TCP nor UDP is all head, and has no flow. `again`: its bytes came before."""

    ts_us: int
    link_type: int
    head: bytes
    origins: frozenset[int]
    payload: bytes = b""
    wire_length: int = 0
    flow: Flow | None = None
    source: int = 0
    ip_at: int = 0
    tcp_at: int = 0
    seq: int = 0
    ack: int = 0
    flags: int = 0
    again: bool = False

    @property
    def is_tcp(self) -> bool:
        return self.flow is not None and self.flow[2] == TCP

    @property
    def matters(self) -> bool:
        """Whether bytes or a word about the connection's life are lost with it."""
        return self.wire_length > 0 or bool(self.flags & (SYN | FIN | RST))

    @property
    def length(self) -> int:
        """What it takes of the sequence."""
        return self.wire_length + (self.flags & FIN) + (self.flags >> 1 & 1)

    def frame(self) -> bytes:
        """The bytes as captured."""
        if self.flow is None:
            return self.head
        head = bytearray(self.head)
        if self.is_tcp:
            struct.pack_into("!II", head, self.tcp_at + 4, self.seq, self.ack)
            head[self.tcp_at + 13] = self.flags
        else:
            struct.pack_into("!H", head, self.tcp_at + 4, 8 + self.wire_length)
        if not self.ip_at < 0:
            total = len(head) - self.ip_at + self.wire_length
            if head[self.ip_at] >> 4 == 4:
                struct.pack_into("!H", head, self.ip_at + 2, total)
            else:
                struct.pack_into("!H", head, self.ip_at + 4, total - 40)
        return bytes(head) + self.payload


@dataclass
class Capture:
    """Packets whose times differ, each with its own number in `origins`."""

    name: str
    packets: list[Packet]
    protocol: str = ""
    flows: list[Flow] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.flows = list(dict.fromkeys(packet.flow for packet in self.packets if packet.flow is not None))


def plus(seq: int, n: int) -> int:
    return (seq + n) % WRAP


def minus(a: int, b: int) -> int:
    """How far `a` is ahead of `b` on the circle of sequence numbers."""
    return (a - b + WRAP // 2) % WRAP - WRAP // 2


def take_apart(frame: bytes, link_type: int) -> Packet:
    """One captured packet. What is not plain IP with TCP or UDP stays as it is."""
    whole = Packet(0, link_type, frame, frozenset())
    at, kind = 0, 0
    try:
        if link_type == ETHERNET:
            at, kind = 14, struct.unpack_from("!H", frame, 12)[0]
            while kind in (0x8100, 0x88A8):
                kind = struct.unpack_from("!H", frame, at + 2)[0]
                at += 4
        elif link_type == COOKED:
            at, kind = 16, struct.unpack_from("!H", frame, 14)[0]
        elif link_type == COOKED2:
            at, kind = 20, struct.unpack_from("!H", frame, 0)[0]
        elif link_type in (RAW, NULL):
            at = 0 if link_type == RAW else 4
            kind = 0x0800 if frame[at] >> 4 == 4 else 0x86DD
        if kind == 0x0800 and frame[at] >> 4 == 4:
            size = (frame[at] & 15) * 4
            (total,) = struct.unpack_from("!H", frame, at + 2)
            transport = frame[at + 9]
            if struct.unpack_from("!H", frame, at + 6)[0] & 0x3FFF or not total:
                return whole
            addresses = frame[at + 12 : at + 16], frame[at + 16 : at + 20]
        elif kind == 0x86DD and frame[at] >> 4 == 6:
            size = 40
            total = struct.unpack_from("!H", frame, at + 4)[0] + 40
            transport = frame[at + 6]
            addresses = frame[at + 8 : at + 24], frame[at + 24 : at + 40]
        else:
            return whole
        tcp_at = at + size
        if transport == TCP:
            seq, ack = struct.unpack_from("!II", frame, tcp_at + 4)
            flags = frame[tcp_at + 13]
            start = tcp_at + (frame[tcp_at + 12] >> 4) * 4
        elif transport == UDP:
            seq = ack = flags = 0
            start = tcp_at + 8
            (size,) = struct.unpack_from("!H", frame, tcp_at + 4)
            if 8 <= size < at + total - tcp_at:
                total = tcp_at + size - at  # what is behind it is no payload (RFC 9868)
        else:
            return whole
        if start > len(frame) or start > at + total:
            return whole
    except (IndexError, struct.error):
        return whole
    ends = addresses[0] + frame[tcp_at : tcp_at + 2], addresses[1] + frame[tcp_at + 2 : tcp_at + 4]
    low, high = sorted(ends)
    source = 0 if ends[0] == low else 1
    payload = frame[start : at + total]
    return Packet(
        0,
        link_type,
        frame[:start],
        frozenset(),
        payload,
        at + total - start,
        (low, high, transport),
        source,
        at,
        tcp_at,
        seq,
        ack,
        flags,
    )


def read(path: Path) -> Capture:
    """A capture file, with times that differ and never go back."""
    reader = SavefileReader(lambda link_type: None)
    packets: list[Packet] = []
    last_us = 0
    for frames, meta, link_type, _ in reader.feed(path.read_bytes()):
        for seconds, micros, offset, size in struct.iter_unpack("=4I", meta):
            last_us = max(last_us + 1, seconds * 1_000_000 + micros)
            one = take_apart(frames[offset : offset + size], link_type)
            packets.append(replace(one, ts_us=last_us, origins=frozenset((len(packets),))))
    return Capture(f"{path.parent.name}/{path.name}", packets)


# --- packets of our own ---


def header(source: tuple[bytes, int], target: tuple[bytes, int], transport: int) -> bytes:
    """Ethernet, IPv4, TCP or UDP; lengths and numbers are filled in by `Packet.frame`."""
    ethernet = bytes(12) + b"\x08\x00"
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0x4000, 64, transport, 0, source[0], target[0])
    ports = struct.pack("!HH", source[1], target[1])
    if transport == UDP:
        return ethernet + ip + ports + bytes(4)
    return ethernet + ip + ports + struct.pack("!IIBBHHH", 0, 0, 0x50, 0, 65535, 0, 0)


class Wire:
    """A connection between a client and a server that is written packet by packet. The numbers count themselves."""

    def __init__(
        self,
        client: tuple[bytes, int] = (bytes((10, 0, 0, 1)), 40000),
        server: tuple[bytes, int] = (bytes((10, 0, 0, 2)), 80),
        transport: int = TCP,
        starts: tuple[int, int] = (1_000, 500_000),
        start_us: int = 1_700_000_000_000_000,
    ) -> None:
        self.ends = client, server
        self.transport = transport
        self.next_seq = list(starts)
        self.ts_us = start_us
        self.packets: list[Packet] = []

    def send(self, direction: int, payload: bytes = b"", flags: int = ACK, us: int = 100) -> Packet:
        """The next packet of `direction` (0: to the server), `us` microseconds later."""
        self.ts_us += us
        source, target = self.ends if direction == 0 else self.ends[::-1]
        head = header(source, target, self.transport)
        one = take_apart(head[:16] + struct.pack("!H", len(head) - 14 + len(payload)) + head[18:] + payload, ETHERNET)
        ack = self.next_seq[1 - direction] if flags & ACK else 0
        one = replace(one, ts_us=self.ts_us, origins=frozenset((len(self.packets),)), flags=flags, ack=ack)
        one = replace(one, seq=self.next_seq[direction])
        self.next_seq[direction] = plus(self.next_seq[direction], one.length)
        self.packets.append(one)
        return one

    def open(self) -> Wire:
        self.send(0, flags=SYN)
        self.send(1, flags=SYN | ACK)
        self.send(0)
        return self

    def say(self, direction: int, payload: bytes, us: int = 100, answers: bool = True) -> Wire:
        """In segments; the other side acknowledges every second of them."""
        for i, at in enumerate(range(0, len(payload), MSS)):
            last = at + MSS >= len(payload)
            self.send(direction, payload[at : at + MSS], ACK | (PSH if last else 0), us if at == 0 else 5)
            if answers and (i % 2 or last):
                self.send(1 - direction, us=3)
        return self

    def close(self, direction: int = 0) -> Wire:
        self.send(direction, flags=FIN | ACK)
        self.send(1 - direction, flags=FIN | ACK)
        self.send(direction)
        return self

    def capture(self, name: str = "made", protocol: str = "") -> Capture:
        return Capture(name, list(self.packets), protocol)


PORTS = {"http": 80, "http2": 8080, "grpc": 50051, "redis": 6379, "dns": 53, "mysql": 3306, "mariadb": 3306}
PORTS |= {"mongodb": 27017, "kafka": 9092}


def carried(vector: Vector, datagrams: bool) -> Capture:
    """What a vector's ends said, in packets."""
    server = bytes((10, 0, 0, 2)), PORTS.get(vector.protocol, 9999)
    wire = Wire(server=server, transport=UDP if datagrams else TCP, start_us=vector.events[0].ts_ns // 1000)
    if not datagrams:
        wire.open()
    closed = [False, False]
    for event in vector.events:
        us = max(1, event.ts_ns // 1000 - wire.ts_us)
        if event.payload is None:
            closed[event.direction] = True
            wire.send(event.direction, flags=FIN | ACK, us=us)
        elif datagrams:
            wire.send(event.direction, event.payload, 0, us)
        elif event.payload:
            wire.say(event.direction, event.payload, us, answers=not closed[1 - event.direction])
    return wire.capture(f"{vector.protocol}/{vector.name}", vector.protocol)


def of_vector(path: Path) -> Capture:
    return carried(load(path), "-udp" in path.name)


def exchanges(turns: Iterable[tuple[int, bytes]], name: str, protocol: str = "http", us: int = 1000) -> Capture:
    """A connection from its SYN to its FIN, of these turns."""
    wire = Wire(server=(bytes((10, 0, 0, 2)), PORTS[protocol])).open()
    for direction, payload in turns:
        wire.say(direction, payload, us)
    return wire.close().capture(name, protocol)


def inputs() -> Iterator[Path]:
    """All captures beside the project, and all vectors."""
    if CAPTURES.is_dir():
        yield from (path for path in sorted(CAPTURES.glob("*/*")) if path.suffix in (".pcap", ".pcapng"))
    yield from sorted(VECTORS.glob("*/*.jsonl"))


def load_input(path: Path) -> Capture:
    return of_vector(path) if path.suffix == ".jsonl" else read(path)
