"""Which name does an address go by? What DNS answers said, the user's map, /etc/hosts - in that order.

Room: wire; decoders feed it, the flow table asks it. It is no reverse DNS: nothing is looked up, an address has the name under
which somebody here asked for it. Time is the packets' own. Addresses are packed, 4 or 16 bytes.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

import cython

# 4 096 entries of a key (37 to 49 B), a Named (32 B), a name (80 B, shared by its addresses) and their place in a dict: 1 MB.
NAMES_MAX = 4096
# /etc/hosts may be a block list of 200 000 lines; what is left of it here is no more than this.
STATIC_MAX = 4096

# A program uses an address longer than the answer's TTL says: connection pools dial again, the JVM keeps it for 30 s, and
# cluster DNS answers with 5 s. An address changes hands rarely within a minute. RFC 2181, 8 has TTLs of up to 68 years.
_KEEP_MIN_NS = 60 * 1_000_000_000
_KEEP_MAX_NS = 86_400 * 1_000_000_000

_HOST_CHARS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")


def is_host_name(name: str) -> bool:
    """Whether `name` can be the name of a host (RFC 1123, 2.1, and `_`, which is in use): lower case, no escapes, no root."""
    return 0 < len(name) <= 253 and name[0] != "." and _HOST_CHARS.issuperset(name)


def pack_address(address: str) -> bytes:
    """The 4 or 16 bytes of an address as text; an IPv4 address written as IPv6 has 4. Raises ValueError."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped.packed
    return parsed.packed


def _stands_for_one(address: bytes) -> bool:
    """Not loopback, unspecified or multicast: a name of these would be given to everything. 0.0.0.0 and 127.0.0.1 are also
    how block lists and filtering resolvers say no."""
    if len(address) == 4:
        return address[0] != 0 and address[0] != 127 and address[0] < 224
    if len(address) != 16 or address[0] == 0xFF:
        return False
    return not (address.startswith(bytes(15)) and address[15] <= 1)


def read_hosts(text: str) -> dict[str, str]:
    """Address -> its first name, of text in the form of /etc/hosts (hosts(5)); what cannot be understood is left out, as are
    loopback, unspecified and multicast addresses. The first line of an address counts, as for the C library."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if len(words) < 2 or words[0] in found:
            continue
        name = words[1].lower().rstrip(".")
        try:
            packed = pack_address(words[0])
        except ValueError:
            continue
        if is_host_name(name) and _stands_for_one(packed):
            found[words[0]] = name
            if len(found) >= STATIC_MAX:
                break
    return found


@cython.no_gc
@cython.cclass
class Named:
    def __init__(self, name: str, expires_ns: cython.longlong) -> None:
        self.name = name
        self.expires_ns = expires_ns


class Names:
    """The table. `static` and `hosts` map addresses as text to names and never expire; DNS answers go before `static`, and
    `static` before `hosts`. `size_max` learnt names are kept, the oldest goes first, which `limits` counts as `names`.

    Raises ValueError for a key of `static` or `hosts` that is no address.
    """

    def __init__(
        self,
        static: Mapping[str, str] | None = None,
        hosts: Mapping[str, str] | None = None,
        size_max: cython.Py_ssize_t = NAMES_MAX,
        limits: dict[str, int] | None = None,
    ) -> None:
        self._learnt: dict[bytes, Named] = {}
        self._static: dict[bytes, str] = {}
        self.size_max = size_max
        self.limits: dict[str, int] = {} if limits is None else limits
        self.limits["names"] = 0
        for given in (hosts or {}, static or {}):
            for address, name in given.items():
                self._static[pack_address(address)] = name

    def learn(
        self, address: bytes, name: str, ttl_s: cython.Py_ssize_t, now_ns: cython.longlong
    ) -> cython.int:
        """An answer of `now_ns` says that `address` belongs to `name` for `ttl_s` seconds (kept for a minute at least, a day at
        most). Loopback, unspecified and multicast addresses are not learnt."""
        keep_ns: cython.longlong = ttl_s
        keep_ns = keep_ns * 1_000_000_000
        if keep_ns < _KEEP_MIN_NS:
            keep_ns = _KEEP_MIN_NS
        elif keep_ns > _KEEP_MAX_NS:
            keep_ns = _KEEP_MAX_NS
        known: Named | None = self._learnt.get(address)
        if known is not None:
            known.name = name
            known.expires_ns = now_ns + keep_ns
            return 0
        if not _stands_for_one(address):
            return 0
        if len(self._learnt) >= self.size_max:
            del self._learnt[next(iter(self._learnt))]
            self.limits["names"] += 1
        self._learnt[address] = Named(name, now_ns + keep_ns)
        return 1

    def name_of(self, address: bytes, now_ns: cython.longlong) -> str | None:
        known: Named | None = self._learnt.get(address)
        if known is not None:
            if known.expires_ns > now_ns:
                return known.name
            del self._learnt[address]
        return self._static.get(address)

    def given(self, address: bytes) -> str | None:
        """The name that the user's map or /etc/hosts gives."""
        return self._static.get(address)

    def told(self, now_ns: int) -> list[tuple[bytes, str, int]]:
        """What answers told and is true still: address, name, until when; the oldest address first."""
        found: list[tuple[bytes, str, int]] = []
        for address, entry in self._learnt.items():
            known: Named = entry
            if known.expires_ns > now_ns:
                found.append((address, known.name, known.expires_ns))
        return found

    def size(self) -> cython.Py_ssize_t:
        """Learnt names in the table; those that expired count until they are asked for or pushed out."""
        return len(self._learnt)
