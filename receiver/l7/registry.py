"""The table of protocols.

Room: l7. Each module of `MODULES` has a function `rows`, which makes one row or two of what all share; the engine, detection and
telemetry read the rows and know no protocol by name. The number of a row is its place.
"""

from __future__ import annotations

from receiver.l7 import amqp, dns, http1, http2, kafka, mongodb, mysql, postgresql, redis, tls
from receiver.l7.shared import Shared
from receiver.wire.records import Protocol

MODULES = (http1, dns, redis, http2, tls, mongodb, mysql, postgresql, kafka, amqp)
"""In this order they are asked what a connection is: MongoDB, whose header is seldom anything else, before those that a number of
its messages may look like."""


def protocols(shared: Shared | None = None) -> tuple[Protocol, ...]:
    """All rows. Raises ValueError for a header that is a secret, or a propagator that nobody knows."""
    if shared is None:
        shared = Shared()
    rows = tuple(row for module in MODULES for row in module.rows(shared))
    for number, row in enumerate(rows):
        row.number = number
    return rows


PROTOCOLS = protocols()
"""The rows with nothing set by a user."""
