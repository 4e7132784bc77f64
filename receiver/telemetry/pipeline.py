"""Where roundtrips arrive: counted always, written as a span when the sampler says so.

Room: telemetry. Parentage (docs/trace-context.md): an inbound request's span is a child of the caller's; an outbound request that
carries the very context of an inbound one is a child of that one's span; any other outbound context is its parent as it
stands. Without a context a span is a root; nothing is guessed from time.
"""

from __future__ import annotations

from collections.abc import Callable

import cython

from receiver.telemetry.metrics import Metrics, Series
from receiver.telemetry.sampling import Sampler
from receiver.telemetry.spans import Identities, Spans
from receiver.wire.records import Endpoints, Message, Roundtrip, Sink

if not cython.compiled:
    from receiver.wire.records import VANTAGE_SERVER

# Contexts of inbound requests that outbound ones may carry on: 4 096 x 24 bytes and their span ids, under 1 MB.
INBOUND_MAX = 4096

# Bits of Span.flags above the W3C byte: whether it is known if the parent is remote, and that it is.
HAS_IS_REMOTE = 0x100
IS_REMOTE = 0x200


class Telemetry(Sink):
    """`spans` is None where no pipeline wants them. `on_full` is called when the open batch reaches `batch_max` bytes."""

    def __init__(
        self,
        metrics: Metrics,
        spans: Spans | None,
        sampler: Sampler,
        identities: Identities,
        batch_max: cython.Py_ssize_t = 1_048_576,
        on_full: Callable[[], None] | None = None,
    ) -> None:
        self.metrics = metrics
        self.spans = spans
        self.sampler = sampler
        self.identities = identities
        self.inbound: dict[bytes, bytes] = {}
        self.written = 0
        self.not_sampled = 0
        self.not_emitted = 0
        self.full = 0
        self.batch_max = batch_max
        self.on_full = on_full

    def begins(self, endpoints: Endpoints, request: Message) -> cython.int:
        """A request with a context has begun: what it calls meanwhile must find its span's id."""
        if self.spans is None or endpoints.vantage != VANTAGE_SERVER or request.parent_id is None:
            return 0
        request.span_id = self.identities.take(8)
        inbound: dict[bytes, bytes] = self.inbound
        if len(inbound) >= INBOUND_MAX:
            del inbound[next(iter(inbound))]
        inbound[request.trace_id + request.parent_id] = request.span_id
        return 0

    def roundtrip(self, roundtrip: Roundtrip) -> cython.int:
        series: Series | None = self.metrics.observe(roundtrip)
        if self.spans is None:
            return 0
        if series is None:
            self.not_emitted += 1
            return 0
        return self._span(roundtrip, series)

    def _span(self, roundtrip: Roundtrip, series: Series) -> cython.int:
        request: Message = roundtrip.request
        endpoints: Endpoints = roundtrip.endpoints
        trace_id: bytes | None = request.trace_id
        parent_id: bytes | None = request.parent_id
        span_id: bytes | None = request.span_id
        flags: cython.int = request.trace_flags
        decided: cython.bint = flags >= 0
        if trace_id is None:
            trace_id = self.identities.take(16)
            if flags < 0:
                flags = 3  # sampled, and the id is random (W3C Trace Context Level 2)
            else:
                flags = flags | 2
        elif parent_id is not None:
            flags = flags & 0xFF | HAS_IS_REMOTE | IS_REMOTE
            if endpoints.vantage != VANTAGE_SERVER:
                own: bytes | None = self.inbound.get(trace_id + parent_id)
                if own is not None:
                    parent_id = own
                    flags &= ~IS_REMOTE
        tracestate: bytes | None = request.tracestate
        if tracestate is None:
            tracestate = b""
        if not self.sampler.should_export(trace_id, decided, flags, tracestate):
            self.not_sampled += 1
            return 0
        if span_id is None:
            span_id = self.identities.take(8)
        if self.spans.write(roundtrip, series, trace_id, span_id, parent_id, flags, tracestate):
            self.written += 1
        else:
            self.not_emitted += 1
        if self.spans.writer.size >= self.batch_max and self.on_full is not None:
            self.full += 1
            self.on_full()
        return 0
