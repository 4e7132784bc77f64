"""What was exported of layer 4, to ask questions of."""

from __future__ import annotations

from typing import Any

from tests.integration.servers import Collector

NAMES = {
    "direction": "network.io.direction",
    "side": "pcap_receiver.tcp.side",
    "leg": "pcap_receiver.tcp.leg",
    "port": "server.port",
    "address": "server.address",
    "vantage": "pcap_receiver.vantage",
    "transport": "network.transport",
    "family": "network.type",
    "kind": "pcap_receiver.peer.kind",
}
"""What the attributes are called here; `reason` and `cause` are what they are."""

Point = dict[str, Any]


class Figures:
    """The newest points of every metric that a Collector has by now."""

    def __init__(self, collector: Collector) -> None:
        self._points: dict[str, dict[tuple[tuple[str, Any], ...], Point]] = {}
        for metric, point in collector.all_points():
            self._points.setdefault(metric, {})[tuple(sorted(point["attributes"].items()))] = point

    def points(self, name: str, **wish: object) -> list[Point]:
        """Those of `pcap_receiver.NAME` whose attributes include what is wished for, and that count anything."""
        wanted = {NAMES.get(key, key): value for key, value in wish.items()}.items()
        points = self._points.get(f"pcap_receiver.{name}", {}).values()
        return [point for point in points if wanted <= point["attributes"].items() and (_value(point) or _count(point))]

    def total(self, name: str, **wish: object) -> float:
        """The sum of a counter, or of what a histogram has seen."""
        return sum(_value(point) for point in self.points(name, **wish))

    def count(self, name: str, **wish: object) -> int:
        """How often a histogram was told something."""
        return sum(_count(point) for point in self.points(name, **wish))

    def mean(self, name: str, **wish: object) -> float:
        return self.total(name, **wish) / self.count(name, **wish)

    def split(self, name: str, *by: str, **wish: object) -> dict[tuple[object, ...], float]:
        """The sum for each combination of these attributes; None where a point does not have one."""
        found: dict[tuple[object, ...], float] = {}
        for point in self.points(name, **wish):
            key = tuple(point["attributes"].get(NAMES.get(one, one)) for one in by)
            found[key] = found.get(key, 0) + _value(point)
        return found

    def page(self) -> str:
        """The sums as Prometheus text, for what reads such a page."""
        lines = []
        for name, points in self._points.items():
            for point in points.values():
                if "sum" in point["metric"]:
                    labels = ",".join(f'{key.replace(".", "_")}="{value}"' for key, value in point["attributes"].items())
                    suffix = "_total" if point["metric"]["sum"].get("isMonotonic") else ""
                    lines.append(f"{name.replace('.', '_')}{suffix}{{{labels}}} {_value(point):g}")
        return "\n".join(lines)


def _value(point: Point) -> float:
    return float(point.get("asInt", point.get("asDouble", point.get("sum", 0))))


def _count(point: Point) -> int:
    return int(point.get("count", 0))
