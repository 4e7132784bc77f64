"""Runs one measurement of layer 4 and says what it cost: run by the row of that name, not by hand.

    layer4.py PART      PART: small, acks, idle, flood

`small` and `acks`: nanoseconds a packet with layer 4 and without, over the same packets in memory, in turn; `acks` has an empty
acknowledgement behind each message. `idle`: the same of packets of flows that are no known protocol. `flood`: SYNs from random
addresses beside connections that go on. Prints one line of JSON.
"""

from __future__ import annotations

import gc
import json
import random
import struct
import sys
import time
from collections.abc import Iterator
from statistics import median

from receiver.build import make_engine
from receiver.config import Config, Layer4, PcapReceiver, Receivers
from receiver.engine import Engine
from receiver.l7 import registry
from receiver.self_metrics import resident_bytes
from receiver.telemetry.layer4 import Layer4Metrics
from receiver.telemetry.metrics import Metrics
from receiver.telemetry.pipeline import Telemetry
from receiver.telemetry.sampling import Sampler
from receiver.telemetry.snapshot import NumberPoint
from receiver.telemetry.spans import Identities
from tests.bench.generate import LINK_ETHERNET, Packet, Workload, batches, packets

PORT, SERVER = 8080, bytes((10, 2, 0, 1))  # as in generate.py
REPEATS = 7
PACKETS = 200_000
DLT_RAW = 12  # files say 101

FLOOD_PER_S = 200_000
FLOOD_S = 5
CONVERSATIONS = 1_000


def build(layer4: bool) -> tuple[Engine, Metrics]:
    metrics = Metrics(registry.protocols())
    sink = Telemetry(metrics, None, Sampler(), Identities())
    pcap = PcapReceiver(ports={"http": (PORT,)}, layer4=Layer4(enabled=layer4))
    return make_engine(Config(receivers=Receivers(pcap=pcap)), sink, detail=False, local={SERVER}), metrics


def cost(frames: list[tuple[bytes, bytes]], link_type: int) -> dict[str, object]:
    """Medians of what a packet cost, in nanoseconds; the two take turns, so that a slow moment meets both."""
    count = sum(len(records) // 16 for _, records in frames)
    took: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(REPEATS):
        for layer4 in (True, False):
            engine, _ = build(layer4)
            gc.collect()
            began = time.process_time_ns()
            for data, records in frames:
                engine.process_batch(data, records, link_type)
            took[layer4].append((time.process_time_ns() - began) / count)
    differences = [on - off for on, off in zip(took[True], took[False], strict=True)]
    return {"on_ns": median(took[True]), "off_ns": median(took[False]), "more_ns": median(differences)}


def idle_packets() -> Iterator[Packet]:
    """100 connections whose bytes are no protocol; each was looked at, and given up, before it is measured."""
    ns = 1_700_000_000_000_000_000
    seqs = [[1000, 5000] for _ in range(100)]
    payload = random.Random(4).randbytes(120)
    for turn in range(PACKETS // 200):
        for host, seq in enumerate(seqs):
            for side in (0, 1):
                ns += 5_000
                body = payload if turn % 2 == side else b""
                yield ns, segment(host, side, seq[side], seq[1 - side], 0x10, body, turn * 2 + side + 1)
                seq[side] += len(body)


def segment(host: int, side: int, seq: int, ack: int, flags: int, body: bytes, ident: int, port: int = 9999) -> bytes:
    client = struct.pack("!BBH", 10, 1, host)
    ends = client + SERVER if side == 0 else SERVER + client
    ports = (40_000, port) if side == 0 else (port, 40_000)
    tcp = struct.pack("!HHIIBBHHH", *ports, seq, ack, 0x50, flags, 500, 0, 0)
    return struct.pack("!BBHHHBBH", 0x45, 0, 40 + len(body), ident & 0xFFFF, 0x4000, 64, 6, 0) + ends + tcp + body


def flooded(second: int, rng: random.Random) -> Iterator[Packet]:
    """One second: FLOOD_PER_S SYNs, and of each conversation one request and its answer in between."""
    began_ns = 1_700_000_000_000_000_000 + (second + 1) * 1_000_000_000
    request = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    each = FLOOD_PER_S // CONVERSATIONS
    for host in range(CONVERSATIONS):
        ns = began_ns + host * (1_000_000_000 // CONVERSATIONS)
        seq, ack = 1001 + second * len(request), 5001 + second * len(answer)
        yield ns, segment(host, 0, seq, ack, 0x18, request, second * 2 + 9, PORT)
        yield ns + 100, segment(host, 1, ack, seq + len(request), 0x18, answer, second * 2 + 9, PORT)
        for n in range(each):
            ends = struct.pack("!I", rng.randrange(0x0B000000, 0xDF000000)) + SERVER
            tcp = struct.pack("!HHIIBBHHH", rng.randrange(1024, 65536), PORT, rng.getrandbits(32), 0, 0x50, 2, 500, 0, 0)
            head = struct.pack("!BBHHHBBH", 0x45, 0, 40, rng.randrange(1, 65536), 0x4000, 64, 6, 0)
            yield ns + 200 + n * 4_000, head + ends + tcp


def flood() -> dict[str, object]:
    engine, metrics = build(True)
    opening: list[Packet] = []
    for host in range(CONVERSATIONS):
        for n, (side, seq, ack, flags) in enumerate(((0, 1000, 0, 2), (1, 5000, 1001, 0x12), (0, 1001, 5001, 0x10))):
            opening.append((1_700_000_000_000_000_000 + host * 1000 + n, segment(host, side, seq, ack, flags, b"", n + 1, PORT)))
    for data, records in batches(opening):
        engine.process_batch(data, records, DLT_RAW)
    rng = random.Random(7)
    took = 0
    rss = [resident_bytes()]
    for second in range(FLOOD_S):
        for data, records in batches(flooded(second, rng)):
            began = time.process_time_ns()
            engine.process_batch(data, records, DLT_RAW)
            took += time.process_time_ns() - began
        rss.append(resident_bytes())
    assert engine.layer4 is not None
    named: dict[str, float] = {}
    for metric in Layer4Metrics(engine.layer4.table).metrics():
        if metric.kind == "sum":
            named[metric.name] = sum(point.value for point in metric.points if isinstance(point, NumberPoint))
    return {
        "us_per_syn": took / 1000 / (FLOOD_PER_S * FLOOD_S),
        "rss": rss,
        "flows": engine.table.open,
        "conversations": CONVERSATIONS,
        "open": named["pcap_receiver.tcp.connections.open"],
        "lost": CONVERSATIONS * FLOOD_S - metrics.total(),
    }


def main() -> None:
    part = sys.argv[1]
    if part == "flood":
        found = flood()
    elif part == "idle":
        found = cost(list(batches(idle_packets())), DLT_RAW)
    else:
        workload = Workload.of_packets(PACKETS, 200, pure_acks=part == "acks", link_type=LINK_ETHERNET)
        found = cost(list(batches(packets(workload))), LINK_ETHERNET)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
