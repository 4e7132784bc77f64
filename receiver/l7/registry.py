"""The table of protocols.

Room: l7. A protocol is a row here; the engine, detection and telemetry read the rows and know no protocol by name.
"""

from __future__ import annotations

from receiver.l7.http1 import Http1Decoder
from receiver.l7.redis import RedisDecoder
from receiver.wire.records import Protocol

PROTOCOLS: tuple[Protocol, ...] = (
    Protocol("http", 1, "http", Http1Decoder, ports=(80, 8080, 8000, 8888, 3000)),
    Protocol("redis", 2, "redis", RedisDecoder, ports=(6379,), client_only=True),
)
