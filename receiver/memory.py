"""Gives back the memory that only the start needed, and keeps malloc's share small.

Room: service. Knows nothing of the others.

Some 40 libraries are mapped, and what links, imports and connects touches most of their pages once. `release` lets go of

- what malloc keeps for later use (`malloc_trim`, glibc's), and
- pages of program text and constants: the kernel forgets that this process uses them.

It frees the first. The second stays in the page cache, which every process that maps the same file shares, and which the kernel
shrinks by itself when it wants room: what a container is charged for falls only when that happens. What is needed again comes
back with a minor fault, some microseconds for 64 KiB, or is read from the file where the cache has lost it meanwhile. So resident
memory tells what the process works with, not what it once looked at.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import re
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

logger = logging.getLogger(__name__)

RELEASE_AT_S = (1.0, 5.0, 20.0, 75.0)
"""After the start: the capture turns, the first spans have gone, the first metrics have by remote write (every 15 s unless
configured) and by OTLP (60 s)."""

ARENAS_MAX = 2
"""Of malloc, for a dozen threads of which the capture's and one of gRPC's are busy at a time. Each is a heap of its own that keeps
what was freed in it; glibc makes eight for each core."""

M_ARENA_MAX = -8  # malloc.h of glibc
MADV_DONTNEED = 4  # asm-generic/mman-common.h

# [start]-[end] [permissions] [offset] [device] [inode] [path], then a line for each figure: [name]: [size] kB    proc_pid_smaps(5)
_HEAD = re.compile(rb"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+ *(.*)")
_CAPITALS = range(ord("A"), ord("Z") + 1)


class Mapping(msgspec.Struct, frozen=True):
    """One mapping that holds nothing but what its file holds."""

    start: int
    size: int
    resident: int  # bytes


def limit_arenas() -> None:
    """Of malloc, before threads are started. Never raises: only glibc has them."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS_MAX)


def keep_start() -> None:
    """What the start made stays: the collector of cycles, for which packets wait, looks at the rest only. With 2 000 series that is
    half of all there is, and takes 8 ms instead of 16."""
    gc.collect()
    gc.freeze()


def release_after_start(ended: threading.Event) -> None:
    """A thread's work: `release` at the times of RELEASE_AT_S, until `ended` is set."""
    began_s = time.monotonic()
    for at_s in RELEASE_AT_S:
        if ended.wait(max(0.0, began_s + at_s - time.monotonic())):
            return
        logger.debug("%.1f MiB of program pages let go", release() / (1 << 20))


def release() -> int:
    """Let go of what can be had again; returns the bytes of file pages that were resident before.

    Takes 6 ms, half of them without the interpreter's lock, which the others can have in between. Never
    raises: where it is not permitted, or not Linux, or not glibc, less is given back.
    """
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if hasattr(libc, "malloc_trim"):
            libc.malloc_trim(ctypes.c_size_t(0))
        madvise = libc.madvise
        madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        given = 0
        with Path("/proc/self/smaps").open("rb") as smaps:
            mappings = clean_mappings(smaps)
        for mapping in mappings:
            if madvise(mapping.start, mapping.size, MADV_DONTNEED) == 0:  # what is locked in memory is refused
                given += mapping.resident
    except (OSError, AttributeError, ValueError) as error:
        logger.debug("memory is not given back: %s", error)
        return 0
    return given


def clean_mappings(smaps: Iterable[bytes]) -> list[Mapping]:
    """Of the lines of `/proc/self/smaps`: the private mappings of libraries and programs whose every page is the file's own.

    None that can be written, and none with a page that differs from the file, be it swapped out: relocations (RELRO), breakpoints
    of a debugger or a uprobe. `MADV_DONTNEED` would lose those. And of no other files, which somebody may unmap at any moment:
    libraries stay where they are once Python has loaded them.
    """
    found: list[tuple[bytes, Mapping]] = []
    programs: set[bytes] = set()
    for head, sizes in _read_mappings(smaps):
        start, end, permissions, path = int(head[1], 16), int(head[2], 16), head[3], head[4]
        if not path.startswith(b"/"):
            continue
        if b"x" in permissions:
            programs.add(path)
        # Without a figure nothing is known: a kernel that does not tell what is swapped out is left alone.
        its_own = sizes.get(b"Anonymous", 1) + sizes.get(b"Swap", 1)
        if permissions[1:2] == b"-" and permissions[3:4] == b"p" and not its_own and sizes.get(b"Rss"):
            found.append((path, Mapping(start, end - start, sizes[b"Rss"])))
    return [mapping for path, mapping in found if path in programs]


def _read_mappings(smaps: Iterable[bytes]) -> Iterator[tuple[re.Match[bytes], dict[bytes, int]]]:
    """The head of each mapping, and the figures that matter, in bytes."""
    head: re.Match[bytes] | None = None
    sizes: dict[bytes, int] = {}
    for line in smaps:
        if line[0] not in _CAPITALS:
            if head is not None:
                yield head, sizes
            head, sizes = _HEAD.match(line), {}
        elif line.startswith((b"Rss:", b"Anonymous:", b"Swap:")):
            name, size, _ = line.split()
            sizes[name[:-1]] = int(size) * 1024
    if head is not None:
        yield head, sizes
