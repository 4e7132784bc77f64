"""The commands: exit codes and what is printed, as the manual says."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from receiver import __version__
from receiver.cli import main
from receiver.config import Config, ConfigError, Fault
from receiver.health import PageServer, health_page
from receiver.privileges import may_capture
from receiver.settings.loader import reload

ROOT = Path(__file__).parents[1]
Out = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("OTEL_", "K8S_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """The rooms that capture, replaced at their door: what is under test is what reaches them."""
    calls: list[tuple[str, Any]] = []

    def take(name: str, function: Callable[..., int]) -> None:
        module = ModuleType(f"receiver.{name}")
        setattr(module, "run" if name == "service" else name, function)
        monkeypatch.setitem(sys.modules, f"receiver.{name}", module)

    def note(name: str, what: object) -> int:
        calls.append((name, what))
        return 0

    take("service", lambda config: note("run", config))
    take("watch", lambda config, table: note("watch", (config, table)))
    take("demo", lambda: note("demo", None))
    return calls


def _python(*arguments: str, code: str | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *(("-c", code) if code else ("-m", "receiver.cli")), *arguments]
    environ = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], **environ}
    return subprocess.run(command, capture_output=True, text=True, env=environ, timeout=60, check=False)


def test_validate_says_nothing_when_all_is_well(capsys: Out) -> None:
    assert main(["validate"]) == 0
    assert capsys.readouterr() == ("", "")


def test_validate_has_one_line_for_each_fault(capsys: Out) -> None:
    sets = ["--set", "receivers.pcap.snaplenn=1", "--set", "exporters.otlp_grpc.endpoint=x"]
    assert main(["validate", *sets]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "receivers.pcap.snaplenn: unknown key, did you mean snaplen?",
        "exporters.otlp_grpc.endpoint: takes host:port, has no port",
    ]


def test_validate_compiles_the_filter(capsys: Out) -> None:
    assert main(["validate", "--set", "receivers.pcap.filter=tcp port 80 and not host 10.0.0.1"]) == 0
    assert main(["validate", "--set", "receivers.pcap.filter=tcp prt 80"]) == 1
    assert capsys.readouterr().err.startswith("receivers.pcap.filter: ")


def test_options_before_and_after_the_command_add_up(tmp_path: Path, capsys: Out) -> None:
    (tmp_path / "a.yaml").write_text("receivers: {pcap: {snaplen: 100, detect: true}}")
    (tmp_path / "b.yaml").write_text("receivers: {pcap: {snaplen: 200}}")
    before = ["--config", str(tmp_path / "a.yaml"), "--set", "receivers.pcap.request_timeout=1s"]
    after = ["--config", str(tmp_path / "b.yaml"), "--set", "receivers.pcap.request_timeout=2s"]
    assert main([*before, "print-config", *after]) == 0
    pcap = yaml.safe_load(capsys.readouterr().out)["receivers"]["pcap"]
    assert (pcap["snaplen"], pcap["request_timeout"]) == (200, "2s")


def test_print_config_has_defaults_environment_and_no_secret(monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%205550123")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "cart")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "1")
    monkeypatch.setenv("OTEL_PROPAGATORS", "b3,tracecontext")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
    assert main(["print-config"]) == 0
    out, err = capsys.readouterr()
    tree = yaml.safe_load(out)
    assert tree["exporters"]["otlp_grpc"]["headers"] == {"authorization": "[REDACTED]"}
    assert "5550123" not in out + err
    assert tree["service"]["resource"]["service.name"] == "cart"
    assert tree["receivers"]["pcap"]["flows"]["max"] == 65536
    assert tree["receivers"]["pcap"]["traces"]["propagators"] == ["b3", "tracecontext"]
    assert tree["receivers"]["pcap"]["traces"]["respect_sampled"] is False
    assert tree["receivers"]["pcap"]["sampling"]["default"] == 0.25
    assert err.startswith("pcap-receiver: warning: OTEL_BSP_MAX_QUEUE_SIZE ")


def test_components_is_yaml_without_anchors(capsys: Out) -> None:
    assert main(["components"]) == 0
    out = capsys.readouterr().out
    tree = yaml.safe_load(out)
    assert "&" not in out
    assert tree["buildinfo"]["version"] == __version__
    assert [row["name"] for row in tree["exporters"]] == ["otlp_grpc", "prometheus_remote_write", "debug"]
    assert [row["name"] for row in tree["extensions"]] == ["health_check"]


def test_components_lists_the_protocols_of_the_registry(monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    class Row:
        name, stability = "http", "beta"

    registry = ModuleType("receiver.l7.registry")
    registry.PROTOCOLS = (Row(),)  # type: ignore[attr-defined]  # a module made here
    monkeypatch.setitem(sys.modules, "receiver.l7.registry", registry)
    main(["components"])
    assert yaml.safe_load(capsys.readouterr().out)["protocols"] == [{"name": "http", "stability": "beta"}]


def test_interfaces_lists_loopback_with_its_addresses(capsys: Out) -> None:
    assert main(["interfaces"]) == 0
    out = capsys.readouterr().out
    lines = {line.split()[0]: line for line in out.splitlines() if line}
    assert out.startswith("any ")
    assert "127.0.0.1" in lines["lo"]
    assert (lines["capture:"] == "capture: permitted") == may_capture()


def test_health_of_a_running_one(capsys: Out) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = PageServer(f"127.0.0.1:{port}", {"/": health_page(time.monotonic)}, key="k", name="n")
    server.start()
    assert main(["health", "--set", f"extensions.health_check.endpoint=127.0.0.1:{port}"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "Server available"
    assert main(["health", "--endpoint", f"localhost:{port}", "--timeout", "500ms"]) == 0
    server.close()
    capsys.readouterr()
    assert main(["health", "--endpoint", f"127.0.0.1:{port}"]) == 1
    assert capsys.readouterr() == ("", f"127.0.0.1:{port}: Connection refused\n")


def test_health_of_no_endpoint_is_usage(capsys: Out) -> None:
    assert main(["health", "--endpoint", "nowhere"]) == 2
    assert "--endpoint: takes host:port" in capsys.readouterr().err


def test_run_without_a_command(started: list[tuple[str, Any]]) -> None:
    assert main(["--set", "receivers.pcap.files=[a.pcap]"]) == 0
    [(command, config)] = started
    assert (command, config.receivers.pcap.files, config.receivers.pcap.interfaces) == ("run", ("a.pcap",), ())
    assert config.origin.sets == ("receivers.pcap.files=[a.pcap]",)


def test_debug_goes_over_the_configuration_when_it_is_read_again_too(started: list[tuple[str, Any]], tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("service: {telemetry: {logs: {level: warn}}}")
    assert main(["--config", str(file), "--debug"]) == 0
    ((_, config),) = started
    assert config.service.telemetry.logs.level == "debug"
    assert reload(config).config.service.telemetry.logs.level == "debug"


def test_run_gives_the_status_of_the_service(started: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["receiver.service"], "run", lambda config: 3)
    assert main([]) == 3


def test_watch_opens_and_exports_nothing(started: list[tuple[str, Any]]) -> None:
    options = ["-i", "lo", "--protocol", "http:8080", "--protocol", "http:80", "--filter", "net 10.0.0.0/8"]
    assert main(["watch", *options, "--table"]) == 0
    [(_, (config, table))] = started
    assert isinstance(config, Config)
    assert table is True
    pcap = config.receivers.pcap
    assert (pcap.interfaces, pcap.ports, pcap.filter) == (("lo",), {"http": (8080, 80)}, "net 10.0.0.0/8")
    assert (config.exporters, config.service.pipelines, config.service.extensions) == ({}, {}, ())
    assert config.service.telemetry.metrics.level == "none"


def test_watch_a_file_over_the_interfaces_of_a_configuration(started: list[tuple[str, Any]]) -> None:
    source = "yaml:receivers: {pcap: {interfaces: [eth0]}}"
    assert main(["watch", "-r", "$a: [b].pcap", "--config", source]) == 0
    [(_, (config, table))] = started
    assert table is False
    assert (config.receivers.pcap.files, config.receivers.pcap.interfaces) == (("$a: [b].pcap",), ())


def test_watch_without_options_is_on_any(started: list[tuple[str, Any]]) -> None:
    assert main(["watch"]) == 0
    assert started[0][1][0].receivers.pcap.interfaces == ("any",)


def test_demo(started: list[tuple[str, Any]]) -> None:
    assert main(["demo"]) == 0
    assert started == [("demo", None)]


@pytest.mark.parametrize(
    "arguments",
    [["nothing"], ["--nothing"], ["watch", "--protocol", "http"], ["watch", "--protocol", "x:1"],
     ["watch", "--protocol", "http:65536"], ["health", "--timeout", "-1"], ["health", "--timeout", "0"],
     ["--conf", "x"]],
)
def test_wrong_command_line_exits_2(arguments: list[str], capsys: Out) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ConfigError((Fault("a.b", "is wrong"),)), 1, "a.b: is wrong"),
        (PermissionError("CAP_NET_RAW is missing"), 3, "pcap-receiver: not permitted: CAP_NET_RAW is missing"),
        (OSError(24, "Too many open files"), 1, "pcap-receiver: [Errno 24] Too many open files"),
        (
            ZeroDivisionError("x"),
            1,
            "pcap-receiver: a defect of pcap-receiver: ZeroDivisionError: x; --debug shows where",
        ),
    ],
)
def test_no_traceback_reaches_a_user(
    error: Exception,
    status: int,
    line: str,
    started: list[tuple[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: Out,
) -> None:
    def run(config: Config) -> int:
        raise error

    monkeypatch.setattr(sys.modules["receiver.service"], "run", run)
    assert main([]) == status
    assert capsys.readouterr().err == f"{line}\n"
    assert main(["--debug"]) == status
    assert "Traceback" in capsys.readouterr().err


def test_interrupt_is_130(started: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    def run(config: Config) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["receiver.service"], "run", run)
    assert main([]) == 130


def test_version_and_help() -> None:
    assert _python("--version").stdout == f"pcap-receiver version {__version__}\n"
    text = _python("--help").stdout
    for word in (
        "validate",
        "components",
        "print-config",
        "watch",
        "demo",
        "health",
        "interfaces",
        "--config",
        "--set",
    ):
        assert word in text


def test_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m receiver.cli print-config | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_validate_imports_nothing_that_captures_or_sends() -> None:
    code = "import sys; from receiver.cli import main; main(['validate']); print(*sys.modules)"
    imported = set(_python(code=code).stdout.split())
    assert "receiver.settings.loader" in imported
    assert not imported & {
        "grpc",
        "requests",
        "pcapy",
        "dpkt",
        "google.protobuf",
        "http.server",
        "http.client",
        "asyncio",
    }


def test_what_exports_nothing_is_not_stopped_by_what_the_environment_exports_by(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    assert main(["validate"]) == 1
    assert "OTEL_EXPORTER_OTLP_PROTOCOL: http/protobuf is not spoken" in capsys.readouterr().err
    assert main(["health"]) == 1
    assert "OTEL_" not in capsys.readouterr().err
