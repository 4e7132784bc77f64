"""Where roundtrips arrive: counted always, written as a span when the sampler says so.

Room: telemetry. Parentage (docs/trace-context.md): an inbound request's span is a child of the caller's; an outbound request that
carries the very context of an inbound one is a child of that one's span; any other outbound context is its parent as it
stands. Without a context a span is a root; nothing is guessed from time. Where callers are not trusted (`traces.context: link`) a
trace of our own begins where they would be the parent, and their context is a link. Where receivers stand beside the callers
(`traces.context: both_ends`) the parent is the span that the caller's receiver writes of the same request: its id is made from what
both of them see.
"""

from __future__ import annotations

import logging
import traceback
from hashlib import blake2b

import cython

from receiver.config import Traces
from receiver.telemetry.metrics import Metrics, Series
from receiver.telemetry.sampling import Sampler
from receiver.telemetry.spans import Identities, Spans
from receiver.wire.records import Endpoints, Message, Roundtrip, Sink

if not cython.compiled:
    from receiver.wire.records import VANTAGE_SERVER

log = logging.getLogger(__name__)

# Contexts of inbound requests that outbound ones may carry on: 4 096 x 24 bytes and their span ids, under 1 MB.
INBOUND_MAX = 4096

# Contexts on connections whose requests have no number of their own, so that the second one with the same is told from the first.
SENT_MAX = 4096

# Bits of Span.flags above the W3C byte: whether it is known if the parent is remote, and that it is.
HAS_IS_REMOTE = 0x100
IS_REMOTE = 0x200
# The W3C byte of a trace that begins here: sampled, and the id is random (Trace Context Level 2).
OWN = 0x03

# traces.when_instrumented
EMIT = 0
METRICS_ONLY = 1
INTERNAL = 2
_BESIDE = {"emit": EMIT, "metrics_only": METRICS_ONLY, "internal": INTERNAL}

# What an application that exports spans asks for: OTLP over HTTP and over gRPC.
EXPORT_HTTP = b"/v1/traces"
EXPORT_GRPC = b"/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class Telemetry(Sink):
    """`spans` is None where no pipeline wants them. Nothing is raised: what fails here is a fault of ours, and counted in `errors`.

    `traces` says what to do with contexts of callers, and beside an application that reports spans of its own. Such a one is told
    by what it sends, `exports_spans`: it was seen to export some; or `makes_spans`: the last of its requests that had a
    context had one that no inbound request brought, so the application must have made it.
    """

    def __init__(
        self,
        metrics: Metrics,
        spans: Spans | None,
        sampler: Sampler,
        identities: Identities,
        traces: Traces | None = None,
    ) -> None:
        traces = Traces() if traces is None else traces
        self.metrics = metrics
        self.spans = spans
        self.sampler = sampler
        self.identities = identities
        self.links = traces.context == "link"
        self.both_ends = traces.context == "both_ends"
        self.beside = _BESIDE[traces.when_instrumented]
        self.makes_spans = False
        self.exports_spans = False
        self.inbound: dict[bytes, bytes] = {}
        self.sent: dict[bytes, int] = {}
        self.written = 0
        self.not_sampled = 0
        self.not_emitted = 0
        self.instrumented = 0
        self.errors: dict[str, int] = {}
        self.logged: set[str] = set()

    def begins(self, endpoints: Endpoints, request: Message) -> cython.int:
        """A request with a context has begun: what it calls meanwhile must find its span's id."""
        try:
            return self._begins(endpoints, request)
        except Exception as bug:
            self.failed("context", bug)
            return 0

    def _begins(self, endpoints: Endpoints, request: Message) -> cython.int:
        if self.spans is None or request.parent_id is None:
            return 0
        inbound: dict[bytes, bytes] = self.inbound
        context: bytes = request.trace_id + request.parent_id
        if endpoints.vantage != VANTAGE_SERVER:
            self.makes_spans = context not in inbound
            if not self.links:
                request.span_id = self._seen_by_both(context, endpoints, request.key)
            return 0
        # With `links` the id of the trace that begins here stands behind it.
        request.span_id = self.identities.take(24 if self.links else 8)
        if len(inbound) >= INBOUND_MAX:
            del inbound[next(iter(inbound))]
        inbound[context] = request.span_id
        if self.both_ends:
            request.parent_id = self._seen_by_both(context, endpoints, request.key)
        return 0

    def _seen_by_both(self, context: bytes, endpoints: Endpoints, key: cython.longlong) -> bytes:
        """The id of a request's CLIENT span, from what its observers at both ends see: its context, the client's address and port,
        and its number on the connection. HTTP/1 gives it none: there it is counted among those with the same context."""
        seen: bytes = context + f"{endpoints.client_address} {endpoints.client_port} {key}".encode()
        if key < 0:
            sent: dict[bytes, int] = self.sent
            times = sent.get(seen, 0)
            if times == 0 and len(sent) >= SENT_MAX:
                del sent[next(iter(sent))]
            sent[seen] = times + 1
            seen += b" %d" % times
        return blake2b(seen, digest_size=8).digest()

    def roundtrip(self, roundtrip: Roundtrip) -> cython.int:
        try:
            series: Series | None = self.metrics.observe(roundtrip)
            if self.spans is not None:
                self._emit(roundtrip, series)
        except Exception as bug:
            self.failed("roundtrip", bug)
            if self.spans is not None:
                self.spans.undo()
        return 0

    def failed(self, what: str, bug: Exception) -> None:
        """Count a fault of ours, and log it once per place, without what it says: that may be of the traffic."""
        self.errors[what] = self.errors.get(what, 0) + 1
        last = traceback.extract_tb(bug.__traceback__).pop()
        place = f"{last.filename}:{last.lineno}"
        if place not in self.logged:
            self.logged.add(place)
            log.error("bug in telemetry (%s): %s at %s", what, type(bug).__name__, place)

    def _emit(self, roundtrip: Roundtrip, series: Series | None) -> cython.int:
        if series is None or roundtrip.request.metric_only or (roundtrip.response is not None and roundtrip.response.metric_only):
            self.not_emitted += 1
            return 0
        if self.beside != EMIT and self._is_instrumented(roundtrip) and self.beside == METRICS_ONLY:
            self.instrumented += 1
            return 0
        return self._span(roundtrip, series)

    def _is_instrumented(self, roundtrip: Roundtrip) -> cython.bint:
        request: Message = roundtrip.request
        endpoints: Endpoints = roundtrip.endpoints
        if not self.exports_spans and request.path is not None and endpoints.vantage != VANTAGE_SERVER:
            self.exports_spans = request.path == EXPORT_HTTP or request.path == EXPORT_GRPC
        return self.exports_spans or self.makes_spans

    def _span(self, roundtrip: Roundtrip, series: Series) -> cython.int:
        request: Message = roundtrip.request
        endpoints: Endpoints = roundtrip.endpoints
        trace_id: bytes | None = request.trace_id
        parent_id: bytes | None = request.parent_id
        span_id: bytes | None = request.span_id
        tracestate: bytes | None = request.tracestate
        if tracestate is None:
            tracestate = b""
        flags: cython.int = request.trace_flags
        decided: cython.bint = flags >= 0
        if not decided:
            flags = OWN if trace_id is None else 1
        own: bytes | None = None
        if parent_id is not None and endpoints.vantage != VANTAGE_SERVER:
            own = self.inbound.get(trace_id + parent_id)
        link: bytes | None = None
        if self.links:
            # The caller's word counts neither for the trace nor for whether it is sampled.
            decided = False
            if own is not None:
                trace_id = own[8:]
                parent_id = own[:8]
            elif trace_id is not None:
                if parent_id is not None:
                    link = self.spans.link(trace_id, parent_id, flags & 0xFF | HAS_IS_REMOTE | IS_REMOTE, tracestate)
                trace_id = span_id[8:] if span_id is not None else None
                parent_id = None
            if span_id is not None:
                span_id = span_id[:8]
            flags = OWN
            tracestate = b""
        elif own is not None:
            parent_id = own
        if trace_id is None:
            trace_id = self.identities.take(16)
            flags |= 2
        elif parent_id is not None:
            flags = flags & 0xFF | HAS_IS_REMOTE
            if own is None:
                flags |= IS_REMOTE
        if not self.sampler.should_export(trace_id, decided, flags, tracestate):
            self.not_sampled += 1
            return 0
        if span_id is None:
            span_id = self.identities.take(8)
        if request.links is not None:
            link = self._links(request.links, link)
        if roundtrip.response is not None and roundtrip.response.links is not None:
            link = self._links(roundtrip.response.links, link)
        internal: cython.bint = self.beside == INTERNAL and (self.exports_spans or self.makes_spans)
        if self.spans.write(roundtrip, series, trace_id, span_id, parent_id, flags, tracestate, link, internal):
            self.written += 1
        else:
            self.not_emitted += 1
        return 0

    def _links(self, contexts: bytes, link: bytes | None) -> bytes:
        """Links of a span to those that made the messages which it carries, behind `link`."""
        fields: list[bytes] = [] if link is None else [link]
        at: cython.Py_ssize_t
        for at in range(0, len(contexts), 25):
            flags: cython.int = contexts[at + 24] | HAS_IS_REMOTE | IS_REMOTE
            fields.append(self.spans.link(contexts[at : at + 16], contexts[at + 16 : at + 24], flags, b""))
        return b"".join(fields)
