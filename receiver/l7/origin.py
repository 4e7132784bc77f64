"""What a request says of its server, and proxies of the first hop: authorities, `Forwarded` and its predecessors.

Room: l7; shared by the versions of HTTP. Nothing in these texts raises: what cannot be read is absent.
"""

from __future__ import annotations

from receiver.wire.records import Message

# A DNS name has at most 253 bytes, `userinfo@` is not expected, a port adds 6.
AUTHORITY_MAX = 300


class Origin:
    """The first hop: `client` is an address or a name, `scheme` http or https, `host` and `port` whom it asked."""

    def __init__(
        self,
        forwarded: bytes | None,
        forwarded_for: bytes | None,
        forwarded_host: bytes | None,
        forwarded_proto: bytes | None,
    ) -> None:
        """The values of `Forwarded` (RFC 7239), which counts more than the others, and of the `X-Forwarded-` fields."""
        client = _first(forwarded_for)
        host = _first(forwarded_host)
        scheme = _first(forwarded_proto)
        if forwarded is not None:
            said = _first_hop(forwarded)
            client = said.get(b"for", client)
            host = said.get(b"host", host)
            scheme = said.get(b"proto", scheme)
        self.client: str | None = None
        self.scheme: str | None = None
        self.host: str | None = None
        self.port = 0
        # RFC 7239, 6: "unknown", and names that begin with "_" hide who it was.
        if client and client.lower() != b"unknown" and not client.startswith(b"_"):
            self.client, _ = split_authority(client, 0)
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


def _first(value: bytes | None) -> bytes | None:
    """The first element of a comma-separated list."""
    if value is None:
        return None
    return value.partition(b",")[0].strip()


def _first_hop(forwarded: bytes) -> dict[bytes, bytes]:
    """The parameters of the first element of a `Forwarded` header (RFC 7239, 4); of doubled ones the first."""
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
            if code == 0x2C:
                break
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
    return said
