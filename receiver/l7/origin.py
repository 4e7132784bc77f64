"""What a request says of its server, and proxies of the client: authorities, `Forwarded` and its predecessors.

Room: l7; shared by the versions of HTTP. Nothing in these texts raises: what cannot be read is absent.

Each proxy adds whom it has its request from at the end of a list, so the last word is the nearest proxy's own, and what stands
before it is as true as whoever is named there is. The list is read from its end, as far as those who wrote it are trusted.
"""

from __future__ import annotations

from receiver.l7.trust import Trust
from receiver.wire.records import Message

# A DNS name has at most 253 bytes, `userinfo@` is not expected, a port adds 6.
AUTHORITY_MAX = 300
# Proxies in a row; a longer list is a loop, or made up.
HOPS_MAX = 32
# What is kept of a list that stands in several lines: its end. So many of the longest addresses fit.
LIST_MAX = 4096


class Origin:
    """Where a request came from, as trusted proxies tell it: `client` is an address or a name, `scheme` http or https, `host` and
    `port` whom it asked."""

    def __init__(
        self,
        forwarded: bytes | None,
        forwarded_for: bytes | None,
        forwarded_host: bytes | None,
        forwarded_proto: bytes | None,
        trust: Trust,
    ) -> None:
        """The values of `Forwarded` (RFC 7239), which counts more than the others, and of the `X-Forwarded-` fields; those of
        several lines as one list. Whoever sent them is trusted."""
        clients = _words(forwarded_for)
        at = _first_hop(clients, trust)
        client = clients[at] if clients else None
        host = _word(_words(forwarded_host), at)
        scheme = _word(_words(forwarded_proto), at)
        if forwarded is not None:
            hops = _hops(forwarded)
            said = hops[_first_hop([hop.get(b"for", b"") for hop in hops], trust)]
            client = said.get(b"for", client)
            host = said.get(b"host", host)
            scheme = said.get(b"proto", scheme)
        self.client: str | None = None if client is None else _client(client)
        self.scheme: str | None = None
        self.host: str | None = None
        self.port = 0
        if scheme is not None and scheme.lower() in (b"http", b"https"):
            self.scheme = "https" if scheme.lower() == b"https" else "http"
        if host:
            self.host, self.port = split_authority(host, 443 if self.scheme == "https" else 80)

    def tell(self, out: Message) -> None:
        """Put what is known on a request."""
        if self.client is not None:
            out.add("client.address", self.client)
        if self.scheme is not None:
            out.namespace = self.scheme
        if self.host is not None:
            out.server_address = self.host
            out.server_port = self.port


def listed(before: bytes | None, value: bytes) -> bytes:
    """A list with one more line of it: those of one name are one list (RFC 9110, 5.3), and some proxies add their own line."""
    return value if before is None else (before + b", " + value)[-LIST_MAX:]


def split_authority(text: bytes, default_port: int) -> tuple[str | None, int]:
    """Address and port of `[userinfo@]host[:port]`; no address (None) where there is nothing readable."""
    if len(text) > AUTHORITY_MAX:
        return None, 0
    host = text[text.rfind(b"@") + 1 :]
    digits = b""
    if host.startswith(b"["):
        close = host.find(b"]")
        if close < 0:
            return None, 0
        digits = host[close + 2 :] if host[close + 1 : close + 2] == b":" else b""
        host = host[1:close]
    elif host.count(b":") == 1:
        host, _, digits = host.partition(b":")
    if not host or not host.isascii() or not host.decode().isprintable() or host.translate(None, b' /?#\\"<>') != host:
        return None, 0
    port: int = default_port
    if 0 < len(digits) <= 5 and digits.isdigit() and 0 < int(digits) < 65536:
        port = int(digits)
    return host.decode(), port


def _client(text: bytes) -> str | None:
    """The address or name of a list's element; None where it hides who it was: RFC 7239, 6: "unknown", and names with a "_"."""
    if not text or text.lower() == b"unknown" or text.startswith(b"_"):
        return None
    if text.count(b":") > 1 and not text.startswith(b"["):
        return split_authority(b"[" + text + b"]", 0)[0]  # a bare address of IPv6
    return split_authority(text, 0)[0]


def _first_hop(clients: list[bytes], trust: Trust) -> int:
    """Where in a list the client stands, counted from the end (-1 is the last): behind those that are trusted."""
    at = -1
    while -at < len(clients) and -at < HOPS_MAX and trust.covers(_client(clients[at])):
        at -= 1
    return at


def _words(value: bytes | None) -> list[bytes]:
    """The elements of a comma-separated list; empty ones are none (RFC 9110, 5.6.1)."""
    if value is None:
        return []
    return [word for word in (word.strip() for word in value.split(b",")) if word]


def _word(words: list[bytes], at: int) -> bytes | None:
    """What the proxy said that stands `at` from the end; most replace what was there, and then there is but one."""
    if not words:
        return None
    return words[at] if -at <= len(words) else words[0]


def _hops(forwarded: bytes) -> list[dict[bytes, bytes]]:
    """The parameters of each element of a `Forwarded` header (RFC 7239, 4), one at least; of doubled ones the first."""
    hops: list[dict[bytes, bytes]] = []
    said: dict[bytes, bytes] = {}
    name = bytearray()
    value = bytearray()
    in_value = quoted = escaped = False
    for code in forwarded + b",":
        if escaped:
            value.append(code)
            escaped = False
        elif quoted:
            if code == 0x5C:
                escaped = True
            elif code == 0x22:
                quoted = False
            else:
                value.append(code)
        elif code == 0x2C or code == 0x3B:
            if in_value:
                said.setdefault(bytes(name.strip().lower()), bytes(value.strip()))
            if code == 0x2C and said:
                hops.append(said)
                said = {}
            name.clear()
            value.clear()
            in_value = False
        elif in_value:
            if code == 0x22 and not value.strip():
                quoted = True
            else:
                value.append(code)
        elif code == 0x3D:
            in_value = True
        else:
            name.append(code)
    return hops or [{}]
