"""What the versions of HTTP have in common: what a user may set, and what a status says.

Room: l7; of who asked whom `origin.py` tells.
"""

from __future__ import annotations

from collections.abc import Iterable

import cython

from receiver.config import KNOWN_METHODS, SECRET_HEADERS
from receiver.l7.shared import Shared
from receiver.l7.trace_context import TraceContext
from receiver.l7.trust import Trust
from receiver.wire.records import Message

if not cython.compiled:
    from receiver.wire.records import ERROR_BOTH, ERROR_CLIENT, ERROR_NONE

# One object for each, for series are found by identity.
STATUSES = list(range(1000))
_ERROR_TYPES = [str(i) for i in range(1000)]


class HttpSettings:
    """What a user may set, bound to the decoder's factory with functools.partial.

    `methods`: the known ones (OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS), others are `_OTHER`. `request_headers`,
    `response_headers`: names of headers whose values become attributes. `propagators`: the formats of trace context to read, none
    if empty. `trust`: the proxies that are believed in what they say of their clients.
    Raises ValueError for a header that is a secret, or a propagator that nobody knows.
    """

    def __init__(
        self,
        methods: Iterable[str] = KNOWN_METHODS,
        request_headers: Iterable[str] = (),
        response_headers: Iterable[str] = (),
        propagators: Iterable[str] = ("tracecontext",),
        trust: Trust | None = None,
    ) -> None:
        self.trust = Trust() if trust is None else trust
        self.trusting = bool(self.trust)
        self.methods: tuple[str, ...] = tuple(methods)
        self.tokens: tuple[bytes, ...] = tuple(name.encode() + b" " for name in self.methods)
        wanted: dict[bytes, str] = {}
        for name in request_headers:
            wanted[name.lower().encode()] = "http.request.header." + name.lower()
        self.request_headers: dict[bytes, str] = wanted
        given: dict[bytes, str] = {}
        for name in response_headers:
            given[name.lower().encode()] = "http.response.header." + name.lower()
        self.response_headers: dict[bytes, str] = given
        for key in (*wanted, *given):
            if key.decode() in SECRET_HEADERS:
                raise ValueError(f"the header {key.decode()!r} is a secret and is never kept")
        formats: tuple[str, ...] = tuple(propagators)
        self.context: TraceContext | None = TraceContext(formats) if formats else None


def settings_of(shared: Shared) -> HttpSettings:
    """Of both versions of HTTP. Raises ValueError for a header that is a secret, or a propagator that nobody knows."""
    http = shared.settings.http
    methods = http.known_methods or KNOWN_METHODS
    return HttpSettings(methods, http.headers, http.headers, shared.settings.traces.propagators, shared.trust)


def tell_status(status: cython.int, out: Message) -> cython.int:
    """Put the status of an answer on it, below 1000, and for which side it is an error."""
    out.status = STATUSES[status]
    out.error_side = ERROR_NONE
    if status >= 400:
        out.error_side = ERROR_CLIENT if status < 500 else ERROR_BOTH
        out.error_type = _ERROR_TYPES[status]
    return 0
