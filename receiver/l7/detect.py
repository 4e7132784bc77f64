"""Which protocol is this flow?

Room: l7. A configured port decides; otherwise the content does: each protocol is asked whether the bytes could be its own, with a
decoder that is kept for that question. When no handshake told who the server is, the content tells that as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cython

from receiver.l7.decoder import Decoder
from receiver.wire.cursor import Cursor
from receiver.wire.records import Connection, Protocol

if not cython.compiled:
    from receiver.l7.decoder import PERHAPS, YES
    from receiver.wire.records import TO_CLIENT, TO_SERVER


class Candidate:
    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self.prototype: Decoder = protocol.decoder()


class Detector:
    """Chooses among `protocols`; `pinned` maps server ports to one of them. `swapped` and `undecided` tell of the last choice:
    that the roles are the other way round, and that more bytes could decide; `hinted` is then the protocol that the server's port
    speaks for. `expected`: a port pins the flow to a family of protocols, of which the content has to tell one. `cut_off`, set
    before: how many bytes at its end the capture lacks of a datagram."""

    def __init__(
        self, protocols: Sequence[Protocol], pinned: Mapping[int, Protocol] | None = None, enabled: cython.bint = True
    ) -> None:
        self.candidates = [Candidate(protocol) for protocol in protocols]
        self.pinned: dict[int, Protocol] = dict(pinned or {})
        families = [protocol.family for protocol in protocols if protocol.probed]
        self.several = frozenset(p.name for p in protocols if p.probed and families.count(p.family) > 1)
        self.enabled = enabled
        self.swapped = False
        self.undecided = False
        self.hinted: Protocol | None = None
        self.expected = False
        self.cut_off = 0

    def named(self, name: str) -> Protocol | None:
        for each in self.candidates:
            candidate: Candidate = each
            if candidate.protocol.name == name:
                return candidate.protocol
        return None

    def at_home(self, protocol: Protocol, port: cython.int) -> cython.bint:
        """Whether a server's port speaks for the protocol, or is pinned to it."""
        return port in protocol.ports or self.pinned.get(port) is protocol

    def agree(self, protocol: Protocol, asked: bytes, told: bytes) -> cython.bint:
        """Whether what the server said can be an answer; each could be the protocol's."""
        for each in self.candidates:
            candidate: Candidate = each
            if candidate.protocol is protocol:
                return candidate.prototype.agree(asked, told)
        return False

    def _pinned_to(self, port: cython.int, datagram: cython.bint) -> Protocol | None:
        """What a port is pinned to, if it goes over this transport."""
        protocol: Protocol | None = self.pinned.get(port)
        if protocol is not None and (protocol.over_udp if datagram else protocol.over_tcp):
            return protocol
        return None

    def choose(self, connection: Connection, direction: cython.int, c: Cursor, datagram: cython.bint) -> Protocol | None:
        """The protocol of a flow whose first bytes in `direction` are `c`; None when it is none, or `undecided`."""
        self.swapped = False
        self.undecided = False
        self.hinted = None
        self.expected = False
        family: str | None = None
        if self.pinned:
            protocol: Protocol | None = self._pinned_to(connection.server_port, datagram)
            if protocol is None and not connection.roles_known:
                protocol = self._pinned_to(connection.client_port, datagram)
                self.swapped = protocol is not None
            if protocol is not None:
                if protocol.name not in self.several:
                    return protocol
                # A port for HTTP speaks one version of it or another.
                family = protocol.family
                self.expected = True
                self.swapped = False
        if not self.enabled and family is None:
            return None
        other: cython.int = TO_SERVER if direction == TO_CLIENT else TO_CLIENT
        i: cython.Py_ssize_t
        answer: cython.int
        for i in range(len(self.candidates)):
            candidate: Candidate = self.candidates[i]
            if not candidate.protocol.probed or (family is not None and candidate.protocol.family != family):
                continue
            if datagram:
                if not candidate.protocol.over_udp:
                    continue
            elif not candidate.protocol.over_tcp:
                continue
            candidate.prototype.datagrams = datagram
            candidate.prototype.cut_off = self.cut_off
            told: cython.bint = connection.server_port in candidate.protocol.ports
            candidate.prototype.at_home = told
            answer = candidate.prototype.probe(direction, c)
            if answer == YES:
                return candidate.protocol
            if answer == PERHAPS:
                self.undecided = True
                if told:
                    self.hinted = candidate.protocol
            # The port of a protocol's servers says who they are, too.
            home: cython.bint = connection.client_port in candidate.protocol.ports
            if not connection.roles_known and (not told or home):
                candidate.prototype.at_home = home
                answer = candidate.prototype.probe(other, c)
                if answer == YES:
                    self.swapped = True
                    return candidate.protocol
                if answer == PERHAPS:
                    self.undecided = True
        return None
