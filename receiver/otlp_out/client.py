"""The OTLP exporter: spans and metrics to a Collector over gRPC, bytes in, identity serialisers.

Room: otlp_out. One channel, two queues with a worker each: spans and metrics do not wait for one another.
Statuses and delays: OTLP specification 1.11, "OTLP/gRPC Throttling" and "Failures".
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import msgspec

from receiver.config import OtlpGrpcExporter as Config
from receiver.config import Tls
from receiver.export.exporter import Signals
from receiver.export.outcome import Failed, Outcome, Retry, Sent, clean, secrets_of
from receiver.export.queue import INTERNAL, TOO_LARGE, ExportQueue, QueueStats
from receiver.export.tls import check_files
from receiver.otlp_out.answer import read_partial_success, read_retry_delay
from receiver.otlp_out.encode import MetricRequests, SpanRequests
from receiver.telemetry.snapshot import Resource, Snapshot

logger = logging.getLogger(__name__)

TRACES_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
METRICS_METHOD = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
DEFAULT_PORT = 4317

RETRYABLE = frozenset({"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"})
RETRYABLE_WITH_RETRY_INFO = "RESOURCE_EXHAUSTED"

MIN_REQUEST_SIZE = 64 * 1024  # below it a resource and one span may not fit

# Between attempts to connect gRPC waits by itself, up to two minutes; our own backoff is the one that was configured.
_RECONNECT_MS = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


class OtlpStats(msgspec.Struct, frozen=True):
    spans: QueueStats
    metric_points: QueueStats


class OtlpExporter:
    """One named OTLP exporter. A Collector that is down raises nothing and blocks nobody: see `stats`."""

    def __init__(self, name: str, config: Config, resource: Resource, version: str) -> None:
        """`name` as in the configuration (`otlp_grpc/gateway`). Opens no connection, reads the files that `tls` names.

        Raises ValueError, beginning with the key's path below the exporter, for settings that cannot be.
        """
        self.name = name
        self._target, self._secure = read_endpoint(config.endpoint, config.tls)
        self._credentials = _credentials(config.tls) if self._secure else None
        self._metadata = _metadata(config.headers)
        self._secrets = secrets_of(config.headers.values())
        self._compression = grpc.Compression.Gzip if config.compression == "gzip" else grpc.Compression.NoCompression
        if config.timeout <= 0:
            raise ValueError(f"timeout: got {float(config.timeout)}, takes a duration above 0")
        max_size = int(config.sending_queue.batch.max_size)
        if max_size < MIN_REQUEST_SIZE:
            raise ValueError(f"sending_queue.batch.max_size: got {max_size}, takes {MIN_REQUEST_SIZE} or more")
        self._options: list[tuple[str, Any]] = [
            *_RECONNECT_MS,
            ("grpc.primary_user_agent", f"pcap-receiver/{version} OTel-OTLP-Exporter-Python/{version}"),
            ("grpc.max_send_message_length", -1),  # the limit is ours, above
            ("grpc.enable_retries", 0),  # retries are the queue's, where they are counted
            ("grpc.http2.bdp_probe", 0),  # pings that measure what can be received: answers are a few bytes
        ]
        if config.tls.server_name_override:
            self._options.append(("grpc.ssl_target_name_override", config.tls.server_name_override))
            self._options.append(("grpc.default_authority", config.tls.server_name_override))
        self._span_requests = SpanRequests(resource, max_size)
        self._metric_requests = MetricRequests(max_size)
        self._channel: grpc.Channel | None = None
        self._calls: dict[str, Callable[..., Any]] = {}

        def queue(signal: str, method: str) -> ExportQueue:
            def send(payload: bytes, items: int, timeout_s: float) -> Outcome:
                return self._send(method, payload, timeout_s)

            return ExportQueue(
                f"{name} {signal}", send, float(config.timeout), config.sending_queue, config.retry_on_failure
            )

        self._spans = queue("traces", TRACES_METHOD)
        self._metrics = queue("metrics", METRICS_METHOD)

    def start(self) -> None:
        """Open the channel, which connects when first used. Raises OSError when `sending_queue.storage` cannot be
        used."""
        if self._credentials is None:
            self._channel = grpc.insecure_channel(self._target, options=self._options)
        else:
            self._channel = grpc.secure_channel(self._target, self._credentials, options=self._options)
        for method in (TRACES_METHOD, METRICS_METHOD):
            call = self._channel.unary_unary(method, request_serializer=None, response_deserializer=None)
            self._calls[method] = call.with_call
        self._spans.start()
        self._metrics.start()

    def export_spans(self, blob: bytes | memoryview, count: int) -> None:
        """Take over `count` spans, each tagged as `ScopeSpans.spans` (0x12, length, Span). Never blocks."""
        left = count
        try:
            for payload, spans in self._span_requests.split(blob, count):
                self._spans.offer(payload, spans)
                left -= spans
        except ValueError:
            logger.exception("%s: spans that cannot be read", self.name)
            self._spans.refuse(left, INTERNAL)
            return
        if left:
            self._spans.refuse(left, TOO_LARGE)

    def export_metrics(self, snapshot: Snapshot) -> None:
        """Encode, which takes the caller's CPU (about 1 us a series), and queue. Never blocks; one thread at a time."""
        requests, dropped = self._metric_requests.encode(snapshot)
        for payload, points in requests:
            self._metrics.offer(payload, points)
        if dropped:
            self._metrics.refuse(dropped, TOO_LARGE)

    def stats(self) -> OtlpStats:
        return OtlpStats(spans=self._spans.stats(), metric_points=self._metrics.stats())

    def signals(self) -> Signals:
        return [("traces", "spans", self._spans.stats()), ("metrics", "metric_points", self._metrics.stats())]

    def stop(self, deadline_s: float) -> None:
        """Begin the shutdown; returns at once, so that several exporters may end together."""
        self._spans.stop(deadline_s)
        self._metrics.stop(deadline_s)

    def shutdown(self, deadline_s: float) -> None:
        """Send what is queued for `deadline_s` at most, then close. What is left is counted, or kept in the spool."""
        self.stop(deadline_s)
        self._spans.shutdown(deadline_s)
        self._metrics.shutdown(deadline_s)
        if self._channel is not None:
            self._channel.close()

    def _send(self, method: str, payload: bytes, timeout_s: float) -> Outcome:
        try:
            response, _ = self._calls[method](
                payload, timeout=timeout_s, metadata=self._metadata, compression=self._compression
            )
        except grpc.RpcError as error:
            return self._refusal(error)
        if not response:
            return Sent()
        rejected, words = read_partial_success(response)
        return Sent(rejected, clean(words, self._secrets))

    def _refusal(self, error: grpc.RpcError) -> Outcome:
        status = error.code().name
        detail = clean(error.details() or "", self._secrets)
        after_s = None
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin" and isinstance(value, bytes):
                after_s = read_retry_delay(value)
        if status in RETRYABLE or (status == RETRYABLE_WITH_RETRY_INFO and after_s is not None):
            return Retry(status, after_s, detail)
        return Failed(status, detail)


def read_endpoint(endpoint: str, tls: Tls) -> tuple[str, bool]:
    """gRPC's target and whether to use TLS, from `host:port`, `http://`, `https://`, `unix:` or `dns:` forms.

    A scheme of http or https decides over `tls.insecure`. Raises ValueError.
    """
    scheme, separator, _ = endpoint.partition("://")
    if endpoint.startswith(("unix:", "dns:")):
        return endpoint, not tls.insecure
    if separator and scheme.lower() not in ("http", "https"):
        raise ValueError(f"endpoint: got {endpoint!r}, takes host:port, or a URL of http or https")
    try:
        parts = urlsplit(endpoint if separator else "//" + endpoint)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"endpoint: got {endpoint!r}, takes host:port, or a URL of http or https") from None
    if not host or parts.username is not None:
        raise ValueError("endpoint: takes host:port, or a URL of http or https, with a host and without credentials")
    target = f"[{host}]" if ":" in host else host
    secure = scheme.lower() == "https" if separator else not tls.insecure
    return f"{target}:{port or DEFAULT_PORT}", secure


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    if tls.insecure_skip_verify:
        raise ValueError(
            "tls.insecure_skip_verify: gRPC always verifies: give ca_file, and server_name_override if the name differs"
        )
    check_files(tls)
    ca, key, chain = (Path(path).read_bytes() if path else None for path in (tls.ca_file, tls.key_file, tls.cert_file))
    return grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=chain)


def _metadata(headers: dict[str, str]) -> tuple[tuple[str, str | bytes], ...]:
    """Raises ValueError for what gRPC would refuse at every call; names the header, never its value."""
    metadata: list[tuple[str, str | bytes]] = []
    for name, value in headers.items():
        key = name.lower()
        legal = key.isascii() and all(c.isalnum() or c in "-_." for c in key)
        if not key or not legal or key.startswith("grpc-"):
            raise ValueError(f"headers: {name!r} is not a name of gRPC metadata")
        if key.endswith("-bin"):
            metadata.append((key, value.encode()))
        elif all(" " <= c <= "~" for c in value):
            metadata.append((key, value))
        else:
            raise ValueError(f"headers: the value of {name!r} is not printable ASCII")
    return tuple(metadata)
