"""What can happen to packets between two hosts, in a capture's ring, and in its file; the same for the same seed.

Harmless, since all bytes are there: packets that come twice, a few places late, cut in two, two in one, with other sequence numbers
(that wrap), again after they were lost on the way; probes, resets out of any window, and repetitions with another content, which no
receiver takes. Loss: packets that the capture dropped, singly and in runs; cut short; too late; the start of a connection; one of
its directions. What loss hit stands in `hit`, by the number of the packet in the capture.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tests.damage.packets import ACK, FIN, RST, SYN, TCP, WRAP, Capture, Flow, Packet, minus, plus

# What a ring may mix up, and a stream puts in order again (GRACE_* of stream.py), with room for what else happens nearby.
NEAR_US = 10_000
NEAR_PACKETS = 2
APART = 12
# A repetition comes soon; a connection that is over is remembered for two seconds.
AGAIN_US = 1_000_000
AGAIN_PACKETS = 10
COALESCED_MAX = 60_000


@dataclass
class Damaged:
    """`hit`: packets of which something that counts is gone; `moved`, `cut` and `twice`: those that came late, in pieces, again.
    `operations`: all that the truth tells of."""

    capture: Capture
    packets: list[Packet]
    hit: set[int] = field(default_factory=set)
    moved: set[int] = field(default_factory=set)
    cut: set[int] = field(default_factory=set)
    twice: set[int] = field(default_factory=set)
    said: list[str] = field(default_factory=list)
    operations: set[str | None] = field(default_factory=set)

    def of(self, flow: Flow) -> list[int]:
        """Where the packets of a flow are."""
        return [i for i, packet in enumerate(self.packets) if packet.flow == flow]

    def of_flow(self, flow: Flow) -> set[int]:
        """The numbers of a flow's packets."""
        return {n for packet in self.capture.packets if packet.flow == flow for n in packet.origins}

    def lose(self, packet: Packet) -> None:
        if packet.matters:
            self.hit |= packet.origins

    def tell(self, what: str, *about: object) -> None:
        self.said.append(" ".join((what, *map(str, about))))


def number(packet: Packet) -> str:
    return "+".join(map(str, sorted(packet.origins)))


# --- harmless ---


def renumber(damaged: Damaged, rng: random.Random) -> None:
    """Other initial sequences, that wrap in the middle of what is sent."""
    for flow in damaged.capture.flows:
        if flow[2] != TCP or rng.random() < 0.3:
            continue
        places = damaged.of(flow)
        shifts = [0, 0]
        for source in (0, 1):
            sent = [damaged.packets[i] for i in places if damaged.packets[i].source == source]
            if sent:
                some = rng.choice(sent)
                shifts[source] = (WRAP - some.seq - rng.randrange(some.length + 1)) % WRAP
        damaged.tell("renumber", *shifts)
        for i in places:
            packet = damaged.packets[i]
            seq = plus(packet.seq, shifts[packet.source])
            ack = plus(packet.ack, shifts[1 - packet.source]) if packet.flags & ACK else packet.ack
            damaged.packets[i] = replace(packet, seq=seq, ack=ack)


def split(damaged: Damaged, rng: random.Random) -> None:
    """One segment in two or three."""
    choice = [
        i
        for i, packet in enumerate(damaged.packets)
        if packet.is_tcp
        and 1 < packet.wire_length == len(packet.payload)
        and not packet.flags & (SYN | RST)
        and not packet.origins & damaged.moved  # in pieces it would be more places late
    ]
    if not choice:
        return
    i = rng.choice(choice)
    packet = damaged.packets[i]
    size = len(packet.payload)
    cuts = sorted({rng.randrange(1, size) for _ in range(rng.choice((1, 1, 2)))})
    pieces = []
    for start, end in zip([0, *cuts], [*cuts, size], strict=True):
        flags = packet.flags if end == size else packet.flags & ~FIN
        part = packet.payload[start:end]
        seq = plus(packet.seq, start)
        pieces.append(replace(packet, payload=part, wire_length=len(part), seq=seq, flags=flags))
    damaged.packets[i : i + 1] = pieces
    damaged.cut |= packet.origins
    damaged.tell("split", number(packet), "at", *cuts)


def coalesce(damaged: Damaged, rng: random.Random) -> None:
    """Two segments that follow each other in one, as offload does."""
    last: dict[Flow, int] = {}
    choice = []
    for i, packet in enumerate(damaged.packets):
        if packet.flow is None:
            continue
        before = last.get(packet.flow)
        last[packet.flow] = i
        if before is not None and joins(damaged.packets[before], packet):
            choice.append((before, i))
    if not choice:
        return
    i, j = rng.choice(choice)
    first, second = damaged.packets[i], damaged.packets[j]
    damaged.packets[j] = replace(
        second,
        seq=first.seq,
        payload=first.payload + second.payload,
        wire_length=first.wire_length + second.wire_length,
        origins=first.origins | second.origins,
    )
    del damaged.packets[i]
    damaged.tell("coalesce", number(first), number(second))


def joins(first: Packet, second: Packet) -> bool:
    """Whether offload would: not where the second acknowledges more (tcp_gro_receive in Linux)."""
    return (
        first.is_tcp
        and first.source == second.source
        and first.ack == second.ack
        and 0 < first.wire_length == len(first.payload)
        and 0 < second.wire_length == len(second.payload)
        and not first.flags & (SYN | RST | FIN)
        and not second.flags & (SYN | RST)
        and plus(first.seq, first.length) == second.seq
        and first.wire_length + second.wire_length <= COALESCED_MAX
        and second.ts_us - first.ts_us <= NEAR_US
    )


def move(damaged: Damaged, rng: random.Random) -> None:
    """A packet comes one or two places late (a swap is the shortest of it), as rings and paths do."""
    flow = rng.choice(damaged.capture.flows)
    places = damaged.of(flow)
    if len(places) < 2:
        return
    at = rng.randrange(len(places) - 1)
    to = min(len(places) - 1, at + rng.randint(1, NEAR_PACKETS))
    between = [damaged.packets[i] for i in places[at : to + 1]]
    near = [damaged.packets[i] for i in places[max(0, at - APART) : to + APART]]
    packet, target = between[0], between[-1]
    if any(other.flags & RST or other.origins & damaged.cut for other in between) or target.ts_us - packet.ts_us > NEAR_US:
        return
    if any(other.origins & damaged.moved for other in near):
        return
    del damaged.packets[places[at]]
    damaged.packets.insert(places[to], replace(packet, ts_us=target.ts_us))
    for other in between:
        damaged.moved |= other.origins
        if flow[2] != TCP:
            damaged.hit |= other.origins  # nothing puts datagrams in order again
    damaged.tell("move", number(packet), "behind", number(target))


def resend(damaged: Damaged, rng: random.Random) -> None:
    """A segment was lost on the way to here, and is sent again behind others of its sender; nobody has acknowledged it by then."""
    flow = rng.choice(damaged.capture.flows)
    places = damaged.of(flow)
    choice = [at for at, i in enumerate(places) if damaged.packets[i].is_tcp and damaged.packets[i].wire_length]
    if not choice:
        return
    at = rng.choice(choice)
    packet = damaged.packets[places[at]]
    to = at
    held = 0
    for after in places[at + 1 :]:
        other = damaged.packets[after]
        if other.flags & (SYN | RST) or other.ts_us - packet.ts_us > 4_000_000 or other.origins & damaged.moved:
            break
        if other.source == packet.source:
            held += other.wire_length + 1000
            if minus(other.ack, packet.ack) > 0 or held > 30_000:
                break  # the other side has said something: it saw the segment
        elif other.matters:
            break
        to += 1
        if to - at > 12 or rng.random() < 0.2:
            break
    near = [damaged.packets[i] for i in places[max(0, at - APART) : to + APART]]
    if to == at or any(other.origins & damaged.moved for other in near):
        return
    for between in places[at + 1 : to + 1]:
        other = damaged.packets[between]
        if other.source != packet.source and minus(other.ack, packet.seq) > 0:
            damaged.packets[between] = replace(other, ack=packet.seq)
        damaged.moved |= other.origins
    target = damaged.packets[places[to]]
    del damaged.packets[places[at]]
    damaged.packets.insert(places[to], replace(packet, ts_us=target.ts_us, ack=max_ack(packet, target)))
    damaged.moved |= packet.origins
    damaged.tell("resend", number(packet), "behind", number(target))


def max_ack(packet: Packet, target: Packet) -> int:
    """What its sender has acknowledged by then."""
    if target.source == packet.source and minus(target.ack, packet.ack) > 0:
        return target.ack
    return packet.ack


def soon(damaged: Damaged, rng: random.Random, i: int) -> int | None:
    """Where a repetition of packet `i` may stand; none behind another connection's beginning or this one's reset."""
    packet = damaged.packets[i]
    places = [j for j in damaged.of(packet.flow) if j >= i] if packet.flow is not None else []
    allowed = []
    for j in places[: AGAIN_PACKETS + 1]:
        other = damaged.packets[j]
        if other.ts_us - packet.ts_us > AGAIN_US or (j > i and other.flags & (SYN | RST)):
            break
        allowed.append(j)
    return rng.choice(allowed) if allowed else None


def again(damaged: Damaged, rng: random.Random) -> None:
    """A packet comes twice, as it is or with another content; or something that only looks like more: a probe, a blind reset."""
    i = rng.randrange(len(damaged.packets))
    packet = damaged.packets[i]
    after = soon(damaged, rng, i)
    if after is None:
        return
    kinds = ["double"]
    if packet.is_tcp and not packet.flags & (SYN | RST):
        kinds += ["keep-alive", "probe"]
        if packet.payload:  # before, nobody knows where the direction is
            kinds += ["echo", "echo", "blind reset"]
    kind = rng.choice(kinds)
    copy = replace(packet, ts_us=damaged.packets[after].ts_us, again=True)
    old = plus(packet.seq, -1)
    if kind == "echo":
        start = rng.randrange(len(packet.payload))
        end = rng.randrange(start, len(packet.payload)) + 1
        other = bytes(b ^ 0x55 for b in packet.payload[start:end]) if rng.random() < 0.7 else packet.payload[start:end]
        seq = plus(packet.seq, start)
        copy = replace(copy, payload=other, wire_length=end - start, seq=seq, flags=packet.flags & ~FIN)
    elif kind == "keep-alive":
        copy = replace(copy, payload=b"", wire_length=0, seq=old, flags=ACK)
    elif kind == "probe":
        before = [other for other in damaged.packets[:i] if other.flow == packet.flow and other.source == packet.source]
        if not before or len(before[-1].payload) != before[-1].length or plus(before[-1].seq, before[-1].length) != packet.seq:
            return
        copy = replace(copy, payload=before[-1].payload[-1:], wire_length=len(before[-1].payload[-1:]), seq=old, flags=ACK)
    elif kind == "blind reset":
        seq = plus(packet.seq, rng.choice((-100_000, -(1 << 30), 1_500_000_000)))
        copy = replace(copy, payload=b"", wire_length=0, seq=seq, flags=RST)
    damaged.packets.insert(after + 1, copy)
    damaged.twice |= packet.origins
    damaged.tell(kind, number(packet), "behind", number(damaged.packets[after]))


# --- loss ---


def drop(damaged: Damaged, rng: random.Random) -> None:
    """One packet, or some in a row, are not in the capture."""
    count = rng.choice((1, 1, 1, 2, 3, 8))
    i = rng.randrange(len(damaged.packets))
    gone = damaged.packets[i : i + count]
    del damaged.packets[i : i + count]
    for packet in gone:
        damaged.lose(packet)
    damaged.tell("drop", *map(number, gone))


def drop_of_flow(damaged: Damaged, rng: random.Random) -> None:
    """One that carries something."""
    choice = [i for i, packet in enumerate(damaged.packets) if packet.wire_length]
    if choice:
        i = rng.choice(choice)
        damaged.lose(damaged.packets[i])
        damaged.tell("drop", number(damaged.packets[i]))
        del damaged.packets[i]


def shorten(damaged: Damaged, rng: random.Random) -> None:
    """The capture has less of one packet than there was."""
    choice = [i for i, packet in enumerate(damaged.packets) if packet.payload]
    if choice:
        i = rng.choice(choice)
        packet = damaged.packets[i]
        kept = rng.randrange(len(packet.payload))
        damaged.packets[i] = replace(packet, payload=packet.payload[:kept])
        damaged.lose(packet)
        damaged.tell("shorten", number(packet), "to", kept)


def delay(damaged: Damaged, rng: random.Random) -> None:
    """One packet comes when nobody waits for it any more."""
    i = rng.randrange(len(damaged.packets))
    packet = damaged.packets[i]
    to = rng.randint(i, min(len(damaged.packets) - 1, i + 60))
    late = replace(packet, ts_us=damaged.packets[to].ts_us)
    del damaged.packets[i]
    damaged.packets.insert(to, late)
    damaged.lose(packet)
    damaged.tell("delay", number(packet), "by", to - i)


def snap(damaged: Damaged, rng: random.Random) -> None:
    """A short snaplen."""
    size = rng.choice((68, 96, 128, 200, 400))
    for i, packet in enumerate(damaged.packets):
        room = max(0, size - len(packet.head))
        if len(packet.payload) > room:
            damaged.packets[i] = replace(packet, payload=packet.payload[:room])
            damaged.lose(packet)
    damaged.tell("snap", size)


def join_late(damaged: Damaged, rng: random.Random) -> None:
    """The capture began in the middle; of one connection, or of all."""
    flows = [rng.choice(damaged.capture.flows)] if rng.random() < 0.5 else damaged.capture.flows
    for flow in flows:
        places = damaged.of(flow)
        gone = places[: rng.randrange(len(places) + 1)]
        for i in reversed(gone):
            damaged.lose(damaged.packets[i])
            del damaged.packets[i]
        damaged.tell("join late", len(gone), "of", len(places))


def one_side(damaged: Damaged, rng: random.Random) -> None:
    """One direction of a connection goes another way."""
    flow = rng.choice(damaged.capture.flows)
    source = rng.randrange(2)
    for i in reversed(damaged.of(flow)):
        if damaged.packets[i].source == source:
            damaged.lose(damaged.packets[i])
            del damaged.packets[i]
    damaged.tell("one side", damaged.capture.flows.index(flow), source)


Step = Callable[[Damaged, random.Random], None]
HARMLESS: tuple[Step, ...] = (split, split, coalesce, move, move, resend)
LOSS: tuple[Step, ...] = (drop, drop_of_flow, drop_of_flow, shorten, delay)
PLANS = ("harmless", "harmless", "one loss", "one loss", "some loss", "much loss", "join", "one side", "snap", "join and loss")


def damage(capture: Capture, seed: int) -> Damaged:
    """`capture`, damaged by `seed`. What comes again comes last, so that it repeats what is really there."""
    rng = random.Random(f"{capture.name} {seed}")
    damaged = Damaged(capture, list(capture.packets))
    if not capture.flows:
        return damaged
    plan = rng.choice(PLANS)
    damaged.tell(f"[{plan}]")
    many = max(1, len(capture.packets) // 20)
    if rng.random() < 0.4:
        renumber(damaged, rng)
    for _ in range(rng.randint(0, many * 2)):
        rng.choice(HARMLESS)(damaged, rng)
    if "join" in plan:
        join_late(damaged, rng)
    if plan == "one side":
        one_side(damaged, rng)
    if plan == "snap":
        snap(damaged, rng)
    losses = {"one loss": 1, "join and loss": 1, "some loss": rng.randint(2, 5), "much loss": many * 2}.get(plan, 0)
    for _ in range(losses):
        if damaged.packets:
            rng.choice(LOSS)(damaged, rng)
    for _ in range(rng.randint(0, many * 2) if damaged.packets else 0):
        again(damaged, rng)
    hurt_near(damaged)
    return damaged


def hurt_near(damaged: Damaged) -> None:
    """What came late near a hole may come too late for it."""
    for flow in damaged.capture.flows:
        numbers = [min(packet.origins) for packet in damaged.capture.packets if packet.flow == flow]
        hurt = [at for at, n in enumerate(numbers) if n in damaged.hit]
        for at, n in enumerate(numbers):
            if n in damaged.moved and any(abs(at - other) <= APART for other in hurt):
                damaged.hit.add(n)
