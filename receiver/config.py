"""The configuration: YAML as frozen Structs, with every default.

Keys and defaults are the Collector's own where it has them. Any room may import the Structs; only `service` and `cli` load them.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Duration(float):
    """Seconds; written in Go's form, `200ms`, `1m30s`."""


class Size(int):
    """Bytes; written `8MiB`, `64KiB`, or a plain number."""


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A map of the file; a key that is not a field is an error."""


class Tls(Section):
    insecure: bool = False
    insecure_skip_verify: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    server_name_override: str = ""


class RetryOnFailure(Section):
    enabled: bool = True
    initial_interval: Duration = Duration(5)
    randomization_factor: float = 0.5
    multiplier: float = 1.5
    max_interval: Duration = Duration(30)
    max_elapsed_time: Duration = Duration(300)  # 0: for ever


class Batch(Section):
    flush_timeout: Duration = Duration(1)
    max_size: Size = Size(3_670_016)  # 3.5 MiB: a Collector refuses messages over 4 MiB for good


class SendingQueue(Section):
    enabled: bool = True
    num_consumers: int = 1
    sizer: Literal["bytes"] = "bytes"
    queue_size: Size = Size(16 * 1024 * 1024)
    storage: str = ""  # a directory: what is queued survives a restart
    batch: Batch = Batch()


class OtlpGrpcExporter(Section):
    endpoint: str = "localhost:4317"
    tls: Tls = Tls()
    headers: dict[str, str] = {}
    compression: Literal["none", "gzip", ""] = "none"
    timeout: Duration = Duration(5)
    retry_on_failure: RetryOnFailure = RetryOnFailure()
    sending_queue: SendingQueue = SendingQueue()
    interval: Duration = Duration(60)  # of metrics: OTEL_METRIC_EXPORT_INTERVAL


class PrometheusRemoteWriteExporter(Section):
    endpoint: str = ""
    tls: Tls = Tls()
    headers: dict[str, str] = {}
    timeout: Duration = Duration(5)
    retry_on_failure: RetryOnFailure = RetryOnFailure(initial_interval=Duration(0.5), multiplier=2.0, randomization_factor=0.1)
    sending_queue: SendingQueue = SendingQueue()
    external_labels: dict[str, str] = {}
    target_info: bool = True
    protobuf_message: Literal["prometheus.WriteRequest", "io.prometheus.write.v2.Request"] = "prometheus.WriteRequest"
    histograms: Literal["explicit", "vmrange", "native"] = "explicit"
    interval: Duration = Duration(15)


class DebugExporter(Section):
    verbosity: Literal["basic", "normal", "detailed"] = "basic"
