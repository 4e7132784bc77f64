"""Packets made by hand, and what layer 4 counts of them.

A `Line` is one TCP connection spoken packet by packet: each call is a packet, sequence numbers go on by themselves unless given.
It knows the wire formats and nothing of the receiver.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable
from typing import Any

from receiver.build import make_engine
from receiver.config import Config, Layer4, Limits, PcapReceiver, Receivers
from receiver.engine import Engine
from receiver.telemetry import semconv
from receiver.telemetry.layer4 import Layer4Metrics
from receiver.telemetry.snapshot import HistogramPoint
from receiver.wire.records import Roundtrip, Sink

FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
RAW = 12
START_NS = 1_700_000_000_000_000_000
CLIENT, SERVER = "10.0.0.1", "10.0.0.2"


class Nobody(Sink):
    def roundtrip(self, roundtrip: Roundtrip) -> int:
        return 0


def engine(
    local: Iterable[str] = (SERVER,),
    labels: tuple[Any, ...] = (),
    series_max: int = 2000,
    sink: Sink | None = None,
    **pcap: Any,
) -> Engine:
    config = Config(
        receivers=Receivers(
            pcap=PcapReceiver(layer4=Layer4(labels=labels), limits=Limits(series_per_metric=series_max), **pcap)
        )
    )
    return make_engine(config, sink or Nobody(), detail=False, local=[ipaddress.ip_address(each).packed for each in local])


def ip(source: str, target: str, protocol: int, body: bytes, ident: int = 0) -> bytes:
    here, there = ipaddress.ip_address(source), ipaddress.ip_address(target)
    if here.version == 6:
        return struct.pack("!IHBB", 6 << 28, len(body), protocol, 64) + here.packed + there.packed + body
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), ident, 0x4000, 64, protocol, 0)
    return head + here.packed + there.packed + body


def udp(source: int, target: int, payload: bytes, check: int = 0) -> bytes:
    return struct.pack("!HHHH", source, target, 8 + len(payload), check) + payload


def timestamps(value: int, echo: int) -> bytes:
    return b"\x01\x01\x08\x0a" + struct.pack("!II", value % 2**32, echo % 2**32)


def sack(*blocks: tuple[int, int]) -> bytes:
    return b"\x01\x01\x05" + bytes([2 + 8 * len(blocks)]) + b"".join(struct.pack("!II", a % 2**32, b % 2**32) for a, b in blocks)


def mss(size: int) -> bytes:
    return b"\x02\x04" + struct.pack("!H", size)


class Wire:
    """Hands packets to an engine, one batch each, at a clock of its own."""

    def __init__(self, on: Engine | None = None, link_type: int = RAW) -> None:
        self.engine = on if on is not None else engine()
        self.link_type = link_type
        self.ns = START_NS
        self.ident = 0
        assert self.engine.layer4 is not None
        self.metrics = Layer4Metrics(self.engine.layer4.table, 2000)

    def packet(self, frame: bytes, after_ms: float = 1.0) -> None:
        self.ns += round(after_ms * 1e6)
        seconds, rest = divmod(self.ns, 1_000_000_000)
        self.engine.process_batch(frame, struct.pack("=IIII", seconds, rest // 1000, 0, len(frame)), self.link_type)

    def wait(self, seconds: float) -> None:
        """Time passes, second by second, without packets."""
        until = self.ns + round(seconds * 1e9)
        while self.ns < until:
            self.ns = min(until, self.ns + 1_000_000_000)
            self.engine.tick(self.ns)

    def counts(self) -> dict[str, Any]:
        """`name{value,value}` of the attributes that split a metric of one series -> its value, sums of all series; of a
        histogram the count."""
        found: dict[str, Any] = {}
        for name, value in self.points():
            found[name] = found.get(name, 0) + (value.count if isinstance(value, HistogramPoint) else value)
        return found

    def points(self) -> Iterable[tuple[str, Any]]:
        split = ("reason", "cause", "network.io.direction", "pcap_receiver.tcp.side", "pcap_receiver.tcp.leg")
        for metric in self.metrics.metrics():
            for point in metric.points:
                attributes = dict(point.attributes)
                values = [str(attributes[key]) for key in split if key in attributes]
                name = metric.name.removeprefix("pcap_receiver.") + (f"{{{','.join(values)}}}" if values else "")
                yield name, point if isinstance(point, HistogramPoint) else point.value

    def tcp(self) -> dict[str, Any]:
        """What `counts` says of TCP, without the times and sizes, and without what is zero."""
        histograms = {name.removeprefix("pcap_receiver.") for name, metric in semconv.LAYER4.items() if metric.kind == "histogram"}
        return {
            name.removeprefix("tcp."): value
            for name, value in self.counts().items()
            if name.startswith("tcp.") and name.partition("{")[0] not in histograms and value
        }

    def shape(self, name: str) -> HistogramPoint:
        (point,) = [value for key, value in self.points() if key == name]
        assert isinstance(point, HistogramPoint)
        return point


class Line:
    """A connection. `c` sends from the client, `s` from the server; options are given ready, or made when `clocks` is set."""

    def __init__(
        self,
        wire: Wire | None = None,
        client: str = CLIENT,
        server: str = SERVER,
        ports: tuple[int, int] = (40000, 8080),
        isn: tuple[int, int] = (1000, 5000),
        clocks: bool = False,
    ) -> None:
        self.wire = wire if wire is not None else Wire()
        self.names = (client, server)
        self.ports = ports
        self.isn = isn
        self.seq = list(isn)
        self.clocks = clocks

    def send(
        self,
        side: int,
        payload: bytes = b"",
        flags: int = ACK,
        *,
        seq: int | None = None,
        ack: int | None = None,
        window: int = 500,
        options: bytes | None = None,
        after_ms: float = 1.0,
        ident: int | None = None,
        stamp: tuple[int, int] | None = None,
    ) -> None:
        at = self.seq[side] if seq is None else seq
        if ack is None:
            ack = self.seq[1 - side] if flags & ACK else 0
        if options is None:
            options = b""
            if self.clocks:
                now_ms = (self.wire.ns - START_NS) // 1_000_000 + round(after_ms)
                options = timestamps(*(stamp or (now_ms, now_ms)))
        options += b"\x01" * (-len(options) % 4)
        head = struct.pack(
            "!HHIIBBHHH", self.ports[side], self.ports[1 - side], at % 2**32, ack % 2**32,
            (5 + len(options) // 4) << 4, flags, window, 0, 0,
        )
        if seq is None:
            self.seq[side] = (at + len(payload) + (1 if flags & (SYN | FIN) else 0)) % 2**32
        if ident is None:
            self.wire.ident += 1
            ident = self.wire.ident & 0xFFFF
        self.wire.packet(ip(self.names[side], self.names[1 - side], 6, head + options + payload, ident), after_ms)

    def c(self, payload: bytes = b"", flags: int = ACK, **more: Any) -> Line:
        self.send(0, payload, flags, **more)
        return self

    def s(self, payload: bytes = b"", flags: int = ACK, **more: Any) -> Line:
        self.send(1, payload, flags, **more)
        return self

    def opened(self) -> Line:
        return self.c(flags=SYN).s(flags=SYN | ACK).c()

    def closed(self) -> Line:
        return self.c(flags=FIN | ACK).s(flags=FIN | ACK).c()
