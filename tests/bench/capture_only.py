"""Reads packets as the receiver does and drops them: run by the observer of that name, not by hand.

capture_only.py FILTER SNAPLEN
"""

import ctypes
import select
import sys

import pcapy

from receiver.pcap.capture import META_BYTES, BatchSize

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def main() -> None:
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_THRESHOLD, 4 << 20)
    libc.mallopt(M_TRIM_THRESHOLD, 8 << 20)
    handle = pcapy.create("any")
    handle.set_snaplen(int(sys.argv[2]))
    handle.set_timeout(100)
    handle.set_buffer_size(8 << 20)
    handle.activate()
    handle.setfilter(sys.argv[1])
    handle.setnonblock(1)
    poll = select.poll()
    poll.register(handle.getfd(), select.POLLIN)
    size = BatchSize()
    while True:
        packets, meta = handle.next_batch(size.packets)
        size.learn(len(packets), len(meta) // META_BYTES)
        if not meta:
            poll.poll(200)


if __name__ == "__main__":
    main()
