"""The configuration: each file under `config/` is a case that says in its first comments what it must give.

    # env: NAME=value     a variable that is set        # fault: LINE              a line of the error, in any order
    # set: a.b=value      as --set                      # warning: LINE            all warnings there are, in any order
                                                        # expect: a.b = YAML       the value of a key

Expected values are those of the Collector's documentation and of OpenTelemetry's table of variables.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from receiver.config import Config, ConfigError, Duration, PortRange, Size, split_endpoint
from receiver.settings.loader import MAX_FILE_BYTES, effective, load, merge, reload
from receiver.settings.schema import duration_text, parse_duration, parse_ports, parse_size, size_text
from tests.start import start

CASES = Path(__file__).parent / "config"


def _cases(folder: str) -> list[Any]:
    return [pytest.param(path, id=path.stem) for path in sorted((CASES / folder).glob("*.yaml"))]


def _says(path: Path, word: str) -> list[str]:
    return re.findall(rf"^# {word}: (.*)$", path.read_text(), re.MULTILINE)


def _environ(path: Path) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in _says(path, "env"))


def _plain(value: Any) -> Any:
    if isinstance(value, PortRange):
        return [value.first, value.last]
    if isinstance(value, msgspec.Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return {key: _plain(entry) for key, entry in value.items()} if isinstance(value, dict) else value


def _value_at(config: Config, path: str) -> Any:
    value = _plain(config)
    keys = path.split(".")
    while keys:
        # The longest that there is: `service.name` is one key of `service.resource`.
        key = next(".".join(keys[:n]) for n in range(len(keys), 0, -1) if ".".join(keys[:n]) in value)
        value, keys = value[key], keys[key.count(".") + 1 :]
    return value


@pytest.mark.parametrize("path", _cases("good"))
def test_good_case(path: Path) -> None:
    loaded = load([str(path)], _says(path, "set"), _environ(path))
    assert sorted(loaded.warnings) == sorted(_says(path, "warning"))
    for expectation in _says(path, "expect"):
        key, _, value = expectation.partition(" = ")
        assert _value_at(loaded.config, key) == yaml.safe_load(value), key


@pytest.mark.parametrize("path", _cases("good"))
def test_good_case_starts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start(load([str(path)], _says(path, "set"), _environ(path)).config, monkeypatch)


@pytest.mark.parametrize("path", _cases("good"))
def test_good_case_is_the_same_after_printing(path: Path) -> None:
    config = load([str(path)], _says(path, "set"), _environ(path)).config
    again = load([f"yaml:{effective(config).replace('$', '$$')}"], environ={}).config
    expected = _plain(config) | {"origin": _plain(again.origin)}
    for exporter in expected["exporters"].values():
        if "headers" in exporter:
            exporter["headers"] = dict.fromkeys(exporter["headers"], "[REDACTED]")
    assert _plain(again) == expected


@pytest.mark.parametrize("path", _cases("bad"))
def test_bad_case(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    with pytest.raises(ConfigError) as caught:
        load([path.name], _says(path, "set"), _environ(path))
    assert sorted(str(caught.value).splitlines()) == sorted(_says(path, "fault"))


def test_later_source_over_earlier_maps_merge_lists_replace(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("receivers: {pcap: {interfaces: [lo, eth0], snaplen: 256, ports: {http: [80]}}}")
    (tmp_path / "b.yaml").write_text("receivers: {pcap: {interfaces: [eth1], ports: {mysql: [3306]}}}")
    sources = [
        str(tmp_path / "a.yaml"),
        f"file:{tmp_path / 'b.yaml'}",
        "env:MORE",
        "yaml:exporters::debug::verbosity: normal",
    ]
    config = load(sources, environ={"MORE": "receivers: {pcap: {detect: false}}"}).config
    pcap = config.receivers.pcap
    assert (pcap.interfaces, pcap.snaplen, pcap.detect) == (("eth1",), 256, False)
    assert pcap.ports == {"http": (80,), "mysql": (3306,)}
    assert list(config.exporters) == ["debug"]


def test_merge_changes_neither_side() -> None:
    under: dict[str, Any] = {"a": {"b": 1}}
    assert merge(under, {"a": {"c": 2}}) == {"a": {"b": 1, "c": 2}}
    assert under == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("nowhere.yaml", "nowhere.yaml: No such file or directory"),
        (".", ".: Is a directory"),
        ("env:NOT_SET", "env:NOT_SET: the variable is not set"),
        ("https://host/c.yaml", "https://host/c.yaml: unknown scheme https, takes a path, file:, yaml: or env:"),
        ("yaml:a: b: c", "yaml:1: not YAML: mapping values are not allowed in this context"),
    ],
)
def test_source_that_cannot_be_read(source: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"^{re.escape(fault)}$"):
        load([source], environ={})


def test_source_one_byte_over_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"#" * MAX_FILE_BYTES)
    load([str(path)], environ={})
    path.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(ConfigError, match="over 4MiB, not a configuration"):
        load([str(path)], environ={})


def test_capture_file_given_as_configuration(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00" + bytes(16))
    with pytest.raises(ConfigError, match="not YAML"):
        load([str(path)], environ={})


@pytest.mark.parametrize("level", ["[", "{a: ", "- ", "? "])
@pytest.mark.parametrize("levels", [33, 4_999, 100_000])
def test_nesting_does_not_overrun_the_stack(level: str, levels: int) -> None:
    with pytest.raises(ConfigError, match=r"nested|not YAML|takes a map"):
        load(["yaml:" + level * levels], environ={})


def test_all_faults_of_all_sources_come_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(["yaml:[", str(tmp_path / "none"), "env:NONE"], ["x"], {})
    assert len(caught.value.faults) == 4


def test_effective_shows_no_secret() -> None:
    source = """
      exporters:
        otlp_grpc: {headers: {authorization: Bearer 5550123}, tls: {key_file: /key.pem, cert_file: /cert.pem}}
        prometheus_remote_write: {endpoint: "http://user:5550123@host:1/w?x=1", headers: {x: "5550123"}}
    """
    text = effective(load([f"yaml:{source}"], environ={}).config)
    assert "5550123" not in text
    tree = yaml.safe_load(text)["exporters"]
    assert tree["otlp_grpc"]["headers"] == {"authorization": "[REDACTED]"}
    assert tree["otlp_grpc"]["tls"]["key_file"] == "/key.pem"  # the Collector prints paths too
    assert tree["prometheus_remote_write"]["endpoint"] == "http://[REDACTED]@host:1/w?x=1"


def test_reload_reads_the_same_sources_again(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("receivers: {pcap: {snaplen: 256}}")
    config = load([str(path)], ["receivers.pcap.detect=true"]).config
    path.write_text("receivers: {pcap: {snaplen: 512}}")
    assert reload(config).config.receivers.pcap.snaplen == 512
    path.write_text("receivers: {pcap: {snaplen: x}}")
    with pytest.raises(ConfigError):
        reload(config)


def test_exporters_of_a_signal() -> None:
    source = "yaml:exporters: {debug: , debug/b: }"
    sets = ["service.pipelines={traces: {exporters: [debug]}, traces/2: {exporters: [debug/b, debug]}}"]
    config = load([source], sets, {}).config
    assert list(config.exporters_of("traces")) == ["debug", "debug/b"]
    assert config.exporters_of("metrics") == {}


# Go, src/time/time_test.go, parseDurationTests and parseDurationErrorTests (BSD licence), without the signs
@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0), ("5s", 5), ("30s", 30), ("1478s", 1478), ("5.0s", 5), ("5.6s", 5.6), ("5.s", 5), (".5s", 0.5),
        ("1.0s", 1), ("1.004s", 1.004), ("100.00100s", 100.001), ("10ns", 10e-9), ("11us", 11e-6), ("12µs", 12e-6),
        ("12μs", 12e-6), ("13ms", 13e-3), ("14s", 14), ("15m", 900), ("16h", 57600), ("3h30m", 12600),
        ("10.5s4m", 250.5), ("2m3.4s", 123.4), ("39h9m14.425s", 140954.425), ("0.3333333333333333333h", 1200),
    ],
)
def test_duration_as_go_reads_it(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds, abs=1e-9)


@pytest.mark.parametrize("text", ["", "3", "-", "s", ".", ".s", "1 s", "1d", "-1s", "1s ", "1e3s", "9" * 400 + "h"])
def test_duration_that_go_refuses(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (1.5e-9, "2ns"), (1e-6, "1us"), (0.2, "200ms"), (0.0015, "1.5ms"), (60, "1m"),
     (90.5, "1m30.5s"), (3605, "1h5s")],
)
def test_duration_as_text(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@given(st.integers(min_value=0, max_value=10**15))
def test_any_duration_survives_its_text(ns: int) -> None:
    assert parse_duration(duration_text(Duration(ns / 1e9))) == pytest.approx(ns / 1e9, abs=1e-9)


@given(st.integers(min_value=0, max_value=2**50))
def test_any_size_survives_its_text(size_bytes: int) -> None:
    assert parse_size(str(size_text(Size(size_bytes)))) == size_bytes


@pytest.mark.parametrize(
    ("text", "size_bytes"), [("4096", 4096), ("512B", 512), ("1.5GiB", 1610612736), ("8 MiB", 8388608)]
)
def test_size(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "-1", "8MB", "8M", "8mib", "1e3", "MiB"])
def test_size_without_a_known_unit(text: str) -> None:
    with pytest.raises(ValueError):
        parse_size(text)


@pytest.mark.parametrize("text", ["", "0", "65536", "1-", "-1", "2-1", "1-65536", "a", "1-2-3", "²"])
def test_ports_that_are_none(text: str) -> None:
    with pytest.raises(ValueError):
        parse_ports(text)


@pytest.mark.parametrize(
    ("endpoint", "host", "port"),
    [("localhost:1", "localhost", 1), ("[::1]:65535", "::1", 65535), (":80", "", 80), ("0.0.0.0:80", "0.0.0.0", 80)],
)
def test_endpoint(endpoint: str, host: str, port: int) -> None:
    assert split_endpoint(endpoint) == (host, port)


@pytest.mark.parametrize(
    "endpoint", ["", "host", "host:", "host:0", "host:65536", "host:²", "::1:80", "a b:80", "u@h:80"]
)
def test_endpoint_that_is_none(endpoint: str) -> None:
    with pytest.raises(ValueError):
        split_endpoint(endpoint)


KEYS = st.sampled_from(["receivers", "pcap", "exporters", "otlp_grpc", "debug", "service", "pipelines", "traces", "tls",
                        "headers", "endpoint", "ports", "http", "extensions", "telemetry", "files", "x"])
TREES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["${env:A}", "${", "$$"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # on a busy machine slow is no fault
@given(st.dictionaries(KEYS, TREES))
def test_any_tree_loads_or_is_a_config_error(tree: dict[str, Any]) -> None:
    try:
        load([f"yaml:{yaml.safe_dump(tree)}"], environ={"A": "[1"})
    except ConfigError as error:
        assert error.faults


@given(st.text() | st.text("{}[]:,&*a- \n\"'!|>%@`", max_size=30))
def test_any_text_loads_or_is_a_config_error(text: str) -> None:
    try:
        load([f"yaml:{text}"], [f"receivers.pcap.filter={text}"], {})
    except ConfigError as error:
        assert error.faults
