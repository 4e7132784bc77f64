"""What this process may do: whether it may capture, how to let it, how to give it all up once it does. Linux only.

Room: capture. Capabilities belong to threads. `drop_capabilities` acts on the calling thread, and threads started later inherit
what it then has: call it on the main thread, after the capture handles are open and before any other thread starts. Two
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
    if os.geteuid() == 0:
        return (
            f"{missing}, though this is uid 0: add it to the container"
            " (Kubernetes: securityContext.capabilities.add: [NET_RAW]; Docker: --cap-add NET_RAW)"
        )
    python = own_interpreter()
    alone = python or "an interpreter of its own (python3 -m venv --copies)"
    if _status("/proc/self/status").get("NoNewPrivs") == "1":
        return (
            f"{missing}, and no-new-privileges keeps file capabilities from taking effect: run as uid 0 with all"
            f" capabilities dropped but NET_RAW, or make {alone}, with its file capability, the container's entry point itself"
        )
    others = "run as root, or from systemd with AmbientCapabilities=CAP_NET_RAW, or add NET_RAW to the container's capabilities"
    if python is not None:
        return f"{missing}: setcap cap_net_raw+ep {python}, or {others}"
    return f"{missing}: {others}; setcap is for {alone}, this one is shared with other programs"


def own_interpreter() -> Path | None:
    """The file of the running interpreter if no other program uses it, so that a file capability gives nothing to anybody else.

    That is a virtual environment's own copy. A link, as `python3 -m venv` makes it, leads to the interpreter of everybody; so
    does a second name of the same file, as package managers make it.
    """
    python = Path(sys.executable)
    if sys.prefix == sys.base_prefix:
        return None
    real = python.resolve()
    try:
        alone = real.stat().st_nlink == 1
    except OSError:
        return None
    return real if alone and real.is_relative_to(Path(sys.prefix).resolve()) else None


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
