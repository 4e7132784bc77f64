"""What addresses are called is known again after a restart, from a file that may be anything by then."""

from __future__ import annotations

import logging
import stat
import time
import zlib
from pathlib import Path
from typing import Any

import dns.message
import dns.rrset
import pytest

from receiver.build import known_names
from receiver.config import Config, Duration, Layer4, OtlpGrpcExporter, PcapReceiver, Pipeline, Receivers, SendingQueue
from receiver.config import Service as ServiceSettings
from receiver.known_names import FRESH_S, KEPT_S, READ_MAX, TITLE, KnownNames
from receiver.service import Service
from receiver.wire.names import NAMES_MAX, Names
from tests.pcap.packets import Line, Wire, ip, udp

SECOND = 1_000_000_000
NOW_S = 1_800_000_000
NOW = NOW_S * SECOND
ADDRESS, ADDRESS6 = bytes((10, 0, 0, 2)), bytes.fromhex("20010db8" + "0" * 23 + "7")


def kept(folder: Path, names: Names, in_use: dict[bytes, str] | None = None, steady_ns: int = NOW) -> KnownNames:
    known = KnownNames(str(folder))
    known.write(known.text(names, in_use or {}, steady_ns, NOW_S))
    return known


def restored(folder: Path, now_ns: int = NOW) -> Names:
    names = Names()
    KnownNames(str(folder)).restore(names, now_ns)
    return names


def test_names_come_back_with_the_time_that_they_have_left(tmp_path: Path) -> None:
    names = Names()
    names.learn(ADDRESS, "shop.test", 3600, NOW)
    names.learn(ADDRESS6, "six.test", 1000, NOW)
    kept(tmp_path, names)
    again = restored(tmp_path, NOW + 600 * SECOND)
    assert again.name_of(ADDRESS, NOW + 3599 * SECOND) == "shop.test"
    assert again.name_of(ADDRESS, NOW + 3601 * SECOND) is None
    assert again.name_of(ADDRESS6, NOW + 999 * SECOND) == "six.test"


def test_a_name_that_a_connection_has_is_kept_whatever_its_answer_said(tmp_path: Path) -> None:
    """The pool holds it since yesterday."""
    kept(tmp_path, Names(), {ADDRESS: "db.test"})
    again = restored(tmp_path, NOW + 200 * SECOND)
    assert again.name_of(ADDRESS, NOW + 200 * SECOND + KEPT_S * SECOND - 1) == "db.test"
    assert again.name_of(ADDRESS, NOW + 200 * SECOND + KEPT_S * SECOND) is None


def test_the_latest_answer_goes_before_what_a_connection_had(tmp_path: Path) -> None:
    names = Names()
    names.learn(ADDRESS, "new.test", 3600, NOW)
    kept(tmp_path, names, {ADDRESS: "old.test"})
    assert restored(tmp_path).name_of(ADDRESS, NOW) == "new.test"


def test_what_the_user_or_the_hosts_file_says_is_not_kept(tmp_path: Path) -> None:
    kept(tmp_path, Names({"10.0.0.2": "mine.test"}), {ADDRESS: "mine.test"})
    assert restored(tmp_path).size() == 0


def test_of_an_old_file_only_what_is_true_still_is_believed(tmp_path: Path) -> None:
    names = Names()
    names.learn(ADDRESS, "day.test", 86_400, NOW)
    names.learn(ADDRESS6, "minute.test", 60, NOW)
    kept(tmp_path, names)
    later = NOW + (FRESH_S + 1) * SECOND
    again = restored(tmp_path, later)
    assert (again.name_of(ADDRESS, later), again.name_of(ADDRESS6, later)) == ("day.test", None)
    assert restored(tmp_path, NOW + 86_401 * SECOND).size() == 0


def test_a_clock_that_was_set_makes_no_name_last_longer_than_a_day(tmp_path: Path) -> None:
    names = Names()
    names.learn(ADDRESS, "day.test", 86_400, NOW)
    kept(tmp_path, names)
    earlier = NOW - 3600 * SECOND
    again = restored(tmp_path, earlier)
    assert again.name_of(ADDRESS, earlier + 86_399 * SECOND) == "day.test"
    assert again.name_of(ADDRESS, earlier + 86_401 * SECOND) is None


def test_steady_time_and_the_clock_outside_may_differ(tmp_path: Path) -> None:
    names = Names()
    names.learn(ADDRESS, "a.test", 1000, 5 * SECOND)
    kept(tmp_path, names, steady_ns=105 * SECOND)
    again = restored(tmp_path)
    assert again.name_of(ADDRESS, NOW + 899 * SECOND) == "a.test"
    assert again.name_of(ADDRESS, NOW + 901 * SECOND) is None


def whole(*lines: str) -> bytes:
    rest = "".join(f"{line}\n" for line in lines).encode()
    return TITLE + b"%08x\n" % zlib.crc32(rest) + rest


GOOD = whole(str(NOW_S), f"{NOW_S + 500} 10.0.0.2 a.test")
BAD = {
    "empty": b"",
    "another file": b"\x89PNG\r\n\x1a\n" + bytes(1000),
    "cut short": GOOD[:-3],
    "a byte changed": GOOD.replace(b"a.test", b"b.test"),
    "another version": GOOD.replace(b"names 1", b"names 2"),
    "of the future": whole(str(NOW_S + 90_000), f"{NOW_S + 500} 10.0.0.2 a.test"),
    "no time": whole("then", f"{NOW_S + 500} 10.0.0.2 a.test"),
    "no address": whole(str(NOW_S), f"{NOW_S + 500} here a.test"),
    "words missing": whole(str(NOW_S), "10.0.0.2 a.test"),
    "no text": TITLE + b"%08x\n" % zlib.crc32(b"\xff\xfe") + b"\xff\xfe",
    "nothing behind the title": TITLE + b"00000000\n",
    "too long": whole(str(NOW_S), *([f"{NOW_S + 500} 10.0.0.2 a.test"] * (READ_MAX // 20))),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_damaged_is_told_of_and_not_used(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "names").write_bytes(BAD[name])
    with caplog.at_level(logging.WARNING):
        assert restored(tmp_path).size() == 0
    assert len(caplog.records) == 1


def test_names_and_addresses_that_nobody_may_have_are_left_out(tmp_path: Path) -> None:
    odd = ["127.0.0.1 a.test", "224.0.0.1 a.test", "::1 a.test", "10.0.0.3 a\\032b", "10.0.0.4 " + "a" * 300, "10.0.0.5 good.test"]
    (tmp_path / "names").write_bytes(whole(str(NOW_S), *(f"{NOW_S + 500} {line}" for line in odd)))
    names = restored(tmp_path)
    assert [(address, name) for address, name, _ in names.told(NOW)] == [(bytes((10, 0, 0, 5)), "good.test")]


def test_no_file_is_no_fault(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert restored(tmp_path / "new").size() == 0
    assert not caplog.records


def test_the_file_is_bounded(tmp_path: Path) -> None:
    names = Names()
    long = ("a" * 63 + ".") * 3 + "b" * 61
    for i in range(NAMES_MAX + 10):
        names.learn(bytes.fromhex("20010db8") + i.to_bytes(12, "big"), long, 600, NOW)
    in_use = {bytes((10, 1, i >> 8, i & 255)): long for i in range(NAMES_MAX)}
    kept(tmp_path, names, in_use)
    assert (tmp_path / "names").stat().st_size < READ_MAX
    assert restored(tmp_path).size() == NAMES_MAX


def test_the_file_is_private_and_takes_the_place_of_the_old_one_at_once(tmp_path: Path) -> None:
    kept(tmp_path, Names(), {ADDRESS: "a.test"})
    assert stat.S_IMODE((tmp_path / "names").stat().st_mode) == 0o600
    with (tmp_path / "names").open("rb") as old:
        kept(tmp_path, Names(), {ADDRESS: "b.test"})
        assert b"a.test" in old.read()  # whoever reads it has it whole
    assert [path.name for path in tmp_path.iterdir()] == ["names"]


def test_a_directory_that_cannot_be_written_is_told_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    known = KnownNames(str(tmp_path / "file"))
    for _ in range(3):
        known.write(b"x")
    assert len(caplog.records) == 1


# --- the service ---


def make_service(storage: Path, **pcap: Any) -> Service:
    exporter = OtlpGrpcExporter(sending_queue=SendingQueue(storage=str(storage)))
    return Service(
        Config(
            receivers=Receivers(pcap=PcapReceiver(interfaces=("lo",), local_addresses=("10.0.0.1",), **pcap)),
            exporters={"otlp_grpc": exporter},
            service=ServiceSettings(
                pipelines={"metrics": Pipeline(receivers=("pcap",), exporters=("otlp_grpc",))}, shutdown_timeout=Duration(0.1)
            ),
        )
    )


def labels(service: Service) -> set[str]:
    """What the server is called in the metrics of its calls and connections."""
    return {
        str(dict(point.attributes)["server.address"])
        for metric in service.snapshot().metrics
        for point in metric.points
        if "server.address" in dict(point.attributes) and dict(point.attributes)["server.port"] == 8080
    }


def call(line: Line) -> None:
    line.c(b"GET / HTTP/1.1\r\nHost: 10.0.0.2\r\n\r\n").s(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize("ttl_s", [5, 3600])
def test_a_server_has_one_name_before_and_after_a_restart(ttl_s: int, tmp_path: Path) -> None:
    """The application asked once, and holds the connection since: after the restart no answer is seen."""
    first = make_service(tmp_path)
    wire = Wire(first.engine)
    wire.ns = time.time_ns()
    asked = dns.message.make_query("orders.shop.test", "A", id=7)
    told = dns.message.make_response(asked)
    told.answer.append(dns.rrset.from_text("orders.shop.test.", ttl_s, "IN", "A", "10.0.0.2"))
    wire.packet(ip("10.0.0.1", "10.0.0.53", 17, udp(40000, 53, asked.to_wire()), 1))
    wire.packet(ip("10.0.0.53", "10.0.0.1", 17, udp(53, 40000, told.to_wire()), 2))
    line = Line(wire).opened()
    for _ in range(10):
        call(line)
        wire.ns += 20 * SECOND  # the answer is long forgotten
    assert labels(first) == {"orders.shop.test"}
    first.finish()

    second = make_service(tmp_path)
    known = known_names(second.config)
    assert known is not None and second.engine.table.names is not None
    wire = Wire(second.engine)
    wire.ns = first.engine.now_ns + 5 * SECOND
    known.restore(second.engine.table.names, wire.ns)
    line.wire = wire
    call(line)
    call(Line(wire, ports=(40001, 8080), isn=(5, 6)).opened())
    wire.wait(2)
    assert labels(second) == {"orders.shop.test"}


def test_without_layer_4_open_connections_keep_their_names_as_well(tmp_path: Path) -> None:
    service = make_service(tmp_path, layer4=Layer4(enabled=False))
    names = service.engine.table.names
    assert names is not None
    names.learn(ADDRESS, "shop.test", 60, time.time_ns())
    call(Line(_Bare(service)).opened())
    assert service.engine.table.names_in_use() == {ADDRESS: "shop.test"}


class _Bare(Wire):
    """Packets for an engine without layer 4."""

    def __init__(self, service: Service) -> None:
        self.engine = service.engine
        self.link_type = 12
        self.ns = time.time_ns()
        self.ident = 0


def test_no_storage_keeps_no_names() -> None:
    config = Config(
        receivers=Receivers(pcap=PcapReceiver(interfaces=("lo",))),
        exporters={"otlp_grpc": OtlpGrpcExporter()},
        service=ServiceSettings(pipelines={"metrics": Pipeline(receivers=("pcap",), exporters=("otlp_grpc",))}),
    )
    assert known_names(config) is None
