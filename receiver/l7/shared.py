"""What the modules of protocols are given to make their rows of.

Room: l7.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from receiver.config import PcapReceiver
from receiver.l7.levels import Levels
from receiver.l7.trust import Trust
from receiver.wire.names import Names


@dataclass(frozen=True)
class Shared:
    """`settings`: what a user may set, of all protocols. `names` learns addresses from DNS answers. `trust`: the proxies that are
    believed in what they say of their clients. `limits`: where the tables that all connections share count their caps. `levels`:
    what answers say of how much waits."""

    settings: PcapReceiver = field(default_factory=PcapReceiver)
    names: Names | None = None
    trust: Trust = field(default_factory=Trust)
    limits: dict[str, int] = field(default_factory=dict)
    levels: Levels = field(default_factory=Levels)
