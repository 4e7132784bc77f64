"""The table of protocols.

Room: l7. A protocol is a row here; the engine, detection and telemetry read the rows and know no protocol by name. The
number of a row is its place.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from receiver.l7.dns import DnsDecoder, DnsSettings
from receiver.l7.http1 import KNOWN_METHODS, Http1Decoder, Http1Settings
from receiver.l7.http2 import Http2Decoder, Http2Settings
from receiver.l7.redis import RedisDecoder
from receiver.l7.redis_names import Vocabulary
from receiver.l7.tls import TlsDecoder
from receiver.l7.trust import Trust
from receiver.wire.names import Names
from receiver.wire.records import Protocol


def protocols(
    methods: Iterable[str] = (),
    headers: Iterable[str] = (),
    propagators: Iterable[str] = ("tracecontext",),
    names: Names | None = None,
    question_names: bool = False,
    trust: Trust | None = None,
    limits: dict[str, int] | None = None,
) -> tuple[Protocol, ...]:
    """All rows. `methods` replaces the known ones of HTTP, `headers` are the names whose values spans may carry. `names`
    learns addresses from DNS answers; `question_names`: DNS questions split a metric (`dns.lookup.duration`). `trust`: the proxies
    that are believed in what they say of their clients. `limits`: where the tables that all connections share count their caps.

    Raises ValueError for a header that is a secret, or a propagator that nobody knows.
    """
    wanted = tuple(headers)
    http1 = Http1Settings(tuple(methods) or KNOWN_METHODS, wanted, wanted, propagators, trust)
    dns = DnsSettings(names, question_names, limits)
    http2 = Http2Settings(http1, limits)
    plain = Protocol("http2", 3, "http", partial(Http2Decoder, http2))
    # Read as HTTP/2; a row of its own for its telemetry, and for a port to be pinned to.
    grpc = Protocol("grpc", 4, "grpc", partial(Http2Decoder, http2, True), ports=(50051,), probed=False)
    http2.name_rows(plain, grpc)
    return (
        Protocol("http", 0, "http", partial(Http1Decoder, http1), ports=(80, 8080, 8000, 8888, 3000)),
        Protocol("dns", 1, "dns", partial(DnsDecoder, dns), ports=(53,), over_udp=True, repeats=True),
        Protocol("redis", 2, "redis", partial(RedisDecoder, Vocabulary(limits)), ports=(6379,), client_only=True),
        plain,
        grpc,
        Protocol("tls", 5, "tls", TlsDecoder, ports=(443,)),
    )


PROTOCOLS = protocols()
"""The rows with nothing set by a user."""
