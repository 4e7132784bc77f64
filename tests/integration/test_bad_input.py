"""What goes wrong from outside: one clear line and the promised exit code each time, never a traceback."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.integration.servers import Receiver, Site, program, receiver_command

EXIT_CONFIGURATION = 1
EXIT_CAPTURE = 3


def one_line(text: str) -> str:
    """The only line of an error message."""
    assert "Traceback" not in text
    (line,) = [line for line in text.splitlines() if line.strip()]
    return line


def test_interface_that_vanishes_ends_with_3(site: Site) -> None:
    receiver = site.receiver("receivers.pcap.interfaces=[eth0]")

    site.client.run("ip", "link", "delete", "eth0")

    assert receiver.wait() == EXIT_CAPTURE
    assert "eth0" in receiver.output()
    assert "Traceback" not in receiver.output()


def test_interface_that_does_not_exist_ends_with_3(site: Site) -> None:
    done = site.run_receiver("--set", "receivers.pcap.interfaces=[eth7]")
    assert done.returncode == EXIT_CAPTURE
    assert "eth7" in one_line(done.stderr)


def test_no_permission_ends_with_3_and_says_how_to_give_it(site: Site) -> None:
    bounded = [program("setpriv"), "--bounding-set=-net_raw,-net_admin", *receiver_command()]
    done = site.run_in_application(bounded)
    assert done.returncode == EXIT_CAPTURE
    assert "CAP_NET_RAW" in one_line(done.stderr)


@pytest.mark.parametrize(("port", "what"), [(13143, "health_check"), (8898, "metrics")])
def test_port_already_taken_is_said_with_its_address(site: Site, tmp_path: Path, port: int, what: str) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(Receiver.CONFIG)

    def listen() -> socket.socket:
        return socket.create_server(("127.0.0.1", port))

    with site.application.call(listen):
        done = site.run_receiver("--config", str(config))
    assert done.returncode == EXIT_CONFIGURATION
    line = one_line(done.stderr)
    assert f":{port}" in line
    assert what in line


def test_garbage_is_not_a_capture_file(site: Site, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.pcap"
    garbage.write_bytes(b"no magic here, and more of it")
    done = site.run_receiver("--set", f"receivers.pcap.files=[{garbage}]")
    assert done.returncode == EXIT_CONFIGURATION
    assert f"not a capture file: {garbage}" in one_line(done.stderr)


def test_empty_file_is_not_a_capture_file(site: Site, tmp_path: Path) -> None:
    (tmp_path / "empty.pcap").touch()
    done = site.run_receiver("--set", f"receivers.pcap.files=[{tmp_path}/empty.pcap]")
    assert done.returncode == EXIT_CONFIGURATION
    assert f"not a capture file: {tmp_path}/empty.pcap" in one_line(done.stderr)


def test_unknown_key_is_named_with_its_path_and_the_nearest_known_one(site: Site) -> None:
    done = site.run_receiver("--set", "receivers.pcap.interface=[eth0]")
    assert done.returncode == EXIT_CONFIGURATION
    line = one_line(done.stderr)
    assert "receivers.pcap.interface" in line
    assert "interfaces" in line.replace("receivers.pcap.interface", "", 1)


def test_unknown_option_is_a_usage_error(site: Site) -> None:
    assert site.run_receiver("--no-such-option").returncode == 2


def test_health_without_a_running_receiver_is_1(site: Site) -> None:
    assert site.run_receiver("health").returncode == 1


def test_health_of_a_running_receiver_is_0(site: Site) -> None:
    site.receiver()
    assert site.run_receiver("health").returncode == 0
