"""What inflates a batch of records, of the ways that there is a library for.

Room: l7. zlib is Python's own, snappy is read by `packed.py`; lz4 and zstd where somebody has installed a library. Each takes the
compressed bytes and how many are wanted at most, and raises one of `zlib.error`, ValueError, OSError, EOFError or RuntimeError.

Of snappy a batch is one block, or what Java's clients write:
    [82 "SNAPPY" 0][u32 version][u32 oldest that can read it] ([u32 length] block) ...     (xerial/snappy-java, SnappyCodec)
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable
from importlib import import_module

from receiver.l7.packed import Snappy, zstd

Decompress = Callable[[bytes, int], bytes]

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
BLOCKS = b"\x82SNAPPY\0"


def _gzip(packed: bytes, most: int) -> bytes:
    return zlib.decompressobj(31).decompress(packed, most)


def _snappy(packed: bytes, most: int) -> bytes:
    if not packed.startswith(BLOCKS):
        return Snappy().decompress(packed, most)
    made = bytearray()
    at = len(BLOCKS) + 8
    while len(made) < most and at + 4 < len(packed):
        end = at + 4 + int.from_bytes(packed[at : at + 4], "big")
        made += Snappy().decompress(packed[at + 4 : end], most - len(made))
        at = end
    return bytes(made)


def decompressors() -> dict[int, Decompress]:
    """By the number that a batch's attributes have."""
    found: dict[int, Decompress] = {GZIP: _gzip, SNAPPY: _snappy}
    with contextlib.suppress(ImportError):
        frame = import_module("lz4.frame")
        found[LZ4] = lambda packed, most: bytes(frame.LZ4FrameDecompressor().decompress(packed, most))
    frames = zstd()
    if frames is not None:
        found[ZSTD] = lambda packed, most: frames().decompress(packed, most)
    return found
