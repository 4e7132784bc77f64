"""Packets of live interfaces.

Room: capture; follows the contract of `capture.py`.
"""

from __future__ import annotations

import logging
import select
import socket
import time
from collections.abc import Sequence

import pcapy

from receiver import privileges
from receiver.pcap import loopback
from receiver.pcap.capture import (
    META_BYTES,
    TICK_MAX_NS,
    BatchSize,
    CaptureDenied,
    CaptureError,
    CaptureLost,
    CaptureStats,
    FilterError,
    FilterFor,
    NoSuchInterface,
    OnBatch,
    OnTick,
    ShouldStop,
    Wakeup,
    tune_allocator,
)
from receiver.pcap.filter import give_filter

log = logging.getLogger(__name__)

ANY = "any"
DEFAULT_SNAPLEN = 65_535
DEFAULT_BUFFER_BYTES = 8 * 1024 * 1024
DEFAULT_TIMEOUT_MS = 100  # the kernel hands over a block that is not full after this long
TICK_NS = 200_000_000
# With several interfaces, a busy one yields after so much, whichever comes first: about 5 ms of decoding.
_PACKETS_A_TURN = 4096
_BYTES_A_TURN = 8 * 1024 * 1024
_U32 = 1 << 32
# What pcap_activate answers (pcap/pcap.h); pcapy passes the number on without libpcap's text.
_PCAP_ERRORS = {
    -5: "no such device",
    -6: "no monitor mode",
    -8: "permission denied",
    -9: "not up",
    -11: "permission denied",
}


class LiveSource:
    """Several interfaces at once, or `any`. Not promiscuous. `user_filter`: what of the filter the user wrote; None: all of it."""

    def __init__(
        self,
        names: Sequence[str],
        filter_for: FilterFor,
        *,
        user_filter: str | None = None,
        snaplen: int = DEFAULT_SNAPLEN,
        buffer_bytes: int = DEFAULT_BUFFER_BYTES,
        timeout_ms: int = DEFAULT_TIMEOUT_MS,
    ) -> None:
        self._names = list(dict.fromkeys(names))
        self._filter_for = filter_for
        self._user_filter = user_filter
        self._snaplen = snaplen
        self._buffer_bytes = buffer_bytes
        self._timeout_ms = timeout_ms
        self._captures: list[_Capture] = []
        self._wakeup = Wakeup()

    def open(self) -> None:
        """Open every interface; packets are kept from here on.

        Raises CaptureDenied, NoSuchInterface, FilterError, or CaptureError for anything else.
        """
        tune_allocator()
        try:
            for number, name in enumerate(self._names, 1):
                self._captures.append(self._open_one(name, number if len(self._names) > 1 else 0))
        except BaseException:
            self.close()
            raise

    def run(self, on_batch: OnBatch, on_tick: OnTick, should_stop: ShouldStop) -> None:
        """See the module's contract. Raises CaptureLost when an interface vanishes."""
        poller = select.poll()
        poller.register(self._wakeup.read_fd, select.POLLIN)
        by_fd = {capture.fd: capture for capture in self._captures}
        for fd in by_fd:
            poller.register(fd, select.POLLIN)
        ticked_ns = time.monotonic_ns()
        pending = list(self._captures)  # what came in since open() is there already
        while not should_stop():
            for capture in pending:
                if not self._drain(capture, on_batch, should_stop):
                    return
            now_ns = time.monotonic_ns()
            if now_ns - ticked_ns >= TICK_NS:
                on_tick(time.time_ns())
                now_ns = ticked_ns = time.monotonic_ns()
            wait_ms = max(0, -((now_ns - ticked_ns - TICK_MAX_NS) // 1_000_000))  # rounded up: 0 would spin until the tick is due
            pending = []
            for fd, _ in poller.poll(wait_ms):
                if fd in by_fd:
                    pending.append(by_fd[fd])
                else:
                    self._wakeup.clear()

    def stats(self) -> CaptureStats:
        """Counters of all interfaces; after close() the last ones."""
        total = [0, 0, 0]
        for capture in self._captures:
            total = [a + b for a, b in zip(total, capture.counters(), strict=True)]
        return CaptureStats(*total)

    def link_types(self) -> list[int]:
        """The DLT of each interface, in the order they were given."""
        return [capture.link_type for capture in self._captures]

    def wake(self) -> None:
        """End a wait of run() at once."""
        self._wakeup.set()

    def close(self) -> None:
        """Close the handles; may be called twice. The counters remain."""
        for capture in self._captures:
            capture.close()
        self._wakeup.close()

    def _open_one(self, name: str, number: int) -> _Capture:
        if name not in interfaces():
            raise NoSuchInterface(f"no such interface: {name} (there are: {', '.join(interfaces())})")
        try:
            reader = pcapy.create(name)
            reader.set_snaplen(self._snaplen)
            reader.set_promisc(0)
            reader.set_timeout(self._timeout_ms)
            reader.set_buffer_size(self._buffer_bytes)
            code = reader.activate()
        except pcapy.PcapError as error:
            raise _refused(name, str(error)) from None
        if code < 0:
            reader.close()
            raise _refused(name, _PCAP_ERRORS.get(code, f"libpcap answers {code}"))
        link_type = reader.datalink()
        try:
            reader.setnonblock(1)
            give_filter(reader.setfilter, self._filter_for(link_type), self._user_filter, link_type)
        except pcapy.PcapError as error:
            reader.close()
            raise _refused(name, str(error)) from None
        except FilterError:
            reader.close()
            raise
        capture = _Capture(name, reader, link_type, number)
        if name == ANY:
            loopback.halve(capture.fd)
        elif loopback.is_loopback(name):
            loopback.ignore_outgoing(capture.fd)
        return capture

    def _drain(self, capture: _Capture, on_batch: OnBatch, should_stop: ShouldStop) -> bool:
        """Give what the ring holds, a turn's worth; False when should_stop() said so."""
        link_type = capture.link_type
        next_batch = capture.reader.next_batch
        size = capture.batch
        count = given = 0
        while count < _PACKETS_A_TURN and given < _BYTES_A_TURN:
            wanted = size.packets
            try:
                packets, meta = next_batch(wanted)
            except pcapy.PcapError as error:
                capture.check(str(error))
                return True
            found = len(meta) // META_BYTES
            size.learn(len(packets), found)
            if meta:
                on_batch(packets, meta, link_type, capture.number)
                if should_stop():
                    return False
            if found < wanted:
                break
            count += found
            given += len(packets)
        return True


class _Capture:
    """One open handle and its counters. `number` is the interface's in `on_batch`."""

    def __init__(self, name: str, reader: pcapy.Reader, link_type: int, number: int) -> None:
        self.number = number
        self.name = name
        self.reader = reader
        self.link_type = link_type
        self.batch = BatchSize()
        self.fd: int = reader.getfd()
        self._index = 0 if name == ANY else socket.if_nametoindex(name)
        self._seen = [0, 0, 0]
        self._total = [0, 0, 0]
        self._open = True

    def check(self, reason: str) -> None:
        """After an error of libpcap: an interface that was only set down comes back; one that is gone does not."""
        if self._index:
            try:
                there = socket.if_nametoindex(self.name) == self._index
            except OSError:
                there = False
            if not there:
                raise CaptureLost(self.name)
        if "down" not in reason.lower():
            raise CaptureError(f"capture on {self.name} failed: {reason}")
        log.warning("interface %s went down; waiting for it", self.name)

    def counters(self) -> list[int]:
        """Received, dropped by the kernel, dropped by the interface; libpcap's own are 32 bits wide."""
        if self._open:
            try:
                now = self.reader.stats()
            except pcapy.PcapError:
                return self._total
            for i in range(3):
                self._total[i] += (now[i] - self._seen[i]) % _U32
                self._seen[i] = now[i]
        return self._total

    def close(self) -> None:
        if self._open:
            self.counters()
            self._open = False
            self.reader.close()


def interfaces() -> list[str]:
    """What can be captured on: the network namespace's interfaces, in the kernel's order, and `any`."""
    return [name for _, name in socket.if_nameindex()] + [ANY]


def _refused(name: str, reason: str) -> CaptureError:
    if "permi" in reason.lower() or not privileges.may_capture():
        return CaptureDenied(f"{name}: {privileges.explain_denied()}")
    if "not up" in reason.lower() or "down" in reason.lower():
        return NoSuchInterface(f"interface {name} is down: ip link set {name} up")
    return CaptureError(f"cannot capture on {name}: {reason}")
