"""A configuration that was read again: which of its keys take effect in a running process, and which only with a restart.

Room: settings. A new key needs a restart until it is named here and `receiver.service` applies it; none is left out in silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from receiver.config import Config, Section
from receiver.settings import schema

T = TypeVar("T")

TAKEN = (
    "exporters",
    "receivers.pcap.http.route_patterns",
    "receivers.pcap.http.routes",
    "receivers.pcap.sampling.default",
    "receivers.pcap.traces.respect_sampled",
    "service.pipelines",
    "service.resource",
    "service.shutdown_timeout",
    "service.telemetry.logs",
)
"""Keys, and maps with all that is in them, that take effect when the configuration is read again."""

ABSENT = msgspec.UNSET
TEXT_MAX = 80


class Change(msgspec.Struct, frozen=True):
    """A key whose value differs. `before` and `after` are as they would be written, short, and never a secret."""

    path: str
    before: str
    after: str
    taken: bool

    def __str__(self) -> str:
        return f"{self.path}: {self.before} -> {self.after}"


def changes(old: Config, new: Config) -> list[Change]:
    """Every key that differs, by its path, those of maps that came or went as well."""
    return [
        Change(path, _text(path, before), _text(path, after), is_taken(path))
        for path, before, after in _differences("", old, new)
    ]


def carry(old: Config, new: Config) -> Config:
    """What is in effect after `new` was read over `old`: what needs a restart stays as it was."""
    return _carry("", old, new)


def is_taken(path: str) -> bool:
    """Whether a change of this key takes effect."""
    return any(path == key or path.startswith(f"{key}.") for key in TAKEN)


def _carry(path: str, old: T, new: T) -> T:
    if is_taken(path):
        return new
    if isinstance(old, Section) and isinstance(new, Section):
        kept = {name: _carry(_below(path, name), getattr(old, name), getattr(new, name)) for name in old.__struct_fields__}
        made: T = replace(old, **kept)
        return made
    return old


def _differences(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if old == new:
        return
    if isinstance(old, Section) and type(old) is type(new):
        for name in old.__struct_fields__:
            if name not in schema.HIDDEN_FIELDS:
                yield from _differences(_below(path, name), getattr(old, name), getattr(new, name))
    elif isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            yield from _differences(_below(path, name), old.get(name, ABSENT), new.get(name, ABSENT))
    else:
        yield path, old, new


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _text(path: str, value: Any) -> str:
    if value is ABSENT:
        return "(none)"
    if any(f".{name}." in f"{path}." for name in schema.SECRET_MAPS):
        return schema.REDACTED
    written = schema.plain(value, redact=True)
    text = written if isinstance(written, str) and written else msgspec.json.encode(written).decode()
    return text if len(text) <= TEXT_MAX else f"{text[: TEXT_MAX - 3]}..."
