"""What an exporter's settings must be besides what their types say.

Room: settings. `check_exporter` is asked before anything runs and again by whoever makes an exporter; exporters themselves assume
that it found nothing. What lies outside of the configuration is not looked at: names, ports, the files of `tls`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from receiver.config import (
    TARGET_SCHEMES,
    DebugExporter,
    Exporter,
    Fault,
    OtlpGrpcExporter,
    PrometheusRemoteWriteExporter,
    RetryOnFailure,
    SendingQueue,
    Tls,
    is_host,
    split_endpoint,
    target_problem,
)
from receiver.route import TOKEN
from receiver.settings.proxy import read_proxy

LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # Prometheus remote write 1.0
METADATA_KEY = re.compile(r"(?!grpc-)[a-z0-9_.-]+")  # gRPC over HTTP2, "Custom-Metadata"
PRINTABLE = re.compile(r"[ -~]*")
# Prometheus remote write: set by the sender, not to be overridden by its user.
OWN_HEADERS = ("content-encoding", "content-type", "content-length", "x-prometheus-remote-write-version", "user-agent")
WRITE_V1 = "prometheus.WriteRequest"
WRITE_V2 = "io.prometheus.write.v2.Request"


def check_exporter(path: str, exporter: Exporter) -> Iterator[Fault]:
    """What is wrong with the exporter whose key is `path`."""
    if isinstance(exporter, DebugExporter):
        return
    if isinstance(exporter, OtlpGrpcExporter):
        yield from _check_otlp(path, exporter)
    else:
        yield from _check_remote_write(path, exporter)
    yield from _check_pair(f"{path}.tls", exporter.tls)
    yield from _check_queue(path, exporter.sending_queue, exporter.retry_on_failure)
    if exporter.proxy_url:
        try:
            read_proxy(exporter.proxy_url)
        except ValueError as error:
            yield Fault(f"{path}.proxy_url", str(error))


def _check_otlp(path: str, exporter: OtlpGrpcExporter) -> Iterator[Fault]:
    endpoint = exporter.endpoint
    if endpoint.startswith(TARGET_SCHEMES):
        problem = target_problem(endpoint)
    elif "/" in endpoint and "@" not in endpoint:
        problem = "takes host:port, has a path, and OTLP over gRPC has none"
    else:
        problem = "" if (trouble := _endpoint_problem(endpoint)) == "" else f"takes host:port, {trouble}"
    if problem:
        yield Fault(f"{path}.endpoint", problem)
    if exporter.tls.insecure_skip_verify and not exporter.tls.insecure:
        yield Fault(
            f"{path}.tls.insecure_skip_verify",
            "gRPC always verifies: give ca_file, and server_name_override if the name differs",
        )
    for name, value in exporter.headers.items():
        if not METADATA_KEY.fullmatch(name.lower()):
            yield Fault(f"{path}.headers.{name}", "is no name of gRPC metadata")
        elif not name.lower().endswith("-bin") and not PRINTABLE.fullmatch(value):
            yield Fault(f"{path}.headers.{name}", "the value is not printable ASCII")


def _endpoint_problem(endpoint: str) -> str:
    try:
        host, _ = split_endpoint(endpoint)
    except ValueError as error:
        return str(error)
    return "" if host else "has no host"


def _check_remote_write(path: str, exporter: PrometheusRemoteWriteExporter) -> Iterator[Fault]:
    if not exporter.endpoint:
        yield Fault(f"{path}.endpoint", "is missing, takes a URL such as http://localhost:8428/api/v1/write")
    elif not _is_url(exporter.endpoint):  # not its text: it may have a password
        yield Fault(f"{path}.endpoint", "takes a URL such as http://localhost:8428/api/v1/write")
    if exporter.histograms == "native" and exporter.protobuf_message != WRITE_V2:
        yield Fault(f"{path}.histograms", f"native needs protobuf_message: {WRITE_V2}")
    if exporter.histograms == "vmrange" and exporter.protobuf_message != WRITE_V1:
        yield Fault(f"{path}.histograms", f"vmrange needs protobuf_message: {WRITE_V1}, its readers know no other")
    if exporter.tls.server_name_override:
        yield Fault(f"{path}.tls.server_name_override", "not for remote write: name the host in endpoint as its certificate does")
    for label in exporter.external_labels:
        if not LABEL.fullmatch(label) or label.startswith("__"):
            yield Fault(f"{path}.external_labels.{label}", "is no label name of Prometheus")
    for name, value in exporter.headers.items():
        at = f"{path}.headers.{name}"
        if not TOKEN.fullmatch(name):
            yield Fault(at, "is no header's name")
        elif name.lower() in OWN_HEADERS:
            yield Fault(at, "is set by the protocol")
        elif any(letter in value for letter in "\r\n\0") or value[:1].isspace() or not _is_latin(value):
            yield Fault(at, "the value begins with a space, has a line break, or is beyond Latin-1")


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not is_host(parts.hostname or "") or parts.port == 0:
            return False
    except ValueError:
        return False
    import requests  # the exporter's own library: what it refuses now it would refuse at every request

    try:
        requests.Request("POST", url).prepare()
    except (ValueError, requests.RequestException):
        return False
    return True


def _is_latin(text: str) -> bool:
    return all(letter <= "\xff" for letter in text)


def _check_pair(path: str, tls: Tls) -> Iterator[Fault]:
    if bool(tls.cert_file) != bool(tls.key_file):
        has, lacks = ("cert_file", "key_file") if tls.cert_file else ("key_file", "cert_file")
        yield Fault(f"{path}.{lacks}", f"is missing beside {has}")


def _check_queue(path: str, queue: SendingQueue, retry: RetryOnFailure) -> Iterator[Fault]:
    if not queue.enabled:
        yield Fault(f"{path}.sending_queue.enabled", "takes true: an exporter without a queue would stop the capture")
    if queue.num_consumers != 1:
        yield Fault(f"{path}.sending_queue.num_consumers", f"got {queue.num_consumers}, takes 1: requests keep their order")
    if queue.batch.max_size > queue.queue_size:
        yield Fault(f"{path}.sending_queue.queue_size", "one batch (batch.max_size) does not fit into the queue")
    if retry.enabled and retry.initial_interval > retry.max_interval:
        yield Fault(f"{path}.retry_on_failure.initial_interval", "is longer than max_interval")
