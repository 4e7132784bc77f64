"""Runs source, engine and exporters until the input ends or somebody says so.

Room: service. `build.py` makes the parts, `reload.py` what a changed configuration takes. One thread captures and decodes; each
exporter has its own for sending. Batches of spans and encoded metrics go from one to the other through bounded queues. A snapshot
is made of what was copied, and encoded, in a thread of its own (ADR 15).
"""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import cast

from receiver import logs, memory, privileges
from receiver.build import (
    exporter_endpoints,
    flush_timeout,
    guesses_apart,
    known_names,
    local_addresses,
    make_engine,
    make_exporter,
    make_routes,
    make_sampler,
    make_source,
    make_telemetry,
    own_pages,
    start_exporter,
    used_exporters,
)
from receiver.config import Config, ConfigError, DebugExporter
from receiver.export.exporter import Exporter, SpanExporter
from receiver.export.own import OwnSockets
from receiver.health import PageServer, health_page, metrics_page
from receiver.pcap.capture import CaptureError, CaptureFileError, CaptureStats, FilterError
from receiver.pcap.file import FileSource
from receiver.pcap.live import LiveSource
from receiver.reload import hand_over, prepare
from receiver.resource import observed_resource
from receiver.self_metrics import Accounts, exposition
from receiver.telemetry.layer4 import Layer4Metrics
from receiver.telemetry.levels import LevelMetrics
from receiver.telemetry.pipeline import Telemetry
from receiver.telemetry.snapshot import Later, Metric, Resource, Snapshot
from receiver.wire.cursor import COMPILED
from receiver.wire.records import Endpoints, Message, Roundtrip, Sink

log = logging.getLogger(__name__)

EXIT_OK = 0
EXIT_CONFIGURATION = 1
EXIT_CAPTURE = 3

# Live packets reach us up to the capture's timeout after their time stamps; timeouts must not run ahead of them.
LAG_NS = 1_000_000_000
# A file is read faster than any backend takes spans: wait while more than half of a queue is full.
FILE_WAIT_S = 30.0
# Whoever waits for the interpreter has it after so long; by default it is 5 ms. A snapshot of the metrics is made and encoded
# beside the capture, which lets go of the interpreter with each batch, and must not wait for it so long.
TURN_S = 0.000_5
# What an end without warning may cost of the names that are kept for the next start.
NAMES_S = 60.0


def run(config: Config) -> int:
    """Capture and export until the end of the input, SIGTERM or SIGINT; returns the exit status."""
    try:
        service = Service(config)
        service.open()
    except CaptureError as error:
        print(f"pcap-receiver: {error}", file=sys.stderr)
        return exit_status(error)
    with _signals(service):
        return service.run()


def exit_status(error: CaptureError) -> int:
    """3 when capture is not permitted or the interface is not there; what the user wrote wrongly is configuration, 1."""
    return EXIT_CONFIGURATION if isinstance(error, (CaptureFileError, FilterError)) else EXIT_CAPTURE


class _Both(Sink):
    """Telemetry first: it must not notice that somebody looks on."""

    def __init__(self, telemetry: Telemetry, onlooker: Sink) -> None:
        self._telemetry = telemetry
        self._onlooker = onlooker

    def begins(self, endpoints: Endpoints, request: Message) -> int:
        self._telemetry.begins(endpoints, request)
        return self._onlooker.begins(endpoints, request)

    def roundtrip(self, roundtrip: Roundtrip) -> int:
        self._telemetry.roundtrip(roundtrip)
        return self._onlooker.roundtrip(roundtrip)


class Service:
    """Everything that runs. `open` does what can be refused, `run` the work, `stop` and `reload` may come from signals.

    `onlooker` gets every roundtrip as well, after telemetry, and in full detail.
    """

    def __init__(self, config: Config, onlooker: Sink | None = None) -> None:
        self.config = config
        self._began = config
        pcap = config.receivers.pcap
        self._files = bool(pcap.files)
        self._stop = False
        self._reload = False
        self._turned_s: float | None = None
        self._ended = threading.Event()
        self._page_wanted = threading.Event()
        self._page_made = threading.Event()
        self._page = ""
        self.resource = observed_resource(config.service.resource)
        self._own = OwnSockets()
        self.exporters = {
            name: make_exporter(name, item, self.resource, self._own) for name, item in used_exporters(config).items()
        }
        self.telemetry = make_telemetry(config)
        spans = self.telemetry.spans
        sink = self.telemetry if onlooker is None else _Both(self.telemetry, onlooker)
        detail = spans is not None or onlooker is not None
        self.engine = make_engine(config, sink, detail=detail, local=local_addresses(config))
        if spans is not None:
            self.engine.flush_by(spans, self._flush_spans)
        self.layer4: Layer4Metrics | None = None
        if self.engine.layer4 is not None:
            self.layer4 = Layer4Metrics(self.engine.layer4.table, config.receivers.pcap.limits.series_per_metric)
        self.levels = LevelMetrics(config.receivers.pcap.limits.series_per_metric)
        self.accounts = Accounts(config, self.engine, self.telemetry, time.time_ns())
        self.accounts.exporters = self.exporters
        self._known_names = None if self._files else known_names(config)
        self._named_s = 0.0
        self._naming: threading.Thread | None = None
        self._due_s: dict[str, float] = {}
        self._flushed_s = 0.0
        self._telling: threading.Thread | None = None
        self._steps = 0  # of the packets' clock, as far as metrics know of them
        self._pages: list[PageServer] = []
        self._source = self._make_source()

    # -- setting up ------------------------------------------------------------------------------------------------

    @property
    def span_exporters(self) -> list[SpanExporter]:
        """Who is given spans."""
        return [cast(SpanExporter, self.exporters[name]) for name in self.config.exporters_of("traces")]

    @property
    def metric_exporters(self) -> list[tuple[Exporter, float]]:
        """Who is given metrics, and every how many seconds."""
        return [
            (self.exporters[name], float(getattr(item, "interval", 60.0)))
            for name, item in self.config.exporters_of("metrics").items()
        ]

    def _make_source(self) -> LiveSource | FileSource:
        if self._files:
            return make_source(self.config, on_progress=_progress())  # whatever is recorded there, it is not ours
        self.engine.table.watched = self._own.watched
        self.engine.table.is_own = self._own.is_own
        for _, port in own_pages(self.config):
            self._own.expect(port)  # they may listen on every address
        own = exporter_endpoints(self.config, self._own)
        self._exclude(own)
        return make_source(self.config, own, _progress())

    def _exclude(self, endpoints: set[tuple[str, int]]) -> None:
        """Take no notice of what goes to these, and still none of what went to the earlier ones."""
        for address, port in endpoints:
            self._own.exclude(address, port)

    def open(self) -> None:
        """Open the capture, listen, give up capabilities, start threads - in this order: either may take one.

        Raises CaptureError, ConfigError for a port that cannot be had or a spool that cannot be used.
        """
        if not COMPILED:
            log.warning("the packet path runs on the plain interpreter, some 30 times slower: install with a C compiler")
        memory.limit_arenas()
        self._source.open()
        if not self._files:
            self._listen()
            privileges.drop_capabilities()
        pcap = self.config.receivers.pcap
        what = f"reading {', '.join(pcap.files)}" if self._files else f"capturing on {', '.join(pcap.interfaces)}"
        log.info("%s; %s", what, "; ".join(_destinations(self.config)) or "nothing is exported")
        for server in self._pages:
            server.start()
        for name, exporter in self.exporters.items():
            start_exporter(name, exporter)
        if self._known_names is not None and self.engine.table.names is not None:
            restored = self._known_names.restore(self.engine.table.names, time.time_ns())
            log.debug("%d names of addresses are known from before", restored)

    def _listen(self) -> None:
        service = self.config.service
        if "health_check" in service.extensions:
            endpoint = self.config.extensions.health_check.endpoint
            page = health_page(lambda: self._turned_s)
            self._pages.append(PageServer(endpoint, {"/": page}, key="extensions.health_check.endpoint", name="health"))
        if service.telemetry.metrics.level != "none":
            endpoint = service.telemetry.metrics.endpoint
            text = metrics_page(self._metrics_text)
            key = "service.telemetry.metrics.endpoint"
            self._pages.append(PageServer(endpoint, {"/metrics": text}, key=key, name="metrics"))

    # -- running ---------------------------------------------------------------------------------------------------

    def run(self) -> int:
        status = EXIT_OK
        sys.setswitchinterval(TURN_S)
        memory.keep_start()
        self._turned_s = self._named_s = time.monotonic()
        if not self._files:
            threading.Thread(target=memory.release_after_start, args=(self._ended,), name="memory", daemon=True).start()
        try:
            self._source.run(self.engine.process_batch, self.tick, self._should_stop)
        except CaptureError as error:
            log.error("%s", error)
            status = exit_status(error)
        self.finish()
        return status

    def finish(self) -> None:
        """No packets come any more: tell what is left, and give the exporters the time that they may have to send it."""
        self._ended.set()
        self._keep_names(at_end=True)
        self.engine.finish()
        self._source.close()
        self._flush_spans()
        self._export_metrics(force=True)
        self._shut_down()
        self._say_totals()

    def stop(self) -> None:
        """End soon; safe in a signal handler."""
        self._stop = True
        self._source.wake()

    def reload(self) -> None:
        """Read the configuration again soon; safe in a signal handler."""
        self._reload = True
        self._source.wake()

    def _should_stop(self) -> bool:
        return self._stop

    def tick(self, now_ns: int) -> None:
        """What is due between two batches of packets; `now_ns` is the time by the packets' clock. The source calls it."""
        now_s = time.monotonic()
        self._turned_s = now_s
        if not self._files:
            self.engine.turn(now_ns - LAG_NS)
        if now_s - self._flushed_s >= flush_timeout(self.config):
            self._flush_spans()
        if not self._files:
            self._export_metrics(force=False)
        if now_s - self._named_s >= NAMES_S:
            self._named_s = now_s
            self._keep_names(at_end=False)
        if self._page_wanted.is_set():
            self._page_wanted.clear()
            self._page = exposition(self.accounts.metrics(self._source.stats()))
            self._page_made.set()
        if self._reload:
            self._reload = False
            self._take_over()

    def _keep_names(self, *, at_end: bool) -> None:
        """Write down what addresses are called, on a thread of its own while packets come."""
        names = self.engine.table.names
        if self._known_names is None or names is None:
            return
        if self._naming is not None and self._naming.is_alive():
            if not at_end:
                return  # the disk is slow
            self._naming.join(self.config.service.shutdown_timeout)
        content = self._known_names.text(names, self.engine.table.names_in_use(), self.engine.now_ns, int(time.time()))
        if at_end:
            self._known_names.write(content)
            return
        self._naming = threading.Thread(target=self._known_names.write, args=(content,), name="names", daemon=True)
        self._naming.start()

    def _flush_spans(self) -> None:
        # A batch that was full counts as well: the next one has its whole time.
        self._flushed_s = time.monotonic()
        spans = self.telemetry.spans
        if spans is None or spans.count == 0:
            return
        blob, count = spans.lend()
        with blob:
            self.accounts.spans.taken += count
            for exporter in self.span_exporters:
                if self._files:
                    self._wait_for_room(exporter)
                try:
                    exporter.export_spans(blob, count)
                except Exception as bug:
                    self.telemetry.failed("export_spans", bug)

    def _wait_for_room(self, exporter: Exporter) -> None:
        """Hold the file back while the queue is more than half full, as long as it moves."""
        until_s = time.monotonic() + FILE_WAIT_S
        _, _, before = exporter.signals()[0]
        while not self._stop and before.size_bytes * 2 > before.capacity_bytes and time.monotonic() < until_s:
            time.sleep(0.005)
            _, _, after = exporter.signals()[0]
            if after.requests_sent != before.requests_sent:
                until_s = time.monotonic() + FILE_WAIT_S
            before = after

    def capture_stats(self) -> CaptureStats:
        """What the capture took and lost so far."""
        return self._source.stats()

    def snapshot(self, *, now_ns: int | None = None) -> Snapshot:
        """All metrics of this moment."""
        return self.snapshot_later(now_ns)()

    def snapshot_later(self, now_ns: int | None = None) -> Callable[[], Snapshot]:
        """The same, to be made by any thread: what was counted until now is copied, which is all that packets have to wait for."""
        if now_ns is None:
            now_ns = (self.engine.latest_ns() if self._files else 0) or time.time_ns()
        if self._files or self._steps != self.engine.clock.steps:
            self._steps = self.engine.clock.steps
            self.accounts.start_ns = min(self.accounts.start_ns, now_ns)
            self.telemetry.metrics.begin_by(now_ns)
            if self.engine.layer4 is not None:
                self.engine.layer4.table.begin_by(now_ns)
        levels = self.engine.reading.levels
        later: list[Later] = [
            self.telemetry.metrics.durations_later(),
            partial(self.levels.metrics, levels.behind(now_ns), levels.waiting(now_ns)),
        ]
        if self.layer4 is not None:
            later.append(self.layer4.later())
        if self.config.service.telemetry.metrics.level != "none":
            own = self.accounts.metrics(self._source.stats())
        else:
            own = [self.telemetry.metrics.roundtrips(self.accounts.start_ns)]
        return partial(_snapshot, now_ns, self.resource, later, own)

    def _export_metrics(self, *, force: bool) -> None:
        """Hand the exporters a snapshot when it is time: in a thread of its own, or with `force` here and now."""
        if self._telling is not None and self._telling.is_alive():
            if not force:
                return  # what is due now is told of at another tick
            self._telling.join()
        now_s = time.monotonic()
        due = []
        for exporter, interval_s in self.metric_exporters:
            if exporter.name not in self._due_s:
                self._due_s[exporter.name] = now_s + interval_s
            if force or now_s >= self._due_s[exporter.name]:
                due.append(exporter)
                self._due_s[exporter.name] = max(self._due_s[exporter.name] + interval_s, now_s)
        if not due:
            return
        later = self.snapshot_later()
        if force:
            self._tell(later, due)
            return
        self._telling = threading.Thread(target=self._tell, args=(later, due), name="metrics", daemon=True)
        self._telling.start()

    def _tell(self, later: Callable[[], Snapshot], exporters: list[Exporter]) -> None:
        """Make a snapshot of what was copied, and have it encoded. What fails is told of again next time: sums are of all time."""
        try:
            snapshot = later()
        except Exception as bug:
            self.telemetry.failed("snapshot", bug)
            return
        for exporter in exporters:
            try:
                exporter.export_metrics(snapshot)
            except Exception as bug:
                self.telemetry.failed("export_metrics", bug)

    def _metrics_text(self) -> str:
        """Called by the page's thread: the capture thread makes the text between two batches."""
        self._page_made.clear()
        self._page_wanted.set()
        self._source.wake()
        if not self._page_made.wait(2.0):
            return exposition(self.accounts.metrics(self._source.stats()))
        return self._page

    # -- ending ----------------------------------------------------------------------------------------------------

    def _shut_down(self) -> None:
        deadline_s = float(self.config.service.shutdown_timeout)
        if self._files and not self._stop:
            # Whoever reads a file waits for its result, as long as the backends take it.
            if any(stats.requests_sent for item in self.exporters.values() for _, _, stats in item.signals()):
                deadline_s = max(deadline_s, 60.0)
        until_s = time.monotonic() + deadline_s
        for exporter in self.exporters.values():
            exporter.stop(deadline_s)
        for exporter in self.exporters.values():
            exporter.shutdown(max(0.0, until_s - time.monotonic()))
        for server in self._pages:
            server.close()

    def _say_totals(self) -> None:
        """The last line: what came in and what became of it."""
        capture, pairing = self._source.stats(), self.engine.reading.pairing
        said = [f"read {self.engine.packets} packets", f"{self.telemetry.metrics.total()} roundtrips"]
        if not self._files:
            said.insert(1, f"{capture.dropped_kernel + capture.dropped_interface} dropped by the capture")
        elif pairing.unmatched:
            said.append(f"{pairing.unmatched} responses had no request in the file")
        ended = [", ".join(said)]
        for name, exporter in self.exporters.items():
            for _, items, stats in exporter.signals():
                if not stats.offered and not stats.restored:
                    continue
                dropped = stats.rejected + sum(stats.enqueue_failed.values()) + sum(stats.send_failed.values())
                line = f"{name}: {stats.sent} {items.replace('_', ' ')} sent"
                line += f", {dropped} dropped" if dropped else ""
                ended.append(line + (f", {stats.kept} kept for the next start" if stats.kept else ""))
        log.info("%s: %s", "done" if self._files and not self._stop else "stopped", "; ".join(ended))

    def _take_over(self) -> None:
        """A good file replaces what changed, open flows stay; a bad one changes nothing and says so."""
        try:
            new = prepare(self.config, self._began, self.resource, self.exporters, self._own)
        except ConfigError as error:
            for line in str(error).splitlines():
                log.error("not reloaded: %s", line)
            return
        for warning in new.warnings:
            log.warning("%s", warning)
        self._flush_spans()
        if new.fresh:
            self._exclude(exporter_endpoints(new.config, self._own))  # the kernel's filter stays: these are ignored here
        http = self.config.receivers.pcap.http
        self.config = new.config
        self.resource = new.resource
        self.exporters = new.exporters
        self.accounts.exporters = new.exporters
        self.telemetry.sampler = make_sampler(new.config)
        if new.config.receivers.pcap.http != http:
            self.telemetry.metrics.set_routes(make_routes(new.config), guesses_apart(new.config))
        logs.configure(new.config.service.telemetry.logs)
        hand_over(new, self._telling)
        for change in new.changes:
            if not change.taken:
                log.warning("%s was not taken: it needs a restart", change)
        taken = [change.path for change in new.changes if change.taken]
        log.info("configuration reloaded: %s", ", ".join(taken) or "nothing that takes effect has changed")


def _snapshot(time_ns: int, resource: Resource, later: Iterable[Later], own: Iterable[Metric]) -> Snapshot:
    metrics = [metric for make in later for metric in make()]
    return Snapshot(time_ns=time_ns, resource=resource, metrics=(*metrics, *own))


def _destinations(config: Config) -> Iterator[str]:
    """Where each signal goes, for the log: without what may be secret in a URL."""
    from receiver.settings.schema import plain

    for carried in ("traces", "metrics"):
        each = []
        for name, settings in config.exporters_of(carried).items():
            where = "the log" if isinstance(settings, DebugExporter) else plain(settings.endpoint, redact=True).partition("?")[0]
            each.append(f"{name} ({where})")
        if each:
            yield f"{carried} to {', '.join(each)}"


def _progress() -> Callable[[str, int, int], None] | None:
    if not sys.stderr.isatty():
        return None

    def show(name: str, done: int, whole: int) -> None:
        share = done / whole if whole else 1.0
        filled = int(share * 30)
        end = "\n" if done >= whole else ""
        print(f"\r{Path(name).name} [{'=' * filled}{' ' * (30 - filled)}] {share:4.0%}", end=end, file=sys.stderr)

    return show


@contextlib.contextmanager
def _signals(service: Service) -> Iterator[None]:
    before = {
        number: signal.signal(number, handler)
        for number, handler in (
            (signal.SIGTERM, lambda *_: service.stop()),
            (signal.SIGINT, lambda *_: service.stop()),
            (signal.SIGHUP, lambda *_: service.reload()),
        )
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
