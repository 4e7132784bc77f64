"""The harness that every decoder passes: the same bytes, cut, followed, broken off and damaged in every way.

A vector is what a real client and a real server said to each other (`tests/vectors/`), and the roundtrips that this
makes by the client's own account or by the specification. Each `feed_*` drives a fresh Conversation and returns what
came out of it. The tests call `check_vector`, which says what must hold in each case.

Pieces are fed out of the middle of larger buffers whose other bytes would be noticed, so a read beyond its window
shows.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from receiver.l7 import conversation
from receiver.l7.conversation import Conversation, open_conversation
from receiver.l7.detect import Detector
from receiver.l7.matcher import Pairing
from receiver.l7.reading import Reading
from receiver.l7.trust import Trust
from receiver.wire.records import OUTCOMES, Connection, Endpoints, Message, Protocol, Roundtrip, Sink

VECTORS = Path(__file__).parent.parent / "vectors"

COMPILED = not str(conversation.__file__).endswith(".py")

# The compiled package has these as C enums (`wire/records.pxd`), which cannot be imported here.
TO_SERVER, TO_CLIENT = 0, 1
SERVER_SIDE, CLIENT_SIDE = 0, 1
OUTCOME_CLOSED = OUTCOMES.index("closed")

START_NS = 1_700_000_000_000_000_000
STEP_NS = 1_000_000

# A vector with more bytes than this is cut at a sample of the places: every run feeds the whole vector again.
PLACES_MAX = 500 if COMPILED else 90
SHARE_MIN = 8 if COMPILED else 4  # of each event


@dataclass(frozen=True)
class Event:
    """Bytes of one direction as they came, or its end (`payload` None)."""

    direction: int
    payload: bytes | None
    ts_ns: int


@dataclass(frozen=True)
class Vector:
    """`expected`: one mapping for each roundtrip, in the order of their ends; `about`: where the vector came from.

    An expected name is a slot of Message (`operation`, `status`, ...), `outcome`, or an attribute. None means absent.
    """

    name: str
    protocol: str
    events: Sequence[Event]
    expected: Sequence[Mapping[str, Any]]
    about: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def exchange(*turns: tuple[int, bytes | None]) -> list[Event]:
    """Events one millisecond apart."""
    return [Event(direction, payload, START_NS + i * STEP_NS) for i, (direction, payload) in enumerate(turns)]


def load(path: Path) -> Vector:
    """Read a vector file: a JSON object a line; first where it came from, then the events, last the roundtrips."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    events: list[Event] = []
    expected: list[dict[str, Any]] = []
    for line in lines[1:]:
        if "expect" in line:
            expected.append(line["expect"])
            continue
        direction = TO_SERVER if line["to"] == "server" else TO_CLIENT
        payload = line["text"].encode("latin-1") if "text" in line else None
        if payload is not None:
            payload += payload[-1:] * line.get("times", 0)
        events.append(Event(direction, payload, START_NS + line["us"] * 1000))
    return Vector(path.stem, lines[0]["protocol"], events, expected, lines[0])


def load_all(folder: str) -> list[Vector]:
    found = [load(path) for path in sorted((VECTORS / folder).glob("*.jsonl"))]
    assert found, f"no vectors in {folder}"
    return found


SLOTS = {"url.path": "path", "url.query": "query", "url.scheme": "namespace"}
"""What a span calls some of the slots that have no attribute."""


@dataclass(frozen=True)
class Said:
    """What a message said, without what depends on when and in how many pieces it came."""

    operation: str | None
    target: str | None
    namespace: str | None
    summary: str | None
    version: str | None
    status: Any
    error_type: str | None
    error_side: int
    server_address: str | None
    server_port: int
    trace_id: bytes | None
    parent_id: bytes | None
    trace_flags: int
    tracestate: bytes | None
    path: bytes | None
    query: bytes | None
    attributes: tuple[tuple[str, Any], ...]

    @staticmethod
    def of(message: Message) -> Said:
        flat = list(message.attributes or ())
        if message.body >= 0:
            flat += [f"http.{'response' if message.direction == TO_CLIENT else 'request'}.body.size", message.body]
        return Said(
            message.operation,
            message.target,
            message.namespace,
            message.summary,
            message.version,
            message.status,
            message.error_type,
            message.error_side,
            message.server_address,
            message.server_port,
            message.trace_id,
            message.parent_id,
            message.trace_flags,
            message.tracestate,
            message.path,
            message.query,
            tuple(zip(flat[::2], flat[1::2], strict=True)),
        )


@dataclass(frozen=True)
class Seen:
    """A roundtrip, copied out of the one that is used again and again."""

    protocol: str
    outcome: str
    request: Said
    response: Said | None
    times: tuple[int, ...]
    sizes: tuple[int, ...]
    end_ns: int

    @property
    def paired(self) -> bool:
        return self.outcome in ("ok", "error", "unknown")

    def content(self) -> tuple[Any, ...]:
        return self.outcome, self.request, self.response

    def __getitem__(self, name: str) -> Any:
        """A value by the name that it has in a vector's expectations."""
        if name in ("outcome", "protocol"):
            return getattr(self, name)
        answers = name in ("status", "error_type", "error_side", "version")
        for said in (self.response, self.request) if answers else (self.request, self.response):
            if said is None:
                continue
            value = getattr(said, SLOTS.get(name, name), None)
            if value is not None:
                return value.decode("latin-1") if isinstance(value, bytes) else value
            for key, value in said.attributes:
                if key == name:
                    if isinstance(value, bytes):
                        return value.decode("latin-1")
                    return list(value) if isinstance(value, tuple) else value
        return None


class Collector(Sink):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []

    def roundtrip(self, roundtrip: Roundtrip) -> int:
        protocol, request, response = roundtrip.protocol, roundtrip.request, roundtrip.response
        assert protocol is not None and request is not None and roundtrip.endpoints is not None
        times: tuple[int, ...] = (request.first_ns, request.last_ns)
        sizes: tuple[int, ...] = (request.size,)
        if response is not None:
            times += (response.first_ns, response.last_ns)
            sizes += (response.size,)
        said = Said.of(response) if response is not None else None
        self.seen.append(Seen(protocol.name, OUTCOMES[roundtrip.outcome], Said.of(request), said, times, sizes, roundtrip.end_ns))
        return 0


class Pair(Connection):
    """A connection between two fixed ends."""

    def __init__(self, roles_known: bool, vantage: int = SERVER_SIDE) -> None:
        super().__init__()
        self.roles_known = roles_known
        self.vantage = vantage
        self.swapped = False
        self.known = Endpoints("192.0.2.1", 40000, "192.0.2.2", 80, "tcp", vantage)

    def swap_roles(self) -> int:
        self.swapped = not self.swapped
        return 0

    def endpoints(self) -> Endpoints:
        return self.known


class Run:
    """One connection read by one protocol's decoder, chosen by its content."""

    # What stands around each window in its buffer: it would be a message of its own, or break one.
    around = (b"\r\n\r\n0\r\n", b"\r\nGET /beyond HTTP/1.1\r\n\r\n")
    # Who keeps what it tells.
    keeps: type[Collector] = Collector

    def __init__(
        self,
        protocols: Sequence[Protocol],
        from_start: bool = True,
        vantage: int = SERVER_SIDE,
        detail: bool = True,
        head_max: int = 65536,
        pending_max: int = 1024,
        datagrams: bool = False,
        trusted: Sequence[str] = (),
    ) -> None:
        self.collector = self.keeps()
        self.pairing = Pairing(self.collector, pending_max)
        self.reading = Reading(self.pairing, Detector(protocols), detail, head_max, Trust(trusted))
        self.connection = Pair(from_start, vantage)
        self.conversation = Conversation(self.reading, self.connection, from_start, datagrams)
        self.from_start = from_start
        self.datagrams = datagrams
        self.ts_ns = START_NS

    @property
    def seen(self) -> list[Seen]:
        return self.collector.seen

    def feed(self, direction: int, payload: bytes, ts_ns: int | None = None) -> Run:
        if ts_ns is not None:
            self.ts_ns = ts_ns
        if self.connection.swapped:
            direction = TO_SERVER if direction == TO_CLIENT else TO_CLIENT  # as the flow does from then on
        before, behind = self.around
        self.conversation.feed(direction, before + payload + behind, len(before), len(before) + len(payload), self.ts_ns)
        return self

    def event(self, event: Event) -> Run:
        self.ts_ns = event.ts_ns
        if event.payload is None:
            self.conversation.close(event.direction, event.ts_ns)
        else:
            self.feed(event.direction, event.payload)
        return self

    def release(self) -> bool:
        """As the engine does with datagrams: whoever reads leaves, if nothing has to be remembered, and another one goes on."""
        if not self.conversation.release():
            return False
        self.conversation = open_conversation(self.reading, self.connection, self.from_start, self.datagrams)
        return True

    def gap(self, direction: int, missing: int) -> Run:
        self.conversation.gap(direction, missing, self.ts_ns)
        return self

    def end(self, outcome: int = OUTCOME_CLOSED) -> list[Seen]:
        """The connection is over; what must hold then of any connection, holds."""
        self.conversation.end(outcome, self.ts_ns)
        self.check_books()
        assert self.pairing.open == 0
        return self.seen

    def check_books(self) -> None:
        p = self.pairing
        assert p.requests == p.paired + p.one_way + p.unanswered + p.repeated + p.open
        assert p.responses >= p.paired
        assert len(self.seen) == p.paired + p.one_way + p.unanswered
        assert not [what for _, what in self.reading.errors if what == "internal"], self.reading.errors


Start = Callable[[], Run]


# --- the ways to feed a vector ---


def feed_recorded(start: Start, vector: Vector) -> list[Seen]:
    """Every event as it came."""
    run = start()
    for event in vector.events:
        run.event(event)
    return run.end()


def feed_released(start: Start, vector: Vector) -> tuple[list[Seen], list[int]]:
    """Every event as it came; whoever reads leaves after each, if nothing has to be remembered. Also the events after which one
    left."""
    run = start()
    left = [index for index, event in enumerate(vector.events) if run.event(event).release()]
    return run.end(), left


def feed_whole(start: Start, vector: Vector) -> list[Seen]:
    """Neighbours of one direction in one piece, with the time of the first."""
    run = start()
    waiting: Event | None = None
    for event in vector.events:
        if waiting is not None and waiting.payload is not None and event.payload is not None:
            if waiting.direction == event.direction:
                waiting = Event(event.direction, waiting.payload + event.payload, waiting.ts_ns)
                continue
        if waiting is not None:
            run.event(waiting)
        waiting = event
    if waiting is not None:
        run.event(waiting)
    return run.end()


def feed_bytewise(start: Start, vector: Vector) -> list[Seen]:
    run = start()
    for event in vector.events:
        if event.payload is None:
            run.event(event)
        else:
            for i in range(len(event.payload)):
                run.feed(event.direction, event.payload[i : i + 1], event.ts_ns)
    return run.end()


def feed_every_split(start: Start, vector: Vector) -> Iterator[tuple[str, list[Seen]]]:
    """Once for each place: the event there comes in two pieces."""
    for index, at in places(vector):
        run = start()
        for i, event in enumerate(vector.events):
            if i == index and event.payload is not None:
                run.feed(event.direction, event.payload[:at], event.ts_ns)
                run.feed(event.direction, event.payload[at:])
            else:
                run.event(event)
        yield f"event {index} cut at {at}", run.end()


def feed_with_trailing(start: Start, vector: Vector, tail: bytes, direction: int) -> list[Seen]:
    """`tail` follows the last bytes of a direction, before it is closed."""
    last = max((i for i, e in enumerate(vector.events) if e.direction == direction and e.payload), default=-1)
    run = start()
    for i, event in enumerate(vector.events):
        if i == last and event.payload is not None:
            run.feed(direction, event.payload + tail, event.ts_ns)
        else:
            run.event(event)
    return run.end()


def feed_truncations(start: Start, vector: Vector) -> Iterator[tuple[str, list[Seen], list[Seen]]]:
    """Once for each place, of what comes before it: what was said by then, and what when the connection ended there."""
    for index, at in places(vector):
        run = start()
        for event in vector.events[:index]:
            run.event(event)
        event = vector.events[index]
        assert event.payload is not None
        run.feed(event.direction, event.payload[:at], event.ts_ns)
        before = list(run.seen)
        yield f"event {index} ends at {at}", before, run.end()


@dataclass(frozen=True)
class Damage:
    """`size` bytes are missing at `at` of event `index`; `told` whether the gap's size is known."""

    index: int
    at: int
    size: int
    told: bool = True


def feed_with_gap(start: Start, vector: Vector, damage: Damage) -> list[Seen]:
    run = start()
    for i, event in enumerate(vector.events):
        if i != damage.index or event.payload is None:
            run.event(event)
            continue
        if damage.at > 0:
            run.feed(event.direction, event.payload[: damage.at], event.ts_ns)
        run.ts_ns = event.ts_ns
        run.gap(event.direction, damage.size if damage.told else 0)
        rest = event.payload[damage.at + damage.size :]
        if rest:
            run.feed(event.direction, rest)
    return run.end()


def feed_joined(start: Start, vector: Vector, index: int) -> list[Seen]:
    """The capture began at event `index`; `start` makes runs that are not from the start."""
    run = start()
    for event in vector.events[index:]:
        run.event(event)
    return run.end()


def places(vector: Vector) -> list[tuple[int, int]]:
    """Every place inside an event, as (event, offset); of many, those around its ends and a sample of the others."""
    found: list[tuple[int, int]] = []
    share = max(SHARE_MIN, PLACES_MAX // max(1, len(vector.events)))
    for index, event in enumerate(vector.events):
        inside = range(1, len(event.payload or b""))
        if len(inside) > share:
            step = len(inside) // (share // 2) + 1
            edge = share // 4
            kept = sorted({*inside[:edge], *inside[-edge:], *inside[::step]})
            found.extend((index, at) for at in kept)
        else:
            found.extend((index, at) for at in inside)
    return found


def damages(vector: Vector) -> Iterator[Damage]:
    """Holes at every place, of a byte, some bytes, all that follows in the event; whole events; of unknown size."""
    for index, event in enumerate(vector.events):
        if event.payload:
            yield Damage(index, 0, len(event.payload))
            yield Damage(index, 0, len(event.payload), told=False)
            yield Damage(index, 0, 1)
            # Whole messages, where an event holds several that begin alike.
            begins = [at for at in range(len(event.payload)) if event.payload.startswith(event.payload[:9], at)]
            for first, last in itertools.pairwise(begins[:12]):
                yield Damage(index, first, last - first)
    for count, (index, at) in enumerate(places(vector)):
        payload = vector.events[index].payload
        assert payload is not None
        rest = len(payload) - at
        yield Damage(index, at, rest)
        if rest > 1:
            yield Damage(index, at, 1 if count % 2 else min(rest - 1, 23), told=count % 7 != 0)


# --- what must hold ---


def check_vector(
    protocols: Sequence[Protocol],
    vector: Vector,
    resumes: Callable[[Seen], bool] = lambda seen: True,
    runs: Callable[..., Run] = Run,
) -> None:
    """All of the above, in order of what they ask.

    `resumes`: whether the decoder can find its way again where this roundtrip begins. `runs`: a kind of Run that tells less than
    all, where a request is known by what was said long before it.
    """
    start = partial(runs, protocols)
    truth = feed_recorded(start, vector)
    check_expected(vector, truth)
    assert contents(feed_whole(start, vector)) == contents(truth)
    assert feed_bytewise(start, vector) == truth
    assert feed_released(start, vector) == (truth, []), "a connection keeps its reader (ADR 11)"
    for where, seen in feed_every_split(start, vector):
        assert seen == truth, where
    check_trailing(start, vector, truth)
    check_truncations(start, vector, truth)
    check_gaps(start, vector, truth, resumes)
    check_joined(lambda: runs(protocols, from_start=False), vector, truth)


def check_expected(vector: Vector, truth: Sequence[Seen]) -> None:
    said = [{name: seen[name] for name in wanted} for seen, wanted in zip(truth, vector.expected, strict=False)]
    assert said == [dict(wanted) for wanted in vector.expected][: len(said)]
    assert len(truth) == len(vector.expected), f"{len(truth)} roundtrips, {len(vector.expected)} expected"


def check_released(start: Start, vector: Vector, truth: Sequence[Seen]) -> int:
    """Datagrams: whoever reads them leaves whenever nobody waits for an answer, never else, and nothing is told differently for it.
    Returns how often."""
    seen, left = feed_released(start, vector)
    assert contents(seen) == contents(truth)
    assert left == [
        index
        for index, event in enumerate(vector.events)
        if all(max(one.times) <= event.ts_ns and one.paired for one in truth if min(one.times) <= event.ts_ns)
    ]
    return len(left)


def check_trailing(start: Start, vector: Vector, truth: Sequence[Seen]) -> None:
    """What follows changes nothing of what was complete."""
    first = {d: next((e.payload for e in vector.events if e.direction == d and e.payload), b"") for d in (0, 1)}
    for direction in (TO_SERVER, TO_CLIENT):
        for tail in (first[direction][:1], first[direction][: len(first[direction]) // 2], b"\x00\x01\xfe\xff" * 4):
            seen = feed_with_trailing(start, vector, tail, direction)
            assert identities(seen)[: len(truth)] == identities(truth), (direction, tail)


def check_truncations(start: Start, vector: Vector, truth: Sequence[Seen]) -> None:
    """Nothing is said before it is known, and the end adds only requests that were really there."""
    requests = [seen.request for seen in truth]
    for where, before, after in feed_truncations(start, vector):
        assert identities(before) == identities(truth)[: len(before)], where
        assert after[: len(before)] == before, where
        for seen in after[len(before) :]:
            assert not seen.paired, where
            assert any(begins_like(seen.request, whole) for whole in requests), where


def check_gaps(start: Start, vector: Vector, truth: Sequence[Seen], resumes: Callable[[Seen], bool]) -> None:
    """A hole never makes a pair that was not there, and takes nothing that it did not touch."""
    known: dict[int, list[Any]] = {}  # by the event that is damaged: what it cannot touch
    for damage in damages(vector):
        seen = feed_with_gap(start, vector, damage)
        check_true(seen, truth, damage)
        paired = identities(one for one in seen if one.paired)
        if damage.index not in known:
            known[damage.index] = [
                identity(whole)
                for index, whole in enumerate(truth)
                if whole.paired and not touched(vector, truth, index, damage.index, resumes)
            ]
        for one in known[damage.index]:
            assert one in paired, (damage, one)


def check_joined(start: Start, vector: Vector, truth: Sequence[Seen]) -> None:
    for index in range(1, len(vector.events)):
        seen = feed_joined(start, vector, index)
        check_true(seen, truth, index)


def check_true(seen: Iterable[Seen], truth: Sequence[Seen], where: object) -> None:
    """Each pair is one of the true ones, none twice; each request that is reported was made."""
    left = identities(one for one in truth if one.paired)
    requests = [one.request for one in truth]
    for one in seen:
        if one.paired:
            assert identity(one) in left, (where, one)
            left.remove(identity(one))
        else:
            assert any(begins_like(one.request, whole) for whole in requests), (where, one)


def touched(vector: Vector, truth: Sequence[Seen], index: int, damaged: int, resumes: Callable[[Seen], bool]) -> bool:
    """Whether a hole in event `damaged` may cost roundtrip `index`.

    Not, when it was over before; nor when it began later, with everything answered, and shares no event with another:
    there a decoder finds its way again. What the hole may take is what was on its way, and what comes in one piece
    with that.
    """
    whole, hole_ns = truth[index], vector.events[damaged].ts_ns
    if max(whole.times) < hole_ns:
        return False
    others = [one for i, one in enumerate(truth) if i != index]
    begins = whole.times[0]
    rests = all(max(one.times) < begins for one in others if min(one.times) <= begins)
    alone = not any(set(one.times) & set(whole.times) for one in others)
    return not (begins > hole_ns and rests and alone and resumes(whole))


def contents(seen: Iterable[Seen]) -> list[tuple[Any, ...]]:
    return [one.content() for one in seen]


def identity(seen: Seen) -> tuple[Any, ...]:
    """Which pair it is, whatever of its body was seen."""
    return seen.outcome, without_sizes(seen.request), None if seen.response is None else without_sizes(seen.response)


def identities(seen: Iterable[Seen]) -> list[tuple[Any, ...]]:
    return [identity(one) for one in seen]


def without_sizes(said: Said) -> tuple[Any, ...]:
    # A statement that was prepared before is known by its text only where that was seen.
    unsure = (".size",) if said.operation is not None else (".size", "db.query.text", "db.stored_procedure.name")
    attributes = tuple(pair for pair in said.attributes if not pair[0].endswith(unsure))
    return said.operation, said.target, said.version, said.status, said.server_address, attributes


def begins_like(part: Said, whole: Said) -> bool:
    """Whether `part` is `whole`, perhaps without what only its end says."""
    kept = set(without_sizes(part)[-1])
    return part.operation == whole.operation and kept <= set(without_sizes(whole)[-1])


def check_random_bytes(protocols: Sequence[Protocol]) -> None:
    """Bytes drawn evenly are hardly ever a protocol. Hypothesis would not do: it tries what it reads in the source."""
    for seed in range(300):
        chance = random.Random(seed)
        payload = chance.randbytes(chance.randint(8, 200))
        run = Run(protocols).feed(TO_SERVER, payload).feed(TO_CLIENT, payload[::-1])
        assert not run.reading.detected, seed
