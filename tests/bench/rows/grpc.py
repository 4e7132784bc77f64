"""gRPC unary, live: calls of a grpcio server at what it can do, and of one that is as fast as HTTP/2 gets."""

from __future__ import annotations

from tests.bench import servers
from tests.bench.load import H2load
from tests.bench.measure import Bench, ObserverKind
from tests.bench.observers import ReceiverMetrics, ReceiverMetricsLayer4, ReceiverSpans, Tcpdump
from tests.bench.report import Bars

ORDER = 60
ROW = "gRPC unary, live"
OBSERVERS: tuple[ObserverKind, ...] = (Tcpdump, ReceiverMetrics, ReceiverMetricsLayer4, ReceiverSpans)


def run(bench: Bench) -> None:
    # The server, calls a second, those of a second at full speed; packetd was measured at 5 000/s and at full speed.
    for server, rate, most, packetd in (
        (servers.grpcio, 1_000, 2_000, (None, 15.4)),
        (servers.nghttpd, 5_000, 50_000, (23.6, 15.4)),
    ):
        with server(bench.lab) as port:
            for each, measured in zip((rate, 0), packetd, strict=True):
                count = round((each or most) * bench.seconds_at(each))
                load = H2load(port, count, each, call=servers.GRPC_METHOD)
                runs = bench.alternate(bench.chosen(OBSERVERS), load)
                held_to = {ReceiverMetrics.name: Bars(1.2, 2.5, measured)}
                bench.add_runs(ROW, runs, f"{server.__name__}, {load.label}", held_to)
                for who, found in runs.items():
                    losses = [abs(run.lost_percent) for run in found if run.lost_percent is not None]
                    bench.add(ROW, who, f"{server.__name__}, {load.label}, lost or invented", "%", losses, Bars(0, 0))
