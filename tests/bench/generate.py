"""Writes captures: HTTP/1 keep-alive connections, as many and as large as asked, the same bytes for the same seed.

Used by the benchmarks and by tests. Knows the wire formats and nothing of the receiver, so that what it writes is an
independent statement of what the receiver has to find: `Workload` tells how many roundtrips and packets it makes.

    python -m tests.bench.generate FILE --packets 320000
"""

from __future__ import annotations

import argparse
import heapq
import random
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

LINK_ETHERNET = 1
LINK_RAW = 101
LINK_SLL = 113

SYN, FIN, PSH, ACK = 0x02, 0x01, 0x08, 0x10

# What offload hands over in one piece: 45 segments of 1448 bytes, the most that fit an IPv4 packet of 65 535.
OFFLOADED = 45 * 1448

Packet = tuple[int, bytes]
"""A timestamp in Unix nanoseconds, and the frame."""


@dataclass(frozen=True)
class Workload:
    """HTTP/1.1 conversations between one client and one server on port `server_port`.

    Each connection is opened, carries `roundtrips_each` requests one after the other, and is closed. `mtu` is the
    largest IP packet (1500), or 0 for segments as offload makes them. `pure_acks` adds an empty acknowledgement behind
    each message, as slow conversations have. Requests are a GET of `/item/N`; all answers are 200 with `body_bytes` of
    body.
    """

    connections: int = 200
    roundtrips_each: int = 797
    body_bytes: int = 200
    mtu: int = 1500
    seed: int = 1
    link_type: int = LINK_ETHERNET
    ipv6: bool = False
    pure_acks: bool = False
    server_port: int = 8080
    start_ns: int = 1_700_000_000_000_000_000
    mean_gap_ns: int = 10_000_000
    request_headers: tuple[str, ...] = ("User-Agent: bench/1.0", "Accept: */*")

    @property
    def roundtrips(self) -> int:
        """What a reader has to find."""
        return self.connections * self.roundtrips_each

    @classmethod
    def of_packets(cls, packets: int, connections: int = 200, **rest: Any) -> Workload:
        """The workload of small messages (two packets a roundtrip) that comes nearest to `packets` from below."""
        each = (packets // connections - HANDSHAKE_PACKETS) // 2
        if each < 1:
            raise ValueError(f"{packets} packets are too few for {connections} connections")
        return cls(connections=connections, roundtrips_each=each, **rest)


HANDSHAKE_PACKETS = 6  # SYN, SYN-ACK, ACK; FIN, FIN-ACK, ACK


def packets(workload: Workload) -> Iterator[Packet]:
    """All packets of the workload, by time. Deterministic: the seed decides every gap and latency."""
    return heapq.merge(*(_connection(workload, n) for n in range(workload.connections)))


def unknown_flows(flows: int, text: bool, seed: int = 1) -> Iterator[Packet]:
    """Flows that are nothing known: each is opened, has four segments of 100 bytes in each direction, lines of text or random ones,
    and is closed."""
    rng = random.Random(seed)
    workload = Workload(server_port=9999)
    ts_ns = workload.start_ns
    for number in range(flows):
        client = _Side(workload, True, number // 40_000, 20_000 + number % 40_000, rng.getrandbits(32))
        server = _Side(workload, False, number // 40_000, 20_000 + number % 40_000, rng.getrandbits(32))
        frames = [client.frame(SYN, 0), server.frame(SYN | ACK, client.seq), client.frame(ACK, server.seq)]
        for turn in range(4):
            for side, other in ((client, server), (server, client)):
                payload = rng.randbytes(100)
                if text:
                    payload = b"%03d line %d " % (rng.randrange(200, 600), turn) + payload.hex().encode()[:85] + b"\r\n"
                frames.append(side.frame(PSH | ACK, other.seq, payload))
        frames += [client.frame(FIN | ACK, server.seq), server.frame(FIN | ACK, client.seq), client.frame(ACK, server.seq)]
        for frame in frames:
            ts_ns += 1000
            yield ts_ns, frame


def write_pcap(path: Path | str, frames: Iterable[Packet], link_type: int = LINK_ETHERNET, nanoseconds: bool = False) -> int:
    """Write a classic pcap file, little-endian, and return how many packets it has."""
    with Path(path).open("wb") as file:
        return _write(file, frames, link_type, nanoseconds)


def batches(frames: Iterable[Packet], size: int = 256) -> Iterator[tuple[bytes, bytes]]:
    """The packets as pcapy's `next_batch(size)` hands them over: all frames joined, and a record of four native uint32
    (seconds, microseconds, offset, captured length) for each."""
    joined, records = bytearray(), bytearray()
    pack = struct.Struct("=IIII").pack
    for ts_ns, frame in frames:
        seconds, rest_ns = divmod(ts_ns, 1_000_000_000)
        records += pack(seconds, rest_ns // 1000, len(joined), len(frame))
        joined += frame
        if len(records) == size * 16:
            yield bytes(joined), bytes(records)
            joined, records = bytearray(), bytearray()
    if records:
        yield bytes(joined), bytes(records)


def _write(file: BinaryIO, frames: Iterable[Packet], link_type: int, nanoseconds: bool) -> int:
    # [u32 magic][u16 2][u16 4][i32 zone 0][u32 0][u32 snaplen][u32 link type]      draft-ietf-opsawg-pcap, section 4
    file.write(struct.pack("<IHHiIII", 0xA1B23C4D if nanoseconds else 0xA1B2C3D4, 2, 4, 0, 0, 262_144, link_type))
    unit_ns = 1 if nanoseconds else 1000
    pack = struct.Struct("<IIII").pack
    count = 0
    for ts_ns, frame in frames:
        seconds, rest_ns = divmod(ts_ns, 1_000_000_000)
        file.write(pack(seconds, rest_ns // unit_ns, len(frame), len(frame)) + frame)
        count += 1
    return count


class _Side:
    """One direction's frame: everything before the TCP header's changing fields is the same in each packet."""

    def __init__(self, workload: Workload, to_server: bool, client_host: int, client_port: int, seq: int) -> None:
        self.seq = seq
        self._ports = (client_port, workload.server_port) if to_server else (workload.server_port, client_port)
        client, server = _addresses(workload.ipv6, client_host)
        self._ends = client + server if to_server else server + client
        self._ipv6 = workload.ipv6
        self._link = _link_header(workload.link_type, to_server, workload.ipv6)
        self._ident = seq & 0xFFFF

    def frame(self, flags: int, ack: int, payload: bytes = b"") -> bytes:
        """The next packet of this direction; advances `seq`."""
        tcp = struct.pack("!HHIIBBHHH", *self._ports, self.seq, ack, 5 << 4, flags, 64_240, 0, 0)
        self.seq = (self.seq + len(payload) + (1 if flags & (SYN | FIN) else 0)) & 0xFFFFFFFF
        if self._ipv6:
            ip = struct.pack("!IHBB", 6 << 28, len(tcp) + len(payload), 6, 64) + self._ends
        else:
            self._ident = (self._ident + 1) & 0xFFFF
            ip = _ipv4_header(20 + len(tcp) + len(payload), self._ident, self._ends)
        return self._link + ip + tcp + payload


def _connection(workload: Workload, number: int) -> Iterator[Packet]:
    rng = random.Random(f"{workload.seed}/{number}")
    # 40 000 connections from one address, then the next address: every pair of ends is its own.
    client = _Side(workload, True, number // 40_000, 20_000 + number % 40_000, rng.getrandbits(32))
    server = _Side(workload, False, number // 40_000, 20_000 + number % 40_000, rng.getrandbits(32))
    overhead = 60 if workload.ipv6 else 40
    mss = workload.mtu - overhead if workload.mtu else OFFLOADED
    # The beginnings are strewn over one gap, so that the connections take turns.
    ts_ns = workload.start_ns + rng.randrange(workload.mean_gap_ns)

    yield ts_ns, client.frame(SYN, 0)
    ts_ns += 20_000
    yield ts_ns, server.frame(SYN | ACK, client.seq)
    ts_ns += 20_000
    yield ts_ns, client.frame(ACK, server.seq)
    body = bytes(32 + (7 * i) % 95 for i in range(workload.body_bytes))
    answer = f"HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    headers = "".join(f"{line}\r\n" for line in ("Host: bench.test", *workload.request_headers))
    for turn in range(workload.roundtrips_each):
        ts_ns += int(rng.expovariate(1.0 / workload.mean_gap_ns)) + 1000
        request = f"GET /item/{turn} HTTP/1.1\r\n{headers}\r\n".encode()
        for piece in _pieces(request, mss):
            yield ts_ns, client.frame(PSH | ACK, server.seq, piece)
            ts_ns += 1000
        if workload.pure_acks:
            yield ts_ns, server.frame(ACK, client.seq)
        ts_ns += rng.randrange(100_000, 2_000_000)
        for piece in _pieces(answer, mss):
            yield ts_ns, server.frame(PSH | ACK, client.seq, piece)
            ts_ns += 1000
        if workload.pure_acks:
            yield ts_ns, client.frame(ACK, server.seq)
    ts_ns += 1_000_000
    yield ts_ns, client.frame(FIN | ACK, server.seq)
    ts_ns += 20_000
    yield ts_ns, server.frame(FIN | ACK, client.seq)
    ts_ns += 20_000
    yield ts_ns, client.frame(ACK, server.seq)


def _pieces(message: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(message), size):
        yield message[start : start + size]


def _addresses(ipv6: bool, client_host: int) -> tuple[bytes, bytes]:
    host = struct.pack("!H", client_host + 1)
    if ipv6:
        prefix = bytes.fromhex("20010db8") + bytes(10)
        return prefix + host, prefix + b"\xff\xff"
    return bytes((10, 1)) + host, bytes((10, 2, 0, 1))


def _link_header(link_type: int, to_server: bool, ipv6: bool) -> bytes:
    ethertype = b"\x86\xdd" if ipv6 else b"\x08\x00"
    client, server = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
    if link_type == LINK_ETHERNET:
        return (server + client if to_server else client + server) + ethertype
    if link_type == LINK_SLL:  # [u16 packet type][u16 ARPHRD 1][u16 address length][8 address][u16 protocol]
        return struct.pack("!HHH", 0 if to_server else 4, 1, 6) + (client if to_server else server) + b"\0\0" + ethertype
    if link_type == LINK_RAW:
        return b""
    raise ValueError(f"link type {link_type}")


def _ipv4_header(length: int, ident: int, ends: bytes) -> bytes:
    header = struct.pack("!BBHHHBBH", 0x45, 0, length, ident, 0x4000, 64, 6, 0) + ends
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~(total + (total >> 16)) & 0xFFFF
    return header[:10] + struct.pack("!H", checksum) + ends


def main() -> None:
    """The command: writes one file and says what is in it."""
    parser = argparse.ArgumentParser(description="Write a capture of HTTP/1 keep-alive connections.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--packets", type=int, default=320_000, help="of small messages; see --body for larger ones")
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--body", type=int, default=200, help="bytes")
    parser.add_argument("--mtu", type=int, default=1500, help="0: segments as offload makes them")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    workload = Workload.of_packets(args.packets, args.connections, body_bytes=args.body, mtu=args.mtu, seed=args.seed)
    count = write_pcap(args.file, packets(workload), workload.link_type)
    print(f"{args.file}: {count} packets, {workload.roundtrips} roundtrips in {workload.connections} connections")


if __name__ == "__main__":
    main()
