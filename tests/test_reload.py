"""A configuration that is read again while it runs: each key takes effect, or a line of the log says that it did not."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from msgspec.structs import fields, replace

from receiver import service as module
from receiver.build import make_exporter
from receiver.config import (
    Config,
    DebugExporter,
    Duration,
    OtlpGrpcExporter,
    PcapReceiver,
    Pipeline,
    PortRange,
    PrometheusRemoteWriteExporter,
    Receivers,
    Section,
    Size,
    Tls,
)
from receiver.config import Service as ServiceSettings
from receiver.export.own import OwnSockets
from receiver.logs import LineFormatter
from receiver.service import Service
from receiver.settings import again, loader

SECRET = "hunter2-never-leaves"

BASE = Config(
    receivers=Receivers(pcap=PcapReceiver(interfaces=("lo",), local_addresses=("10.2.0.1",))),
    exporters={
        "otlp_grpc": OtlpGrpcExporter(endpoint="127.0.0.1:9", tls=Tls(insecure=True)),
        "prometheus_remote_write": PrometheusRemoteWriteExporter(endpoint="http://127.0.0.1:9/write"),
        "debug": DebugExporter(),
    },
    service=ServiceSettings(
        pipelines={
            "traces": Pipeline(exporters=("otlp_grpc", "debug")),
            "metrics": Pipeline(exporters=("otlp_grpc", "prometheus_remote_write", "debug")),
        },
        shutdown_timeout=Duration(0.1),
    ),
)

# Where any text would not do.
VALUES: dict[str, Any] = {
    "exporters.otlp_grpc.endpoint": "127.0.0.1:7",
    "exporters.otlp_grpc.headers": {"authorization": SECRET},
    "exporters.prometheus_remote_write.endpoint": f"http://user:{SECRET}@127.0.0.1:7/write",
    "exporters.prometheus_remote_write.headers": {"authorization": SECRET},
    "exporters.otlp_grpc.sending_queue.storage": "/dev/null/spool",
    "exporters.prometheus_remote_write.sending_queue.storage": "/dev/null/spool",
    "receivers.pcap.http.routes": ("/some/{thing}",),
    "service.pipelines.traces.exporters": ("debug",),
    "service.pipelines.metrics.exporters": ("debug",),
}


def leaves(path: str, kind: Any, value: Any) -> Iterator[tuple[str, Any, Any]]:
    """Every key of the schema by path, with its type and its value in BASE; a map of the base has a key for each entry."""
    if path.endswith(".receivers"):
        return  # takes [pcap] and nothing else
    if isinstance(value, Section):
        for field in fields(type(value)):
            if field.name != "origin":
                yield from leaves(f"{path}.{field.name}" if path else field.name, field.type, getattr(value, field.name))
    elif isinstance(value, dict) and value:
        for name, entry in value.items():
            yield from leaves(f"{path}.{name}", type(entry), entry)
    else:
        yield path, kind, value


def other(path: str, kind: Any, value: Any) -> Any:
    """Another value of the type."""
    if path in VALUES:
        return VALUES[path]
    if hasattr(kind, "__metadata__"):
        kind = kind.__origin__
    origin = get_origin(kind)
    if origin is dict:
        return {"x": other(f"{path}.x", get_args(kind)[1], None)}
    if origin is tuple:
        return value[:-1] if value else (other(f"{path}[]", get_args(kind)[0], None),)
    if origin in (Union, UnionType):
        return ("10.0.0.9",) if value == "auto" else "text"
    if origin is Literal:
        return next((word for word in get_args(kind) if word != value), value)  # there may be but one
    if kind is bool:
        return not value
    if kind is PortRange:
        return PortRange(1, 2)
    if kind is str:
        return "text"
    if kind is float:
        return 0.5 if value != 0.5 else 0.25
    assert kind in (int, Duration, Size), f"{path}: {kind}"
    return kind((value or 0) + 1)


def with_value(at: Any, keys: list[str], value: Any) -> Any:
    """`at` with one of its keys changed."""
    if not keys:
        return value
    if isinstance(at, dict):
        return at | {keys[0]: with_value(at.get(keys[0]), keys[1:], value)}
    return replace(at, **{keys[0]: with_value(getattr(at, keys[0]), keys[1:], value)})


KEYS = {path: new for path, kind, value in leaves("", Config, BASE) if (new := other(path, kind, value)) != value}


def changed(path: str) -> Config:
    new: Config = with_value(BASE, path.split("."), KEYS[path])
    assert new != BASE
    return new


def formats_json() -> list[bool]:
    formatters = [handler.formatter for handler in logging.getLogger().handlers]
    return [formatter._json_lines for formatter in formatters if isinstance(formatter, LineFormatter)]


# What tells that a key took effect, for each of `again.TAKEN`.
EFFECTS: dict[str, Callable[[Service], object]] = {
    "exporters.otlp_grpc": lambda service: id(service.exporters["otlp_grpc"]),
    "exporters.prometheus_remote_write": lambda service: id(service.exporters["prometheus_remote_write"]),
    "exporters.debug": lambda service: id(service.exporters["debug"]),
    "receivers.pcap.http.route_patterns": lambda service: service.telemetry.metrics.apart,
    "receivers.pcap.http.routes": lambda service: service.telemetry.metrics.routes.template(b"/some/17"),
    "receivers.pcap.sampling.default": lambda service: service.telemetry.sampler.ratio,
    "receivers.pcap.traces.respect_sampled": lambda service: service.telemetry.sampler.should_export(bytes(16), True, 0, b""),
    "service.pipelines.traces": lambda service: [exporter.name for exporter in service.span_exporters],
    "service.pipelines.metrics": lambda service: [exporter.name for exporter, _ in service.metric_exporters],
    "service.resource": lambda service: service.resource,
    "service.shutdown_timeout": lambda service: service.config.service.shutdown_timeout,
    "service.telemetry.logs.encoding": lambda service: formats_json(),
    "service.telemetry.logs.level": lambda service: logging.getLogger().level,
}


@pytest.fixture
def service() -> Iterator[Service]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    service = Service(BASE)
    yield service
    service.finish()
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def read_again(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[[Service, Config], list[str]]:
    """Reload with a configuration; what was logged of it."""

    def read(service: Service, new: Config) -> list[str]:
        monkeypatch.setattr(loader, "reload", lambda _: loader.Loaded(new))
        caplog.clear()
        with caplog.at_level(logging.INFO, logger=module.__name__):
            service.reload()
            service.tick(0)
        return [record.getMessage() for record in caplog.records if record.name == module.__name__]

    return read


def test_the_schema_is_walked() -> None:
    assert len(KEYS) > 80
    assert set(KEYS) >= {
        "receivers.pcap.snaplen",
        "receivers.pcap.ports",
        "service.telemetry.logs.level",
        "exporters.otlp_grpc.sending_queue.batch.max_size",
        "extensions.health_check.endpoint",
    }
    assert all(any(path == key or path.startswith(f"{key}.") for path in KEYS) for key in again.TAKEN)


@pytest.mark.parametrize("path", KEYS)
def test_each_key_takes_effect_or_is_said_not_to(
    path: str, service: Service, read_again: Callable[[Service, Config], list[str]]
) -> None:
    effect = next((EFFECTS[key] for key in EFFECTS if path == key or path.startswith(f"{key}.")), None)
    before = effect(service) if effect is not None else None
    said = read_again(service, changed(path))
    assert SECRET not in "\n".join(said)
    refused = [line for line in said if line.startswith("not reloaded: ")]
    left = [line for line in said if line.endswith("was not taken: it needs a restart")]
    if refused:
        assert path.startswith("exporters."), said
        # A certificate and its key need each other: the one that is missing is named.
        assert path.startswith(refused[0].split(": ")[1]) or path.endswith(("tls.cert_file", "tls.key_file")), said
        assert service.config == BASE
    elif left:
        assert len(left) == 1
        assert left[0].startswith(path)
        assert service.config == BASE
        assert said[-1] == "configuration reloaded: nothing that takes effect has changed"
    else:
        assert effect is not None, f"{path} takes effect, by {again.TAKEN}: say in EFFECTS how that is seen"
        assert effect(service) != before
        assert service.config == changed(path)
        assert said[-1].startswith(f"configuration reloaded: {path}")


def test_values_are_told_as_they_are_written(service: Service, read_again: Callable[[Service, Config], list[str]]) -> None:
    pcap = replace(
        BASE.receivers.pcap, snaplen=256, ports={"redis": (7000, 7001)}, filter="port 80", request_timeout=Duration(90)
    )
    said = read_again(service, replace(BASE, receivers=Receivers(pcap=pcap)))
    end = " was not taken: it needs a restart"
    assert set(said[:-1]) == {
        f"receivers.pcap.snaplen: 65535 -> 256{end}",
        f"receivers.pcap.ports.redis: (none) -> [7000,7001]{end}",
        f'receivers.pcap.filter: "" -> port 80{end}',
        f"receivers.pcap.request_timeout: 30s -> 1m30s{end}",
    }


def test_what_was_not_taken_is_said_again_the_next_time(
    service: Service, read_again: Callable[[Service, Config], list[str]]
) -> None:
    new = changed("receivers.pcap.snaplen")
    assert read_again(service, new) == read_again(service, new)
    assert read_again(service, BASE) == ["configuration reloaded: nothing that takes effect has changed"]


def test_new_routes_name_what_comes_and_the_counts_go_on(
    service: Service, read_again: Callable[[Service, Config], list[str]]
) -> None:
    routes = service.telemetry.metrics.routes
    routes.overflowed = 3
    read_again(service, changed("receivers.pcap.http.routes"))
    assert service.telemetry.metrics.routes.template(b"/some/17") == "/some/{thing}"
    assert service.telemetry.metrics.routes.overflowed == 3


def test_what_was_not_counted_from_the_start_refuses_the_file(
    service: Service, read_again: Callable[[Service, Config], list[str]]
) -> None:
    (line,) = read_again(service, with_value(BASE, ["exporters", "prometheus_remote_write", "histograms"], "vmrange"))
    assert line.startswith("not reloaded: exporters.prometheus_remote_write.histograms: vmrange needs a restart")
    without = with_value(BASE, ["service", "pipelines"], {"metrics": Pipeline(exporters=("debug",))})
    second = Service(without)
    (line,) = read_again(second, BASE)
    assert line.startswith("not reloaded: service.pipelines.traces: needs a restart")
    second.finish()


def test_without_a_pipeline_no_spans_are_made_and_with_one_again(
    service: Service, read_again: Callable[[Service, Config], list[str]]
) -> None:
    read_again(service, with_value(BASE, ["service", "pipelines"], {"metrics": Pipeline(exporters=("debug",))}))
    assert not service.telemetry.sampler.should_export(bytes(16), False, -1, b"")
    read_again(service, BASE)
    assert service.telemetry.sampler.should_export(bytes(16), False, -1, b"")


def test_a_spool_that_cannot_be_used_changes_nothing(
    service: Service, read_again: Callable[[Service, Config], list[str]], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    before = dict(service.exporters)
    storage = ["exporters", "otlp_grpc", "sending_queue", "storage"]
    (line,) = read_again(service, with_value(BASE, storage, str(tmp_path / "file")))
    assert line.startswith("not reloaded: exporters.otlp_grpc.sending_queue.storage: ")
    assert service.exporters == before
    assert service.config == BASE


def test_an_exporter_gives_its_spool_to_the_one_that_replaces_it(
    service: Service, read_again: Callable[[Service, Config], list[str]], tmp_path: Path
) -> None:
    storage = ["exporters", "otlp_grpc", "sending_queue", "storage"]
    spooled = with_value(BASE, storage, str(tmp_path))
    read_again(service, spooled)
    changed = with_value(spooled, ["exporters", "otlp_grpc", "timeout"], Duration(7))
    assert read_again(service, changed) == ["configuration reloaded: exporters.otlp_grpc.timeout"]
    for thread in [thread for thread in threading.enumerate() if thread.name == "exporter-ending"]:
        thread.join(10)
    heir = service.exporters["otlp_grpc"]
    assert all(stats.spool_errors == 0 for _, _, stats in heir.signals())
    # It has begun, and holds the directory: nobody else is there.
    with pytest.raises(OSError, match="in use"):
        make_exporter("otlp_grpc", changed.exporters["otlp_grpc"], service.resource, OwnSockets()).start()
