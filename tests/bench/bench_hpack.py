"""What one warm header block costs: ours, and PyPI `hpack` for comparison.

python tests/bench/bench_hpack.py [--json FILE]     microseconds a block; the median and range of five rounds
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import hpack

from receiver.l7 import hpack as ours

REQUEST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/shop.v1.Carts/AddItem"),
    (":authority", "carts.shop.svc.cluster.local:8080"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
    ("user-agent", "grpc-go/1.64.0"),
    ("grpc-timeout", "1S"),
    ("grpc-accept-encoding", "gzip"),
    ("x-tenant", "blue"),
]
TRACED = [*REQUEST, ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]


def blocks_of(fields: list[tuple[str, str]], huffman: bool) -> tuple[bytes, bytes]:
    """The first block, which fills the table, and a later one of the same fields. A traceparent is new each time."""
    encoder = hpack.Encoder()
    headers = [hpack.NeverIndexedHeaderTuple(*f) if f[0] == "traceparent" else f for f in fields]
    return encoder.encode(headers, huffman), encoder.encode(headers, huffman)


def rounds(call: Callable[[], object], times: int) -> tuple[float, float, float]:
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(times):
            call()
        taken.append((time.perf_counter() - start) / times * 1e6)
    return statistics.median(taken), min(taken), max(taken)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json", type=Path)
    options = arguments.parse_args()
    compiled = not str(ours.__file__).endswith(".py")
    print(f"receiver.l7.hpack is {'compiled' if compiled else 'plain Python'}")
    results = {}
    for label, fields, huffman in (
        ("10 fields, all indexed", REQUEST, True),
        ("10 indexed, traceparent in Huffman", TRACED, True),
        ("10 indexed, traceparent plain", TRACED, False),
    ):
        first, warm = blocks_of(fields, huffman)
        decoder = ours.HpackDecoder()
        decoder.decode(first, 0, len(first), ours.HeaderList())
        oracle = hpack.Decoder()
        oracle.decode(first, raw=True)
        sink = ours.HeaderList()

        def once(decoder: ours.HpackDecoder = decoder, warm: bytes = warm, sink: ours.HeaderList = sink) -> None:
            decoder.decode(warm, 0, len(warm), sink)
            sink.fields.clear()

        def other(oracle: hpack.Decoder = oracle, warm: bytes = warm) -> None:
            oracle.decode(warm, raw=True)

        mine = rounds(once, 100_000 if compiled else 5_000)
        theirs = rounds(other, 3_000)
        results[label] = {"ours_us": mine, "hpack_us": theirs, "bytes": len(warm)}
        print(
            f"{label:36} {len(warm):4} B   ours {mine[0]:7.3f} us ({mine[1]:.3f} to {mine[2]:.3f})"
            f"   hpack {theirs[0]:7.2f} us   {theirs[0] / mine[0]:5.0f} times"
        )
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
