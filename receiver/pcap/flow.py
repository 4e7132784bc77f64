"""The flow table: who talks to whom, and for how long that is remembered.

Room: packets. A flow is found by both ends, whichever of them sent the packet; which one did is its direction. The server is
whoever did not send the first SYN; without a handshake the side with a known server port, else with the lower port, until the
content tells better. Time is the packets' own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import cython

from receiver.pcap.hosts import Host, Hosts
from receiver.pcap.layer4 import FlowStats, Layer4
from receiver.pcap.stream import Reassembly, Stream
from receiver.wire.names import Names
from receiver.wire.records import Connection, Consumer, Endpoints, Protocol, Segment
from receiver.wire.sequence import Sequence

if not cython.compiled:
    from receiver.pcap.layer4 import END_EVICTED, END_IDLE
    from receiver.wire.records import ACK, OUTCOME_LOST, SYN, TO_CLIENT, TO_SERVER, VANTAGE_CLIENT, VANTAGE_SERVER

# The direction of a packet in a flow that is not its own.
STRANGER = 2

# Late retransmissions and the last ACK of a finished connection still find it, and open nothing new.
LINGER_NS = 2_000_000_000
# The same of a question that has its answer: a second answer, from another server or to a question sent twice, comes as soon.
ANSWERED_NS = 250_000_000
FORGET_STEPS = 2
# As many of these as stay in the processor's cache; of more than 4 096 a second each is kept for less long.
ANSWERED_MAX = 1024
# How far a full table looks for a flow that rests before it takes the next best.
EVICT_STEPS = 32
# A handshake that is not complete so long after its last packet has failed: of the tries of Linux (1, 2, 4 .. 32 s apart) only the
# last waits longer. Without layer 4 pure ACKs are not captured, and nobody knows whether it is complete.
HANDSHAKE_NS = 65_000_000_000
# RFC 4787, REQ-5: two minutes, which is what address translators keep.
UDP_IDLE_NS = 120_000_000_000
PORTS = 65536
# Chains of the hash table of flows, a power of two. There are two to four times as many chains as flows, so that nearly every chain
# holds one flow at most: comparing with a wrong flow costs more than the memory of an empty chain.
SLOTS_MIN = 256

IsOwn = Callable[[bytes, int, bytes, int, bool, int, bytes], bool]
"""Client's packed address and port, the server's, whether it is TCP, when it begins, in ns by the packets' clock, and its first
payload."""


@cython.no_gc
@cython.cclass
class Flow(Connection):
    """Both ends of a flow and, once something is carried, the two streams of a TCP connection and the consumer of what they carry.

    `opening`: only the handshake's SYNs were seen. `turn` counts how often the direction changed, of packets as captured.
    `client_first`, `server_first`: the sequence of the first byte, -1 while neither a SYN nor what acknowledges it told; they
    are the streams' to know once there are streams. `serial` is 1 for a table's first flow. `chained` is the next one of its
    slot. `place` is the engine's, where it lists what may wait: -1 while it does not.
    """

    def __init__(self) -> None:
        self.is_tcp = False
        self.is_ip6 = False
        self.serial = 0
        self.client_high = 0
        self.client_low = 0
        self.server_high = 0
        self.server_low = 0
        self.client_first = -1
        self.server_first = -1
        self.roles_known = False
        self.from_start = False
        self.over = False
        self.place = -1
        self.ignored = False
        self.opening = False
        self.turn_direction = -1
        self.turn = 0
        self.client_port = 0
        self.server_port = 0
        self.last_ns = 0
        self.queued_ns = 0
        if not cython.compiled:
            # Compiled, what holds an object is None from the start.
            self.protocol: Protocol | None = None
            self.table: FlowTable | None = None
            self.chained: Flow | None = None
            self.stats: FlowStats | None = None
            self.queue: Queue | None = None
            self.before: Flow | None = None
            self.after: Flow | None = None
            self.known: Endpoints | None = None
            self.consumer: Consumer | None = None
            self.to_server: Stream | None = None
            self.to_client: Stream | None = None

    def direction_of(self, seg: Segment) -> cython.int:
        """A packet's direction; STRANGER when it is another flow's."""
        if self.is_tcp != seg.is_tcp or self.is_ip6 != seg.is_ip6:
            return STRANGER
        if self._is_client(seg.source_high, seg.source_low, seg.source_port):
            if self._is_server(seg.target_high, seg.target_low, seg.target_port):
                return TO_SERVER
        if self._is_server(seg.source_high, seg.source_low, seg.source_port):
            if self._is_client(seg.target_high, seg.target_low, seg.target_port):
                return TO_CLIENT
        return STRANGER

    def _is_client(self, high: cython.longlong, low: cython.longlong, port: cython.int) -> cython.bint:
        return self.client_port == port and self.client_low == low and self.client_high == high

    def _is_server(self, high: cython.longlong, low: cython.longlong, port: cython.int) -> cython.bint:
        return self.server_port == port and self.server_low == low and self.server_high == high

    def client(self) -> Host:
        return self.table.hosts.find(self.is_ip6, self.client_high, self.client_low)

    def server(self) -> Host:
        return self.table.hosts.find(self.is_ip6, self.server_high, self.server_low)

    def open_streams(self) -> cython.int:
        """Something is carried: from here on the streams know where each direction is."""
        up: Stream = Stream(TO_SERVER, self.table.reassembly)
        down: Stream = Stream(TO_CLIENT, self.table.reassembly)
        up.pair_with(down)
        up.begin(self.client_first)
        down.begin(self.server_first)
        self.to_server = up
        self.to_client = down
        return 0

    def stream(self, direction: cython.int) -> Stream | None:
        return self.to_server if direction == TO_SERVER else self.to_client

    def on_syn(self, direction: cython.int, seg: Segment) -> cython.int:
        """Take a SYN that carries nothing."""
        if self.to_server is None and direction == TO_CLIENT and self.client_first < 0 and seg.flags & ACK:
            self.open_streams()  # what it acknowledges is past, be it a SYN alone or data with it
        if self.to_server is not None:
            return self.stream(direction).on_syn(seg)
        if direction == TO_SERVER:
            self.client_first = Sequence.add(seg.seq, 1)
        else:
            self.server_first = Sequence.add(seg.seq, 1)
        return 0

    def on_bare_ack(self, direction: cython.int, seg: Segment) -> cython.int:
        """Take an acknowledgement that carries nothing, of what may have passed unseen: the next byte of the other direction. Of a
        client that has sent something it may be that of an answer, which then was not seen from its start."""
        if self.from_start and self.to_server is None:
            if direction == TO_SERVER and self.server_first < 0:
                self.server_first = seg.ack
                if seg.seq != self.client_first:
                    self.from_start = False
            elif direction == TO_CLIENT and self.client_first < 0:
                self.client_first = seg.ack
        return 0

    def is_handshake(self, direction: cython.int, seg: Segment) -> cython.bint:
        """Whether this SYN is the connection's own, once more or for the first time; otherwise the ports are used again."""
        if self.to_server is not None:
            return self.stream(direction).is_handshake(seg)
        first: cython.longlong = self.reached(direction)
        return first < 0 or first == Sequence.add(seg.seq, 1)

    def reached(self, direction: cython.int) -> cython.longlong:
        """The next sequence number of a direction, -1 while it is unknown."""
        if self.to_server is None:
            return self.client_first if direction == TO_SERVER else self.server_first
        return self.stream(direction).next_seq

    def swap_roles(self) -> cython.int:
        server: Stream | None = self.to_client
        self.to_client = self.to_server
        self.to_server = server
        if server is not None:
            self.to_server.direction = TO_SERVER
            self.to_client.direction = TO_CLIENT
        word: cython.longlong = self.client_high
        self.client_high = self.server_high
        self.server_high = word
        word = self.client_low
        self.client_low = self.server_low
        self.server_low = word
        word = self.client_first
        self.client_first = self.server_first
        self.server_first = word
        port: cython.int = self.client_port
        self.client_port = self.server_port
        self.server_port = port
        self.roles_known = True
        self.known = None
        if self.stats is not None:
            self.table.on_roles_swapped(self)
        return 0

    def endpoints(self) -> Endpoints:
        if self.known is None:
            self.known = self.table.describe(self)
            if self.stats is not None:
                self.stats.endpoints = self.known
        return self.known


@cython.no_gc
@cython.cclass
class Queue:
    """Flows in a row, the longest-waiting first. Each flow is in one, and leaves it from wherever it stands, so that nothing of a
    flow that is gone is kept."""

    def __init__(self) -> None:
        self.first: Flow | None = None
        self.last: Flow | None = None
        self.size = 0

    def add(self, flow: Flow) -> cython.int:
        self.size += 1
        flow.queue = self
        flow.before = self.last
        if self.last is not None:
            self.last.after = flow
        else:
            self.first = flow
        self.last = flow
        return 0

    def take(self, flow: Flow) -> cython.int:
        self.size -= 1
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

    def flows(self) -> list[Flow]:
        found: list[Flow] = []
        flow: Flow | None = self.first
        while flow is not None:
            found.append(flow)
            flow = flow.after
        return found


class FlowTable:
    """All open flows, `flow_max` at most.

    `local`: the packed addresses (4 or 16 bytes) that are ours; a flow is seen from the server's side when its server is local or
    nothing is, from the client's side when only its client is. `vantage` is what counts when neither is. `server_ports` are
    ports that servers are known to listen on. `names` knows servers' names. `is_own` tells of a flow that has a port of `watched`
    (a bit each) whether it is this process' own, and ignored: a capture that sees its exporters feeds itself. `shift_ns`: how far
    the packets' clock is ahead of the times that are given here. `layer4` counts, None where nobody asked for it. `reached`: how
    often the cap of each table that all connections share was reached, by its name.
    """

    def __init__(
        self,
        reassembly: Reassembly,
        flow_max: cython.Py_ssize_t = 65536,
        idle_ns: cython.longlong = 300_000_000_000,
        local: Iterable[bytes] = (),
        server_ports: Iterable[int] = (),
        vantage: cython.int = 0,
        reached: dict[str, int] | None = None,
    ) -> None:
        # Factors that nobody can guess: whoever chooses addresses and ports cannot have them all in one chain.
        self.slots: list[Flow | None] = [None] * SLOTS_MIN
        self.mask = SLOTS_MIN - 1
        self.high_factor = int.from_bytes(os.urandom(8), "little") | 1
        self.low_factor = int.from_bytes(os.urandom(8), "little") | 1
        self.port_factor = int.from_bytes(os.urandom(8), "little") | 1
        self.end_factor = int.from_bytes(os.urandom(8), "little") | 1
        self.direction = TO_SERVER
        self.ends = 0
        self.reassembly = reassembly
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
        self.reached: dict[str, int] = {} if reached is None else reached
        self.hosts = Hosts(local, self.reached)
        self.watched = bytearray(PORTS // 8)
        self.is_own: IsOwn | None = None
        self.shift_ns = 0
        self.names: Names | None = None
        bits = bytearray(PORTS // 8)  # a set would be asked with a Python integer, twice a flow
        for port in server_ports:
            bits[port >> 3] |= 1 << (port & 7)
        self.server_ports = bytes(bits)
        self.vantage = vantage

    def find(self, seg: Segment) -> Flow | None:
        """The flow of a packet, None when there is none. `direction` is the packet's in it, `ends` a number that stands for where
        it comes from and goes to."""
        source: cython.ulonglong = self._end(seg.source_high, seg.source_low, seg.source_port)
        target: cython.ulonglong = self._end(seg.target_high, seg.target_low, seg.target_port)
        self.ends = (source >> 2) ^ (target >> 1)
        place: cython.Py_ssize_t = ((source + target) >> 32) & self.mask
        flow: Flow | None = self.slots[place]
        while flow is not None:
            direction: cython.int = flow.direction_of(seg)
            if direction != STRANGER:
                self.direction = direction
                return flow
            flow = flow.chained
        return None

    def _end(self, high: cython.longlong, low: cython.longlong, port: cython.int) -> cython.ulonglong:
        if not cython.compiled:
            return hash((high, low, port, self.end_factor)) & (1 << 63) - 1
        mixed: cython.ulonglong = cython.cast(cython.ulonglong, high) * self.high_factor
        mixed += cython.cast(cython.ulonglong, low) * self.low_factor
        mixed += cython.cast(cython.ulonglong, port) * self.port_factor
        mixed ^= mixed >> 32
        return mixed * self.end_factor

    def _place(self, flow: Flow) -> cython.Py_ssize_t:
        """A flow's slot, whichever of its ends is the client."""
        mixed: cython.ulonglong = self._end(flow.client_high, flow.client_low, flow.client_port)
        mixed += self._end(flow.server_high, flow.server_low, flow.server_port)
        return (mixed >> 32) & self.mask

    def _chain(self, flow: Flow) -> cython.int:
        place: cython.Py_ssize_t = self._place(flow)
        flow.chained = self.slots[place]
        self.slots[place] = flow
        return 0

    def _unchain(self, flow: Flow) -> cython.int:
        place: cython.Py_ssize_t = self._place(flow)
        other: Flow = self.slots[place]
        if other is flow:
            self.slots[place] = flow.chained
        else:
            while other.chained is not flow:
                other = other.chained
            other.chained = flow.chained
        flow.chained = None
        return 0

    def _spread(self) -> cython.int:
        """Twice as many slots."""
        before: list[Flow | None] = self.slots
        self.slots = [None] * (2 * len(before))
        self.mask = len(self.slots) - 1
        for entry in before:
            flow: Flow | None = entry
            while flow is not None:
                following: Flow | None = flow.chained
                self._chain(flow)
                flow = following
        return 0

    def open_flow(self, seg: Segment, buf: bytes) -> Flow:
        """A new flow for `seg`, which has none; `direction` is the packet's. `buf` is the batch that it lies in."""
        if self.open >= self.flow_max:
            self._evict()
        if 2 * self.open > self.mask:
            self._spread()
        from_client: cython.bint
        handshake: cython.bint = seg.is_tcp and seg.flags & SYN != 0
        if handshake:
            from_client = seg.flags & ACK == 0
        else:
            from_client = self._serves(seg.target_port)
            if from_client == self._serves(seg.source_port):
                from_client = seg.source_port >= seg.target_port
        self.opened += 1
        self.open += 1
        flow: Flow = Flow()
        flow.table = self
        flow.is_tcp = seg.is_tcp
        flow.is_ip6 = seg.is_ip6
        flow.serial = self.opened
        if from_client:
            self.direction = TO_SERVER
            flow.client_high = seg.source_high
            flow.client_low = seg.source_low
            flow.client_port = seg.source_port
            flow.server_high = seg.target_high
            flow.server_low = seg.target_low
            flow.server_port = seg.target_port
        else:
            self.direction = TO_CLIENT
            flow.client_high = seg.target_high
            flow.client_low = seg.target_low
            flow.client_port = seg.target_port
            flow.server_high = seg.source_high
            flow.server_low = seg.source_low
            flow.server_port = seg.source_port
        flow.roles_known = handshake
        flow.from_start = handshake
        flow.last_ns = seg.ts_ns
        flow.queued_ns = seg.ts_ns
        self._chain(flow)
        if self._is_watched(flow.client_port) or self._is_watched(flow.server_port):
            flow.ignored = self._is_own(flow, buf[seg.start : seg.end])
        if self.layer4 is not None and not flow.ignored:
            client: Host = flow.client()
            server: Host = flow.server()
            flow.stats = self.layer4.begin(
                client.packed,
                server.packed,
                flow.server_port,
                flow.is_tcp,
                self._vantage(client, server),
                self._name(server, seg.ts_ns),
                handshake or self._serves(flow.server_port),
                seg.ts_ns,
            )
        if not seg.is_tcp:
            self.datagrams.add(flow)
            if self.answered.first is not None:
                self._forget_answered(seg.ts_ns, FORGET_STEPS)
        elif handshake:
            flow.opening = True
            self.starting.add(flow)
        else:
            self.young.add(flow)
        return flow

    def _serves(self, port: cython.int) -> cython.bint:
        """Whether servers are known to listen there."""
        return self.server_ports[port >> 3] >> (port & 7) & 1 != 0

    def _is_watched(self, port: cython.int) -> cython.bint:
        return self.watched[port >> 3] >> (port & 7) & 1 != 0

    def _is_own(self, flow: Flow, payload: bytes) -> cython.bint:
        if self.is_own is None:
            return False
        client: Host = flow.client()
        server: Host = flow.server()
        own: cython.bint = self.is_own(
            client.packed, flow.client_port, server.packed, flow.server_port, flow.is_tcp, flow.last_ns + self.shift_ns, payload
        )
        return own

    def _vantage(self, client: Host, server: Host) -> cython.int:
        if server.local:
            return VANTAGE_SERVER
        if client.local:
            return VANTAGE_CLIENT
        return self.vantage

    def _name(self, server: Host, now_ns: cython.longlong) -> str | None:
        return self.names.name_of(server.packed, now_ns) if self.names is not None else None

    def on_roles_swapped(self, flow: Flow) -> cython.int:
        """Client and server have changed places: tell layer 4."""
        client: Host = flow.client()
        server: Host = flow.server()
        return self.layer4.swap(
            flow.stats,
            client.packed,
            server.packed,
            flow.server_port,
            self._vantage(client, server),
            self._name(server, flow.last_ns),
            flow.last_ns,
        )

    def _evict(self) -> cython.int:
        """Make room for one: what is over, half-open handshakes, UDP, what never carried anything, what rests longest - in that
        order, so that a flood of one kind pushes out its own."""
        if self.done.first is not None:
            return self.remove(self.done.first)
        while self.starting.first is not None and not self.starting.first.opening:
            self._requeue(self.starting.first)
        while self.starting.first is None and self.young.first is not None and self.young.first.to_server is not None:
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
        if flow.stats is not None:
            self.layer4.end(flow.stats, END_EVICTED, 0, flow.last_ns)
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
        if flow.to_server is None:
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
        """Forget a flow. Before this, the caller tells the consumer how the connection ended; a consumer that was told nothing is
        told here that it went out of sight (lost)."""
        if flow.table is None:
            return 0
        if flow.stats is not None:
            self.layer4.end(flow.stats, END_IDLE, 0, flow.last_ns)
        self._unchain(flow)
        flow.queue.take(flow)
        consumer: Consumer | None = flow.consumer
        if consumer is not None:
            if flow.to_server is not None and not flow.over:
                flow.to_server.settle(consumer, flow.last_ns, True)
            consumer.end(OUTCOME_LOST, flow.last_ns)
        # Nothing here is known to the garbage collector (no pause at a million flows), so circles are cut by hand.
        if flow.to_server is not None:
            flow.to_server.drop()
            flow.to_client.drop()
            flow.to_server.peer = None
            flow.to_client.peer = None
        flow.consumer = None
        flow.stats = None
        flow.table = None
        self.open -= 1
        return 0

    def sweep(self, now_ns: cython.longlong) -> None:
        """Forget what is over, and what has been idle for too long. Cheap when there is nothing to do; call it each second."""
        while self.done.first is not None and now_ns - self.done.first.queued_ns >= LINGER_NS:
            self.remove(self.done.first)
        self._forget_answered(now_ns, self.open)
        handshake_ns: cython.longlong = self.idle_ns
        if self.layer4 is not None and handshake_ns > HANDSHAKE_NS:
            handshake_ns = HANDSHAKE_NS
        datagrams_ns: cython.longlong = self.idle_ns if self.idle_ns < UDP_IDLE_NS else UDP_IDLE_NS
        self._rest(self.starting, now_ns, handshake_ns)
        self._rest(self.datagrams, now_ns, datagrams_ns)
        self._rest(self.young, now_ns, self.idle_ns)
        self._rest(self.old, now_ns, self.idle_ns)

    def _forget_answered(self, now_ns: cython.longlong, steps: cython.Py_ssize_t) -> cython.int:
        """Forget datagram flows that have their answers, of as many as `steps`. With each new one two old ones: then there are
        few of them, and what one leaves the next one finds in the processor's cache."""
        flow: Flow | None = self.answered.first
        while flow is not None and steps > 0:
            rested_ns: cython.longlong = ANSWERED_NS if self.answered.size <= ANSWERED_MAX else 0
            if now_ns - flow.queued_ns < rested_ns:
                break
            steps -= 1
            if flow.last_ns > flow.queued_ns and now_ns - flow.last_ns < ANSWERED_NS:
                self._requeue(flow)
            elif flow.consumer is not None and flow.consumer.expire(now_ns):
                self.answered.take(flow)
                self.datagrams.add(flow)  # something waits there
            else:
                self.closed += 1
                self.remove(flow)
            flow = self.answered.first
        return 0

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
        client: Host = flow.client()
        server: Host = flow.server()
        name: str | None = self._name(server, flow.last_ns) if flow.stats is None else flow.stats.name
        known: Endpoints = Endpoints.__new__(Endpoints)  # with `__init__` and its arguments it takes four times as long
        known.client_address = client.text
        known.client_port = flow.client_port
        known.server_address = server.text
        known.server_name = server.text if name is None else name
        known.server_port = flow.server_port
        known.transport = "tcp" if flow.is_tcp else "udp"
        known.vantage = self._vantage(client, server)
        known.neutral = client.local == server.local
        known.group = client.group or server.group
        known.tls_server_name = None
        known.tls_protocols = None
        known.announced_address = None
        known.announced_port = 0
        known.encoded = None
        return known

    def names_in_use(self) -> dict[bytes, str]:
        """The servers of open flows that have a name: packed address -> name."""
        found: dict[bytes, str] = {}
        for each in (self.starting, self.datagrams, self.answered, self.young, self.old, self.done):
            queue: Queue = each
            flow: Flow | None = queue.first
            while flow is not None:
                name: str | None = None
                if flow.stats is not None:
                    name = flow.stats.name
                elif flow.known is not None and flow.known.server_name is not flow.known.server_address:
                    name = flow.known.server_name
                if name is not None:
                    found[flow.server().packed] = name
                flow = flow.after
        return found

    def clear(self) -> None:
        """Forget every flow. A table that is dropped with flows in it keeps them for ever: nothing here is known to the garbage
        collector."""
        for flow in self.flows():
            self.remove(flow)

    def flows(self) -> list[Flow]:
        """Every open flow, the oldest first."""
        found: list[Flow] = []
        for queue in (self.starting, self.datagrams, self.answered, self.young, self.old, self.done):
            found += queue.flows()
        return sorted(found, key=_serial)


def _serial(flow: Flow) -> int:
    return flow.serial
