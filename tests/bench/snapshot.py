"""How long the capture waits for a snapshot of the metrics: run by the row of that name, not by hand.

    snapshot.py PART      PART: explicit, native, vmrange, layer4

2 000 combinations of HTTP, sent by OTLP and by remote write with such histograms; `layer4`: besides, 2 000 clients that layer 4
tells apart. A capture thread takes a batch of packets and then waits for a millisecond, over and over; a snapshot a second is made
of what it counts. Prints one line of JSON, in milliseconds of processor time, which is what is left of it on a busy machine: what
all threads had of it during the longest turn of the second in which all series are new, of each second after it, and of each when
there is no snapshot; what a snapshot takes, and what copying alone takes, for which packets wait in any case.
"""

from __future__ import annotations

import gc
import json
import random
import select
import sys
import time
from collections.abc import Iterator
from statistics import median

from receiver.config import (
    Config,
    Duration,
    Http,
    Layer4,
    OtlpGrpcExporter,
    PcapReceiver,
    Pipeline,
    PrometheusRemoteWriteExporter,
    Receivers,
    SendingQueue,
    Size,
)
from receiver.config import Service as ServiceSettings
from receiver.memory import keep_start
from receiver.pcap.capture import tune_allocator
from receiver.service import TURN_S, Service
from tests.bench.generate import ACK, LINK_ETHERNET, PSH, SYN, Packet, Workload, _Side, batches, packets

COMBINATIONS = 2_000
PATHS = 100
EACH = 8  # roundtrips of a combination
SECONDS = 6


def main() -> None:
    part = sys.argv[1]
    alone, with_snapshots = measure(part, 3600.0), measure(part, 1.0)
    packets_ms = alone[1] / alone[4] * with_snapshots[4]
    found = {
        "first_ms": with_snapshots[0][0],
        "longest_ms": with_snapshots[0][1:],
        "idle_longest_ms": alone[0][1:],
        "copy_ms": copying(part),
        "cpu_ms": (with_snapshots[1] - packets_ms) / with_snapshots[2],
        "points": with_snapshots[3],
    }
    print(json.dumps(found))


def measure(part: str, interval_s: float) -> tuple[list[float], float, int, int, int]:
    """The longest turn of each second and all of them, in milliseconds; how many snapshots, points of one, and turns."""
    sys.setswitchinterval(TURN_S)  # as the service does when it runs
    tune_allocator()
    service = build(part, interval_s)
    keep_start()
    for joined, records in batches(traffic()):
        service.engine.process_batch(joined, records, LINK_ETHERNET)
    service.tick(0)  # of a live service: by now everything is due in `interval_s`
    points = sum(len(metric.points) for metric in service.snapshot().metrics)
    load = list(batches(packets(Workload(connections=50, roundtrips_each=2_000))))
    gc.collect()
    poller = select.poll()
    began_s, cpu_s = time.monotonic(), time.process_time()
    longest = [0.0] * SECONDS
    ticked_s = began_s
    turns = 0
    for joined, records in load * 100:
        turn_s, had_s = time.monotonic(), time.process_time()
        second = int(turn_s - began_s)
        if second >= SECONDS:
            break
        turns += 1
        poller.poll(1)
        service.engine.process_batch(joined, records, LINK_ETHERNET)
        if turn_s - ticked_s >= 0.1:
            ticked_s = turn_s
            service.tick(0)
        longest[second] = max(longest[second], (time.process_time() - had_s) * 1000)
    else:
        raise RuntimeError("not enough packets")
    cpu_ms = (time.process_time() - cpu_s) * 1000
    offered = service.exporters["otlp_grpc"].signals()[1][2].offered
    return longest, cpu_ms, offered // points, points, turns


def copying(part: str) -> float:
    """What the capture thread does itself, in milliseconds of its processor time."""
    service = build(part, 3600.0)
    for joined, records in batches(traffic()):
        service.engine.process_batch(joined, records, LINK_ETHERNET)
    took = []
    for _ in range(21):
        began_s = time.thread_time()
        service.snapshot_later()
        took.append((time.thread_time() - began_s) * 1000)
    return median(took)


def build(part: str, interval_s: float) -> Service:
    queue = SendingQueue(queue_size=Size(16 << 20))  # nobody sends: that is not what is measured here
    remote_write = PrometheusRemoteWriteExporter(
        endpoint="http://127.0.0.1:9/w",
        interval=Duration(interval_s),
        sending_queue=queue,
        histograms=part if part in ("native", "vmrange") else "explicit",  # type: ignore[arg-type]  # its words
        protobuf_message="io.prometheus.write.v2.Request" if part == "native" else "prometheus.WriteRequest",
    )
    exporters = {
        "otlp_grpc": OtlpGrpcExporter(endpoint="127.0.0.1:9", interval=Duration(interval_s), sending_queue=queue),
        "prometheus_remote_write": remote_write,
    }
    routes = tuple(f"/item{number}/{{id}}" for number in range(PATHS))
    pcap = PcapReceiver(
        local_addresses=("10.2.0.1",),
        ports={"http": (8080,)},
        http=Http(routes=routes),
        layer4=Layer4(labels=("network.peer.address",) if part == "layer4" else ()),
    )
    pipelines = {"metrics": Pipeline(receivers=("pcap",), exporters=tuple(exporters))}
    return Service(Config(receivers=Receivers(pcap=pcap), exporters=exporters, service=ServiceSettings(pipelines=pipelines)))


def traffic() -> Iterator[Packet]:
    """A client for each combination, and a few latencies of it."""
    rng = random.Random(5)
    workload = Workload()
    ts_ns = workload.start_ns - 60_000_000_000
    for number in range(COMBINATIONS):
        client, server = (_Side(workload, side, number + 1, 20_000, 1) for side in (True, False))
        yield ts_ns, client.frame(SYN, 0)
        yield ts_ns, server.frame(SYN | ACK, client.seq)
        for _ in range(EACH):
            request = f"GET /item{number % PATHS}/1 HTTP/1.1\r\nHost: bench.test\r\n\r\n".encode()
            yield ts_ns, client.frame(PSH | ACK, server.seq, request)
            ts_ns += int(rng.lognormvariate(14, 1))
            answer = f"HTTP/1.1 {200 + number // PATHS} OK\r\nContent-Length: 0\r\n\r\n".encode()
            yield ts_ns, server.frame(PSH | ACK, client.seq, answer)


if __name__ == "__main__":
    main()
