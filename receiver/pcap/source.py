"""Room pcap: where packets come from. The only importer of pcapy; knows nothing of what is in a packet.

One contract for live interfaces and for files:

    source.open()                                    everything that can be refused is refused here
    source.run(on_batch, on_tick, should_stop)       returns when should_stop() says so, a file also at its end
    source.stats(), source.link_types(), source.wake(), source.close()

- `on_batch(packets, meta, link_type, interface)`: the bytes of up to 256 packets joined, and for each of them 16 bytes in
  `meta`, native u32: seconds, microseconds, offset into `packets`, captured length (pcapy's `next_batch`). One link
  type (DLT) and one interface a batch: 1, 2, ... where there are several, else 0. The bytes are ordinary `bytes` and stay valid.
- A filter that we generated and libpcap cannot compile for a link type (USB, NFLOG) is left out: all of it is given.
- `on_tick(now_ns)`: live, the wall clock, every 200 ms where packets come, every 500 ms else. Packets reach us up to the capture's
  timeout (100 ms) after their own time stamps. Files: the last packet's time, after 256 packets or what was there to read.
- `should_stop()` is asked after each batch and each wait. `wake()` ends a wait at once: it is safe in a signal
  handler and from any thread; or give `wakeup_fd` to `signal.set_wakeup_fd`.

Exceptions raised by the callbacks pass through. Each CaptureError is one line for the operator.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import select
import socket
import stat
import struct
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import pcapy

from receiver import privileges
from receiver.pcap import bpf, savefile

log = logging.getLogger(__name__)

T = TypeVar("T")
OnBatch = Callable[[bytes, bytes, int, int], None]
OnTick = Callable[[int], None]
ShouldStop = Callable[[], bool]
FilterFor = Callable[[int], str]  # link type -> filter text, '' for everything
OnProgress = Callable[[str, int, int], None]  # file, bytes read, bytes in all

ANY = "any"
DEFAULT_SNAPLEN = 65_535
DEFAULT_BUFFER_BYTES = 8 * 1024 * 1024
DEFAULT_TIMEOUT_MS = 100  # the kernel hands over a block that is not full after this long
BATCH_PACKETS = 256
TICK_NS = 200_000_000
# Without traffic there is less to do; and with some, a tick should not need a wake-up of its own.
TICK_MAX_NS = 500_000_000
# With several interfaces, a busy one yields after so many batches: 16 x 256 packets, about 5 ms of decoding.
_BATCHES_A_TURN = 16
_PIPE_READ_BYTES = 256 * 1024
_PROGRESS_AFTER_NS = 1_000_000_000
_PROGRESS_EVERY_NS = 100_000_000
_META_BYTES = 16
_U32 = 1 << 32

_SOL_PACKET = 263
_SO_ATTACH_FILTER = 26  # and the same number, SO_GET_FILTER, reads it back
_SO_GET_FILTER = 26
_SKF_AD_OFF = 0xFFFFF000  # linux/filter.h: loads from here on are about the packet, not of it
_BPF_MAXINSNS = 4096
_PACKET_IGNORE_OUTGOING = 23  # since Linux 4.20
# What pcap_activate answers (pcap/pcap.h); pcapy passes the number on without libpcap's text.
_PCAP_ERRORS = {
    -5: "no such device",
    -6: "no monitor mode",
    -8: "permission denied",
    -9: "not up",
    -11: "permission denied",
}
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


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


def check_filter(expression: str, link_type: int = bpf.DLT_EN10MB) -> None:
    """Compile a filter as for a capture of this link type; nothing is opened.

    Raises FilterError (a ValueError) with one clear line. A host name in it is resolved, as libpcap does.
    """
    _filter(partial(_program, link_type), expression, None, link_type)


def interfaces() -> list[str]:
    """What can be captured on: the network namespace's interfaces, in the kernel's order, and `any`."""
    return [name for _, name in socket.if_nameindex()] + [ANY]


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
        self._wakeup = _Wakeup()

    @property
    def wakeup_fd(self) -> int:
        """A non-blocking descriptor: a byte written to it ends the wait."""
        return self._wakeup.write_fd

    def open(self) -> None:
        """Open every interface; packets are kept from here on.

        Raises CaptureDenied, NoSuchInterface, FilterError, or CaptureError for anything else.
        """
        _tune_allocator()
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
            _filter(reader.setfilter, self._filter_for(link_type), self._user_filter, link_type)
        except pcapy.PcapError as error:
            reader.close()
            raise _refused(name, str(error)) from None
        except FilterError:
            reader.close()
            raise
        capture = _Capture(name, reader, link_type, number)
        if name == ANY:
            _halve_loopback(capture.fd)
        elif _is_loopback(name):
            _ignore_outgoing(capture.fd)
        return capture

    def _drain(self, capture: _Capture, on_batch: OnBatch, should_stop: ShouldStop) -> bool:
        """Give what the ring holds, a turn's worth; False when should_stop() said so."""
        link_type = capture.link_type
        next_batch = capture.reader.next_batch
        for _ in range(_BATCHES_A_TURN):
            try:
                packets, meta = next_batch(BATCH_PACKETS)
            except pcapy.PcapError as error:
                capture.check(str(error))
                return True
            if meta:
                on_batch(packets, meta, link_type, capture.number)
                if should_stop():
                    return False
            if len(meta) < BATCH_PACKETS * _META_BYTES:
                break
        return True


class FileSource:
    """Capture files, one after the other: pcap, pcapng, and `-` for standard input.

    `on_progress` is called for regular files that take more than a second, at most ten times a second. `user_filter` is as for
    `LiveSource`.
    """

    def __init__(
        self,
        names: Sequence[str],
        filter_for: FilterFor,
        *,
        user_filter: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        self._names = list(names)
        self._filter_for = filter_for
        self._user_filter = user_filter
        self._on_progress = on_progress
        self._wakeup = _Wakeup()
        self._received = 0
        self._unticked = 0
        self._truncated = 0
        self._link_types: list[int] = []
        self._started_ns = 0
        self._progressed_ns = 0

    @property
    def wakeup_fd(self) -> int:
        """A non-blocking descriptor: a byte written to it ends the wait for a pipe."""
        return self._wakeup.write_fd

    def open(self) -> None:
        """Look at each file's first bytes; pipes are looked at when read.

        Raises CaptureFileError for the first that is no capture file.
        """
        _tune_allocator()
        for name in self._names:
            if name != "-":
                _look_at(name)

    def run(self, on_batch: OnBatch, on_tick: OnTick, should_stop: ShouldStop) -> None:
        """See the module's contract. A file that breaks off is read as far as it goes, counted, and warned of.

        Raises CaptureFileError for what is no capture, FilterError for a filter that does not fit a file's link type.
        """
        for name in self._names:
            if should_stop():
                return
            self._started_ns = time.monotonic_ns()
            self._progressed_ns = 0
            if name == "-":
                self._run_stream(sys.stdin.fileno(), "standard input", 0, on_batch, on_tick, should_stop)
            elif not _look_at(name) or _has_interfaces(name):
                # libpcap does not say which of several interfaces a packet is from.
                self._run_opened(name, 0, on_batch, on_tick, should_stop)
            else:
                self._run_libpcap(name, on_batch, on_tick, should_stop)

    def stats(self) -> CaptureStats:
        """`received` are the packets given so far."""
        return CaptureStats(received=self._received, truncated_files=self._truncated)

    def link_types(self) -> list[int]:
        """The DLTs met so far."""
        return list(self._link_types)

    def wake(self) -> None:
        """End a wait of run() at once."""
        self._wakeup.set()

    def close(self) -> None:
        """May be called twice."""
        self._wakeup.close()

    def _run_libpcap(self, name: str, on_batch: OnBatch, on_tick: OnTick, should_stop: ShouldStop) -> None:
        given = 0
        try:
            reader = pcapy.open_offline(name)
        except pcapy.PcapError as error:
            log.debug("libpcap does not read %s: %s", name, error)
            self._run_opened(name, 0, on_batch, on_tick, should_stop)
            return
        link_type = reader.datalink()
        self._met(link_type)
        try:
            _filter(reader.setfilter, self._filter_for(link_type), self._user_filter, link_type)
        except FilterError as error:
            raise FilterError(f"{name}: {error}") from None
        size = Path(name).stat().st_size
        fd = reader.getfd()
        while not should_stop():
            try:
                packets, meta = reader.next_batch(BATCH_PACKETS)
            except pcapy.PcapError as error:
                # The packets of this batch that came before the fault are lost in libpcap; our own reader finds them
                # again.
                log.debug("libpcap stops in %s after %d packets: %s", name, given, error)
                self._run_opened(name, given, on_batch, on_tick, should_stop)
                return
            if not meta:
                break
            given += len(meta) // _META_BYTES
            self._give((packets, meta, link_type, 0), on_batch, on_tick, last=True)
            self._progress(name, fd, size)
        if self._progressed_ns and self._on_progress:
            self._on_progress(name, size, size)
        reader.close()

    def _run_opened(self, name: str, skip: int, on_batch: OnBatch, on_tick: OnTick, should_stop: ShouldStop) -> None:
        with Path(name).open("rb", buffering=0) as file:
            self._run_stream(file.fileno(), name, skip, on_batch, on_tick, should_stop)

    def _run_stream(
        self, fd: int, name: str, skip: int, on_batch: OnBatch, on_tick: OnTick, should_stop: ShouldStop
    ) -> None:
        reader = savefile.SavefileReader(self._matcher_for)
        poller = select.poll()
        poller.register(self._wakeup.read_fd, select.POLLIN)
        poller.register(fd, select.POLLIN)
        try:
            while not should_stop():
                ready = [each for each, _ in poller.poll(TICK_MAX_NS // 1_000_000)]
                if self._wakeup.read_fd in ready:
                    self._wakeup.clear()
                if fd not in ready:
                    continue
                piece = os.read(fd, _PIPE_READ_BYTES)
                if not piece:
                    reader.finish()
                    break
                batches = reader.feed(piece)
                for packets, meta, link_type, interface in batches:
                    skipped = min(skip, len(meta) // _META_BYTES)
                    skip -= skipped
                    if skipped * _META_BYTES < len(meta):
                        # Offsets in the meta stay true: the packets' bytes are left whole.
                        left = (packets, meta[skipped * _META_BYTES :], link_type, interface)
                        self._give(left, on_batch, on_tick, last=meta is batches[-1][1])
                    if should_stop():
                        return
                if reader.broken:
                    break
        except savefile.NotACapture as error:
            raise _not_a_capture(name, str(error)) from None
        except OSError as error:
            raise CaptureFileError(f"cannot read {name}: {error.strerror}") from None
        if reader.broken:
            self._truncated += 1
            log.warning("%s is not read to its end: %s", name, reader.broken)

    def _give(self, batch: savefile.Batch, on_batch: OnBatch, on_tick: OnTick, *, last: bool) -> None:
        """`last`: nothing more has been read. Where interfaces take turns a batch is one packet, and a tick costs more."""
        meta = batch[1]
        count = len(meta) // _META_BYTES
        self._received += count
        self._unticked += count
        on_batch(*batch)
        if not last and self._unticked < BATCH_PACKETS:
            return
        self._unticked = 0
        seconds, micros = struct.unpack_from("=2I", meta, len(meta) - _META_BYTES)
        on_tick((seconds * 1_000_000 + micros) * 1000)

    def _matcher_for(self, link_type: int) -> savefile.Matches | None:
        self._met(link_type)
        program = _filter(partial(_program, link_type), self._filter_for(link_type), self._user_filter, link_type)
        if program is None:
            return None
        matches = program.filter
        return lambda packet: bool(matches(packet))

    def _met(self, link_type: int) -> None:
        if link_type not in self._link_types:
            self._link_types.append(link_type)

    def _progress(self, name: str, fd: int, size: int) -> None:
        if self._on_progress is None:
            return
        now_ns = time.monotonic_ns()
        last_ns = self._progressed_ns
        if now_ns - last_ns >= _PROGRESS_EVERY_NS if last_ns else now_ns - self._started_ns >= _PROGRESS_AFTER_NS:
            self._progressed_ns = now_ns
            # The stream's buffer may be ahead of the packets by a page: near enough for a bar.
            self._on_progress(name, os.lseek(fd, 0, os.SEEK_CUR), size)


class _Capture:
    """One open handle and its counters. `number` is the interface's in `on_batch`."""

    def __init__(self, name: str, reader: pcapy.Reader, link_type: int, number: int) -> None:
        self.number = number
        self.name = name
        self.reader = reader
        self.link_type = link_type
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


class _Wakeup:
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


def _program(link_type: int, expression: str) -> pcapy.BPFProgram:
    return pcapy.compile(link_type, savefile.MAX_PACKET, expression, 1, 0xFFFFFFFF)


def _filter(take: Callable[[str], T], expression: str, user: str | None, link_type: int) -> T | None:
    """Give a filter to libpcap by `take`; None where nothing is filtered.

    Raises FilterError when what the user wrote (None: all of it) is refused. Where only we are to blame, for libpcap cannot filter
    such a link type, that alone counts.
    """
    own = expression.strip()
    written = own if user is None else user.strip()
    if not own:
        return None
    try:
        return take(own)
    except pcapy.PcapError as error:
        reason = str(error)
        if written and (written == own or "rejects all packets" in reason):
            raise FilterError(_explain(written, link_type, reason)) from None
    log.info("packets of link type %d are not filtered by what is wanted of them: %s", link_type, reason)
    if not written:
        return None
    try:
        return take(written)
    except pcapy.PcapError as error:
        raise FilterError(_explain(written, link_type, str(error))) from None


def _explain(expression: str, link_type: int, reason: str) -> str:
    compiles = []
    if "syntax error" in reason:
        words = expression.split()
        for n in range(1, len(words)):
            try:
                _program(link_type, " ".join(words[:n]))
                compiles.append(True)
            except pcapy.PcapError:
                compiles.append(False)
    return bpf.explain_refusal(expression, reason, compiles)


def _refused(name: str, reason: str) -> CaptureError:
    if "permi" in reason.lower() or not privileges.may_capture():
        return CaptureDenied(f"{name}: {privileges.explain_denied()}")
    if "not up" in reason.lower() or "down" in reason.lower():
        return NoSuchInterface(f"interface {name} is down: ip link set {name} up")
    return CaptureError(f"cannot capture on {name}: {reason}")


def _is_loopback(name: str) -> bool:
    try:
        flags = int(Path("/sys/class/net", name, "flags").read_text(encoding="ascii"), 16)
    except (OSError, ValueError):
        return name == "lo"  # /sys may show another network namespace
    return bool(flags & 0x8) or name == "lo"  # IFF_LOOPBACK


def _ignore_outgoing(fd: int) -> None:
    """Keep the kernel from copying each loopback packet twice; libpcap would throw one of the two away."""
    try:
        with socket.socket(fileno=os.dup(fd)) as packet_socket:
            packet_socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    except OSError as error:
        log.debug("PACKET_IGNORE_OUTGOING: %s", error)


class _SockFilter(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _SockFprog(ctypes.Structure):
    _fields_ = (("len", ctypes.c_uint16), ("filter", ctypes.POINTER(_SockFilter)))


def _halve_loopback(fd: int) -> None:
    """On `any`, do for the loopback what PACKET_IGNORE_OUTGOING does on `lo`: refuse the outgoing half uncopied.

    The filter that libpcap gave to the kernel is read back and put behind a question that libpcap's language does not
    have. Without it everything works as well, at twice the cost; so whatever is in the way is left alone.
    """
    try:
        loopback = socket.if_nametoindex("lo")
        libc = ctypes.CDLL(None, use_errno=True)
        program = (_SockFilter * _BPF_MAXINSNS)()
        count = ctypes.c_uint32(_BPF_MAXINSNS)  # of instructions, not bytes: only for this option
        if libc.getsockopt(fd, socket.SOL_SOCKET, _SO_GET_FILTER, program, ctypes.byref(count)) != 0 or not count.value:
            return
        question = (
            _SockFilter(0x20, 0, 0, _SKF_AD_OFF + 4),  # A = packet type
            _SockFilter(0x15, 0, 3, 4),  # PACKET_OUTGOING?
            _SockFilter(0x20, 0, 0, _SKF_AD_OFF + 8),  # A = interface index
            _SockFilter(0x15, 0, 1, loopback),
            _SockFilter(0x06, 0, 0, 0),  # refuse
        )
        length = len(question) + count.value
        if length > _BPF_MAXINSNS:
            return
        longer = (_SockFilter * length)(*question, *program[: count.value])
        # Jumps are relative: the old program may stand anywhere.
        attach = _SockFprog(length, longer)
        if libc.setsockopt(fd, socket.SOL_SOCKET, _SO_ATTACH_FILTER, ctypes.byref(attach), ctypes.sizeof(attach)) != 0:
            log.debug("loopback filter: %s", os.strerror(ctypes.get_errno()))
    except (OSError, AttributeError) as error:
        log.debug("loopback filter: %s", error)


def _tune_allocator() -> None:
    """Let batches of a few hundred KB come from the heap: else each is mapped and faulted in anew. glibc only."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 4 * 1024 * 1024)
        libc.mallopt(_M_TRIM_THRESHOLD, 8 * 1024 * 1024)


def _look_at(name: str) -> bool:
    """Whether this is a regular file that begins like a capture; False for pipes.

    Raises CaptureFileError for anything else.
    """
    path = Path(name)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise CaptureFileError(f"a directory, not a capture file: {name}")
        if not stat.S_ISREG(mode):
            return False
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise CaptureFileError(f"cannot read {name}: {error.strerror}") from None
    if not head:
        raise _not_a_capture(name, "it is empty")
    try:
        pcapy.open_offline(name).close()
    except pcapy.PcapError:
        # libpcap reads kinds of files that our own reader does not, and the other way round.
        try:
            reader = savefile.SavefileReader(lambda _: None)
            reader.feed(head)
            reader.finish()
        except savefile.NotACapture as error:
            raise _not_a_capture(name, str(error)) from None
    return True


def _has_interfaces(name: str) -> bool:
    """Whether this regular file is pcapng with more than one interface, wherever the second one stands."""
    blocks = savefile.Blocks()
    with contextlib.suppress(OSError), Path(name).open("rb", buffering=0) as file:
        while blocks.interfaces < 2 and (piece := file.read(_PIPE_READ_BYTES)) and (skip := blocks.feed(piece)) >= 0:
            file.seek(skip, os.SEEK_CUR)
    return blocks.interfaces > 1


def _not_a_capture(name: str, why: str) -> CaptureFileError:
    if "compressed" in why:
        program = why.rsplit(" ", 1)[-1]
        return CaptureFileError(f"not a capture file: {name} ({why}; decompress it first: {program} -d)")
    return CaptureFileError(f"not a capture file: {name}" + (f" ({why})" if why else ""))
