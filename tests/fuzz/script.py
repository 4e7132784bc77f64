"""How bytes become a connection, so that a fuzzer can change what is said, by whom, in which pieces, and what is lost.

    [u8 settings] steps: [u8 what][u16 n, little-endian] and for a feed n bytes, or as many as are left
     settings: 01 joined late, 02 chosen by content, 04 datagrams, 08 without detail, 10 seen from the client's side
     what: 01 to the client; the three bits above it: 0 to 4 feed, 5 a hole of n bytes, 6 FIN (n means nothing), 7 n seconds pass,
             and what reads datagrams serves another flow if it can
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tests.l7.harness import TO_CLIENT, TO_SERVER, Event

JOINED, BY_CONTENT, DATAGRAMS, NO_DETAIL, FROM_CLIENT = 0x01, 0x02, 0x04, 0x08, 0x10
FEED, GAP, CLOSE, WAIT = 0, 5, 6, 7


@dataclass(frozen=True)
class Step:
    kind: int
    direction: int
    number: int
    payload: bytes


@dataclass(frozen=True)
class Script:
    settings: int
    steps: tuple[Step, ...]

    @property
    def whole(self) -> bool:
        """Seen from its first byte to its last, and known to be what it is: nothing is left to chance."""
        return not self.settings & (JOINED | BY_CONTENT) and not any(step.kind == GAP for step in self.steps)


def parse(text: bytes) -> Script:
    settings = text[0] if text else 0
    steps: list[Step] = []
    at = 1
    while at + 3 <= len(text):
        kind = text[at] >> 1 & 7
        if kind < GAP:
            kind = FEED
        direction = TO_CLIENT if text[at] & 1 else TO_SERVER
        number = int.from_bytes(text[at + 1 : at + 3], "little")
        at += 3
        payload = b""
        if kind == FEED:
            payload = text[at : at + number]
            at += len(payload)
        steps.append(Step(kind, direction, number, payload))
    return Script(settings, tuple(steps))


def write(settings: int, events: Iterable[Event], limit: int) -> bytes:
    """The script of a recorded connection, of at most `limit` bytes: a longer one ends where a payload would not fit."""
    out = bytearray((settings,))
    for event in events:
        if event.payload is None:
            step = bytes((CLOSE << 1 | event.direction, 0, 0))
        else:
            step = bytes((FEED << 1 | event.direction,)) + len(event.payload).to_bytes(2, "little") + event.payload
        if len(out) + len(step) > limit:
            break
        out += step
    return bytes(out)
