"""The OTLP exporter: spans and metrics to a Collector over gRPC, bytes in, identity serialisers.

Room: otlp_out. One channel, two queues with a worker each: spans and metrics do not wait for one another.
Statuses and delays: OTLP specification 1.11, "OTLP/gRPC Throttling" and "Failures".

A connection whose packets vanish looks like a Collector that is slow. Pings would tell, but a Collector closes the connection of
whoever pings without calls or more often than every five minutes. So the kernel gives it up when sent bytes are not acknowledged
for USER_TIMEOUT_MS, and we do when two calls in a row had no answer.

Names are looked up here, not by gRPC, which would wait for half a minute before it asks again for one that has moved, and tells
nobody what it asked: the capture has to know our questions, and where our connections lead, before they are made.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

from receiver.config import TARGET_SCHEMES, Tls, endpoint_hosts, split_endpoint
from receiver.config import OtlpGrpcExporter as Config
from receiver.export.exporter import Signals
from receiver.export.outcome import Failed, Outcome, Retry, Sent, clean, secrets_of
from receiver.export.own import USER_TIMEOUT_MS, OwnSockets
from receiver.export.queue import INTERNAL, TOO_LARGE, ExportQueue
from receiver.otlp_out.answer import read_partial_success, read_retry_delay
from receiver.otlp_out.encode import MetricRequests, SpanRequests
from receiver.otlp_out.relay import Relay
from receiver.otlp_out.trouble import explain
from receiver.telemetry.snapshot import Resource, Snapshot

logger = logging.getLogger(__name__)

TRACES_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
METRICS_METHOD = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"

RETRYABLE = frozenset({"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"})
RETRYABLE_WITH_RETRY_INFO = "RESOURCE_EXHAUSTED"

MAX_SILENT = 2  # calls in a row without an answer, after which the connection is given up
LOOK_UP_AGAIN_S = 1.0  # a name whose addresses refuse may have moved; asked for at most so often

_CONNECTION: tuple[tuple[str, Any], ...] = (
    # Between attempts to connect gRPC waits by itself, up to two minutes; our own backoff is the one that was configured.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # What an attempt may take, whatever its name says: TCP, TLS and HTTP/2's settings are five ways there and back.
    ("grpc.min_reconnect_backoff_ms", 10_000),
    # A ping after 24 days, and by its time-out the kernel's TCP_USER_TIMEOUT, which gRPC sets only beside pings.
    ("grpc.keepalive_time_ms", 2**31 - 2),
    ("grpc.keepalive_timeout_ms", USER_TIMEOUT_MS),
    ("grpc.use_local_subchannel_pool", 1),  # or a new channel shares the connection of the old one
    ("grpc.enable_http_proxy", 0),  # the configuration says which
)


class _Connection:
    """A channel with its calls; it is closed when it is given up and nobody uses it any more. `target` is what gRPC was told."""

    def __init__(self, channel: grpc.Channel, target: str) -> None:
        self.channel = channel
        self.target = target
        self.users = 0
        self.given_up = False
        self.calls: dict[str, Callable[..., Any]] = {
            method: channel.unary_unary(method, request_serializer=None, response_deserializer=None).with_call
            for method in (TRACES_METHOD, METRICS_METHOD)
        }


class OtlpExporter:
    """One named OTLP exporter. A Collector that is down raises nothing and blocks nobody: see `stats`."""

    def __init__(
        self, name: str, config: Config, resource: Resource, version: str, own: OwnSockets | None = None
    ) -> None:
        """`name` as in the configuration (`otlp_grpc/gateway`). Opens no connection, reads the files that `tls` names. `own` is
        told which sockets are ours.

        Assumes that `settings.exporters.check_exporter` and `export.tls.check_files` found nothing.
        """
        self.name = name
        self._endpoint = config.endpoint
        self._secure = not config.tls.insecure
        self._own = own or OwnSockets()
        self._relay = self._make_relay(config)
        self._name = _name_of(config.endpoint) if self._relay is None else None
        self._credentials = _credentials(config.tls) if self._secure else None
        self._metadata = _metadata(config.headers)
        self._secrets = secrets_of(config.headers.values())
        self._compression = grpc.Compression.Gzip if config.compression == "gzip" else grpc.Compression.NoCompression
        max_size = int(config.sending_queue.batch.max_size)
        self._options: list[tuple[str, Any]] = [
            *_CONNECTION,
            ("grpc.primary_user_agent", f"pcap-receiver/{version} OTel-OTLP-Exporter-Python/{version}"),
            ("grpc.max_send_message_length", -1),  # the limit is ours, above
            ("grpc.enable_retries", 0),  # retries are the queue's, where they are counted
            ("grpc.http2.bdp_probe", 0),  # pings that measure what can be received: answers are a few bytes
        ]
        if config.tls.server_name_override:
            self._options.append(("grpc.ssl_target_name_override", config.tls.server_name_override))
            self._options.append(("grpc.default_authority", config.tls.server_name_override))
        elif self._relay is not None:
            self._options.append(("grpc.default_authority", self._relay.authority))
        elif self._name is not None:
            host, port = self._name
            self._options.append(("grpc.default_authority", f"[{host}]:{port}" if ":" in host else f"{host}:{port}"))
        self._span_requests = SpanRequests(resource, max_size)
        self._metric_requests = MetricRequests(max_size)
        self._lock = threading.Lock()
        self._connecting = threading.Lock()  # taken before the other: who looks up and connects
        self._connection: _Connection | None = None
        self._looked_up_s = 0.0
        self._ended = False
        self._silent = 0  # calls in a row that had no answer

        def queue(signal: str, method: str) -> ExportQueue:
            def send(payload: bytes, items: int, timeout_s: float) -> Outcome:
                return self._send(method, payload, timeout_s)

            return ExportQueue(
                f"{name} {signal}", send, float(config.timeout), config.sending_queue, config.retry_on_failure
            )

        self._spans = queue("traces", TRACES_METHOD)
        self._metrics = queue("metrics", METRICS_METHOD)

    def start(self) -> None:
        """Begin to send; the connection is made when it is needed. Raises OSError when `sending_queue.storage` cannot be used."""
        if self._relay is not None:
            self._relay.start()
        else:
            for _, port in endpoint_hosts(self._endpoint):
                self._own.expect(port)
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
        """Encode, which takes the caller's CPU, and queue. Never blocks; one thread at a time, spans may be another's."""
        requests, dropped = self._metric_requests.encode(snapshot)
        for payload, points in requests:
            self._metrics.offer(payload, points)
        if dropped:
            self._metrics.refuse(dropped, TOO_LARGE)

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
        with self._lock:
            self._ended = True
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.channel.close()
        if self._relay is not None:
            self._relay.close()

    def _make_relay(self, config: Config) -> Relay | None:
        """What carries the connection through the proxy, None where there is none before the endpoint."""
        hosts = endpoint_hosts(config.endpoint)
        if not config.proxy_url or not hosts:
            return None
        host, port = hosts[0]
        return Relay(self.name, config.proxy_url, host, port, float(config.timeout), self._own)

    def _take(self) -> _Connection:
        """The connection to use, made where there is none. Raises OSError where it cannot be made."""
        with self._connecting:
            with self._lock:
                connection = self._connection
            if connection is None:
                connection = self._connect(self._look_up())
            with self._lock:
                if self._ended:
                    connection.channel.close()
                    raise OSError("shut down")
                self._connection = connection
                connection.users += 1
                return connection

    def _connect(self, target: str) -> _Connection:
        if self._credentials is None:
            return _Connection(grpc.insecure_channel(target, options=self._options), target)
        return _Connection(grpc.secure_channel(target, self._credentials, options=self._options), target)

    def _look_up(self) -> str:
        """gRPC's target, with the addresses that the endpoint's name has now. Raises socket.gaierror."""
        if self._relay is not None:
            return self._relay.target
        if self._name is None:
            return self._endpoint
        host, port = self._name
        self._looked_up_s = time.monotonic()
        addresses = [str(address[0]) for *_, address in self._own.resolve(host, port)]
        if any("%" in address for address in addresses):
            return self._endpoint  # gRPC's form for addresses has no zone
        for address in addresses:
            self._own.exclude(address, port)
        if not any(":" in address for address in addresses):
            return "ipv4:" + ",".join(f"{address}:{port}" for address in addresses)
        # One target has one family: IPv4 is mapped.
        return "ipv6:" + ",".join(f"[{address if ':' in address else '::ffff:' + address}]:{port}" for address in addresses)

    def _look_for_another_address(self, connection: _Connection) -> None:
        """Nobody answers at the addresses that were: give the connection up where the name has others by now."""
        if self._name is None or time.monotonic() - self._looked_up_s < LOOK_UP_AGAIN_S:
            return
        with self._connecting:
            try:
                moved = self._look_up() != connection.target
            except OSError:
                return
            with self._lock:
                if moved and connection is self._connection:
                    self._give_up(connection)

    def _send(self, method: str, payload: bytes, timeout_s: float) -> Outcome:
        try:
            connection = self._take()
        except OSError:
            return Retry("UNAVAILABLE", detail=f"{self._endpoint} its name cannot be resolved")
        answered = True
        try:
            response, _ = connection.calls[method](
                payload, timeout=timeout_s, metadata=self._metadata, compression=self._compression
            )
        except grpc.RpcError as error:
            answered = error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                self._look_for_another_address(connection)
            return self._refusal(error)
        finally:
            self._release(connection, answered=answered)
        if not response:
            return Sent()
        rejected, words = read_partial_success(response)
        return Sent(rejected, clean(words, self._secrets))

    def _release(self, connection: _Connection, *, answered: bool) -> None:
        """A call is over. After MAX_SILENT without an answer the next one has a new connection."""
        with self._lock:
            connection.users -= 1
            if connection is self._connection:
                self._silent = 0 if answered else self._silent + 1
                if self._silent >= MAX_SILENT:
                    self._give_up(connection)
            close = connection.given_up and not connection.users
        if close:
            connection.channel.close()

    def _give_up(self, connection: _Connection) -> None:
        """Called with the lock held, and by a user of it, who closes it at its end or leaves that to another."""
        self._silent = 0
        self._connection = None
        connection.given_up = True

    def _refusal(self, error: grpc.RpcError) -> Outcome:
        status = error.code().name
        detail = self._explain(error.details() or "")
        after_s = None
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin" and isinstance(value, bytes):
                after_s = read_retry_delay(value)
        if status in RETRYABLE or (status == RETRYABLE_WITH_RETRY_INFO and after_s is not None):
            return Retry(status, after_s, detail)
        return Failed(status, detail)

    def _explain(self, details: str) -> str:
        """What a log line says of a call that failed."""
        if self._relay is not None and (problem := self._relay.problem):
            return problem
        return explain(details, self._endpoint, secure=self._secure) or clean(details, self._secrets)


def _name_of(target: str) -> tuple[str, int] | None:
    """Host and port of a target whose name can be looked up here; None for what only gRPC can read."""
    if target.startswith("dns:") and (target.startswith("dns:///") or not target.startswith("dns://")):
        return next(iter(endpoint_hosts(target)), None)  # behind dns:// stands a name server
    return None if target.startswith(TARGET_SCHEMES) else split_endpoint(target)


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    ca, key, chain = (Path(path).read_bytes() if path else None for path in (tls.ca_file, tls.key_file, tls.cert_file))
    return grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=chain)


def _metadata(headers: dict[str, str]) -> tuple[tuple[str, str | bytes], ...]:
    lowered = ((name.lower(), value) for name, value in headers.items())
    return tuple((name, value.encode() if name.endswith("-bin") else value) for name, value in lowered)
