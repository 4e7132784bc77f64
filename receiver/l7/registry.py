"""The table of protocols.

Room: l7. A protocol is a row here; the engine, detection and telemetry read the rows and know no protocol by name. The number
of a row is its place.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from receiver.l7.http1 import KNOWN_METHODS, Http1Decoder, Http1Settings
from receiver.l7.http2 import Http2Decoder, Http2Settings
from receiver.wire.records import Protocol


def protocols(
    methods: Iterable[str] = (), headers: Iterable[str] = (), propagators: Iterable[str] = ("tracecontext",)
) -> tuple[Protocol, ...]:
    """All rows. `methods` replaces the known ones of HTTP, `headers` are the names whose values spans may carry.

    Raises ValueError for a header that is a secret, or a propagator that nobody knows.
    """
    wanted = tuple(headers)
    http1 = Http1Settings(tuple(methods) or KNOWN_METHODS, wanted, wanted, propagators)
    http2 = Http2Settings(http1)
    plain = Protocol("http2", 1, "http", partial(Http2Decoder, http2))
    # Read as HTTP/2; a row of its own for its telemetry, and for a port to be pinned to.
    grpc = Protocol("grpc", 2, "grpc", partial(Http2Decoder, http2), ports=(50051,), probed=False)
    http2.name_rows(plain, grpc)
    return (
        Protocol("http", 0, "http", partial(Http1Decoder, http1), ports=(80, 8080, 8000, 8888, 3000)),
        plain,
        grpc,
    )


PROTOCOLS = protocols()
"""The rows with nothing set by a user."""
