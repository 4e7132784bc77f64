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
from receiver.wire.protobuf import message
from receiver.wire.records import OUTCOMES, Endpoints, Message, Roundtrip
from receiver.wire.writer import Writer

if not cython.compiled:
    from receiver.wire.records import OUTCOME_ONE_WAY

# Longer text is cut: a header may have 64 KiB, and backends refuse or drop such attributes anyway.
TEXT_MAX = 4096

# A request costs about 1 ms of processor time however small it is: with 2 MiB instead a span would cost a twentieth less, and the
# process 4 MB more. What comes before the next packet, 32 KiB but for pipelines, must still fit into a buffer of 1 MiB, which grows
# by doubling.
BATCH_ROOM = 1_048_576
BATCH_MAX = BATCH_ROOM - 32_768

# A batch is looked at between two packets. One packet of 64 KiB holds 11 000 requests of a Redis pipeline, whose spans have some
# hundred bytes each; of headers by reference (HPACK) it holds thousands, and each may make a span of 12 KB.
CROWD_MAX = 16 * BATCH_ROOM

# Keys of attributes by the identity of their names, direct-mapped; a protocol has some ten of them. A power of two.
NEAR = 64

# Typed here once: an attribute of another module is looked up in a dict each time.
# Field 6 once more: of a field that comes twice the last one counts (protobuf encoding, "Last One Wins").
KIND_INTERNAL = bytes((0x30, semconv.KIND_INTERNAL))
# ScopeSpans.spans = 2 with room for its length; Span.trace_id = 1, of 16 bytes.
HEAD = b"\x12\x80\x80\x00\x0a\x10"
# Span.span_id = 2 and parent_span_id = 4, of 8 bytes; flags = 16, fixed32.
SPAN_ID = b"\x12\x08"
PARENT_ID = b"\x22\x08"
FLAGS = b"\x85\x01"
KEY_REPEATS = otlp.key(semconv.REPEATS)
KEY_OUTCOME = otlp.key(semconv.OUTCOME)
KEY_CLIENT = otlp.key(semconv.CLIENT_ADDRESS)
KEY_CLIENT_PORT = otlp.key(semconv.CLIENT_PORT)
KEY_PEER_ADDRESS = otlp.key(semconv.NETWORK_PEER_ADDRESS)
KEY_PEER_PORT = otlp.key(semconv.NETWORK_PEER_PORT)
KEY_TRANSPORT = otlp.key(semconv.NETWORK_TRANSPORT)
KEY_SERVER_ADDRESS = otlp.key(semconv.SERVER_ADDRESS)
KEY_SERVER_PORT = otlp.key(semconv.SERVER_PORT)
KEY_PATH = otlp.key(semconv.URL_PATH)
KEY_QUERY = otlp.key(semconv.URL_QUERY)
KEY_FULL = otlp.key(semconv.URL_FULL)
KEY_REQUEST_BODY = otlp.key(semconv.REQUEST_BODY)
KEY_RESPONSE_BODY = otlp.key(semconv.RESPONSE_BODY)


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
        self.client: bytes | None = None
        self.server_address: str | None = None
        self.server_port = -1
        self.ends = b""  # the server's name, and `peer`
        self.scheme: str | None = None
        self.origin: bytes | None = None  # of `url.full`: up to the path, of `scheme`


class Spans:
    """The open batch. It is `full` with `batch_max` bytes, and should be lent then; from `crowd_max` on spans are `crowded` out."""

    def __init__(
        self, redactor: Redactor, batch_max: cython.Py_ssize_t = BATCH_MAX, crowd_max: cython.Py_ssize_t = CROWD_MAX
    ) -> None:
        self.writer = Writer(65536)
        self.redactor = redactor
        self.batch_max = batch_max
        self.crowd_max = crowd_max
        self.full = False
        self.count = 0
        self.whole = 0  # bytes of the spans that are written to their end
        self.cut = 0
        self.crowded = 0
        self._keys: dict[str, bytes] = {semconv.CLIENT_ADDRESS: KEY_CLIENT}
        self._near_names: list[str | None] = [None] * NEAR
        self._near_keys: list[bytes] = [b""] * NEAR
        self._piece = Writer(256)  # where what one flow fixes is made

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
        """Append a span; 0 when it was too large, or there was no room. `link` is a `links` field (see `link`); `internal`: its
        kind is INTERNAL, whatever the series says."""
        w: Writer = self.writer
        if self.full and w.size >= self.crowd_max:
            self.crowded += 1
            return 0
        request: Message = roundtrip.request
        response: Message = roundtrip.response
        endpoints: Endpoints = roundtrip.endpoints
        form: Form = series.form
        begin: cython.Py_ssize_t = w.size
        w.put(HEAD)
        w.put(trace_id)
        w.put(SPAN_ID)
        w.put(span_id)
        if parent_id is not None:
            w.put(PARENT_ID)
            w.put(parent_id)
        if tracestate is not None and len(tracestate) > 0:
            w.byte(0x1A)
            w.varint(len(tracestate))
            w.put(tracestate)
        w.put(FLAGS)
        w.fixed32(flags)
        w.byte(0x39)
        w.fixed64(request.first_ns)
        w.byte(0x41)
        w.fixed64(roundtrip.end_ns)
        w.put(series.span)
        if internal:
            w.put(KIND_INTERNAL)
        if link is not None:
            w.put(link)
        encoded: Encoded = self._encoded(endpoints, form)
        if (
            request.server_address is not encoded.server_address
            or request.server_port != encoded.server_port
            or encoded.server_port < 0
        ):
            self._server(encoded, request, endpoints, form)
        w.put(encoded.ends)
        client_known: cython.int = 0
        if request.attributes is not None:
            client_known = self._attributes(request.attributes, form)
        if request.body >= 0:
            w.number(KEY_REQUEST_BODY, request.body)
        if response is not None:
            if response.attributes is not None:
                self._attributes(response.attributes, form)
            if response.body >= 0:
                w.number(KEY_RESPONSE_BODY, response.body)
        if form.client_address and not client_known:
            w.put(self._client(encoded, endpoints))
        if request.path is not None:
            if form.path_original is None:
                self._url(request, endpoints, form)
            elif request.operation == "_OTHER" and len(request.path) > 0:
                first: cython.Py_ssize_t = 1 if request.path[0] == 0x2F else 0
                self._text(self.writer, self._key(form.path_original), self.redactor.path(request.path, first, len(request.path)))
        if request.repeats > 0:
            self._attribute(KEY_REPEATS, request.repeats)
        if roundtrip.outcome > OUTCOME_ONE_WAY:
            self._attribute(KEY_OUTCOME, OUTCOMES[roundtrip.outcome])
        size: cython.Py_ssize_t = w.size - begin - 4
        if size >= 0x20_0000:
            w.rewind(begin)  # 2 MiB of attributes: the caps above make it impossible, this makes it harmless
            self.cut += 1
            return 0
        w.patch3(begin + 1, size)
        self.count += 1
        self.whole = w.size
        if w.size >= self.batch_max:
            self.full = True
        return 1

    def undo(self) -> cython.int:
        """Forget what was written of a span that came to no end."""
        self._piece.rewind(0)
        return self.writer.rewind(self.whole)

    def link(self, trace_id: bytes, span_id: bytes, flags: cython.int, tracestate: bytes) -> bytes:
        """Field 13 of a Span: a Link."""
        content = b"\x0a\x10" + trace_id + b"\x12\x08" + span_id
        if len(tracestate) > 0:
            content += message(3, tracestate)
        return message(13, content + b"\x35" + bytes((flags & 0xFF, flags >> 8, 0, 0)))

    def _encoded(self, endpoints: Endpoints, form: Form) -> Encoded:
        encoded: Encoded | None = endpoints.encoded
        if encoded is None:
            encoded = Encoded()
            if form.peer:
                w: Writer = self._piece
                self._string(w, KEY_PEER_ADDRESS, endpoints.server_address if form.client else endpoints.client_address)
                w.number(KEY_PEER_PORT, endpoints.server_port if form.client else endpoints.client_port)
                self._string(w, KEY_TRANSPORT, endpoints.transport)
                encoded.peer = w.take()
            endpoints.encoded = encoded
        return encoded

    def _client(self, encoded: Encoded, endpoints: Endpoints) -> bytes:
        if encoded.client is None:
            if endpoints.announced_address is None:
                self._string(self._piece, KEY_CLIENT, endpoints.client_address)
            else:
                self._string(self._piece, KEY_CLIENT, endpoints.announced_address)
                self._piece.number(KEY_CLIENT_PORT, endpoints.announced_port)
            encoded.client = self._piece.take()
        return encoded.client

    def _server(self, encoded: Encoded, request: Message, endpoints: Endpoints, form: Form) -> cython.int:
        encoded.server_address = request.server_address
        encoded.server_port = request.server_port
        w: Writer = self._piece
        port: cython.int = request.server_port
        if request.server_address is not None:
            self._string(w, KEY_SERVER_ADDRESS, request.server_address)
        else:
            self._string(w, KEY_SERVER_ADDRESS, endpoints.server_name)
            port = endpoints.server_port
        if port != 0 and port != form.default_port:
            w.number(KEY_SERVER_PORT, port)
        w.put(encoded.peer)
        encoded.ends = w.take()
        encoded.origin = None
        return 0

    def _attributes(self, attributes: list[Any], form: Form) -> cython.int:
        """Write a message's; returns 1 when client.address is among them."""
        found: cython.int = 0
        n: cython.Py_ssize_t = len(attributes)
        i: cython.Py_ssize_t = 0
        while i < n - 1:
            key: bytes = self._key(attributes[i])
            if key is KEY_CLIENT:
                found = 1
            self._attribute(key, attributes[i + 1])
            i += 2
        return found

    def _url(self, request: Message, endpoints: Endpoints, form: Form) -> cython.int:
        path: bytes = self.redactor.path(request.path, 0, len(request.path))
        query: bytes | None = None
        if request.query is not None:
            query = self.redactor.query(request.query, 0, len(request.query))
        if not form.url_full:
            self._text(self.writer, KEY_PATH, path)
            if query is not None:
                self._text(self.writer, KEY_QUERY, query)
            return 0
        whole: bytes = self._origin(endpoints.encoded, request, endpoints) + path
        if query is not None:
            whole = whole + b"?" + query
        self._text(self.writer, KEY_FULL, whole)
        return 0

    def _origin(self, encoded: Encoded, request: Message, endpoints: Endpoints) -> bytes:
        """Scheme, host and port of a URL; `encoded` knows the request's server already."""
        if encoded.origin is not None and encoded.scheme is request.namespace:
            return encoded.origin
        address = request.server_address
        port = request.server_port
        if address is None:
            address = endpoints.server_name
            port = endpoints.server_port
        scheme = request.namespace or "http"
        host = f"[{address}]" if ":" in address else address
        if port and port != (443 if scheme == "https" else 80):
            host = f"{host}:{port}"
        encoded.scheme = request.namespace
        encoded.origin = f"{scheme}://{host}".encode()
        return encoded.origin

    def _key(self, name: str) -> bytes:
        place: cython.Py_ssize_t
        if cython.compiled:
            place = cython.cast(cython.Py_ssize_t, cython.cast(cython.p_void, name)) >> 4
        else:
            place = id(name) >> 4
        place &= NEAR - 1
        if self._near_names[place] is name:
            return self._near_keys[place]
        key: bytes | None = self._keys.get(name)
        if key is None:
            key = otlp.key(name)
            self._keys[name] = key
        self._near_names[place] = name
        self._near_keys[place] = key
        return key

    def _attribute(self, key: bytes, value: Any) -> cython.int:
        if isinstance(value, bytes):
            return self._text(self.writer, key, value)
        if isinstance(value, str):
            return self._string(self.writer, key, value)
        if isinstance(value, bool) or not isinstance(value, int):
            self.writer.put(message(9, key + message(2, otlp.any_value(value))))
            return 0
        number: cython.longlong = value
        return self.writer.number(key, number if number > 0 else 0)

    def _string(self, w: Writer, key: bytes, words: str) -> cython.int:
        return self._text(w, key, words.encode("utf-8", "replace"))

    def _text(self, w: Writer, key: bytes, text: bytes) -> cython.int:
        """Valid UTF-8 of at most TEXT_MAX bytes: proto3 refuses a message with anything else in a string."""
        if len(text) > TEXT_MAX:
            text = text[:TEXT_MAX]
            self.cut += 1
        if not w.text(key, text):
            w.put(message(9, key + message(2, message(1, text.decode("utf-8", "replace").encode()))))
        return 0

    def lend(self) -> tuple[memoryview, int]:
        """The batch and how many spans it has; a new one begins. To be released before the next span is written."""
        count = self.count
        self.count = 0
        self.whole = 0
        self.full = False
        lent = self.writer.lend()
        if len(lent) > BATCH_ROOM:
            self.writer = Writer(65536)  # that much room is not needed again soon
        return lent, count
