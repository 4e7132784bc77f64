"""The flow table: who talks to whom, and for how long that is remembered.

Room: pcap. A flow key is the packet's own address and port bytes, so each direction has a key of its own and one look-up tells
the direction too. The server is whoever did not send the first SYN; without a handshake the side with a known server port, else
with the lower port, until the content tells better. Time is the packets' own.
"""

from __future__ import annotations

import ipaddress
from collections import deque
from collections.abc import Iterable

import cython

from receiver.pcap.stream import Limits, Stream
from receiver.wire.cursor import Cursor
from receiver.wire.names import Names
from receiver.wire.records import Connection, Consumer, Endpoints, Segment

if not cython.compiled:
    from receiver.wire.records import OUTCOME_LOST, TO_CLIENT, TO_SERVER, VANTAGE_CLIENT, VANTAGE_SERVER

SYN = 0x02
ACK = 0x10

# Late retransmissions and the last ACK of a finished connection still find it, and open nothing new.
LINGER_NS = 2_000_000_000
# How far a full table looks for a flow that rests before it takes the next best.
EVICT_STEPS = 32


@cython.no_gc
@cython.cclass
class Flow(Connection):
    """Two streams, and the consumer of what they carry (None until there is a payload)."""

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
        return 0

    def endpoints(self) -> Endpoints:
        if self.known is None:
            self.known = self.table.describe(self)
        return self.known


class FlowTable:
    """All open flows, `flow_max` at most.

    `local`: the packed addresses (4 or 16 bytes) that are ours; a flow is seen from the server's side when its server is local or
    nothing is, from the client's side when only its client is. `vantage` is what counts when neither is. `server_ports` are
    ports that servers are known to listen on. `names` knows servers' names. `excluded` has endpoints (packed address and
    port) whose flows are ignored: what our
    own exporters talk to, else a capture that sees them feeds itself.
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
        self.young: deque[Flow] = deque()  # never carried a payload
        self.old: deque[Flow] = deque()
        self.done: deque[Flow] = deque()
        self.local = set(local)
        self.excluded: set[bytes] = set()
        self.names: Names | None = None
        self.server_ports = set(server_ports)
        self.vantage = vantage
        self.cursor = Cursor(b"")

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
        self.young.append(flow)
        return flow.to_server if from_client else flow.to_client

    def _evict(self) -> cython.int:
        """Make room for one: what is over, what never carried anything, what rests longest - in that order."""
        flow: Flow
        while self.done:
            flow = self.done.popleft()
            if flow.table is not None:
                return self.remove(flow)
        steps: cython.int = 0
        while self.young:
            flow = self.young.popleft()
            if flow.table is None:
                continue
            if flow.consumer is not None:
                flow.queued_ns = flow.last_ns
                self.old.append(flow)
                continue
            self.evicted += 1
            return self.remove(flow)
        while self.old:
            flow = self.old.popleft()
            if flow.table is None:
                continue
            steps += 1
            if flow.last_ns > flow.queued_ns and steps < EVICT_STEPS:
                flow.queued_ns = flow.last_ns
                self.old.append(flow)
                continue
            self.evicted += 1
            return self.remove(flow)
        return 0

    def finish(self, flow: Flow, now_ns: cython.longlong) -> cython.int:
        """The connection is over; it is forgotten a little later."""
        if not flow.over:
            flow.over = True
            flow.queued_ns = now_ns
            self.closed += 1
            self.done.append(flow)
        return 0

    def remove(self, flow: Flow) -> cython.int:
        """Forget a flow. The caller has told its consumer, or it is told nothing more than that its time is up."""
        if flow.table is None:
            return 0
        streams: dict[bytes, Stream] = self.tcp if flow.is_tcp else self.udp
        streams.pop(flow.client_key, None)
        streams.pop(flow.server_key, None)
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
        flow.table = None
        self.open -= 1
        return 0

    def sweep(self, now_ns: cython.longlong) -> None:
        """Forget what is over, and what has been idle for too long. Cheap when there is nothing to do; call it each second."""
        flow: Flow
        while self.done:
            flow = self.done[0]
            if flow.table is not None and now_ns - flow.queued_ns < LINGER_NS:
                break
            self.done.popleft()
            self.remove(flow)
        self._rest(self.young, now_ns)
        self._rest(self.old, now_ns)

    def _rest(self, queue: deque[Flow], now_ns: cython.longlong) -> None:
        # The queues are in the order of `queued_ns`: whoever was busy since goes to the end with its new time.
        flow: Flow
        while queue:
            flow = queue[0]
            if flow.table is not None and now_ns - flow.queued_ns < self.idle_ns:
                break
            queue.popleft()
            if flow.table is None or flow.over:
                continue
            if now_ns - flow.last_ns < self.idle_ns:
                flow.queued_ns = flow.last_ns
                if flow.consumer is not None:
                    self.old.append(flow)
                else:
                    queue.append(flow)
                continue
            self.expired += 1
            self.remove(flow)

    def describe(self, flow: Flow) -> Endpoints:
        key: bytes = flow.client_key
        half: cython.Py_ssize_t = (len(key) - 4) // 2
        client: bytes = key[:half]
        server: bytes = key[half : half * 2]
        vantage: cython.int = self.vantage
        if server in self.local:
            vantage = VANTAGE_SERVER
        elif client in self.local:
            vantage = VANTAGE_CLIENT
        return Endpoints(
            str(ipaddress.ip_address(client)),
            flow.client_port,
            str(ipaddress.ip_address(server)),
            flow.server_port,
            "tcp" if flow.is_tcp else "udp",
            vantage,
            server not in self.local and client not in self.local,
            self.names.name_of(server, flow.last_ns) if self.names is not None else None,
        )

    def streams(self) -> list[Stream]:
        """Every open direction, for tests and tools."""
        return list(self.tcp.values()) + list(self.udp.values())
