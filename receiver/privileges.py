"""What this process may do: whether it may capture, how to let it, how to give it all up once it does. Linux only.

Capabilities belong to threads. `drop_capabilities` acts on the calling thread, and threads started later inherit what
it then has: call it on the main thread, after the capture handles are open and before any other thread starts. Two
consequences:
- root without capabilities reads files by their permission bits like anyone else: load keys and certificates before;
- a capture handle can not be opened afterwards: a reload that changes the interfaces needs a new process.
"""

from __future__ import annotations

import ctypes
import logging
import os
import re
import sys
from pathlib import Path

log = logging.getLogger(__name__)

CAP_NET_RAW = 13  # linux/capability.h

_SETS = ("CapEff", "CapPrm", "CapInh", "CapAmb")
_LINUX_CAPABILITY_VERSION_3 = 0x20080522
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapWord(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def may_capture() -> bool:
    """Whether the calling thread has CAP_NET_RAW in effect; True where that can not be told (no /proc)."""
    effective = _status("/proc/thread-self/status").get("CapEff")
    return effective is None or bool(int(effective, 16) >> CAP_NET_RAW & 1)


def explain_denied() -> str:
    """One line: what is missing for a live capture, and how to give it to this very process."""
    if may_capture():
        return (
            "not permitted to capture although CAP_NET_RAW is there: it counts in the user namespace that owns"
            " the network namespace, or a security policy (seccomp, AppArmor, SELinux) forbids packet sockets"
        )
    missing = "not permitted to capture: CAP_NET_RAW is missing"
    python = Path(sys.executable).resolve()
    if os.geteuid() == 0:
        return (
            f"{missing}, though this is uid 0: add it to the container"
            " (Kubernetes: securityContext.capabilities.add: [NET_RAW]; Docker: --cap-add NET_RAW)"
        )
    if _status("/proc/self/status").get("NoNewPrivs") == "1":
        return (
            f"{missing}, and no-new-privileges keeps file capabilities from taking effect: run as uid 0 with all"
            f" capabilities dropped but NET_RAW, or make {python}, with its file capability, the container's entry"
            " point itself"
        )
    return f"{missing}: setcap cap_net_raw+ep {python}, or run as root, or add NET_RAW to the container's capabilities"


def drop_capabilities() -> bool:
    """Give up every capability of the calling thread: bounding, ambient, effective, permitted and inheritable.

    Also sets no-new-privileges, so that nothing executed later gains any. Returns whether every thread of the process
    is now without capabilities; never raises: what can not be dropped is logged at debug level and the process runs
    on.
    """
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        _drop(libc)
    except (OSError, AttributeError) as error:
        log.debug("capabilities kept: %s", error)
        return False
    left = [
        task.name
        for task in Path("/proc/self/task").glob("*")
        if any(int(_status(str(task / "status")).get(name, "0"), 16) for name in _SETS)
    ]
    if left:
        log.debug("capabilities kept by %d threads: started before they were dropped", len(left))
    return not left


def _drop(libc: ctypes.CDLL) -> None:
    # The bounding set goes first: to shrink it takes CAP_SETPCAP, which the last step gives up. Without it, the set
    # stays and no-new-privileges makes it worthless. EINVAL marks the first number that this kernel does not know.
    for capability in range(64):
        if libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        log.debug("no-new-privileges not set: %s", os.strerror(ctypes.get_errno()))
    header = _CapHeader(_LINUX_CAPABILITY_VERSION_3, 0)
    nothing = (_CapWord * 2)()
    if libc.capset(ctypes.byref(header), nothing) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _status(path: str) -> dict[str, str]:
    try:
        text = Path(path).read_text(encoding="ascii", errors="replace")
    except OSError:
        return {}
    return dict(re.findall(r"^(\w+):\s*(\S*)", text, re.MULTILINE))
