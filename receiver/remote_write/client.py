"""The remote write exporter: metrics to VictoriaMetrics, Prometheus or what speaks as they do.

Room: remote_write. Sources: Prometheus Remote Write 1.0 and 2.0 (rc.4), "Protocol", "Retries & Backoff".
"""

from __future__ import annotations

import math
import re
import time
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests
import snappy
from urllib3.util import Timeout

from receiver.config import PrometheusRemoteWriteExporter as Config
from receiver.export.exporter import Signals
from receiver.export.outcome import Failed, Outcome, Retry, Sent, clean, secrets_of
from receiver.export.own import OwnSockets
from receiver.export.queue import ExportQueue
from receiver.remote_write.connection import OwnAdapter
from receiver.remote_write.encode import WriteRequests
from receiver.remote_write.trouble import explain
from receiver.telemetry.snapshot import Snapshot
from receiver.wire.protobuf import varint

V2 = "io.prometheus.write.v2.Request"

_WRITTEN = ("X-Prometheus-Remote-Write-Samples-Written", "X-Prometheus-Remote-Write-Histograms-Written")

_SNAPPY_PIECE = 65536  # what its compressors take for a block; references do not leave it

_MAX_ANSWER = 4096  # bytes of an error's body that are read for the log


class RemoteWriteExporter:
    """One named exporter. A store that is down raises nothing and blocks nobody: see `signals`."""

    def __init__(self, name: str, config: Config, version: str, own: OwnSockets | None = None) -> None:
        """`name` as in the configuration (`prometheus_remote_write/vm`). Opens nothing. `own` is told which sockets are ours.

        Assumes that `settings.exporters.check_exporter` and `export.tls.check_files` found nothing.
        """
        self.name = name
        self._url = config.endpoint
        self._where = _host_and_port(config.endpoint)
        self._proxy = _host_and_port(config.proxy_url)
        self._v2 = config.protobuf_message == V2
        passwords = (urlsplit(url).password or "" for url in (self._url, config.proxy_url))
        self._secrets = secrets_of((*config.headers.values(), *passwords))
        self._session = _session(config, version, self._v2, own or OwnSockets())
        self._requests = WriteRequests(
            max_size=int(config.sending_queue.batch.max_size),
            version=2 if self._v2 else 1,
            histograms=config.histograms,
            target_info=config.target_info,
            external_labels=config.external_labels,
        )
        self._queue = ExportQueue(
            f"{name} metrics", self._send, float(config.timeout), config.sending_queue, config.retry_on_failure
        )
        self._stopped = False

    def start(self) -> None:
        """Raises OSError when `sending_queue.storage` cannot be used."""
        self._queue.start()

    def export_metrics(self, snapshot: Snapshot) -> None:
        """Encode and compress, which takes the caller's CPU, and queue. Never blocks; one thread at a time."""
        made, dropped = self._requests.encode(snapshot)
        self._offer(made)
        for reason, points in dropped.items():
            self._queue.refuse(points, reason)

    def signals(self) -> Signals:
        return [("metrics", "metric_points", self._queue.stats())]

    def stop(self, deadline_s: float) -> None:
        """Mark every series as ended and begin the shutdown; returns at once, so that several exporters may end
        together."""
        if not self._stopped:
            self._stopped = True
            self._offer(self._requests.end())
        self._queue.stop(deadline_s)

    def shutdown(self, deadline_s: float) -> None:
        """Send what is queued for `deadline_s` at most, then close. What is left is counted, or kept in the spool."""
        self.stop(deadline_s)
        self._queue.shutdown(deadline_s)
        self._session.close()

    def _offer(self, made: list[tuple[bytearray, int]]) -> None:
        for body, points in made:
            # Points that make no series have no body, and take the same way so that they are counted once.
            self._queue.offer(compress(body) if body else b"", points)

    def _send(self, payload: bytes, items: int, timeout_s: float) -> Outcome:
        if not payload:
            return Sent()
        try:
            # In all, where a pair of numbers would allow as much to connect and again for each read.
            timeout: Any = Timeout(total=timeout_s)  # requests takes it, its types do not say so
            with self._session.post(
                self._url, data=payload, timeout=timeout, allow_redirects=False, stream=True
            ) as answer:
                return self._outcome(answer)
        except requests.Timeout as error:
            return Retry("timeout", detail=explain(error, self._where, self._proxy))
        except requests.exceptions.SSLError as error:
            return Retry("tls", detail=explain(error, self._where, self._proxy))
        except requests.RequestException as error:
            return Retry("connection_error", detail=explain(error, self._where, self._proxy))

    def _outcome(self, answer: requests.Response) -> Outcome:
        status = answer.status_code
        if 200 <= status < 300:
            _body(answer)  # a connection is used again once its answer is read
            if self._v2 and not any(header in answer.headers for header in _WRITTEN):
                return Failed("not_written", "no X-Prometheus-Remote-Write-*-Written in the answer: it speaks 1.0")
            return Sent()
        detail = clean(_body(answer), self._secrets)
        if status == 400 and re.search("http request to an https server|http request was sent to https", detail, re.IGNORECASE):
            detail = f"{self._where} speaks TLS: set an endpoint of https://"
        if status == 407 and self._proxy:
            detail = f"the proxy {self._proxy} wants credentials: http://USER:PASSWORD@{self._proxy}"
        if status == 429 or status >= 500:
            return Retry(str(status), read_retry_after(answer.headers.get("Retry-After", ""), time.time()), detail)
        return Failed(str(status), detail)


def compress(body: bytes | bytearray) -> bytes:
    """`snappy.compress`, which looks at 64 KiB at a time and stops every thread until it has seen all of them, in such pieces.

    [varint: length of all][elements of a piece] ...    google/snappy, format_description.txt
    """
    elements = []
    for start in range(0, len(body), _SNAPPY_PIECE):
        piece = body[start : start + _SNAPPY_PIECE]
        elements.append(snappy.compress(piece)[len(varint(len(piece))) :])
    return varint(len(body)) + b"".join(elements)


def read_retry_after(value: str, now_s: float) -> float | None:
    """Seconds of a Retry-After, given as such or as a date; None for none and for what cannot be read.  Source: RFC
    9110, 10.2.3."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
        delay = date.timestamp() - now_s
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return max(0.0, delay) if math.isfinite(delay) else None


def _body(answer: requests.Response) -> str:
    try:
        return (answer.raw.read(_MAX_ANSWER, decode_content=True) or b"").decode("utf-8", "replace")
    except Exception:  # an answer that breaks off says nothing, and the status is known already
        return ""


def _host_and_port(url: str) -> str:
    """What may be said of a URL: it may have a password, and its path may be one."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return f"{host}:{parts.port}" if parts.port else host


def _session(config: Config, version: str, v2: bool, own: OwnSockets) -> requests.Session:
    tls = config.tls
    session = requests.Session()
    # What the environment says is in the configuration by now; a .netrc would add credentials nobody configured.
    session.trust_env = False
    if config.proxy_url:
        session.proxies = {"http": config.proxy_url, "https": config.proxy_url}
    for scheme in ("http://", "https://"):
        session.mount(scheme, OwnAdapter(own))
    session.verify = False if tls.insecure_skip_verify else (tls.ca_file or True)
    if tls.cert_file:
        session.cert = (tls.cert_file, tls.key_file)
    session.headers.update(config.headers)
    session.headers.update(
        {
            "Content-Encoding": "snappy",
            "Content-Type": f"application/x-protobuf;proto={V2}" if v2 else "application/x-protobuf",
            "X-Prometheus-Remote-Write-Version": "2.0.0" if v2 else "0.1.0",
            "User-Agent": f"pcap-receiver/{version}",
        }
    )
    return session
