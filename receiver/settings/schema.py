"""Plain YAML values to the Structs of `receiver.config` and back, by the types that those Structs declare.

Room: settings. msgspec's own conversion stops at the first fault and knows no paths of ours; this one collects every
fault with its key's path, and reads durations, sizes and port ranges in their written form.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec.structs import FieldInfo, fields

from receiver.config import EXPORTERS, Duration, Exporter, Fault, PortRange, Scalar, Section, Size

S = TypeVar("S", bound=Section)

REDACTED = "[REDACTED]"

HIDDEN_FIELDS = ("origin",)
"""Fields of a Section that are no keys of the file."""

SECRET_MAPS = ("headers",)
"""Maps whose values are never shown: not by `print-config`, not in a fault."""

UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # U+00B5 and U+03BC: Go takes both, time.ParseDuration
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
UNITS_BYTES = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}

DURATION_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([KMG]iB|B|)")
USERINFO = re.compile(r"(?<=//)[^/@\s]+(?=@)")


class Expanded(msgspec.Struct, frozen=True):
    """A value that came from a reference such as `${env:PORT}`, or from `--set`: its text, and what YAML makes of it.

    Which of the two is meant depends on the key: a header wants `0123`, a port wants 123.
    """

    text: str
    value: object


class _Wrong(Exception):
    """What is wrong with one value; the caller knows its path."""


def read(kind: type[S], value: object, faults: list[Fault]) -> S:
    """Make `kind` of the map `value`; what is wrong goes to `faults`, and a wrong key keeps its default."""
    return _read_section(kind, value, "", faults)


def plain(value: object, *, redact: bool) -> Any:
    """The reverse of `read`: maps, lists and scalars as they would be written. With `redact` secrets are replaced."""
    match value:
        case msgspec.Struct() if not isinstance(value, PortRange):
            out = {}
            for field in value.__struct_fields__:
                if field not in HIDDEN_FIELDS:
                    entry = plain(getattr(value, field), redact=redact)
                    if redact and field in SECRET_MAPS and isinstance(entry, dict):
                        entry = dict.fromkeys(entry, REDACTED)
                    out[field] = entry
            return out
        case PortRange(first, last):
            return first if first == last else f"{first}-{last}"
        case Duration():
            return duration_text(value)
        case Size():
            return size_text(value)
        case dict():
            return {key: plain(entry, redact=redact) for key, entry in value.items()}
        case tuple() | list():
            return [plain(entry, redact=redact) for entry in value]
        case str() if redact:
            return USERINFO.sub(REDACTED, value)
    return value


def split_path(kind: type[Section], path: str) -> list[str]:
    """The keys of a dotted path below `kind`.

    A free map takes all that follows as one key: `service.resource.service.name` is the key `service.name` of
    `service.resource`, and `exporters.otlp_grpc/a.headers.x.y` the header `x.y`.
    """
    keys: list[str] = []
    rest = path.split(".")
    at: Any = kind
    while rest:
        if _is_section(at):
            keys.append(rest.pop(0))
            at = {field.name: field.type for field in fields(at)}.get(keys[-1])
        elif get_origin(at) is dict:
            entry = get_args(at)[1]
            if entry == Exporter:
                keys.append(rest.pop(0))
                at = EXPORTERS.get(exporter_type(keys[-1]))
            elif _is_section(entry):
                keys.append(rest.pop(0))
                at = entry
            else:
                return [*keys, ".".join(rest)]
        else:
            return keys + rest
    return keys


def exporter_type(name: str) -> str:
    """The type in an exporter's key: `otlp_grpc` of `otlp_grpc/gateway`."""
    return name.partition("/")[0]


def nearest(word: str, known: Iterable[str]) -> str:
    """`, did you mean X?` for the known word nearest to `word`, else all of them if they are few, else nothing."""
    from difflib import get_close_matches  # 3 ms, and only a fault needs it

    words = sorted(known)
    close = get_close_matches(word.lower(), words, n=1, cutoff=0.6)
    if close:
        return f", did you mean {close[0]}?"
    return f", takes {', '.join(words)}" if len(words) <= 10 else ""


# -- written forms ---------------------------------------------------------------------------------------------------


def parse_duration(text: str) -> Duration:
    """Seconds of `1m30s`, `200ms`, `1.5h` or `0`. Raises ValueError. Source: Go's time.ParseDuration, without signs."""
    if text == "0":
        return Duration(0)
    at, total_ns = 0, 0.0
    while match := DURATION_PART.match(text, at):
        total_ns += float(match[1]) * UNITS_NS[match[2]]
        at = match.end()
    if at == 0 or at < len(text) or not math.isfinite(total_ns):
        raise ValueError(text)
    return Duration(total_ns / 1e9)


def duration_text(seconds: float) -> str:
    """The shortest of Go's forms: `1m30s`, `200ms`, `5m`."""
    rest_ns = round(seconds * 1e9)
    if rest_ns == 0:
        return "0s"
    if rest_ns < UNITS_NS["s"]:
        unit = next(unit for unit in ("ms", "us", "ns") if rest_ns >= UNITS_NS[unit])
        return f"{_number(rest_ns, UNITS_NS[unit])}{unit}"
    out = ""
    for unit in ("h", "m"):
        whole, rest_ns = divmod(rest_ns, UNITS_NS[unit])
        out += f"{whole}{unit}" if whole else ""
    return out + (f"{_number(rest_ns, UNITS_NS['s'])}s" if rest_ns else "")


def parse_size(text: str) -> Size:
    """Bytes of `8MiB`, `1.5GiB`, `512B` or `4096`. Raises ValueError."""
    match = SIZE.fullmatch(text)
    if not match:
        raise ValueError(text)
    return Size(float(match[1]) * UNITS_BYTES[match[2]] if "." in match[1] else int(match[1]) * UNITS_BYTES[match[2]])


def size_text(size_bytes: int) -> str | int:
    """`8MiB` where that is exact, else the number."""
    for unit in ("GiB", "MiB", "KiB"):
        if size_bytes and size_bytes % UNITS_BYTES[unit] == 0:
            return f"{size_bytes // UNITS_BYTES[unit]}{unit}"
    return int(size_bytes)


def parse_ports(text: str) -> PortRange:
    """`8080` or `15000-15090`. Raises ValueError."""
    first, dash, last = text.partition("-")
    if not (first.isascii() and first.isdigit() and (not dash or (last.isascii() and last.isdigit()))):
        raise ValueError(text)
    ports = PortRange(int(first), int(last) if dash else int(first))
    if not 1 <= ports.first <= ports.last <= 65535:
        raise ValueError(text)
    return ports


def _number(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    digits = len(str(unit)) - 1
    return str(whole) if rest == 0 else f"{whole}.{rest:0{digits}d}".rstrip("0")


# -- reading by type -------------------------------------------------------------------------------------------------


def _read_section(kind: type[S], value: object, path: str, faults: list[Fault]) -> S:
    if isinstance(value, Expanded):
        value = value.value
    if value is None:  # `debug:` with nothing behind it
        return kind()
    if not isinstance(value, dict):
        faults.append(Fault(path or "configuration", f"got {_shown(value, path)}, takes a map of keys"))
        return kind()
    known: dict[str, FieldInfo] = {field.name: field for field in fields(kind) if field.name not in HIDDEN_FIELDS}
    given = {}
    for key, entry in value.items():
        where = f"{path}.{key}" if path else str(key)
        if key not in known:
            faults.append(Fault(where, f"unknown key{nearest(str(key), known)}"))
        elif entry is not None and not (isinstance(entry, Expanded) and entry.value is None):
            before = len(faults)
            made = _read(known[key].type, entry, where, faults)
            if len(faults) == before or isinstance(made, Section | dict):
                given[key] = made
    return kind(**given)


def _read(kind: Any, value: object, path: str, faults: list[Fault]) -> Any:
    """The value of `kind` at `path`; after a fault, what could be made of it, or None."""
    if _is_section(kind):
        return _read_section(kind, value, path, faults)
    origin = get_origin(kind)
    if origin is dict:
        return _read_map(get_args(kind)[1], value, path, faults)
    if isinstance(value, Expanded) and not (kind is str or origin in (Union, UnionType)):
        value = value.value
    if origin is tuple:
        if not isinstance(value, list):
            faults.append(Fault(path, f"got {_shown(value, path)}, takes a list"))
            return None
        return tuple(_read(get_args(kind)[0], entry, f"{path}[{at}]", faults) for at, entry in enumerate(value))
    if origin in (Union, UnionType):
        return _read_union(get_args(kind), value, path, faults)
    try:
        if hasattr(kind, "__metadata__"):  # Annotated
            return _bounded(_leaf(kind.__origin__, value), kind.__metadata__[0])
        return _leaf(kind, value)
    except _Wrong as wrong:
        faults.append(Fault(path, f"got {_shown(value, path)}, takes {wrong}"))
        return None


def _read_map(kind: Any, value: object, path: str, faults: list[Fault]) -> dict[str, Any]:
    if isinstance(value, Expanded):
        value = value.value
    if not isinstance(value, dict):
        faults.append(Fault(path, f"got {_shown(value, path)}, takes a map of keys"))
        return {}
    out = {}
    for key, entry in value.items():
        where = f"{path}.{key}"
        entry_kind = kind
        if kind == Exporter:
            entry_kind = EXPORTERS.get(exporter_type(str(key)))
            if entry_kind is None:
                known = nearest(exporter_type(str(key)), EXPORTERS)
                faults.append(Fault(where, f"unknown exporter{known}"))
                continue
            if str(key).endswith("/"):
                faults.append(Fault(where, "the name after the / is missing"))
                continue
        before = len(faults)
        made = _read(entry_kind, entry, where, faults)
        if len(faults) == before or isinstance(made, Section):
            out[str(key)] = made
    return out


def _read_union(kinds: tuple[Any, ...], value: object, path: str, faults: list[Fault]) -> Any:
    """`"auto"` or a list, and a resource attribute, which is any scalar: the only unions there are."""
    inner = value.value if isinstance(value, Expanded) else value
    lists = [kind for kind in kinds if get_origin(kind) is tuple]
    if lists:
        if isinstance(inner, list):
            return _read(lists[0], inner, path, faults)
        words = [word for kind in kinds for word in get_args(kind) if get_origin(kind) is Literal]
        if inner not in words:
            faults.append(Fault(path, f"got {_shown(inner, path)}, takes {' or '.join(words)} or a list"))
        return inner
    if isinstance(inner, str | bool | int | float):
        try:
            return _scalar(inner)
        except _Wrong as wrong:
            faults.append(Fault(path, f"got {_shown(inner, path)}, takes {wrong}"))
            return None
    faults.append(Fault(path, f"got {_shown(inner, path)}, takes a string, a number or a boolean"))
    return None


def _leaf(kind: Any, value: object) -> Any:
    """The value of a scalar type. Raises _Wrong with what the type takes."""
    if isinstance(value, Expanded):
        value = value.text  # only strings still have both
    if get_origin(kind) is Literal:
        if value not in get_args(kind) or isinstance(value, bool):
            raise _Wrong(" or ".join(word or '""' for word in get_args(kind)))
        return value
    if kind is bool:
        if not isinstance(value, bool):
            raise _Wrong("true or false")
        return value
    if kind is str:
        if not isinstance(value, str):
            raise _Wrong("a string" + (" (quote it)" if isinstance(value, int | float) else ""))
        return _text(value)
    if isinstance(value, bool):
        value = None
    if kind is int:
        if not isinstance(value, int):
            raise _Wrong("a whole number")
        return value
    if kind is float:
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise _Wrong("a number")
        return float(value)
    return _written(kind, value)


def _text(value: str) -> str:
    """Raises _Wrong for what no path, no header and no attribute may hold."""
    if "\0" in value or not is_text(value):
        raise _Wrong("text, without NUL bytes")
    return value


def _scalar(value: Scalar) -> Scalar:
    """A resource's attribute: OTLP has 64 bits for a number."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        raise _Wrong("a number of 64 bits")
    return value


def is_text(value: str) -> bool:
    """Whether it can be written as UTF-8: an escape or a variable may hold half of a surrogate pair, or bytes that are none."""
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def _written(kind: Any, value: object) -> Any:
    if isinstance(value, kind):  # the environment's values come as they are meant
        return value
    text = str(value) if isinstance(value, int | str) else ""
    try:
        if kind is Duration:
            return parse_duration(text)
        if kind is Size:
            return parse_size(text)
        assert kind is PortRange, kind
        return parse_ports(text)
    except (ValueError, OverflowError):
        takes = {
            Duration: "a duration such as 200ms or 1m30s",
            Size: "a size such as 64KiB, 8MiB, or a number of bytes",
            PortRange: "a port from 1 to 65535, or a range such as 15000-15090",
        }
        raise _Wrong(takes[kind]) from None


def _bounded(made: Any, meta: msgspec.Meta) -> Any:
    low, high, over = meta.ge, meta.le, meta.gt
    if (low is None or made >= low) and (high is None or made <= high) and (over is None or made > over):
        return made
    if isinstance(made, Duration | Size):
        low, high, over = (bound if bound is None else plain(type(made)(bound), redact=False) for bound in (low, high, over))
    if over is not None:
        raise _Wrong(f"more than {over}, at most {high}")
    raise _Wrong(f"{low} or more" if high is None else f"{low} to {high}")


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def _shown(value: object, path: str) -> str:
    """The value for a fault's line: short, and never a secret."""
    if isinstance(value, Expanded):
        value = value.text
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, list):
        return "a list"
    if any(f".{name}." in f"{path}." for name in SECRET_MAPS):
        return "a value that is not shown"
    text = "true" if value is True else "false" if value is False else repr(value)
    text = USERINFO.sub(REDACTED, text)
    return text if len(text) <= 60 else f"{text[:57]}..."
