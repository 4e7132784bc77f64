"""What a backend made of one request, in the three ways that matter to the queue.

Room: export. Knows no protocol; the clients of `otlp_out` and `remote_write` translate their statuses into these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import msgspec


class Sent(msgspec.Struct, frozen=True):
    """Accepted. `rejected` items of it were refused for good (OTLP partial success); `warning` is the backend's own
    word."""

    rejected: int = 0
    warning: str = ""


class Retry(msgspec.Struct, frozen=True):
    """Not accepted, but may be later: not before `after_s` seconds where the backend named them."""

    reason: str
    after_s: float | None = None
    detail: str = ""


class Failed(msgspec.Struct, frozen=True):
    """Not accepted, and never will be. `reason` is a status name or code, so that few values exist."""

    reason: str
    detail: str = ""


Outcome: TypeAlias = Sent | Retry | Failed

Send: TypeAlias = Callable[[bytes, int, float], Outcome]
"""`send(payload, items, timeout_s)`: may block for `timeout_s`, never longer; what it raises is our own bug."""

MAX_DETAIL = 200  # characters of a backend's own words in a log line
MIN_SECRET = 4  # shorter words would blacken ordinary text


def secrets_of(values: Iterable[str]) -> tuple[str, ...]:
    """What `clean` has to look for: each value and its words, since `Bearer TOKEN` may come back as the token alone."""
    words = {word for value in values for word in (value, *value.split()) if len(word) >= MIN_SECRET}
    return tuple(sorted(words, key=len, reverse=True))


def clean(text: str, secrets: Iterable[str]) -> str:
    """A backend's words for a log line: one line, bounded, without the configured secrets that it may have echoed."""
    for secret in secrets:
        text = text.replace(secret, "[REDACTED]")
    printable = "".join(c if c.isprintable() else " " for c in text[:MAX_DETAIL])
    return printable.strip()
