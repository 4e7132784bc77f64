"""What a proxy or its client says before a connection's own protocol begins: the PROXY protocol's header, or SOCKS.

Room: l7. Read once, before detection, whatever follows; then the connection begins anew behind it. Specifications: HAProxy's
proxy-protocol.txt (2.1 and 2.2 are sections of it), SOCKS 4 and 4A, RFC 1928 and 1929.

    v1: PROXY SP (TCP4|TCP6) SP source SP destination SP port SP port CRLF      or PROXY SP UNKNOWN [whatever] CRLF          2.1
    v2: [12 signature][u4 version 2][u4 command: 0 LOCAL, 1 PROXY][u8 family][u16 length]([addresses][TLVs])                 2.2
    SOCKS5:  client [5][u8 n][n methods]  server [5][method]  method 2: client [1][u8 n][name][u8 n][password]  server [1][0]
             client [5][command][0][address][u16 port]  server [5][reply][0][address][u16 port]                      RFC 1928, 1929
    address: [1][4]  or  [3][u8 n][n name]  or  [4][16]
    SOCKS4:  client [4][command][u16 port][4 address][user][0]([name][0] where the address is 0.0.0.x)  server [0][reply][6]

A PROXY header is believed to be one by its first words, and what breaks its rules then is counted. SOCKS begins with no more than a
small number: it is one when the server answers as it must; otherwise all that came is given back, to be something else.
"""

from __future__ import annotations

import ipaddress
import re

# What `take` says: more is needed; it is over, and `waited` begins behind it; it is none, `waited` has everything; it is one that
# breaks the rules, as `what` says.
UNDER_WAY, OVER, NONE, BROKEN = range(4)

V1 = b"PROXY "
# The longest line, with its CRLF (2.1).
V1_MAX = 107
V2 = b"\r\n\r\n\x00\r\nQUIT\n"
# With TLVs (certificates) a header may have 64 KiB; HAProxy itself takes what fits into its buffer of 16 KiB. SOCKS, with names and
# passwords of 255 bytes each and what a client in a hurry says behind them, takes no more either.
PREAMBLE_MAX = 16384
# What is kept of what may be SOCKS or anything else.
DOUBTFUL_MAX = 4096
# Of addresses by family: TCP or UDP, IPv4, IPv6, UNIX (2.2).
V2_FAMILIES = {0x00: 0, 0x11: 12, 0x12: 12, 0x21: 36, 0x22: 36, 0x31: 216, 0x32: 216}

# A target may follow `PROXY `, for any word may be a method of HTTP.
TARGETS = b"/*h"
# Which bytes begin one, by number.
FIRST = bytes(1 if byte in (V1[0], V2[0], 4, 5) else 0 for byte in range(256))

_LINE = re.compile(rb"PROXY (TCP4|TCP6) ([0-9A-Fa-f.:]{2,39}) ([0-9A-Fa-f.:]{2,39}) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})")


def may_begin(head: bytes, from_start: bool) -> bool:
    """Whether a connection whose client says `head` first may have one. `from_start`: it was seen to begin; a header of the PROXY
    protocol is known by itself, SOCKS is not."""
    if head[0] == 4 or head[0] == 5:
        return from_start
    return V1.startswith(head[: len(V1)]) or V2.startswith(head[: len(V2)])


class Preamble:
    """One connection's, from its first bytes on. `kind` names it once it is known; `address` and `port` are the client's as it was
    announced, None where it was not. `client` is the direction of whoever spoke first."""

    def __init__(self) -> None:
        self.kind = ""
        self.what = ""
        self.address: str | None = None
        self.port = 0
        self.waited: list[tuple[int, bytes, int]] = []
        self.client = -1
        self._said = b""
        self._answered = b""
        self._left = 0

    def take(self, direction: int, piece: bytes, ts_ns: int) -> int:
        if self.client < 0:
            self.client = direction
        self.waited.append((direction, piece, ts_ns))
        if direction == self.client:
            self._said += piece
        else:
            self._answered += piece
        first = self._said[0]
        if first == 5 or first == 4:
            verdict = self._socks5() if first == 5 else self._socks4()
            if verdict == UNDER_WAY and len(self._said) + len(self._answered) > (PREAMBLE_MAX if self.kind else DOUBTFUL_MAX):
                verdict = self._broken("too long") if self.kind else NONE
        elif self._answered:
            verdict = NONE  # whoever waits for a header says nothing before it has come
        else:
            verdict = self._version1() if first == V1[0] else self._version2()
        if verdict == OVER:
            self._pass()
        return verdict

    def _pass(self) -> None:
        """Leave what follows."""
        over = {self.client: self._left, 1 - self.client: len(self._answered)}
        left: list[tuple[int, bytes, int]] = []
        for direction, piece, ts_ns in self.waited:
            n = min(over[direction], len(piece))
            over[direction] -= n
            if n < len(piece):
                left.append((direction, piece[n:], ts_ns))
        self.waited = left

    def _broken(self, what: str) -> int:
        self.what = what
        return BROKEN

    def _version1(self) -> int:
        said = self._said
        if not said.startswith(V1):
            return UNDER_WAY if V1.startswith(said) else NONE
        if len(said) > len(V1) and said[len(V1)] in TARGETS:
            return NONE
        self.kind = "proxy_v1"
        end = said.find(b"\n", 0, V1_MAX)
        if end < 0:
            return UNDER_WAY if len(said) < V1_MAX else self._broken("line too long")
        self._left = end + 1
        line = said[: end - 1]
        if said[end - 1] != 0x0D:
            return self._broken("line without CR")
        if line == b"PROXY UNKNOWN" or line.startswith(b"PROXY UNKNOWN "):
            return OVER
        found = _LINE.fullmatch(line)
        if found is None:
            return self._broken("line unreadable")
        version = 4 if found[1] == b"TCP4" else 6
        try:
            source = ipaddress.ip_address(found[2].decode())
            target = ipaddress.ip_address(found[3].decode())
        except ValueError:
            return self._broken("address unreadable")
        if source.version != version or target.version != version:
            return self._broken("address of another family")
        if int(found[4]) > 65535 or int(found[5]) > 65535:
            return self._broken("port unreadable")
        self.address = _text(source)
        self.port = int(found[4])
        return OVER

    def _version2(self) -> int:
        said = self._said
        if not said.startswith(V2):
            return UNDER_WAY if V2.startswith(said) else NONE
        self.kind = "proxy_v2"
        if len(said) < 16:
            return UNDER_WAY
        version, command, family = said[12] >> 4, said[12] & 15, said[13]
        size = int.from_bytes(said[14:16], "big")
        if version != 2:
            return self._broken("version")
        if command > 1:
            return self._broken("command")
        if 16 + size > PREAMBLE_MAX:
            return self._broken("header too long")
        if command == 1 and (family not in V2_FAMILIES or size < V2_FAMILIES[family]):
            return self._broken("family" if family not in V2_FAMILIES else "addresses cut short")
        if len(said) < 16 + size:
            return UNDER_WAY
        self._left = 16 + size
        wide = 4 if family >> 4 == 1 else 16
        if command == 1 and family >> 4 in (1, 2):
            self.address = _text(ipaddress.ip_address(said[16 : 16 + wide]))
            self.port = int.from_bytes(said[16 + 2 * wide : 18 + 2 * wide], "big")
        return OVER

    def _socks5(self) -> int:
        said, answered = self._said, self._answered
        if len(said) < 2 or len(said) < 2 + said[1]:
            return NONE if answered else UNDER_WAY
        at = 2 + said[1]
        methods = said[2:at]
        if not methods:
            return NONE
        if len(answered) < 2:
            return UNDER_WAY if b"\x05".startswith(answered) else NONE
        method = answered[1]
        if answered[0] != 5 or (method not in methods and method != 0xFF):
            return NONE
        self.kind = "socks5"
        if method == 0xFF:
            return self._over(at, answered, 2)  # none of them: the client goes
        there = 2
        if method == 2:
            if len(said) < at + 2 or len(said) < at + 3 + said[at + 1]:
                return UNDER_WAY
            password = at + 2 + said[at + 1]
            if said[at] != 1:
                return self._broken("login")
            at = password + 1 + said[password]
            there += 2
            if len(said) < at or len(answered) < there:
                return UNDER_WAY
            if answered[there - 1] != 0:
                return self._over(at, answered, there)
        elif method != 0:
            return self._broken("method")  # nobody can say how long its exchange is
        if len(said) < at + 4:
            return UNDER_WAY
        if said[at] != 5:
            return self._broken("request")
        if said[at + 1] != 1:
            return self._broken("command")
        at = _behind_address(said, at + 3)
        if at < 0:
            return self._broken("address")
        if len(said) < at or len(answered) < there + 4:
            return UNDER_WAY
        if answered[there] != 5:
            return self._broken("reply")
        end = _behind_address(answered, there + 3)
        if end < 0:
            return self._broken("address")
        return self._over(at, answered, end) if len(answered) >= end else UNDER_WAY

    def _socks4(self) -> int:
        said, answered = self._said, self._answered
        if len(said) >= 2 and said[1] not in (1, 2):
            return NONE
        at = said.find(b"\x00", 8) + 1
        if at > 0 and said[4:7] == b"\x00\x00\x00" and said[7] != 0:
            at = said.find(b"\x00", at) + 1
        if at == 0:
            return NONE if answered else UNDER_WAY
        if not answered or answered[0] != 0:
            return NONE if answered else UNDER_WAY
        if len(answered) >= 2 and not 0x5A <= answered[1] <= 0x5D:
            return NONE
        if len(answered) < 8:
            return UNDER_WAY
        self.kind = "socks4"
        return self._over(at, answered, 8) if said[1] == 1 else self._broken("command")

    def _over(self, client: int, answered: bytes, server: int) -> int:
        self._left = client
        self._answered = answered[:server]
        return OVER


def _text(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """IPv4 that went through a socket of IPv6 (`::ffff:198.51.100.7`) is IPv4."""
    plain = address.ipv4_mapped if address.version == 6 else None
    return str(address if plain is None else plain)


def _behind_address(text: bytes, at: int) -> int:
    """Where the port behind an address ends, as far as can be told; -1 for an address of no known kind."""
    kind = text[at]
    if kind == 3:
        return at + 4 + text[at + 1] if len(text) > at + 1 else at + 5
    return at + 7 if kind == 1 else at + 19 if kind == 4 else -1
