"""What every source of packets has in common: how it is asked, what it counts, and what it raises.

Room: capture. One contract for live interfaces (`live.py`) and for files (`file.py`); neither knows what is in a packet:

    source.open()                                    everything that can be refused is refused here
    source.run(on_batch, on_tick, should_stop)       returns when should_stop() says so, a file also at its end
    source.stats(), source.link_types(), source.wake(), source.close()

- `on_batch(packets, meta, link_type, interface)`: the bytes of up to 256 packets joined, and for each of them 16 bytes in
  `meta`, native u32: seconds, microseconds, offset into `packets`, captured length (pcapy's `next_batch`). One link
  type (DLT) and one interface a batch: 1, 2, ... where there are several, else 0. The bytes are ordinary `bytes` and stay valid.
- A filter that we generated and libpcap cannot compile for a link type (USB, NFLOG) is left out: all of it is given.
- `on_tick(now_ns)`: live, the wall clock, every 200 ms where packets come, every 500 ms else. Packets reach us up to the capture's
  timeout (100 ms) after their own time stamps. Files: the last packet's time, after a batch or what was there to read.
- `should_stop()` is asked after each batch and each wait. `wake()` ends a wait at once: it is safe in a signal
  handler and from any thread.

Exceptions raised by the callbacks pass through. Each CaptureError is one line for the operator.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass

OnBatch = Callable[[bytes, bytes, int, int], None]
OnTick = Callable[[int], None]
ShouldStop = Callable[[], bool]
FilterFor = Callable[[int], str]  # link type -> filter text, '' for everything

BATCH_PACKETS = 256
META_BYTES = 16  # of each packet in `meta`
# libpcap's wrapper copies a batch whole, and what is read of it should still be in the processor's cache: with packets of 64 KB
# 256 of them would be 16 MB.
BATCH_BYTES = 128 * 1024
# Without traffic there is less to do; and with some, a tick should not need a wake-up of its own.
TICK_MAX_NS = 500_000_000
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


class BatchSize:
    """How many packets to ask for, so that a batch is worth about BATCH_BYTES: small ones come many at a time, large ones few."""

    def __init__(self) -> None:
        self.packets = BATCH_PACKETS

    def learn(self, size: int, count: int) -> None:
        """A batch of `count` packets, none or more, had `size` bytes."""
        if count:
            self.packets = max(1, min(BATCH_PACKETS, BATCH_BYTES * count // max(size, 1), 2 * self.packets))


class CaptureError(Exception):
    """Packets can not be had. The text is one line for the operator."""


class CaptureDenied(CaptureError):
    """The permission to capture is missing; the text says what is missing and how to give it."""


class NoSuchInterface(CaptureError):
    """An interface that is not there, or is down; the text names the known ones."""


class CaptureLost(CaptureError):
    """An interface vanished while it was captured on; `interface` names it."""

    def __init__(self, interface: str) -> None:
        super().__init__(f"interface {interface} is gone")
        self.interface = interface


class CaptureFileError(CaptureError):
    """A file that can not be read as a capture; the text names it."""


class FilterError(CaptureError, ValueError):
    """A filter that libpcap refuses; the text says why."""


@dataclass(frozen=True, slots=True)
class CaptureStats:
    """Counters since open(), over all interfaces or files.

    `received` is what the capture was offered after the filter, what it then dropped included. On `any` it is no packet
    count where the kernel does not let us refuse the loopback's outgoing half: that is counted and then left out.
    `dropped_kernel` found the ring full, `dropped_interface` is the interface's own count. `truncated_files` broke off
    inside a packet.
    """

    received: int = 0
    dropped_kernel: int = 0
    dropped_interface: int = 0
    truncated_files: int = 0


class Wakeup:
    """A pipe that ends a poll."""

    def __init__(self) -> None:
        self.read_fd, self.write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def set(self) -> None:
        # Full: the wait ends anyway. Closed: there is none.
        with contextlib.suppress(OSError):
            os.write(self.write_fd, b"\0")

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self.read_fd, 512):
                pass

    def close(self) -> None:
        for fd in (self.read_fd, self.write_fd):
            if fd >= 0:
                os.close(fd)
        self.read_fd = self.write_fd = -1


def tune_allocator() -> None:
    """Let batches of a few hundred KB come from the heap: else each is mapped and faulted in anew. glibc only."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 4 * 1024 * 1024)
        libc.mallopt(_M_TRIM_THRESHOLD, 8 * 1024 * 1024)
