"""The directory that lets a queue outlive the process.

Room: export. One file per request, named by its place in the queue:

    [8s magic][u32 crc32 of the rest][u64 items][payload ...]      big-endian

A file appears under its final name only when it is whole (written aside, then renamed). It is not synced: it survives
the end of the process; what a power cut leaves half-written fails its checksum and is counted.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from pathlib import Path
from urllib.parse import quote

MAGIC = b"PCAPRQ\x00\x01"
HEADER = struct.Struct(">8sI")
ITEMS = struct.Struct(">Q")
SUFFIX = ".request"
PARTIAL = ".partial"


class Corrupt(Exception):
    """A file that is not a whole request; its place says which."""


class Spool:
    """A locked directory of requests. Not thread-safe but for files of different places."""

    def __init__(self, storage: str, queue: str) -> None:
        """`queue` is the exporter's name and signal; it gets a directory of its own below `storage`."""
        self._directory = Path(storage) / quote(queue, safe="")
        self._lock = -1

    def open(self) -> list[int]:
        """Lock the directory and list the places that are taken, oldest first.

        Raises OSError when the directory cannot be made or written, or when another process holds it.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise OSError(f"{self._directory} is in use by another process") from None
        self._lock = lock
        for partial in self._directory.glob("*" + PARTIAL):
            partial.unlink()  # never acknowledged to anybody: its writer was still at work
        places = []
        for path in self._directory.glob("*" + SUFFIX):
            stem = path.name.removesuffix(SUFFIX)
            if stem.isascii() and stem.isdigit():
                places.append(int(stem))
        return sorted(places)

    def read(self, place: int) -> tuple[bytes, int]:
        """Payload and items. Raises Corrupt, or OSError when the file cannot be read."""
        content = self._path(place).read_bytes()
        if len(content) < HEADER.size + ITEMS.size:
            raise Corrupt(str(place))
        magic, checksum = HEADER.unpack_from(content)
        if magic != MAGIC or checksum != zlib.crc32(memoryview(content)[HEADER.size :]):
            raise Corrupt(str(place))
        (items,) = ITEMS.unpack_from(content, HEADER.size)
        return content[HEADER.size + ITEMS.size :], int(items)

    def size(self, place: int) -> int:
        """Bytes of the payload, by the file's length."""
        return max(0, self._path(place).stat().st_size - HEADER.size - ITEMS.size)

    def write(self, place: int, payload: bytes, items: int) -> None:
        """Raises OSError: no space, no permission."""
        path = self._path(place)
        partial = path.with_suffix(PARTIAL)
        counted = ITEMS.pack(items)
        checksum = zlib.crc32(payload, zlib.crc32(counted))
        try:
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(HEADER.pack(MAGIC, checksum) + counted)
                file.write(payload)
            partial.rename(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise

    def remove(self, place: int) -> None:
        """Raises OSError."""
        self._path(place).unlink(missing_ok=True)

    def close(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)  # gives the lock back
            self._lock = -1

    def _path(self, place: int) -> Path:
        return self._directory / f"{place:020d}{SUFFIX}"
