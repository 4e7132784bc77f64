"""An application's connections through decoders and telemetry; spans are read back with protobuf."""

from __future__ import annotations

from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from receiver.config import PcapReceiver, Traces
from receiver.l7.conversation import Conversation
from receiver.l7.detect import Detector
from receiver.l7.matcher import Pairing
from receiver.l7.reading import Reading
from receiver.l7.registry import protocols
from receiver.l7.shared import Shared
from receiver.telemetry.metrics import Metrics
from receiver.telemetry.pipeline import Telemetry
from receiver.telemetry.redact import Redactor
from receiver.telemetry.sampling import Sampler
from receiver.telemetry.spans import Identities, Spans
from tests.l7.harness import START_NS, TO_CLIENT, TO_SERVER, Pair

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Pod:
    """An application's connections, inbound and outbound, as the receiver beside it sees them."""

    def __init__(
        self,
        traces: Traces | None = None,
        sampler: Sampler | None = None,
        propagators: tuple[str, ...] = ("tracecontext",),
        identities: Identities | None = None,
        spans: Spans | None = None,
    ) -> None:
        rows = protocols(Shared(PcapReceiver(traces=Traces(propagators=propagators))))
        self.spans = spans or Spans(Redactor())
        self.metrics = Metrics(rows)
        self.telemetry = Telemetry(self.metrics, self.spans, sampler or Sampler(), identities or Identities(), traces=traces)
        self.reading = Reading(Pairing(self.telemetry), Detector(rows), True)

    def connect(self, vantage: int) -> Conversation:
        return Conversation(self.reading, Pair(True, vantage), True)

    def begin(self, vantage: int, headers: str = "", line: str = "GET /") -> Conversation:
        """An HTTP/1 request on a connection of its own; `answer` ends it."""
        connection = self.connect(vantage)
        self.ask(connection, headers, line)
        return connection

    def ask(self, connection: Conversation, headers: str = "", line: str = "GET /") -> None:
        self.feed(connection, TO_SERVER, f"{line} HTTP/1.1\r\nHost: a\r\n{headers}\r\n".encode())

    def feed(self, connection: Conversation, direction: int, payload: bytes) -> None:
        connection.feed(direction, payload, 0, len(payload), START_NS)

    def answer(self, connection: Conversation) -> Span:
        self.feed(connection, TO_CLIENT, ANSWER)
        (span,) = self.written()
        return span

    def call(self, vantage: int, headers: str = "", line: str = "GET /") -> list[Span]:
        """The spans of one roundtrip: one or none."""
        self.feed(self.begin(vantage, headers, line), TO_CLIENT, ANSWER)
        return self.written()

    def written(self) -> list[Span]:
        scope = ScopeSpans()
        scope.ParseFromString(bytes(self.spans.lend()[0]))
        return list(scope.spans)
