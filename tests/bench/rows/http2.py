"""HTTP/2, live: 1 MB against 1 KB, in frames of 16 KB and in one; memory with 50 streams on each of 100 connections; HPACK."""

from __future__ import annotations

from functools import partial

from tests.bench import servers
from tests.bench.bench_hpack import REQUEST, TRACED, blocks_of, rounds
from tests.bench.load import H2load
from tests.bench.measure import Bench, ObserverKind, ratios, remarks
from tests.bench.observers import CaptureOnly, ReceiverBoth, ReceiverMetrics, Tcpdump
from tests.bench.report import Bars
from tests.bench.rows.connections import add_memory

ORDER = 65
ROW = "HTTP/2"
OBSERVERS: tuple[ObserverKind, ...] = (Tcpdump, CaptureOnly, ReceiverMetrics)
RATE = 200
CONNECTIONS, STREAMS = 100, 50


def run(bench: Bench) -> None:
    header_blocks(bench)
    with servers.nghttpd(bench.lab) as port:
        bodies(bench, port, "frames of 16 KB", ("/1k", "/1m"), 16_384)
    with servers.frames(bench.lab) as port:
        bodies(bench, port, "one frame", ("/1000/0", "/1000000/0"), 1_000_000)
        streams(bench, port)


def header_blocks(bench: Bench) -> None:
    from receiver.l7.hpack import HeaderList, HpackDecoder

    for what, fields, bars in (("10 fields", REQUEST, Bars(0.7)), ("10 fields and a traceparent in Huffman", TRACED, None)):
        first, warm = blocks_of(fields, True)
        decoder, sink = HpackDecoder(), HeaderList()
        decoder.decode(first, 0, len(first), sink)

        def once(decoder: HpackDecoder = decoder, warm: bytes = warm, sink: HeaderList = sink) -> None:
            decoder.decode(warm, 0, len(warm), sink)
            sink.fields.clear()

        found = [bench.quietly(f"HPACK, {what}", partial(rounds, once, 20_000))[0][0] for _ in range(bench.repeats)]
        bench.add(ROW, "ours", f"HPACK, a warm block of {what}", "us", found, bars)


def bodies(bench: Bench, port: int, how: str, paths: tuple[str, str], frame: int) -> None:
    """`paths`: of 1 KB and of 1 MB."""
    count = round(RATE * bench.seconds)
    small, large = (
        bench.alternate(bench.chosen(OBSERVERS), H2load(port, count, RATE, path, connections=4, frame=frame)) for path in paths
    )
    alone = [run.us_per_roundtrip for run in large.get(CaptureOnly.name, ())]
    for who in large:
        held_to = Bars(1.3) if who == ReceiverMetrics.name else None
        costs = [[run.us_per_roundtrip for run in found[who]] for found in (large, small)]
        bench.add(ROW, who, f"1 KB at {RATE}/s, {how}", "us CPU a roundtrip", costs[1], None, remarks(small[who]))
        bench.add(ROW, who, f"1 MB at {RATE}/s, {how}", "us CPU a roundtrip", costs[0], None, remarks(large[who]))
        bench.add(ROW, who, f"1 MB against 1 KB, {how}", "times", ratios(*costs), held_to)
        if who == ReceiverMetrics.name:
            bench.add(ROW, who, f"1 MB, {how}, against capture only", "times", ratios(costs[0], alone))


def streams(bench: Bench, port: int) -> None:
    kinds: tuple[ObserverKind, ...] = (ReceiverBoth,)
    # All streams are open all the time: each answer takes a second.
    load = H2load(port, CONNECTIONS * STREAMS * round(bench.seconds), 0, "/200/1000", "", CONNECTIONS, STREAMS)
    for who, runs in bench.alternate(bench.chosen(kinds), load).items():
        what = f"{CONNECTIONS} connections of {STREAMS} streams"
        add_memory(bench, who, f"RSS with {what}", runs, Bars(50, 60), ROW)
        losses = [abs(run.lost_percent) for run in runs if run.lost_percent is not None]
        bench.add(ROW, who, f"{what}, lost or invented", "%", losses, Bars(0, 0), remarks(runs))
