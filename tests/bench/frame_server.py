"""An HTTP/2 server that answers with as many bytes as the path says, in one DATA frame, and as late: run by `servers`.

    frame_server.py ADDRESS PORT            GET /BYTES/MILLISECONDS

Servers in use keep to frames of 16 KB; a client that allows it may get a megabyte in one. Knows nothing of flow control: the
window of the client must be large enough.
"""

from __future__ import annotations

import asyncio
import sys

from hpack import Decoder, Encoder

DATA, HEADERS, SETTINGS = 0, 1, 4
ACK, END_STREAM, END_HEADERS, PADDED, PRIORITY = 1, 1, 4, 8, 0x20


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def answer(writer: asyncio.StreamWriter, answers: Encoder, stream: int, body: bytes) -> None:
    block = answers.encode([(":status", "200"), ("content-length", str(len(body) - 9))])
    writer.write(frame(HEADERS, END_HEADERS, stream, block) + body[:5] + stream.to_bytes(4, "big") + body[9:])


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    asks, answers = Decoder(), Encoder()
    bodies: dict[int, bytes] = {}
    loop = asyncio.get_running_loop()
    try:
        await reader.readexactly(24)
        writer.write(frame(SETTINGS, 0, 0))
        while True:
            head = await reader.readexactly(9)
            payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
            if kind == SETTINGS and not flags & ACK:
                writer.write(frame(SETTINGS, ACK, 0))
            if kind != HEADERS:
                continue
            if flags & PADDED:
                payload = payload[1 : len(payload) - payload[0]]
            path = dict(asks.decode(payload[5 if flags & PRIORITY else 0 :], raw=True))[b":path"]
            size, delay_ms = map(int, path[1:].split(b"/"))
            body = bodies.setdefault(size, frame(DATA, END_STREAM, 0, bytes(size)))
            if delay_ms:
                loop.call_later(delay_ms / 1000, answer, writer, answers, stream, body)
            else:
                answer(writer, answers, stream, body)
                await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, sys.argv[1], int(sys.argv[2]))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
