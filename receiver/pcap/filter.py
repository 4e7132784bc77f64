"""Gives filters to libpcap, and says what it refuses.

Room: capture.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import pcapy

from receiver.pcap import bpf, savefile
from receiver.pcap.capture import FilterError
from receiver.pcap.dlt import DLT_EN10MB

log = logging.getLogger(__name__)

T = TypeVar("T")


def check_filter(expression: str, link_type: int = DLT_EN10MB) -> None:
    """Compile a filter as for a capture of this link type; nothing is opened.

    Raises FilterError (a ValueError) with one clear line. A host name in it is resolved, as libpcap does.
    """
    give_filter(partial(compile_filter, link_type), expression, None, link_type)


def give_filter(take: Callable[[str], T], expression: str, user: str | None, link_type: int) -> T | None:
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


def compile_filter(link_type: int, expression: str) -> pcapy.BPFProgram:
    """What `expression` matches in packets of this link type. Raises pcapy.PcapError."""
    return pcapy.compile(link_type, savefile.MAX_PACKET, expression, 1, 0xFFFFFFFF)


def _explain(expression: str, link_type: int, reason: str) -> str:
    compiles = []
    if "syntax error" in reason:
        words = expression.split()
        for n in range(1, len(words)):
            try:
                compile_filter(link_type, " ".join(words[:n]))
                compiles.append(True)
            except pcapy.PcapError:
                compiles.append(False)
    return bpf.explain_refusal(expression, reason, compiles)
