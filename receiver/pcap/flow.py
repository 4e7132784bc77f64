"""The flow table: who talks to whom, and for how long that is remembered.

Room: pcap. A flow key is the packet's own address and port bytes, so each direction has a key of its own and one look-up tells
the direction too. The server is whoever did not send the first SYN; without a handshake the side with a known server port, else
with the lower port, until the content tells better. Time is the packets' own.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

import cython

from receiver.pcap.layer4 import Layer4, Tally
from receiver.pcap.stream import Limits, Stream
from receiver.wire.cursor import Cursor
from receiver.wire.names import Names
from receiver.wire.records import Connection, Consumer, Endpoints, Segment

if not cython.compiled:
    from receiver.pcap.layer4 import END_EVICTED, END_IDLE
    from receiver.wire.records import OUTCOME_LOST, TO_CLIENT, TO_SERVER, VANTAGE_CLIENT, VANTAGE_SERVER

SYN = 0x02
ACK = 0x10

# Late retransmissions and the last ACK of a finished connection still find it, and open nothing new.
LINGER_NS = 2_000_000_000
# How far a full table looks for a flow that rests before it takes the next best.
EVICT_STEPS = 32
# A handshake that is not complete so long after its last packet has failed: of the tries of Linux (1, 2, 4 .. 32 s apart) only the
# last waits longer. Without layer 4 pure ACKs are not captured, and nobody knows whether it is complete.
HANDSHAKE_NS = 65_000_000_000
# Addresses whose text is kept: making it anew costs more than all else of a flow. 4 096 x 200 bytes at most.
TEXTS_MAX = 4096
# RFC 4787, REQ-5: two minutes, which is what address translators keep.
UDP_IDLE_NS = 120_000_000_000


@cython.no_gc
@cython.cclass
class Flow(Connection):
    """Two streams, and the consumer of what they carry (None until there is a payload).

    `opening`: only the handshake's SYNs were seen. `turn` counts how often the direction changed, of packets as captured.
    """

    def __init__(self, table: FlowTable, client_key: bytes, server_key: bytes, is_tcp: cython.bint) -> None:
        self.table = table
        self.client_key = client_key
        self.server_key = server_key
        self.is_tcp = is_tcp
        self.roles_known = False
        self.from_start = False
        self.over = False
        self.listed = False
        self.ignored = False
        self.opening = False
        self.turn_direction = -1
        self.turn = 0
        self.tally: Tally | None = None
        self.queue: Queue | None = None
        self.before: Flow | None = None
        self.after: Flow | None = None
        self.client_port = 0
        self.server_port = 0
        self.first_ns = 0
        self.last_ns = 0
        self.queued_ns = 0
        self.known: Endpoints | None = None
        self.consumer: Consumer | None = None
        self.to_server = Stream(self, 0, table.limits)
        self.to_client = Stream(self, 1, table.limits)
        self.to_server.face(self.to_client)

    def swap_roles(self) -> cython.int:
        server: Stream = self.to_client
        self.to_client = self.to_server
        self.to_server = server
        self.to_server.direction = TO_SERVER
        self.to_client.direction = TO_CLIENT
        key: bytes = self.client_key
        self.client_key = self.server_key
        self.server_key = key
        port: cython.int = self.client_port
        self.client_port = self.server_port
        self.server_port = port
        self.roles_known = True
        self.known = None
        if self.tally is not None:
            self.table.retell(self)
        return 0

    def endpoints(self) -> Endpoints:
        if self.known is None:
            self.known = self.table.describe(self)
            if self.tally is not None:
                self.tally.endpoints = self.known
        return self.known


@cython.no_gc
@cython.cclass
class Queue:
    """Flows in a row, the longest-waiting first. Each flow is in one, and leaves it from wherever it stands, so that nothing of a
    flow that is gone is kept."""

    def __init__(self) -> None:
        self.first: Flow | None = None
        self.last: Flow | None = None

    def add(self, flow: Flow) -> cython.int:
        flow.queue = self
        flow.before = self.last
        if self.last is not None:
            self.last.after = flow
        else:
            self.first = flow
        self.last = flow
        return 0

    def take(self, flow: Flow) -> cython.int:
        if flow.before is not None:
            flow.before.after = flow.after
        else:
            self.first = flow.after
        if flow.after is not None:
            flow.after.before = flow.before
        else:
            self.last = flow.before
        flow.before = None
        flow.after = None
        flow.queue = None
        return 0


class FlowTable:
    """All open flows, `flow_max` at most.

    `local`: the packed addresses (4 or 16 bytes) that are ours; a flow is seen from the server's side when its server is local or
    nothing is, from the client's side when only its client is. `vantage` is what counts when neither is. `server_ports` are
    ports that servers are known to listen on. `names` knows servers' names. `excluded` has endpoints (packed address and
    port) whose flows are ignored: what our
    own exporters talk to, else a capture that sees them feeds itself. `layer4` counts, None where nobody asked for it.
    """

    def __init__(
        self,
        limits: Limits,
        flow_max: cython.Py_ssize_t = 65536,
        idle_ns: cython.longlong = 300_000_000_000,
        local: Iterable[bytes] = (),
        server_ports: Iterable[int] = (),
        vantage: cython.int = 0,
    ) -> None:
        self.tcp: dict[bytes, Stream] = {}
        self.udp: dict[bytes, Stream] = {}
        self.limits = limits
        self.flow_max = flow_max
        self.idle_ns = idle_ns
        self.opened = 0
        self.closed = 0
        self.evicted = 0
        self.expired = 0
        self.open = 0
        self.layer4: Layer4 | None = None
        self.starting = Queue()  # TCP, the handshake is not complete
        self.datagrams = Queue()  # UDP
        self.answered = Queue()  # UDP, of both directions
        self.young = Queue()  # TCP, never carried a payload
        self.old = Queue()
        self.done = Queue()
        self.local = set(local)
        self.excluded: set[bytes] = set()
        self.names: Names | None = None
        self.server_ports = set(server_ports)
        self.vantage = vantage
        self.cursor = Cursor(b"")
        self.texts: dict[bytes, str] = {}

    def find(self, seg: Segment) -> Stream | None:
        if seg.is_tcp:
            return self.tcp.get(seg.key)
        return self.udp.get(seg.key)

    def open_flow(self, seg: Segment, buf: bytes) -> Stream:
        """A new flow for `seg`, which has none; returns the stream of its direction."""
        if self.open >= self.flow_max:
            self._evict()
        key: bytes = seg.key
        n: cython.Py_ssize_t = len(key)
        half: cython.Py_ssize_t = (n - 4) // 2
        c: Cursor = self.cursor
        c.set(key, 0, n)
        reverse: bytes = c.take(half, 2 * half) + c.take(0, half) + c.take(n - 2, n) + c.take(n - 4, n - 2)
        source: cython.int = c.u16(n - 4)
        target: cython.int = c.u16(n - 2)
        from_client: cython.bint
        handshake: cython.bint = seg.is_tcp and seg.flags & SYN != 0
        if handshake:
            from_client = seg.flags & ACK == 0
        elif (source in self.server_ports) != (target in self.server_ports):
            from_client = target in self.server_ports
        else:
            from_client = source >= target
        flow: Flow
        if from_client:
            flow = Flow(self, key, reverse, seg.is_tcp)
            flow.client_port = source
            flow.server_port = target
        else:
            flow = Flow(self, reverse, key, seg.is_tcp)
            flow.client_port = target
            flow.server_port = source
        if self.excluded:
            flow.ignored = c.take(half, 2 * half) + c.take(n - 2, n) in self.excluded or (
                c.take(0, half) + c.take(n - 4, n - 2) in self.excluded
            )
        flow.roles_known = handshake
        flow.from_start = handshake
        flow.first_ns = seg.ts_ns
        flow.last_ns = seg.ts_ns
        flow.queued_ns = seg.ts_ns
        streams: dict[bytes, Stream] = self.tcp if seg.is_tcp else self.udp
        streams[flow.client_key] = flow.to_server
        streams[flow.server_key] = flow.to_client
        self.opened += 1
        self.open += 1
        if self.layer4 is not None and not flow.ignored:
            server: bytes = c.take(half, 2 * half) if from_client else c.take(0, half)
            client: bytes = c.take(0, half) if from_client else c.take(half, 2 * half)
            flow.tally = self.layer4.begin(
                flow.client_key,
                flow.server_port,
                flow.is_tcp,
                self._vantage(client, server),
                self.names.name_of(server, seg.ts_ns) if self.names is not None else None,
                handshake or flow.server_port in self.server_ports,
                seg.ts_ns,
            )
        if not seg.is_tcp:
            self.datagrams.add(flow)
        elif handshake:
            flow.opening = True
            self.starting.add(flow)
        else:
            self.young.add(flow)
        return flow.to_server if from_client else flow.to_client

    def _vantage(self, client: bytes, server: bytes) -> cython.int:
        if server in self.local:
            return VANTAGE_SERVER
        if client in self.local:
            return VANTAGE_CLIENT
        return self.vantage

    def retell(self, flow: Flow) -> cython.int:
        """Client and server have changed places: tell layer 4."""
        key: bytes = flow.client_key
        half: cython.Py_ssize_t = (len(key) - 4) // 2
        server: bytes = key[half : half * 2]
        name: str | None = self.names.name_of(server, flow.last_ns) if self.names is not None else None
        return self.layer4.swap(flow.tally, key, flow.server_port, self._vantage(key[:half], server), name, flow.last_ns)

    def _evict(self) -> cython.int:
        """Make room for one: what is over, half-open handshakes, UDP, what never carried anything, what rests longest - in that
        order, so that a flood of one kind pushes out its own."""
        if self.done.first is not None:
            return self.remove(self.done.first)
        while self.starting.first is not None and not self.starting.first.opening:
            self._requeue(self.starting.first)
        while self.starting.first is None and self.young.first is not None and self.young.first.consumer is not None:
            self._requeue(self.young.first)
        flow: Flow | None = self.starting.first
        if flow is None:
            flow = self._resting(self.answered)
        if flow is None:
            flow = self._resting(self.datagrams)
        if flow is None:
            flow = self.young.first
        if flow is None:
            flow = self._resting(self.old)
        if flow is None:
            return 0
        self.evicted += 1
        if flow.tally is not None:
            self.layer4.end(flow.tally, END_EVICTED, 0, flow.last_ns)
        return self.remove(flow)

    def _resting(self, queue: Queue) -> Flow | None:
        """The first of a queue, but that whoever was busy since it was queued goes to the end instead."""
        for _ in range(EVICT_STEPS):
            flow: Flow | None = queue.first
            if flow is None or flow.last_ns <= flow.queued_ns:
                break
            self._requeue(flow)
        return queue.first

    def _requeue(self, flow: Flow) -> cython.int:
        """To the end of the queue where it belongs by now."""
        flow.queued_ns = flow.last_ns
        queue: Queue = flow.queue
        queue.take(flow)
        if not flow.is_tcp:
            return queue.add(flow)
        if flow.opening:
            return self.starting.add(flow)
        if flow.consumer is None:
            return self.young.add(flow)
        return self.old.add(flow)

    def answer(self, flow: Flow) -> cython.int:
        """The server of a datagram flow answered. Most resolvers ask each question from a new port: what has its answer, and rests,
        need not be kept for as long as what may still get one."""
        if flow.queue is self.datagrams:
            flow.queued_ns = flow.last_ns
            self.datagrams.take(flow)
            self.answered.add(flow)
        return 0

    def finish(self, flow: Flow, now_ns: cython.longlong) -> cython.int:
        """The connection is over; it is forgotten a little later."""
        if not flow.over:
            flow.over = True
            flow.queued_ns = now_ns
            self.closed += 1
            flow.queue.take(flow)
            self.done.add(flow)
        return 0

    def remove(self, flow: Flow) -> cython.int:
        """Forget a flow. The caller has told its consumer, or it is told nothing more than that its time is up."""
        if flow.table is None:
            return 0
        if flow.tally is not None:
            self.layer4.end(flow.tally, END_IDLE, 0, flow.last_ns)
        streams: dict[bytes, Stream] = self.tcp if flow.is_tcp else self.udp
        streams.pop(flow.client_key, None)
        streams.pop(flow.server_key, None)
        flow.queue.take(flow)
        consumer: Consumer | None = flow.consumer
        if consumer is not None:
            consumer.end(OUTCOME_LOST, flow.last_ns)
        flow.to_server.drop()
        flow.to_client.drop()
        # Nothing here is known to the garbage collector (no pause at a million flows), so circles are cut by hand.
        flow.to_server.peer = None
        flow.to_client.peer = None
        flow.to_server.owner = None
        flow.to_client.owner = None
        flow.consumer = None
        flow.tally = None
        flow.table = None
        self.open -= 1
        return 0

    def sweep(self, now_ns: cython.longlong) -> None:
        """Forget what is over, and what has been idle for too long. Cheap when there is nothing to do; call it each second."""
        while self.done.first is not None and now_ns - self.done.first.queued_ns >= LINGER_NS:
            self.remove(self.done.first)
        flow: Flow | None = self.answered.first
        while flow is not None and now_ns - flow.queued_ns >= LINGER_NS:
            if now_ns - flow.last_ns < LINGER_NS:
                self._requeue(flow)
            elif flow.consumer.expire(now_ns):
                self.answered.take(flow)
                self.datagrams.add(flow)  # something waits there
            else:
                self.closed += 1
                self.remove(flow)
            flow = self.answered.first
        handshake_ns: cython.longlong = self.idle_ns
        if self.layer4 is not None and handshake_ns > HANDSHAKE_NS:
            handshake_ns = HANDSHAKE_NS
        datagrams_ns: cython.longlong = self.idle_ns if self.idle_ns < UDP_IDLE_NS else UDP_IDLE_NS
        self._rest(self.starting, now_ns, handshake_ns)
        self._rest(self.datagrams, now_ns, datagrams_ns)
        self._rest(self.young, now_ns, self.idle_ns)
        self._rest(self.old, now_ns, self.idle_ns)

    def _rest(self, queue: Queue, now_ns: cython.longlong, idle_ns: cython.longlong) -> cython.int:
        # The queues are in the order of `queued_ns`: whoever was busy since goes to the end with its new time.
        flow: Flow | None = queue.first
        while flow is not None and now_ns - flow.queued_ns >= idle_ns:
            if now_ns - flow.last_ns < idle_ns or (flow.queue is self.starting and not flow.opening):
                self._requeue(flow)
            else:
                self.expired += 1
                self.remove(flow)
            flow = queue.first
        return 0

    def describe(self, flow: Flow) -> Endpoints:
        key: bytes = flow.client_key
        half: cython.Py_ssize_t = (len(key) - 4) // 2
        c: Cursor = self.cursor
        c.set(key, 0, len(key))
        client: bytes = c.take(0, half)
        server: bytes = c.take(half, half * 2)
        return Endpoints(
            self._text(client),
            flow.client_port,
            self._text(server),
            flow.server_port,
            "tcp" if flow.is_tcp else "udp",
            self._vantage(client, server),
            server not in self.local and client not in self.local,
            self.names.name_of(server, flow.last_ns) if self.names is not None else None,
        )

    def _text(self, address: bytes) -> str:
        """The address as text: the same object again and again, by which series are found."""
        text: str | None = self.texts.get(address)
        if text is None:
            if len(self.texts) >= TEXTS_MAX:
                self.texts.clear()
            text = str(ipaddress.ip_address(address))
            self.texts[address] = text
        return text

    def clear(self) -> None:
        """Forget every flow. A table that is dropped with flows in it keeps them for ever: nothing here is known to the garbage
        collector."""
        for entry in self.streams():
            stream: Stream = entry
            flow: Flow | None = stream.owner
            if flow is not None:
                self.remove(flow)

    def streams(self) -> list[Stream]:
        """Every open direction, for tests and tools."""
        return list(self.tcp.values()) + list(self.udp.values())
