"""What inflates a batch of records, of the ways that there is a library for.

Room: l7. zlib is Python's own; lz4 and zstd are read where somebody has installed a library. Each takes the compressed bytes and
how many are wanted at most, and raises one of `zlib.error`, ValueError, OSError, EOFError or RuntimeError.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable
from importlib import import_module

Decompress = Callable[[bytes, int], bytes]

GZIP, LZ4, ZSTD = 1, 3, 4


def _gzip(packed: bytes, most: int) -> bytes:
    return zlib.decompressobj(31).decompress(packed, most)


def decompressors() -> dict[int, Decompress]:
    """By the number that a batch's attributes have. Of snappy no library makes only the beginning, so it stays packed."""
    found: dict[int, Decompress] = {GZIP: _gzip}
    with contextlib.suppress(ImportError):
        frame = import_module("lz4.frame")
        found[LZ4] = lambda packed, most: bytes(frame.LZ4FrameDecompressor().decompress(packed, most))
    with contextlib.suppress(ImportError):
        zstandard = import_module("zstandard")
        found[ZSTD] = lambda packed, most: bytes(zstandard.ZstdDecompressor().stream_reader(packed).read(most))
    return found
