"""What `validate` accepts starts: the files of `config/good` (test_config.py), and configurations made up by the types."""

from __future__ import annotations

from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import pytest
import yaml
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from msgspec.structs import fields

from receiver.config import (
    EXPORTERS,
    PROPAGATORS,
    PROTOCOLS,
    Config,
    ConfigError,
    Duration,
    Exporter,
    PortRange,
    Section,
    Size,
)
from receiver.l7 import registry, trace_context
from receiver.pcap.capture import FilterError
from receiver.pcap.filter import check_filter
from receiver.settings.loader import load
from receiver.settings.schema import HIDDEN_FIELDS
from tests.start import start

HOSTS = ["localhost", "10.0.0.7", "[::1]", "a.example.com.", "under_score"]
ODD_HOSTS = ["", "a..b", "::1", "[host]", "[]", "[fe80::1%eth0]", "*", ".a", "köln", "h" * 64, "u@h", "a b", "a?b", "a\\b", "%41"]
TARGETS = ["unix:///run/otel.sock", "unix-abstract:x", "dns:///h:1", "dns://10.0.0.53/h:1", "ipv6:[fd00::7]:4317", "xds:///h"]
ODD_TARGETS = ["unix:", "unix://a/b", "dns:///a..b:1", "ipv4:10.0.0.7,x", "ftp://h:1", "http://h:4317/v1/traces", "host", "h:1/x"]
ODD_URLS = ["", "h:1/w", "http://h:0/", "http://h:1_0/", "HTTPS://H:1", "http://h/\x7f", "http://h\t/", "http://u:p@/", "ftp://h/"]
ADDRESSES = ["10.0.0.1", "10.0.0.1/8", "fd00::/8", "::1", "::ffff:10.0.0.1"]
ODD_ADDRESSES = ["10.0.0.0/33", "fe80::1%eth0", "fe80::%eth0/64", "host", "10.1", "", "0x7f.1"]

# What a person would write below a key, and what a person should not; by the nearest key that has an entry here.
WORDS: dict[str, tuple[list[str], list[str]]] = {
    "otlp_grpc.endpoint": ([f"{host}:4317" for host in HOSTS] + TARGETS, [f"{host}:1" for host in ODD_HOSTS] + ODD_TARGETS),
    "prometheus_remote_write.endpoint": (
        [f"{scheme}://{host}/w" for host in HOSTS for scheme in ("http", "https")] + ["http://u:p@h:1/w?x=1"],
        [f"http://{host}/w" for host in ODD_HOSTS] + ODD_URLS,
    ),
    "endpoint": (["localhost:1", ":80", "[::1]:65535"], [f"{host}:1" for host in ODD_HOSTS] + ["host", "h:65536"]),
    "proxy_url": (["", "proxy:3128", "http://u:p@proxy", "https://[::1]:1"], ["socks5://p", "http://", "http://a..b:1", "p:99999"]),
    "interfaces": (["any", "lo", "eth0"], [""]),
    "files": (["a.pcap", "-"], [""]),
    "filter": (["", "tcp port 80", "not port 22 and not vlan", "vlan and tcp", "net 10.1.0.0/16"], ["tcp port", "("]),
    "addresses": (ADDRESSES, ODD_ADDRESSES),
    "trusted_proxies": (ADDRESSES, ODD_ADDRESSES),
    "local_addresses": (["10.0.0.1", "::1", "::ffff:10.0.0.1"], ADDRESSES + ODD_ADDRESSES),
    "routes": (
        ["/users/{id}", "GET /users/{id}", "/Users({id})", "/v{version}/x", "/files/*", "/", "PUT /%zz/{x}", "/café/{y}"],
        ["get /a", "FETCH /a", "GET", "/{a}{b}", "/{a...}", "/{a:int}", "/a b", "/" + "a" * 200, "/a" * 64, "/a?b", "/\ud800"],
    ),
    "known_methods": (["GET", "POST", "PUT"], ["GET /", "", "é"]),
    "http.headers": (["x-request-id"], ["Authorization", "a b", ""]),
    "headers": (["x", ""], [" x", "\xa0x", "line\nbreak", "žluť", "caf\xe9", "x "]),
    "external_labels": (["a", ""], ["ü"]),
    "pipelines.exporters": (["otlp_grpc", "debug"], ["prometheus_remote_write", "x"]),
    "names": (["db"], [""]),
    "storage": (["", "/var/lib/queue"], ["a\0b"]),
    "server_name_override": ([""], ["host"]),
    "resource": (["shop"], ["", "\ud800", "ü"]),
}
KEYS: dict[str, tuple[list[str], list[str]]] = {
    "headers": (["x-a", "k-bin", "X.B"], ["a b", "grpc-timeout", "Content-Type", "Host", "_", "a!b", "", "te"]),
    "external_labels": (["a", "cluster"], ["a-b", "__x", ""]),
    "exporters": (
        ["otlp_grpc", "otlp_grpc/a", "prometheus_remote_write", "prometheus_remote_write/a", "debug"],
        ["otlp_grpc/", "zipkin"],
    ),
    "ports": (list(PROTOCOLS), ["http2", "ftp"]),
    "names": (["10.0.0.1", "::1"], ["fe80::1%eth0", "host", "10.1", ""]),
    "pipelines": (["traces", "metrics", "traces/a"], ["logs"]),
    "resource": (["service.name", "a"], [""]),
}
FORMS: dict[Any, tuple[list[Any], list[Any]]] = {
    bool: ([True, False], ["yes", 1]),
    int: ([1, 68, 1024, 65_535], [0, -1, 2, 65_536, 2**31 - 1, 2**31, 2**63, 10**30]),
    float: ([1.0, 2, 1.5], [0.5, 0, 1e308, -1]),
    Duration: (["1ns", "200ms", "5s", "1m30s", "23h"], ["0", "555h", "556h", "8760h", "9000h", "2562047h", "9999999h", "-1s", 5]),
    Size: (["64KiB", "1MiB", "8MiB", 70_000], ["0", "1", "1KiB", "1GiB", "2GiB", "1024GiB", "1025GiB", "99999999999GiB", "8MB"]),
    PortRange: ([80, "15000-15090", "1-65535"], [0, "9-1", "a"]),
}
ENVIRONMENTS = [
    {},
    {"OTEL_TRACES_SAMPLER": "always_off", "OTEL_PROPAGATORS": "b3,baggage"},
    {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317", "OTEL_EXPORTER_OTLP_HEADERS": "a=%C5%BE"},
    {"OTEL_EXPORTER_OTLP_ENDPOINT": "a..b:1", "OTEL_EXPORTER_OTLP_TIMEOUT": "99999999999999"},
    {"OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS": "GET,FE TCH", "OTEL_BSP_SCHEDULE_DELAY": "999999999999"},
    {"OTEL_SERVICE_NAME": "\udcff", "OTEL_RESOURCE_ATTRIBUTES": "a=b", "K8S_POD_NAME": "pod"},
    {"HTTP_PROXY": "http://a..b:1", "HTTPS_PROXY": "p:3128"},
]


@st.composite
def values(draw: st.DrawFn, kind: Any, path: tuple[str, ...] = ()) -> Any:
    """A value for the key at `path`: of the right form, but now and then one that should not be, seldom anything at all."""

    def rarely(times: int) -> bool:
        return draw(st.integers(1, times)) == times // 2  # not at an end: hypothesis is fond of those

    def one_of(good: list[Any], odd: list[Any]) -> Any:
        return draw(st.sampled_from(odd if odd and rarely(40) else good))

    if rarely(400):
        return draw(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just([]) | st.just({}))
    kind = kind.__origin__ if hasattr(kind, "__metadata__") else kind
    names = [name.partition("/")[0] for name in path]
    if isinstance(kind, type) and issubclass(kind, Section):
        given_fields = [
            field
            for field in fields(kind)
            # Maps of keys more often than keys: the deep ones are wanted as well.
            if field.name not in HIDDEN_FIELDS and draw(st.integers(1, 9)) < (8 if path in ((), ("receivers",)) else 4)
        ]
        return {field.name: draw(values(field.type, (*path, field.name))) for field in given_fields}
    if get_origin(kind) is dict:
        inner = get_args(kind)[1]
        keys = dict.fromkeys(one_of(*KEYS[names[-1]]) for _ in range(draw(st.integers(0, 2))))
        kinds = {key: EXPORTERS.get(key.partition("/")[0], str) if inner == Exporter else inner for key in keys}
        return {key: draw(values(each, (*path, key))) for key, each in kinds.items()}
    if get_origin(kind) is tuple:
        return [draw(values(get_args(kind)[0], path)) for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2])))]
    if get_origin(kind) in (Union, UnionType):
        return draw(values(draw(st.sampled_from(get_args(kind))), path))
    if get_origin(kind) is Literal:
        return draw(st.sampled_from(get_args(kind)))
    if kind is str:
        known = (".".join(names[-2:]), ".".join(names[-3::2]), names[-1], names[-2])
        good, odd = next((WORDS[key] for key in known if key in WORDS), ([""], []))
        return one_of(good, [*odd, draw(st.text(max_size=8))])
    return one_of(*FORMS[kind])


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(values(Config), st.sampled_from(ENVIRONMENTS))
def test_two_hundred_configurations_that_are_accepted_start(tree: dict[str, Any], environ: dict[str, str]) -> None:
    try:
        config = load([f"yaml:{yaml.safe_dump(tree).replace('$', '$$')}"], environ=environ).config
        check_filter(config.receivers.pcap.filter)  # as `validate` does
    except (ConfigError, FilterError):
        reject()  # does not count among the 200; four in ten are accepted
    with pytest.MonkeyPatch.context() as patch:
        start(config, patch)


def test_a_share_in_the_file_goes_over_the_sampler_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    service = start(load(["yaml:receivers: {pcap: {sampling: {default: 1.0}}}"]).config, monkeypatch)
    assert service.telemetry.sampler.should_export(bytes(16), False, 0)
    service = start(load().config, monkeypatch)
    assert not service.telemetry.sampler.should_export(b"\xff" * 16, False, 0)
    assert not service.telemetry.sampler.should_export(b"\xff" * 16, True, 1)  # always_off asks no caller


def test_what_the_structs_name_is_what_decoders_know() -> None:
    """Configuration is before them and cannot ask."""
    assert set(PROPAGATORS) | {"baggage", "none"} == set(trace_context.PROPAGATORS)
    # A port of HTTP is of both versions, one of MySQL of MariaDB as well, and what AMQP delivers is a part of it: the content says
    # which. Of AMQP 1.0 there is nothing to read.
    assert {row.name for row in registry.PROTOCOLS} - {"http2", "mariadb", "amqp_delivery", "amqp1"} <= set(PROTOCOLS)
