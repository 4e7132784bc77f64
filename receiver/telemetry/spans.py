"""Roundtrip -> OTLP span bytes, appended to the open batch.

Room: telemetry. What a batch holds is a run of `spans` fields of a ScopeSpans message (field 2), complete with tags and
lengths, so the exporter only puts resource and scope before it. Most of a span is ready-made: its series fixes name, kind,
status and the attributes that split metrics, its flow fixes addresses.
Source of the field numbers: opentelemetry/proto/trace/v1/trace.proto, release 1.11.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import cython

from receiver.telemetry import otlp, semconv
from receiver.telemetry.metrics import Form, Series
from receiver.telemetry.redact import Redactor
from receiver.wire.cursor import Cursor
from receiver.wire.records import OUTCOMES, Endpoints, Message, Roundtrip
from receiver.wire.writer import Writer

if not cython.compiled:
    from receiver.wire.records import OUTCOME_ONE_WAY

# Longer text is cut: a header may have 64 KiB, and backends refuse or drop such attributes anyway.
TEXT_MAX = 4096

# Typed here once: an attribute of another module is looked up in a dict each time.
CLIENT = semconv.CLIENT_ADDRESS
# Field 6 once more: of a field that comes twice the last one counts (protobuf encoding, "Last One Wins").
KIND_INTERNAL = bytes((0x30, semconv.KIND_INTERNAL))
KEY_PATH = otlp.key(semconv.URL_PATH)
KEY_QUERY = otlp.key(semconv.URL_QUERY)
KEY_FULL = otlp.key(semconv.URL_FULL)


class Identities:
    """Random ids, drawn from the system 4 KiB at a time; a test may give another source."""

    def __init__(self, source: Callable[[int], bytes] = os.urandom) -> None:
        self._source = source
        self._pool = b""
        self._at = 0
        self._cursor = Cursor(b"")

    def take(self, n: cython.Py_ssize_t) -> bytes:
        if self._at + n > len(self._pool):
            self._pool = self._source(4096)
            self._at = 0
            self._cursor.set(self._pool, 0, len(self._pool))
        piece: bytes = self._cursor.take(self._at, self._at + n)
        self._at += n
        return piece


class Encoded:
    """What of a span one flow fixes; kept in `Endpoints.encoded`."""

    def __init__(self) -> None:
        self.peer = b""
        self.client = b""
        self.server_address: str | None = None
        self.server_port = -1
        self.server = b""


class Spans:
    """The open batch."""

    def __init__(self, redactor: Redactor) -> None:
        self.writer = Writer(65536)
        self.redactor = redactor
        self.count = 0
        self.cut = 0
        self._keys: dict[str, bytes] = {}

    def write(
        self,
        roundtrip: Roundtrip,
        series: Series,
        trace_id: bytes,
        span_id: bytes,
        parent_id: bytes | None,
        flags: cython.int,
        tracestate: bytes | None,
        link: bytes | None,
        internal: cython.bint,
    ) -> cython.int:
        """Append a span; 0 when it was too large for it. `link` is a `links` field (see `link`); `internal`: its kind is INTERNAL,
        whatever the series says."""
        w: Writer = self.writer
        request: Message = roundtrip.request
        response: Message = roundtrip.response
        endpoints: Endpoints = roundtrip.endpoints
        form: Form = series.form
        begin: cython.Py_ssize_t = w.size
        w.put(b"\x12\x80\x80\x00\x0a\x10")
        w.put(trace_id)
        w.put(b"\x12\x08")
        w.put(span_id)
        if parent_id is not None:
            w.put(b"\x22\x08")
            w.put(parent_id)
        if tracestate is not None and len(tracestate) > 0:
            w.byte(0x1A)
            w.varint(len(tracestate))
            w.put(tracestate)
        w.put(b"\x85\x01")
        w.fixed32(flags)
        w.put(series.span_head)
        if internal:
            w.put(KIND_INTERNAL)
        w.byte(0x39)
        w.fixed64(request.first_ns)
        w.byte(0x41)
        w.fixed64(roundtrip.end_ns)
        w.put(series.span_attributes)
        if link is not None:
            w.put(link)
        encoded: Encoded = self._encoded(endpoints, form)
        if (
            request.server_address is not encoded.server_address
            or request.server_port != encoded.server_port
            or encoded.server_port < 0
        ):
            self._server(encoded, request, endpoints, form)
        w.put(encoded.server)
        w.put(encoded.peer)
        client_known: cython.int = self._message(request, form)
        if response is not None:
            self._message(response, form)
        if form.client_address and not client_known:
            w.put(encoded.client)
        if request.path is not None:
            if form.path_original is None:
                self._url(request, endpoints, form)
            elif request.operation == "_OTHER" and len(request.path) > 0:
                first: cython.Py_ssize_t = 1 if request.path[0] == 0x2F else 0
                self._text(self._key(form.path_original), self.redactor.path(request.path, first, len(request.path)))
        if request.repeats > 0:
            self._attribute(semconv.REPEATS, request.repeats)
        if roundtrip.outcome > OUTCOME_ONE_WAY:
            self._attribute(semconv.OUTCOME, OUTCOMES[roundtrip.outcome])
        size: cython.Py_ssize_t = w.size - begin - 4
        if size >= 0x20_0000:
            w.rewind(begin)  # 2 MiB of attributes: the caps above make it impossible, this makes it harmless
            self.cut += 1
            return 0
        w.patch3(begin + 1, size)
        self.count += 1
        return 1

    def link(self, trace_id: bytes, span_id: bytes, flags: cython.int, tracestate: bytes) -> bytes:
        """Field 13 of a Span: a Link."""
        content = b"\x0a\x10" + trace_id + b"\x12\x08" + span_id
        if len(tracestate) > 0:
            content += otlp.field(0x1A, tracestate)
        return otlp.field(0x6A, content + b"\x35" + bytes((flags & 0xFF, flags >> 8, 0, 0)))

    def _encoded(self, endpoints: Endpoints, form: Form) -> Encoded:
        encoded: Encoded | None = endpoints.encoded
        if encoded is None:
            encoded = Encoded()
            parts: list[bytes] = []
            if form.peer:
                address = endpoints.server_address if form.client else endpoints.client_address
                port = endpoints.server_port if form.client else endpoints.client_port
                parts.append(otlp.span_attribute(semconv.NETWORK_PEER_ADDRESS, address))
                parts.append(otlp.span_attribute(semconv.NETWORK_PEER_PORT, port))
                parts.append(otlp.span_attribute(semconv.NETWORK_TRANSPORT, endpoints.transport))
            encoded.peer = b"".join(parts)
            encoded.client = otlp.span_attribute(semconv.CLIENT_ADDRESS, endpoints.client_address)
            endpoints.encoded = encoded
        return encoded

    def _server(self, encoded: Encoded, request: Message, endpoints: Endpoints, form: Form) -> None:
        encoded.server_address = request.server_address
        encoded.server_port = request.server_port
        address = request.server_address
        port = request.server_port
        if address is None:
            address = endpoints.server_name
            port = endpoints.server_port
        parts = [otlp.span_attribute(semconv.SERVER_ADDRESS, address)]
        if port and port != form.default_port:
            parts.append(otlp.span_attribute(semconv.SERVER_PORT, port))
        encoded.server = b"".join(parts)

    def _message(self, message: Message, form: Form) -> cython.int:
        """Write its attributes; returns 1 when client.address is among them."""
        attributes: list[Any] = message.attributes
        found: cython.int = 0
        if attributes is None:
            return 0
        n: cython.Py_ssize_t = len(attributes)
        i: cython.Py_ssize_t = 0
        while i < n - 1:
            name: str = attributes[i]
            value: object = attributes[i + 1]
            i += 2
            if name is CLIENT or name == CLIENT:
                found = 1
            self._attribute(name, value)
        return found

    def _url(self, request: Message, endpoints: Endpoints, form: Form) -> cython.int:
        path: bytes = self.redactor.path(request.path, 0, len(request.path))
        query: bytes | None = None
        if request.query is not None:
            query = self.redactor.query(request.query, 0, len(request.query))
        if not form.url_full:
            self._text(KEY_PATH, path)
            if query is not None:
                self._text(KEY_QUERY, query)
            return 0
        address = request.server_address
        port = request.server_port
        if address is None:
            address = endpoints.server_name
            port = endpoints.server_port
        scheme = request.namespace or "http"
        host = f"[{address}]" if ":" in address else address
        if port and port != (443 if scheme == "https" else 80):
            host = f"{host}:{port}"
        whole: bytes = f"{scheme}://{host}".encode() + path
        if query is not None:
            whole = whole + b"?" + query
        self._text(KEY_FULL, whole)
        return 0

    def _key(self, name: str) -> bytes:
        key: bytes | None = self._keys.get(name)
        if key is None:
            key = otlp.key(name)
            self._keys[name] = key
        return key

    def _attribute(self, name: str, value: Any) -> cython.int:
        key: bytes = self._key(name)
        if isinstance(value, bytes):
            return self._text(key, value)
        if isinstance(value, str):
            return self._text(key, value.encode("utf-8", "replace"))
        if isinstance(value, bool) or not isinstance(value, int):
            self.writer.put(otlp.span_attribute(name, value))
            return 0
        return self._number(key, value)

    def _number(self, key: bytes, value: cython.longlong) -> cython.int:
        w: Writer = self.writer
        if value < 0:
            value = 0
        n: cython.int = 1 + Writer.varint_size(value)
        w.byte(0x4A)
        w.varint(len(key) + 2 + n)
        w.put(key)
        w.byte(0x12)
        w.byte(n)
        w.byte(0x18)
        return w.varint(value)

    def _text(self, key: bytes, text: bytes) -> cython.int:
        w: Writer = self.writer
        text = self._clean(text)
        n: cython.Py_ssize_t = len(text)
        inner: cython.Py_ssize_t = 1 + Writer.varint_size(n) + n
        w.byte(0x4A)
        w.varint(len(key) + 1 + Writer.varint_size(inner) + inner)
        w.put(key)
        w.byte(0x12)
        w.varint(inner)
        w.byte(0x0A)
        w.varint(n)
        return w.put(text)

    def _clean(self, text: bytes) -> bytes:
        """Valid UTF-8 of at most TEXT_MAX bytes: proto3 refuses a message with anything else in a string."""
        if len(text) > TEXT_MAX:
            text = text[:TEXT_MAX]
            self.cut += 1
        i: cython.Py_ssize_t
        for i in range(len(text)):
            if text[i] >= 0x80:
                return text.decode("utf-8", "replace").encode()
        return text

    def take(self) -> tuple[bytes, int]:
        """The batch and how many spans it has; a new one begins."""
        count = self.count
        self.count = 0
        return self.writer.take(), count
