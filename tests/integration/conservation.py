"""The law of conservation: whatever comes in is found again under some name. Checked wherever a test looks at a receiver.

    packets = parsed + skipped by reason
    requests read = paired + one-way + unanswered + repeated + open;  responses read = paired + unmatched + those that go on
    roundtrips = paired + one-way + unanswered requests
    roundtrips = spans batched + exported + not sampled + not emitted
    spans exported = sent + failed + refused + queued, for each exporter that stands since the start
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from receiver.engine import Engine
from receiver.l7.detect import Detector
from receiver.l7.levels import Levels
from receiver.l7.matcher import Pairing
from receiver.l7.reading import Reading
from receiver.pcap.bpf import FilterPlan, build_filter
from receiver.pcap.file import FileSource
from receiver.pcap.flow import FlowTable
from receiver.pcap.stream import Reassembly
from receiver.wire.records import Protocol, Roundtrip, Sink
from tests.integration.prometheus_text import samples, values_of
from tests.l7.harness import Collector, Seen


class ByPort(Collector):
    """Keeps the roundtrips of each connection apart. `lags`: how far consumers were behind after each answer to a poll."""

    def __init__(self, levels: Levels | None = None) -> None:
        super().__init__()
        self.by_port: dict[int, list[Seen]] = {}
        self.lags: list[dict[tuple[str, str], int]] = []
        self._levels = levels

    def roundtrip(self, roundtrip: Roundtrip) -> int:
        super().roundtrip(roundtrip)
        assert roundtrip.endpoints is not None
        self.by_port.setdefault(roundtrip.endpoints.client_port, []).append(self.seen[-1])
        if self._levels is not None and self.seen[-1]["operation"] == "poll":
            self.lags.append(self._levels.behind(self.seen[-1].end_ns))
        return 0


def broken_laws(page: str, exporters: bool = True) -> list[str]:
    """What does not add up on a page of own metrics, a line each with its figures; none is as it should be.

    `exporters`: whether those of the page are there since the start. After a reload the counts of those that left are gone.
    """

    def own(name: str, **labels: str) -> int:
        return int(sum(samples(page, f"pcap_receiver_{name}", **labels)))

    def messages(direction: str, *states: str) -> int:
        return sum(own("messages_total", direction=direction, state=state) for state in states)

    answered = "paired", "one_way", "unanswered"
    roundtrips, requests = own("roundtrips_total"), own("decode_messages_total", direction="request")
    responses, open_requests = own("decode_messages_total", direction="response"), messages("request", "open")
    laws = [
        ("packets", own("capture_packets_total"), own("capture_packets_parsed_total") + own("capture_packets_skipped_total")),
        ("requests", requests, messages("request", *answered, "repeated", "open")),
        ("pairs", messages("request", "paired"), messages("response", "paired")),
        ("roundtrips", roundtrips, messages("request", *answered)),
    ]
    if samples(page, "pcap_receiver_spans_total"):
        laws.append(("spans", roundtrips, own("spans_total")))
        exported = own("spans_total", state="exported")
        for name in sorted(values_of(page, "pcap_receiver_exporter_sent_spans_total", "exporter")) if exporters else ():
            kinds = "sent_spans_total", "send_failed_spans_total", "enqueue_failed_spans_total"
            found = sum(own(f"exporter_{kind}", exporter=name) for kind in kinds)
            found += own("exporter_queue_items", exporter=name, signal="traces")
            laws.append((f"exported by {name}", exported, found))
    broken = [f"{what}: {left} != {right}" for what, left, right in laws if left != right]
    # An answer that has begun is of an open request, or of none that was seen and then not told from the others.
    settled = messages("response", "paired", "unmatched")
    if not settled <= responses:
        broken.append(f"responses: {responses} < {settled}")
    elif responses - settled > open_requests:
        broken.append(f"responses: {responses} > {settled} + {open_requests} that may go on")
    return broken


def assert_conserved(engine: Engine) -> None:
    """The same for an engine of the test's own that has come to the end of its input: nothing is open any more."""
    pairing: Pairing = engine.reading.pairing
    assert engine.packets == engine.parsed + sum(engine.skipped_packets().values())
    assert pairing.open == 0
    assert pairing.requests == pairing.paired + pairing.one_way + pairing.unanswered + pairing.repeated
    assert pairing.responses == pairing.paired + pairing.unmatched


def read_capture(capture: Path, sink: Sink, rows: Sequence[Protocol]) -> Reading:
    """Read a capture of loopback to its end, roundtrips to `sink`; what was read must add up."""
    reading = Reading(Pairing(sink), Detector(rows))
    engine = Engine(FlowTable(Reassembly(), local=(bytes((127, 0, 0, 1)),)), reading)
    source = FileSource((os.fspath(capture),), partial(build_filter, FilterPlan()))
    source.open()
    source.run(engine.process_batch, lambda now: None, lambda: False)
    source.close()
    engine.finish()
    assert_conserved(engine)
    return reading
