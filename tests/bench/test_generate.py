"""The generator, read by dpkt and by pcapy."""

from __future__ import annotations

from pathlib import Path

import dpkt
import pcapy
import pytest

from tests.bench.generate import LINK_ETHERNET, LINK_SLL, Workload, batches, packets, write_pcap


def streams(workload: Workload) -> dict[tuple[bytes, int, bytes, int], bytes]:
    """Each direction's bytes as dpkt sees them; the generator loses nothing, so joining in order is enough."""
    found: dict[tuple[bytes, int, bytes, int], bytes] = {}
    for _, frame in packets(workload):
        link = dpkt.ethernet.Ethernet(frame) if workload.link_type == LINK_ETHERNET else dpkt.sll.SLL(frame)
        ip, tcp = link.data, link.data.data
        key = (ip.src, tcp.sport, ip.dst, tcp.dport)
        found[key] = found.get(key, b"") + tcp.data
    return found


@pytest.mark.parametrize(
    "workload",
    [
        Workload(connections=3, roundtrips_each=4),
        Workload(connections=2, roundtrips_each=2, body_bytes=100_000),
        Workload(connections=2, roundtrips_each=2, body_bytes=100_000, mtu=0, link_type=LINK_SLL),
        Workload(connections=2, roundtrips_each=3, ipv6=True, pure_acks=True),
    ],
    ids=["small", "mtu", "offload", "ipv6"],
)
def test_another_reader_finds_every_roundtrip(workload: Workload) -> None:
    requests, responses = 0, 0
    for (_, _, _, to_port), text in streams(workload).items():
        while text:
            if to_port == workload.server_port:
                message = dpkt.http.Request(text)
                assert message.method == "GET"
                requests += 1
            else:
                message = dpkt.http.Response(text)
                assert len(message.body) == workload.body_bytes
                responses += 1
            text = message.data
    assert (requests, responses) == (workload.roundtrips, workload.roundtrips)


def test_sequence_numbers_count_every_byte_and_flag() -> None:
    following: dict[tuple[bytes, int, int], int] = {}
    for _, frame in packets(Workload(connections=2, roundtrips_each=3)):
        ip = dpkt.ethernet.Ethernet(frame).data
        tcp = ip.data
        key = (ip.src, tcp.sport, tcp.dport)
        assert following.get(key, tcp.seq) == tcp.seq
        length = len(tcp.data) + bool(tcp.flags & dpkt.tcp.TH_SYN) + bool(tcp.flags & dpkt.tcp.TH_FIN)
        following[key] = (tcp.seq + length) % 2**32


def test_no_frame_exceeds_the_mtu() -> None:
    lengths = [len(frame) for _, frame in packets(Workload(connections=1, roundtrips_each=2, body_bytes=9_000, mtu=1500))]
    assert max(lengths) == 14 + 1500


def test_ip_checksum_is_right() -> None:
    for _, frame in packets(Workload(connections=1, roundtrips_each=1)):
        assert dpkt.in_cksum(frame[14:34]) == 0


def test_of_packets_writes_that_many(tmp_path: Path) -> None:
    workload = Workload.of_packets(1_000, connections=10)
    assert write_pcap(tmp_path / "a.pcap", packets(workload)) == 1_000


def test_same_seed_same_bytes_other_seed_others(tmp_path: Path) -> None:
    one, same, other = (list(packets(Workload(connections=5, roundtrips_each=5, seed=seed))) for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_batches_are_what_pcapy_reads_from_the_file(tmp_path: Path) -> None:
    workload = Workload(connections=4, roundtrips_each=20)
    write_pcap(tmp_path / "a.pcap", packets(workload))
    handle = pcapy.open_offline(str(tmp_path / "a.pcap"))
    read = []
    while (batch := handle.next_batch(50))[1]:
        read.append(batch)
    assert list(batches(packets(workload), 50)) == read


def test_timestamps_never_go_back() -> None:
    times = [ts_ns for ts_ns, _ in packets(Workload(connections=20, roundtrips_each=20))]
    assert times == sorted(times)
