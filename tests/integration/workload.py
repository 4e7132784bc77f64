"""A scripted HTTP/1 workload whose two ends tell what the kernel's TCP did: `python workload.py serve|call ADDRESS PORT ...`.

    serve                     answers `POST /N` with N bytes; SIGTERM: prints a JSON list, a Connection for each that ended
    call CONNECTIONS AT_ONCE  keep-alive connections of some requests each, bodies both ways, the same in each run; prints the like

TCP_INFO is asked for when the connection has nothing more to say: at the server when the client's end has come, at the client
before it closes. So it counts all but the closing itself. Source: linux/tcp.h, struct tcp_info, as of Linux 4.19.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import socket
import struct
import sys
from typing import Any

PATIENCE_S = 60.0

# struct tcp_info: 8 bytes, 24 times 32 bits up to tcpi_total_retrans, then what is read here, up to tcpi_reord_seen.
_TCP_INFO = struct.Struct("=8x24I4Q6I4Q2I2Q2I")


def kernel_figures(stream: asyncio.StreamWriter) -> dict[str, int]:
    """Times in microseconds; segments and bytes count retransmissions too, but `bytes_acked`."""
    found = stream.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    fields = _TCP_INFO.unpack(found)
    return {
        "rtt": fields[15],
        "rttvar": fields[16],
        "advmss": fields[19],
        "snd_mss": fields[2],
        "total_retrans": fields[23],
        "bytes_acked": fields[26],
        "bytes_received": fields[27],
        "segs_out": fields[28],
        "segs_in": fields[29],
        "min_rtt": fields[31],
        "data_segs_in": fields[32],
        "data_segs_out": fields[33],
        "bytes_sent": fields[40],
        "bytes_retrans": fields[41],
        "dsack_dups": fields[42],
        "reord_seen": fields[43],
    }


async def serve(address: str, port: int) -> None:
    ended: list[dict[str, Any]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests = 0
        while head := await _head(reader):
            requests += 1
            await reader.readexactly(_length(head))
            size = int(head.split(b" ")[1][1:])
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"a" * size)
        peer_port = writer.get_extra_info("peername")[1]
        ended.append({"port": peer_port, "requests": requests, **kernel_figures(writer)})
        writer.close()

    server = await asyncio.start_server(answer, address, port, backlog=1024)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    print("ready", flush=True)
    await stopped.wait()
    server.close()
    print(json.dumps(ended), flush=True)


async def call(address: str, port: int, connections: int, at_once: int) -> None:
    ended: list[dict[str, Any]] = []
    places = asyncio.Semaphore(at_once)

    async def connection(number: int) -> None:
        script = random.Random(number)
        async with places:
            reader, writer = await asyncio.open_connection(address, port)
            requests = script.randint(2, 5)
            for _ in range(requests):
                body = script.choice((0, 300, 6_000))
                size = script.choice((200, 2_000, 20_000))
                writer.write(b"POST /%d HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % (size, body) + b"q" * body)
                head = await asyncio.wait_for(_head(reader), PATIENCE_S)
                assert _length(head) == size, head
                await asyncio.wait_for(reader.readexactly(size), PATIENCE_S)
            own_port = writer.get_extra_info("sockname")[1]
            ended.append({"port": own_port, "requests": requests, **kernel_figures(writer)})
            writer.close()

    await asyncio.gather(*(connection(number) for number in range(connections)))
    print(json.dumps(ended), flush=True)


async def _head(reader: asyncio.StreamReader) -> bytes:
    """A message's head, b"" when the connection has ended."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        assert not error.partial, error.partial
        return b""


def _length(head: bytes) -> int:
    return int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])


if __name__ == "__main__":
    kind, address, *numbers = sys.argv[1:]
    asyncio.run({"serve": serve, "call": call}[kind](address, *map(int, numbers)))
