"""Names of addresses that outlive a restart, in a file of the `storage` directory.

Room: service. An application asks DNS less often than its observer may be restarted: its resolver remembers, its pools hold
connections for days. What an address was called until then is kept, or the same server would be another series until somebody asks
again.

    pcap-receiver names 1 <crc32 of the rest, 8 hex digits>\\n
    <when it was written, seconds since 1970>\\n
    <until when, seconds since 1970> <address> <name>\\n ...        4 096 at most

The file appears whole (written aside, then renamed). One that is damaged, or of the future, is not used.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import zlib
from collections.abc import Mapping
from pathlib import Path

from receiver.wire.names import NAMES_MAX, Names, is_host_name, pack_address

log = logging.getLogger(__name__)

FILE = "names"
PARTIAL = "names.partial"
TITLE = b"pcap-receiver names 1 "
# Of 4 096 lines of at most 305 bytes (10 digits, 39 of an address, 253 of a name) and a head: 1.25 MB.
READ_MAX = 2 * 1024 * 1024
# A connection that is silent for longer is forgotten without a restart as well (flows.idle_timeout), and asked for anew.
KEPT_S = 300
# Of a file that is older only what DNS said to be true still is believed: addresses change hands.
FRESH_S = 3600
# So far the clock may have been set back since.
FUTURE_S = 86_400


class KnownNames:
    """The file in `storage`. `write` may be called by another thread than the rest."""

    def __init__(self, storage: str) -> None:
        self._directory = Path(storage)
        self._path = self._directory / FILE
        self._failed = False

    def restore(self, names: Names, now_ns: int) -> int:
        """Teach `names` what the file says, as answers of `now_ns` would; returns how many. What cannot be used is told of."""
        try:
            with self._path.open("rb") as file:
                content = file.read(READ_MAX + 1)
        except FileNotFoundError:
            return 0
        except OSError as error:
            log.warning("the names kept in %s cannot be read: %s", self._path, error.strerror or error)
            return 0
        try:
            return _teach(content, names, now_ns)
        except ValueError as error:
            log.warning("the names kept in %s are not used: %s", self._path, error)
            return 0

    def text(self, names: Names, in_use: Mapping[bytes, str], steady_ns: int, now_s: int) -> bytes:
        """What the file is to say: the names that answers told, and those of open connections, `in_use`. `steady_ns` is the clock
        by which `names` counts, `now_s` the one outside."""
        until: dict[bytes, tuple[str, int]] = {}
        for address, name in in_use.items():
            if name != names.given(address):  # that is known again, or was changed
                until[address] = (name, now_s + KEPT_S)
        for address, name, expires_ns in names.told(steady_ns):
            until[address] = (name, now_s + (expires_ns - steady_ns) // 1_000_000_000)
        lines = [str(now_s)]
        for address, (name, until_s) in list(until.items())[:NAMES_MAX]:
            if is_host_name(name):
                lines.append(f"{until_s} {ipaddress.ip_address(address)} {name}")
        rest = "".join(f"{line}\n" for line in lines).encode("ascii")
        return TITLE + b"%08x\n" % zlib.crc32(rest) + rest

    def write(self, content: bytes) -> None:
        """Put it in the place of what is there. Told of once, when it cannot be."""
        partial = self._directory / PARTIAL
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(content)
            partial.rename(self._path)
            self._failed = False
        except OSError as error:
            if not self._failed:
                log.warning("names cannot be kept in %s: %s", self._directory, error.strerror or error)
            self._failed = True


def _teach(content: bytes, names: Names, now_ns: int) -> int:
    """Raises ValueError for a file that is not whole, or not ours."""
    title, _, rest = content.partition(b"\n")
    if len(content) > READ_MAX or not title.startswith(TITLE):
        raise ValueError("it is none of ours, or too long")
    if title.removeprefix(TITLE) != b"%08x" % zlib.crc32(rest):
        raise ValueError("it is damaged")
    written, *lines = rest.decode("ascii").splitlines()
    now_s = now_ns // 1_000_000_000
    age_s = now_s - int(written)
    if age_s < -FUTURE_S:
        raise ValueError("it is of the future")
    least_s = KEPT_S if age_s <= FRESH_S else 0
    taught = 0
    for line in lines[:NAMES_MAX]:
        until, address, name = line.split(" ")
        left_s = max(int(until) - now_s, least_s)
        if left_s > 0 and is_host_name(name):
            taught += names.learn(pack_address(address), name, left_s, now_ns)
    return taught
