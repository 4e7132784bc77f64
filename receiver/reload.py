"""A configuration that is read again while the service runs: what it needs is made, and what nobody needs any more ends.

Room: service. `prepare` does all that can be refused, and changes nothing that runs. `Service` puts in place what it returns,
between two batches of packets; `hand_over` ends the exporters that are gone, on threads of their own.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from receiver.build import make_exporter, start_exporter, used_exporters, wants_vmrange
from receiver.config import Config, ConfigError, DebugExporter, Fault, PrometheusRemoteWriteExporter
from receiver.config import Exporter as ExporterSettings
from receiver.export.exporter import Exporter
from receiver.export.own import OwnSockets
from receiver.resource import observed_resource
from receiver.settings import again, loader
from receiver.telemetry.snapshot import Resource

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is in effect from now on, and what ends. `heirs` are those of `fresh` that have not begun."""

    config: Config
    resource: Resource
    exporters: dict[str, Exporter]
    fresh: dict[str, Exporter]
    heirs: dict[str, Exporter]
    gone: dict[str, Exporter]
    changes: list[again.Change]
    warnings: tuple[str, ...]


def prepare(config: Config, began: Config, resource: Resource, exporters: dict[str, Exporter], own: OwnSockets) -> Prepared:
    """Read the sources of `config` again, and make the exporters that this takes. `config`, `resource` and `exporters` are in use
    now, `began` is what the service was started with.

    Raises ConfigError for a file with faults, and for what cannot be had; then nothing of it runs.
    """
    loaded = loader.reload(config)
    new = again.carry(config, loaded.config)
    _refuse(new, began)
    observed = observed_resource(new.service.resource)
    used, old = used_exporters(new), used_exporters(config)
    kept = {name: each for name, each in exporters.items() if used.get(name) == old[name] and observed == resource}
    fresh = {name: make_exporter(name, item, observed, own) for name, item in used.items() if name not in kept}
    gone = {name: each for name, each in exporters.items() if name not in kept}
    # They begin when the ones before them have let go of the directory; what they are given meanwhile waits in memory.
    heirs = {name: fresh[name] for name in fresh if name in gone and _storage(used[name]) == _storage(old[name]) != ""}
    started: list[Exporter] = []
    try:
        for name, exporter in fresh.items():
            if name not in heirs:
                started.append(exporter)
                start_exporter(name, exporter)
    except ConfigError:
        for exporter in started:
            exporter.shutdown(0.0)
        raise
    every = {name: kept.get(name) or fresh[name] for name in used}
    return Prepared(new, observed, every, fresh, heirs, gone, again.changes(config, loaded.config), loaded.warnings)


def hand_over(prepared: Prepared, telling: threading.Thread | None) -> None:
    """End the exporters that are gone, once `telling` is done with them, and begin the heirs after them; nobody waits for it."""
    deadline_s = float(prepared.config.service.shutdown_timeout)
    for name, exporter in prepared.gone.items():
        arguments = (exporter, deadline_s, name, prepared.heirs.get(name), telling)
        threading.Thread(target=_end, args=arguments, name="exporter-ending", daemon=True).start()


def _end(exporter: Exporter, deadline_s: float, name: str, heir: Exporter | None, telling: threading.Thread | None) -> None:
    if telling is not None:
        telling.join()
    exporter.shutdown(deadline_s)
    if heir is not None:
        try:
            start_exporter(name, heir)
        except ConfigError as error:
            log.error("%s; nothing is sent until a restart", error)


def _refuse(new: Config, began: Config) -> None:
    """Raises ConfigError for what was not counted or written from the start."""
    faults = []
    if wants_vmrange(new) and not wants_vmrange(began):
        faults += [
            Fault(f"exporters.{name}.histograms", "vmrange needs a restart, such buckets were not counted so far")
            for name, item in new.exporters_of("metrics").items()
            if isinstance(item, PrometheusRemoteWriteExporter) and item.histograms == "vmrange"
        ]
    if new.exporters_of("traces") and not began.exporters_of("traces"):
        faults.append(Fault("service.pipelines.traces", "needs a restart, there was none at the start and no spans are made"))
    if faults:
        raise ConfigError(tuple(faults))


def _storage(settings: ExporterSettings) -> str:
    return "" if isinstance(settings, DebugExporter) else settings.sending_queue.storage
