"""Keeps the kernel from copying each packet of the loopback twice: it is sent and received there, and libpcap throws one away.

Room: capture. Without any of this everything works as well, at twice the cost; whatever is in the way is left alone.
"""

from __future__ import annotations

import ctypes
import logging
import os
import socket
from pathlib import Path

log = logging.getLogger(__name__)

_SOL_PACKET = 263
_SO_ATTACH_FILTER = 26  # and the same number, SO_GET_FILTER, reads it back
_SO_GET_FILTER = 26
_SKF_AD_OFF = 0xFFFFF000  # linux/filter.h: loads from here on are about the packet, not of it
_BPF_MAXINSNS = 4096
_PACKET_IGNORE_OUTGOING = 23  # since Linux 4.20


def is_loopback(name: str) -> bool:
    try:
        flags = int(Path("/sys/class/net", name, "flags").read_text(encoding="ascii"), 16)
    except (OSError, ValueError):
        return name == "lo"  # /sys may show another network namespace
    return bool(flags & 0x8) or name == "lo"  # IFF_LOOPBACK


def ignore_outgoing(fd: int) -> None:
    """Keep the kernel from copying each loopback packet twice; libpcap would throw one of the two away."""
    try:
        with socket.socket(fileno=os.dup(fd)) as packet_socket:
            packet_socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    except OSError as error:
        log.debug("PACKET_IGNORE_OUTGOING: %s", error)


def halve(fd: int) -> None:
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


class _SockFilter(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _SockFprog(ctypes.Structure):
    _fields_ = (("len", ctypes.c_uint16), ("filter", ctypes.POINTER(_SockFilter)))
