"""The configuration from its sources: files, inline YAML and variables, merged, expanded, completed and checked.

Room: settings. The rules are the Collector's: a later source goes over an earlier one, maps merge, lists replace,
`--set` goes over all; `${env:NAME}`, `${env:NAME:-default}`, `${file:PATH}`, and `$$` for one `$`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec.structs import replace

from receiver.config import PROTOCOLS, Config, ConfigError, Fault, Origin
from receiver.settings import environment, schema
from receiver.settings.check import check
from receiver.settings.resource import describe
from receiver.settings.schema import Expanded

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SCHEME = re.compile(r"([a-z][a-z0-9]+):(.*)", re.DOTALL)

MAX_DEPTH = 32
"""Maps and lists inside each other, and `${}` inside `${}`: the deepest key there is lies 6 deep."""

MAX_FILE_BYTES = 4 * 1024 * 1024
"""Of a source: a mistyped path to a capture or a device is refused before it is parsed."""


UNCHECKED_BYTES = 10_000
"""libyaml composes by recursion without a limit and overruns the C stack at some 50 000 levels, a byte each."""


class Loaded(msgspec.Struct, frozen=True):
    """A configuration without faults, and what a person should be told about it all the same."""

    config: Config
    warnings: tuple[str, ...] = ()


def load(
    sources: Sequence[str] = (),
    sets: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    protocols: Collection[str] = PROTOCOLS,
) -> Loaded:
    """Read `sources` (a path, `file:PATH`, `yaml:TEXT`, `env:NAME`) and `sets` (`a.b=value`), complete and check them.

    Opens nothing but the files. `protocols` are the names that `receivers.pcap.ports` may use.
    Raises ConfigError with every fault that there is.
    """
    environ, warnings = _readable(os.environ if environ is None else environ)
    faults: list[Fault] = []
    tree: dict[str, Any] = {}
    for source in sources:
        tree = merge(tree, _read_source(source, environ, faults))
    for setting in sets:
        tree = merge(tree, _read_set(setting, faults))
    if not faults:
        tree = _expand(tree, "", environ, faults, warnings)
        tree = environment.fill(tree, environ, warnings, faults)
        misread: list[Fault] = []
        config = schema.read(Config, tree, misread)
        # A key that is wrong keeps its default, which may then seem to be wrong again or to quarrel with the others.
        faults += _elsewhere(misread, faults)
        faults += _elsewhere(check(config, _given_exporters(tree), protocols, warnings), faults)
    if faults:
        raise ConfigError(tuple(faults))
    resource = describe(config.service.resource, environ, warnings)
    origin = Origin(sources=tuple(sources), sets=tuple(sets))
    return Loaded(replace(config, service=replace(config.service, resource=resource), origin=origin), tuple(warnings))


def _readable(environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The variables that are text, and a warning for each of OpenTelemetry's that is none."""
    good = {name: value for name, value in environ.items() if schema.is_text(value)}
    bad = [name for name in environ if name not in good and name.startswith(("OTEL_", "K8S_"))]
    return good, [f"{name} is ignored: it is not UTF-8" for name in bad]


def reload(config: Config) -> Loaded:
    """Read again what `config` was read from, for SIGHUP. Raises ConfigError; `config` itself never changes."""
    return load(config.origin.sources, config.origin.sets)


def effective(config: Config) -> str:
    """YAML of the whole configuration, defaults too, secrets as `[REDACTED]`; without secrets it loads as the same.

    References are resolved, and a `$` is written as it is: it would have to be doubled in a source.
    """
    text: str = yaml.dump(
        schema.plain(config, redact=True), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120
    )
    return text


def merge(under: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `under`: maps merge, everything else is replaced. Changes neither."""
    out = dict(under)
    for key, value in over.items():
        below = out.get(key)
        out[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return out


def _elsewhere(faults: list[Fault], known: list[Fault]) -> list[Fault]:
    """Those of `faults` that are neither at nor below a key of `known`."""
    paths = [fault.path for fault in known]
    return [
        fault
        for fault in faults
        if not any(fault.path == path or fault.path.startswith((f"{path}.", f"{path}[")) for path in paths)
    ]


# -- sources ---------------------------------------------------------------------------------------------------------


def _read_source(source: str, environ: Mapping[str, str], faults: list[Fault]) -> dict[str, Any]:
    match = SCHEME.fullmatch(source)
    scheme, rest = (match[1], match[2]) if match else ("", source)
    if scheme == "yaml":
        return _unfold(_parse_map(rest, "yaml", faults))
    if scheme == "env":
        if rest not in environ:
            faults.append(Fault(source, "the variable is not set"))
            return {}
        return _parse_map(environ[rest], source, faults)
    if scheme not in ("", "file") and not Path(source).exists():
        faults.append(Fault(source, f"unknown scheme {scheme}, takes a path, file:, yaml: or env:"))
        return {}
    path = rest if scheme == "file" else source
    try:
        return _parse_map(_read_file(path), path, faults)
    except (OSError, ValueError) as error:
        faults.append(Fault(path, getattr(error, "strerror", None) or str(error)))
        return {}


def _read_file(path: str) -> bytes:
    with Path(path).open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"over {schema.size_text(MAX_FILE_BYTES)}, not a configuration")
    return content


def _parse_map(text: str | bytes, name: str, faults: list[Fault]) -> dict[str, Any]:
    try:
        value = _parse(text)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        context = f" {error.context}" if error.context else ""
        faults.append(Fault(f"{name}{line}", f"not YAML: {error.problem}{context}"))
        return {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        faults.append(Fault(name, f"not YAML: {str(error).splitlines()[0] if str(error) else 'nested too deeply'}"))
        return {}
    if value is None:
        return {}
    if not isinstance(value, dict):
        faults.append(Fault(name, "takes a map of keys: receivers, exporters, extensions, service"))
        return {}
    if not _is_shallow(value, MAX_DEPTH):
        faults.append(Fault(name, f"maps and lists are nested over {MAX_DEPTH} deep"))
        return {}
    return value


def _parse(text: str | bytes) -> Any:
    if len(text) > UNCHECKED_BYTES:
        depth = 0
        for event in yaml.parse(text, Loader=_Loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise ValueError(f"maps and lists are nested over {MAX_DEPTH} deep")
    return yaml.load(text, Loader=_Loader)  # a SafeLoader with fewer types


def _unfold(tree: dict[str, Any]) -> dict[str, Any]:
    """`yaml:exporters::debug::verbosity: normal`, the Collector's short form of nested maps."""
    out: dict[str, Any] = {}
    for key, value in tree.items():
        for part in reversed(str(key).split("::")):
            value = {part: value}
        out = merge(out, value)
    return out


def _read_set(setting: str, faults: list[Fault]) -> dict[str, Any]:
    path, equals, text = setting.partition("=")
    if not equals or not path.strip("."):
        # Not the text itself: it may be a value whose `a.b=` was forgotten.
        faults.append(Fault("--set", f"takes a.b=value, got {path!r} without a value"))
        return {}
    try:
        value = _parse(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        faults.append(Fault(path, "the value of --set is not YAML"))
        return {}
    if not isinstance(value, dict | list | str):
        value = Expanded(text, value)
    for key in reversed(schema.split_path(Config, path)):
        value = {key: value}
    if not _is_shallow(value, MAX_DEPTH):
        faults.append(Fault(path, f"maps and lists are nested over {MAX_DEPTH} deep"))
        return {}
    assert isinstance(value, dict)
    return value


def _is_shallow(value: object, depth: int) -> bool:
    """Is nothing nested deeper than `depth`? False as well for an alias that contains itself."""
    if isinstance(value, dict):
        value = list(value.values())
    return not isinstance(value, list) or (depth > 0 and all(_is_shallow(entry, depth - 1) for entry in value))


# -- references ------------------------------------------------------------------------------------------------------


def _expand(value: Any, path: str, environ: Mapping[str, str], faults: list[Fault], warnings: list[str]) -> Any:
    """`value` with every `${}` in its strings replaced."""
    if isinstance(value, dict):
        return {
            key: _expand(entry, f"{path}.{key}" if path else str(key), environ, faults, warnings)
            for key, entry in value.items()
        }
    if isinstance(value, list):
        return [_expand(entry, f"{path}[{at}]", environ, faults, warnings) for at, entry in enumerate(value)]
    if not isinstance(value, str) or "$" not in value:
        return value
    try:
        end = _closing(value, 2) if value.startswith("${") else -1
        if end != len(value) - 1:
            return _expand_text(value, path, environ, warnings, 0)
        text = _resolve(value[2:end], path, environ, warnings, 0)
        parsed = _parse(text)
        return Expanded(text, parsed) if _is_shallow(parsed, MAX_DEPTH) else text
    except yaml.YAMLError:
        return text  # a secret such as `a: b: c` is a string, as it is for the Collector
    except (ValueError, OSError) as error:
        faults.append(Fault(path, getattr(error, "strerror", None) or str(error)))
        return None


def _expand_text(text: str, path: str, environ: Mapping[str, str], warnings: list[str], depth: int) -> str:
    if depth > MAX_DEPTH:
        raise ValueError(f"references are nested over {MAX_DEPTH} deep")
    out, at = "", 0
    while (dollar := text.find("$", at)) >= 0:
        out += text[at:dollar]
        follows = text[dollar + 1 : dollar + 2]
        at = dollar + 2
        if follows == "$":
            out += "$"
        elif follows == "{" and (end := _closing(text, at)) >= 0:
            out += _resolve(text[at:end], path, environ, warnings, depth)
            at = end + 1
        else:
            out += "$"  # a lone `$` stays
            at = dollar + 1
    return out + text[at:]


def _closing(text: str, at: int) -> int:
    """Where the `}` is that ends the reference whose inside starts at `at`; -1 when there is none."""
    depth = 1
    while at < len(text):
        if text.startswith("${", at):
            depth += 1
        elif text[at] == "}":
            depth -= 1
            if depth == 0:
                return at
        at += 1
    return -1


def _resolve(inside: str, path: str, environ: Mapping[str, str], warnings: list[str], depth: int) -> str:
    """The text that `${inside}` stands for. Raises ValueError, OSError."""
    inside = _expand_text(inside, path, environ, warnings, depth + 1)
    scheme, colon, rest = inside.partition(":")
    if not colon or rest.startswith("-"):  # `${NAME}` and `${NAME:-default}`: env is the default scheme
        scheme, rest = "env", inside
    if scheme == "file":
        return _read_file(rest).decode()
    if scheme == "yaml":
        return rest
    if scheme != "env":
        raise ValueError(f"unknown scheme {scheme} in ${{...}}, takes env:, file: or yaml:")
    name, has_default, default = rest.partition(":-")
    if not NAME.fullmatch(name):
        raise ValueError("the name in ${env:...} takes letters, digits and _")
    if name in environ:
        return environ[name]
    if not has_default:
        warnings.append(f"{path}: {name} is not set; the value is empty")
    return default


# -- YAML ------------------------------------------------------------------------------------------------------------


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml's where it was built
    """YAML 1.2's core types, as the Collector reads them: `off`, `no`, `12:30` and dates are strings.

    A key that stands twice in one map is an error; PyYAML would take the last.
    """

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - the base class declares it so

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.MarkedYAMLError(problem=f"key {key.value} stands twice", problem_mark=key.start_mark)
                seen.add(key.value)
        made: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return {str(key) if isinstance(key, int | float) else key: value for key, value in made.items()}

    def construct_int(self, node: Any) -> int:
        text = self.construct_scalar(node)
        return int(text, 16 if "x" in text else 8 if "o" in text else 10)

    def construct_float(self, node: Any) -> float:
        return float(self.construct_scalar(node).lower().replace(".inf", "inf").replace(".nan", "nan"))


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", list("-+.")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_float)


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # as _Loader
    """Block style, but lists of scalars on one line, and quotes where YAML 1.1 readers need them as well."""


def _represent_list(dumper: Any, value: list[Any]) -> Any:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)


_Dumper.add_representer(list, _represent_list)


def _given_exporters(tree: Mapping[str, Any]) -> Collection[str]:
    """All names under `exporters`, those with faults too, so that a pipeline that names one is not a second fault."""
    exporters = tree.get("exporters")
    return tuple(exporters) if isinstance(exporters, dict) else ()
