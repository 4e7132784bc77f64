"""Which connections are this process' own: a capture that takes them for the application's feeds itself.

Room: export. A socket is ours whoever it talks to: a proxy, or a Collector whose name has moved to another address. Four things
tell, and the first that does is enough:

- sockets that we open ourselves (`connect`) are known by their local port before their first packet;
- those that a library opens (gRPC's) are found among this process' descriptors when a flow to a port of theirs begins;
- endpoints whose address is known beforehand, and sockets that listen: our pages;
- what is asked of a name server while we look a name up (`resolve`), by the name.

The capture asks when a flow begins, and only of ports that `watched` has; never for a packet.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import threading
import time
from typing import Any, NamedTuple, TypeAlias

DESCRIPTORS = "/proc/self/fd"
PORTS = 65536
PORT_DNS = 53
DNS_HEAD_BYTES = 12  # RFC 1035, 4.1.1: before the first question
FAMILIES = (socket.AF_INET, socket.AF_INET6)
AddressInfo: TypeAlias = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]
MAPPED = bytes(10) + b"\xff\xff"  # ::ffff:0:0/96, RFC 4291, 2.5.5.2

# For so long after `connect` a socket is known without being looked for: it may be closed before its first packet is read.
REMEMBER_NS = 60_000_000_000
# A packet's time stamp and ours are of the same clock, read at different places.
EARLY_NS = 100_000_000

# A packet comes up to the capture's time-out after its time; a look-up is forgotten then.
LAG_NS = 10_000_000_000

# Of bytes that nobody acknowledges; gRPC's own figure for a connection whose peer must be there (its keepalive_timeout).
USER_TIMEOUT_MS = 20_000


class _Socket(NamedTuple):
    """One end to end: packed addresses; the peer's are empty and 0 while there is none."""

    address: bytes
    peer: bytes
    peer_port: int
    listens: bool


class _Opened(NamedTuple):
    at_ns: int
    address: bytes  # empty until it is connected
    peer: bytes
    peer_port: int


class _Asked(NamedTuple):
    question: bytes  # how the name begins in a question, in small letters; a search path adds to its end
    from_ns: int
    until_ns: int


class OwnSockets:
    """Shared by the capture, which asks, and by exporters, which tell. Any thread may call."""

    def __init__(self) -> None:
        self.watched = bytearray(PORTS // 8)
        """A bit for each port that one of ours may have, on either side; changed in place."""
        self._endpoints: dict[int, set[bytes]] = {}
        self._peer_ports: set[int] = set()
        self._opened: dict[int, tuple[_Opened, ...]] = {}  # by local port
        self._sockets: dict[int, tuple[_Socket, ...]] = {}  # by local port, as of `_read_ns`
        self._read_ns = 0
        self._asked: tuple[_Asked, ...] = ()
        self._lock = threading.Lock()

    def exclude(self, address: str, port: int) -> None:
        """Nothing that goes to or comes from there is looked at, whoever sends it."""
        with self._lock:
            self._endpoints[port] = self._endpoints.get(port, set()) | {packed(address)}
            self._watch()

    def expect(self, port: int) -> None:
        """A socket of this process may connect to, or listen on, that port."""
        with self._lock:
            self._peer_ports.add(port)
            self._watch()

    def is_own(
        self, client: bytes, client_port: int, server: bytes, server_port: int, is_tcp: bool, ts_ns: int, payload: bytes = b""
    ) -> bool:
        """Whether a flow that begins at `ts_ns` (of the wall clock), with `payload`, is ours. Addresses are packed, and which side
        is the client may be guessed wrongly."""
        if not is_tcp:
            return PORT_DNS in (client_port, server_port) and self._is_asked(ts_ns, payload)
        if server in self._endpoints.get(server_port, ()) or client in self._endpoints.get(client_port, ()):
            return True
        if self._is_opened(client, client_port, server, server_port, ts_ns) or self._is_opened(
            server, server_port, client, client_port, ts_ns
        ):
            return True
        if not any(port in self._peer_ports or port in self._sockets for port in (client_port, server_port)):
            return False
        if ts_ns >= self._read_ns or self._read_ns > time.time_ns():
            self.look()
        return self._is_there(client, client_port, server_port) or self._is_there(server, server_port, client_port)

    def look(self) -> None:
        """Read this process' sockets. About 2 us for each descriptor; once tells of all flows that began before it."""
        read_ns = time.time_ns()
        found: dict[int, tuple[_Socket, ...]] = {}
        for port, one in _own_sockets():
            if not one.listens or port in self._peer_ports:
                found[port] = (*found.get(port, ()), one)
        with self._lock:
            news = found.keys() - self._sockets.keys()
            self._sockets, self._read_ns = found, read_ns
            if news:
                self._watch()

    def resolve(self, host: str, port: int) -> list[AddressInfo]:
        """`getaddrinfo` for TCP, whose questions will be known. Raises socket.gaierror."""
        asked = _Asked(_question(host), time.time_ns(), 2**63)
        if asked.question:
            self._ask((asked,))
        try:
            return [info for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM) if info[0] in FAMILIES]
        finally:
            if asked.question:
                self._ask((asked._replace(until_ns=time.time_ns()),), gone=asked)

    def connect(self, host: str, port: int, timeout_s: float) -> socket.socket:
        """A TCP connection of ours, whose flow will be known. Raises OSError, socket.gaierror among them, and TimeoutError."""
        until_s = time.monotonic() + timeout_s
        error: OSError = OSError(f"{host} has no address")
        for family, kind, protocol, _, address in self.resolve(host, port):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind(("::" if family == socket.AF_INET6 else "", 0))  # before the SYN: the port is ours from here on
                local_port = sock.getsockname()[1]
                opened = _Opened(time.time_ns(), b"", packed(str(address[0])), int(address[1]))
                self._remember(local_port, opened)
                sock.settimeout(max(0.001, until_s - time.monotonic()))
                sock.connect(address)
                self._remember(local_port, opened._replace(address=packed(sock.getsockname()[0])))
            except OSError as failed:
                sock.close()
                error = failed
                continue
            self.look()  # its port stays watched for as long as it is there
            return sock
        raise error

    def _remember(self, local_port: int, opened: _Opened) -> None:
        with self._lock:
            self._opened = {
                port: kept
                for port, ones in self._opened.items()
                if (kept := tuple(one for one in ones if abs(opened.at_ns - one.at_ns) < REMEMBER_NS))
            }
            self._opened[local_port] = (*self._opened.get(local_port, ()), opened)
            self._watch()

    def _is_opened(self, address: bytes, port: int, peer: bytes, peer_port: int, ts_ns: int) -> bool:
        # The address, where it is known, tells when the peer's is translated on its way.
        return any(
            -EARLY_NS <= ts_ns - one.at_ns < REMEMBER_NS
            and (one.address == address or (one.peer_port == peer_port and one.peer == peer))
            for one in self._opened.get(port, ())
        )

    def _is_there(self, address: bytes, port: int, peer_port: int) -> bool:
        for one in self._sockets.get(port, ()):
            if one.listens:
                if one.address == address or not any(one.address):
                    return True
            # Another's socket may have the same port towards another peer; the peer's address may be translated on its way.
            elif one.address == address and one.peer_port in (0, peer_port):
                return True
        return False

    def _ask(self, more: tuple[_Asked, ...], gone: _Asked | None = None) -> None:
        old_ns = time.time_ns() - REMEMBER_NS
        with self._lock:
            self._asked = (*(one for one in self._asked if one is not gone and one.until_ns > old_ns), *more)
            self._watch()

    def _is_asked(self, ts_ns: int, payload: bytes) -> bool:
        if all(ts_ns - one.until_ns >= LAG_NS for one in self._asked):
            with self._lock:  # no question is waited for any more: the capture need not ask
                self._asked = tuple(one for one in self._asked if ts_ns - one.until_ns < LAG_NS)
                self._watch()
            return False
        questions = payload[DNS_HEAD_BYTES : DNS_HEAD_BYTES + 255].lower()
        return any(
            one.from_ns - EARLY_NS <= ts_ns <= one.until_ns + EARLY_NS and questions.startswith(one.question) for one in self._asked
        )

    def _watch(self) -> None:
        """Called with the lock held."""
        bits = bytearray(PORTS // 8)
        dns = (PORT_DNS,) if self._asked else ()
        for port in (*self._endpoints, *self._peer_ports, *self._opened, *self._sockets, *dns):
            bits[port >> 3] |= 1 << (port & 7)
        self.watched[:] = bits


def packed(address: str) -> bytes:
    """An address as it stands in a packet: a mapped one is the IPv4 address that it maps. Raises OSError."""
    if ":" not in address:
        return socket.inet_pton(socket.AF_INET, address)
    found = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    return found[12:] if found.startswith(MAPPED) else found


def _question(host: str) -> bytes:
    """How a question for this name begins, after RFC 1035, 3.1, without its end; empty for an address, of which nobody is asked."""
    for family in FAMILIES:
        with contextlib.suppress(OSError):
            socket.inet_pton(family, host.partition("%")[0])
            return b""
    try:
        labels = [label.encode("idna") for label in host.rstrip(".").split(".")]
    except UnicodeError:
        return b""
    return b"".join(bytes((len(label),)) + label.lower() for label in labels)


def _own_sockets() -> list[tuple[int, _Socket]]:
    """The TCP sockets of this process that have a port, with it."""
    found = []
    try:
        names = os.listdir(DESCRIPTORS)  # noqa: PTH208 - names alone, without an object for each
    except OSError:
        return []
    for name in names:
        with contextlib.suppress(OSError, ValueError):  # closed meanwhile
            descriptor = int(name)
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                sock = socket.socket(fileno=descriptor)  # looks at it, and is never closed here
                try:
                    one = _describe(sock)
                finally:
                    sock.detach()
                if one is not None:
                    found.append(one)
    return found


def _describe(sock: socket.socket) -> tuple[int, _Socket] | None:
    if sock.family not in FAMILIES or sock.type != socket.SOCK_STREAM:
        return None
    address, port = sock.getsockname()[:2]
    listens = bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    peer, peer_port = b"", 0
    if not listens:
        with contextlib.suppress(OSError):  # not connected yet
            to = sock.getpeername()
            peer, peer_port = packed(to[0]), to[1]
    return (port, _Socket(packed(address), peer, peer_port, listens)) if port else None
