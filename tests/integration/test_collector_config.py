"""Every file under collector-config/ is accepted by the program that it is for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.namespaces import run
from tests.integration.servers import RECEIVER_ENV, ROOT, program

FOLDER = ROOT / "collector-config"
FOR_COLLECTOR = ["minimal.yaml", "gateway.yaml"]
FOR_RECEIVER = ["pcap-receiver.yaml", "pcap-receiver-victoria-metrics.yaml"]
DEPLOYMENTS = ["kubernetes.yaml", "compose.yaml"]
UNIT = "pcap-receiver.service"


def receiver_accepts(config: Path) -> None:
    environment = [f"{key}={value}" for key, value in RECEIVER_ENV.items()]
    done = run("env", *environment, sys.executable, "-m", "receiver", "--config", str(config), "validate", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_file_is_checked_here() -> None:
    files = {path.name for path in FOLDER.iterdir() if path.suffix in (".yaml", ".service")}
    assert files == {*FOR_COLLECTOR, *FOR_RECEIVER, *DEPLOYMENTS, UNIT}


@pytest.mark.parametrize("name", FOR_COLLECTOR)
def test_collector_accepts(name: str) -> None:
    run(program("otelcol"), "validate", "--config", str(FOLDER / name))


def test_collector_refuses_a_key_that_it_does_not_know(tmp_path: Path) -> None:
    """`validate` checks keys inside components, so that the test above says something."""
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text((FOLDER / "gateway.yaml").read_text().replace("decision_wait", "decision_weight"))
    done = run(program("otelcol"), "validate", "--config", str(wrong), check=False)
    assert done.returncode == 1
    assert "decision_weight" in done.stderr


@pytest.mark.parametrize("name", FOR_RECEIVER)
def test_receiver_accepts(name: str) -> None:
    receiver_accepts(FOLDER / name)


def test_kubernetes_manifest_is_a_native_sidecar_with_a_config_that_the_receiver_accepts(tmp_path: Path) -> None:
    config_map, deployment = yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text())
    config = tmp_path / "config.yaml"
    config.write_text(config_map["data"]["config.yaml"])
    receiver_accepts(config)

    pod = deployment["spec"]["template"]["spec"]
    sidecar = pod["initContainers"][0]
    assert sidecar["restartPolicy"] == "Always"
    assert "readinessProbe" not in sidecar
    assert sidecar["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_RAW"]}
    assert sidecar["securityContext"]["readOnlyRootFilesystem"] is True
    for probe in ("startupProbe", "livenessProbe"):
        assert sidecar[probe]["exec"]["command"] == [*entry_point(), "health"]
    application = {container["name"] for container in pod["containers"]}
    assert {item["value"] for item in sidecar["env"] if item["name"] == "K8S_CONTAINER_NAME"} == application


def test_compose_file_names_files_that_are_there_and_gives_one_capability() -> None:
    services: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    receiver = services["pcap-receiver"]
    assert (receiver["cap_drop"], receiver["cap_add"]) == (["ALL"], ["NET_RAW"])
    assert receiver["network_mode"] == "service:shop"
    mounted = [volume.partition(":")[0] for service in services.values() for volume in service.get("volumes", [])]
    assert mounted
    assert all((FOLDER / path).is_file() for path in mounted)


def test_collector_accepts_the_compose_file_s_arguments() -> None:
    command = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]["collector"]["command"]
    arguments = [argument.replace("/etc/otelcol/config.yaml", str(FOLDER / "minimal.yaml")) for argument in command]
    run(program("otelcol"), "validate", *arguments)


def test_systemd_accepts_the_unit_and_it_gives_one_capability(tmp_path: Path) -> None:
    text = (FOLDER / UNIT).read_text()
    assert "\nAmbientCapabilities=CAP_NET_RAW\nCapabilityBoundingSet=CAP_NET_RAW\n" in text
    unit = tmp_path / "pcap-receiver.service"
    # It is looked for by systemd: any program that can be executed here.
    unit.write_text(text.replace("/opt/pcap-receiver/bin/pcap-receiver ", f"{sys.executable} "))
    done = run(program("systemd-analyze"), "verify", "--man=no", str(unit), check=False)
    about_it = [line for line in done.stderr.splitlines() if "pcap-receiver" in line]
    assert (done.returncode, about_it) == (0, [])


def test_systemd_refuses_a_unit_that_is_wrong(tmp_path: Path) -> None:
    """So that the test above says something."""
    unit = tmp_path / "pcap-receiver.service"
    unit.write_text((FOLDER / UNIT).read_text().replace("AmbientCapabilities=", "AmbientCapabilitys="))
    done = run(program("systemd-analyze"), "verify", "--man=no", str(unit), check=False)
    assert "AmbientCapabilitys" in done.stderr


def entry_point() -> list[str]:
    """The image's, which a probe must call as well: only this interpreter carries the capability."""
    (line,) = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("ENTRYPOINT ")]
    entry: list[str] = yaml.safe_load(line.removeprefix("ENTRYPOINT "))
    return entry
