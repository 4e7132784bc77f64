"""Runs one part of the pass over a file, in a loop, and says what it cost: run by the offline row, not by hand.

    core.py FILE PART REPEATS      PART: read, core, spans, detect, no-detect

`read` is pcapy alone; the others get batches that were read before, so that reading is not in them. `core` and `spans` know the
port, `detect` has to find out, `no-detect` looks at no other port. Prints one
line of JSON: nanoseconds of process time of each repeat, and the roundtrips that the last one saw.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Iterator

import pcapy

BATCH = 256
PORT, SERVER = 8080, bytes((10, 2, 0, 1))  # as in generate.py


def main() -> None:
    file, part, repeats = sys.argv[1], sys.argv[2], int(sys.argv[3])
    took: list[int] = []
    roundtrips = 0
    compiled = False
    if part == "read":
        for _ in range(repeats):
            began = time.process_time_ns()
            for _batch in read(file):
                pass
            took.append(time.process_time_ns() - began)
    else:
        link_type = pcapy.open_offline(file).datalink()
        batches = list(read(file))
        for _ in range(repeats):
            process_batch, count, compiled = build_engine(part)
            gc.collect()
            began = time.process_time_ns()
            for frames, records in batches:
                process_batch(frames, records, link_type)
            took.append(time.process_time_ns() - began)
            roundtrips = count()
    print(json.dumps({"took_ns": took, "roundtrips": roundtrips, "compiled": compiled}))


def read(file: str) -> Iterator[tuple[bytes, bytes]]:
    """All batches of a file."""
    handle = pcapy.open_offline(file)
    while True:
        frames, records = handle.next_batch(BATCH)
        if not records:
            return
        yield frames, records


def build_engine(part: str) -> tuple[Callable[[bytes, bytes, int], object], Callable[[], int], bool]:
    """A fresh engine: its `process_batch`, a function that says how many roundtrips it saw, and whether it is compiled.

    The one place that knows the engine's interface.
    """
    import receiver.engine as module
    from receiver.build import make_engine
    from receiver.config import Config, Layer4, PcapReceiver, Receivers
    from receiver.l7 import registry
    from receiver.telemetry.metrics import Metrics
    from receiver.telemetry.pipeline import Telemetry
    from receiver.telemetry.redact import Redactor
    from receiver.telemetry.routes import RouteTable
    from receiver.telemetry.sampling import Sampler
    from receiver.telemetry.spans import Identities, Spans

    layer4 = Layer4(enabled=False)  # it has a row of its own
    spans = part == "spans"
    ports: dict[str, tuple[int, ...]] = {} if part == "detect" else {"http": (PORT,)}
    pcap = PcapReceiver(ports=ports, detect=part != "no-detect", layer4=layer4)
    config = Config(receivers=Receivers(pcap=pcap))
    metrics = Metrics(registry.protocols(), 2000, False, (), RouteTable((), True))
    batch = Spans(Redactor()) if spans else None

    def drop() -> None:
        assert batch is not None
        batch.lend()[0].release()

    telemetry = Telemetry(metrics, batch, Sampler(), Identities())
    engine = make_engine(config, telemetry, detail=spans, local={SERVER})
    if batch is not None:
        engine.flush_by(batch, drop)
    return engine.process_batch, metrics.total, not str(module.__file__).endswith(".py")


if __name__ == "__main__":
    main()
