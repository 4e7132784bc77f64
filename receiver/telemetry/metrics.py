"""Roundtrip -> series, counted in place.

Room: telemetry. A series is found by the identity of the values that split it: decoders hand over the same str and int objects
again and again, so a small cache answers most look-ups with a few pointer comparisons; the dict behind it is asked otherwise. As
a series also fixes most of a span (name, kind, status, attributes), it carries those bytes ready-made. Beyond `series_max`
series of
a metric all goes to one with the attribute `otel.metric.overflow` (metrics SDK specification, "Cardinality limits").
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import partial
from typing import Any

import cython

from receiver.telemetry import semconv
from receiver.telemetry.durations import Copied, durations
from receiver.telemetry.histogram import Buckets
from receiver.telemetry.otlp import span_attribute, span_name, span_status
from receiver.telemetry.routes import Route, RouteTable
from receiver.telemetry.snapshot import Attributes, Later, Metric, NumberPoint
from receiver.wire.records import OUTCOMES, Endpoints, Message, Protocol, Roundtrip

if not cython.compiled:
    from receiver.wire.records import OUTCOME_ERROR, OUTCOME_LOST, OUTCOME_ONE_WAY, OUTCOME_UNKNOWN, OUTCOME_UNREACHABLE

# Direct-mapped; a service has some tens of series at a time. A power of two.
NEAR = 512

OUTCOME_COUNT = len(OUTCOMES)

GUESSED: str = semconv.GUESSED
# Whoever tries out paths must not use up the guessed routes.
NOT_FOUND = 404

# So many combinations that spans tell apart are kept ready for each one that the metric does: types and response codes of DNS.
FORMS_PER_SERIES = 4


class Form:
    """A Shape made ready: its histogram and its series.

    `series` has one Series for each combination of slots, `owners` those that have a row of counters: what only spans show
    does not split the metric, so several Series may count in one row. `measured`: the metric is counted.
    """

    def __init__(self, shape: semconv.Shape, vmrange: bool, emitted: cython.bint, measured: cython.bint) -> None:
        self.shape = self.whole = shape
        self.buckets = Buckets(shape.metric.bounds if shape.metric is not None else (), vmrange)
        self.by_server = shape.server_in_metric
        self.default_port = shape.default_port
        self.url_full = shape.url_full
        self.client_address = shape.client_address
        self.peer = shape.peer
        self.emitted = emitted
        self.measured = measured
        self.client = shape.vantage == "client"
        self.routed = shape.routed
        self.path_original: str | None = shape.path_original or None
        self.series: dict[tuple[Any, ...], Series] = {}
        self.owners: dict[Attributes, Series] = {}
        self.overflow: Series | None = None
        self.counts = len(shape.counted) > 0
        self.beyond: dict[str | None, int] = {}  # messages that the overflow counts, by namespace


@cython.no_gc
@cython.cclass
class Series:
    """One combination of values: its row of counters, and what of a span it fixes."""

    def __init__(
        self, form: Form, values: tuple[Any, ...], row: cython.Py_ssize_t, attributes: Attributes, start_ns: cython.longlong
    ) -> None:
        self.form = form
        self.operation = values[0]
        self.target = values[1]
        self.namespace = values[2]
        self.summary = values[3]
        self.version = values[4]
        self.status = values[5]
        self.error_type = values[6]
        self.server_address = values[7]
        self.server_port = values[8]
        self.row = row
        self.attributes = attributes
        self.start_ns = start_ns
        self.owner: Series | None = None
        self.messages = 0
        known = {
            "operation": self.operation,
            "target": self.target,
            "namespace": self.namespace,
            "summary": self.summary,
            "version": self.version,
            "status": self.status,
        }
        target: str | None = self.target
        if target is None and form.shape.namespace_in_name:
            target = self.namespace
        parts = [span_name(_name(form.shape, self.operation, target, self.summary), form.shape.kind)]
        parts += [span_attribute(name, value) for name, value in form.shape.system]
        for slot in form.shape.slots:
            value = known[slot.slot]
            if value is None or value == "":
                value = slot.default
            if slot.span and value != "":
                parts.append(span_attribute(slot.attribute, value))
        if self.error_type is not None:
            parts.append(span_attribute(semconv.ERROR_TYPE, self.error_type))
            parts.append(span_status(2))
        self.span = b"".join(parts)


def _name(shape: semconv.Shape, operation: str | None, target: str | None, summary: str | None) -> str:
    if shape.named_by_summary and summary:
        return summary
    if operation == "_OTHER" or not (operation or (target and shape.target_in_name)):
        name = shape.fallback
    else:
        name = shape.prefix + (operation or "")
    if shape.target_in_name and target:
        name = f"{name} {target}" if name else target
    return name or shape.fallback


def _labels(shape: semconv.Shape, values: tuple[Any, ...]) -> Attributes:
    known = dict(zip(("operation", "target", "namespace", "summary", "version", "status"), values[:6], strict=True))
    pairs: list[tuple[str, Any]] = list(shape.system)
    for slot in shape.slots:
        value = known[slot.slot]
        if value is None or value == "":
            value = slot.default
        if slot.metric and value != "":
            pairs.append((slot.attribute, value))
    if values[6] is not None:
        pairs.append((semconv.ERROR_TYPE, values[6]))
    if shape.server_in_metric:
        if values[7]:
            pairs.append((semconv.SERVER_ADDRESS, values[7]))
        if values[8] and values[8] != shape.default_port:
            pairs.append((semconv.SERVER_PORT, values[8]))
    return tuple(sorted(pairs))


class Metrics:
    """All series of all protocols, and the roundtrips by outcome.

    `protocols` are the rows of the registry; a row's number is its place. `emitted`: families whose shape is off unless
    asked for, as `family/vantage`; a metric that is off unless asked for stands there by its own name.
    """

    def __init__(
        self,
        protocols: Sequence[Protocol],
        series_max: cython.Py_ssize_t = 2000,
        vmrange: cython.bint = False,
        emitted: Sequence[str] = (),
        routes: RouteTable | None = None,
        apart: cython.bint = False,
    ) -> None:
        self.series_max = series_max
        self.protocols = list(protocols)
        self.vmrange = vmrange
        by_shape: dict[str, Form] = {}
        for shape in semconv.SHAPES:
            key = f"{shape.family}/{shape.vantage}"
            on = shape.emitted or key in emitted
            measured = on and shape.metric is not None and (not shape.metric_opt_in or shape.metric.name in emitted)
            by_shape[key] = Form(shape, vmrange, on, measured)
        self.forms: list[Form] = []
        for protocol in protocols:
            self.forms.append(by_shape[f"{protocol.family}/server"])
            self.forms.append(by_shape[f"{protocol.family}/client"])
        self.near: list[Series | None] = [None] * NEAR
        self.routes: RouteTable | None = None
        self.set_routes(routes, apart)
        self.overflowed = 0
        self._told: dict[Attributes, Attributes] = {}
        self.outcomes = array("q", bytes(8 * OUTCOME_COUNT * len(protocols)))

    def observe(self, roundtrip: Roundtrip) -> Series | None:
        """Count a roundtrip; returns its series, which is also what its span starts from. None when nobody asked for it."""
        protocol: Protocol = roundtrip.protocol
        endpoints: Endpoints = roundtrip.endpoints
        request: Message = roundtrip.request
        response: Message = roundtrip.response
        outcome: cython.int = roundtrip.outcome
        self.outcomes[protocol.number * OUTCOME_COUNT + outcome] += 1
        form: Form = self.forms[protocol.number * 2 + endpoints.vantage]
        if not form.emitted:
            return None
        status: object = None
        error_type: str | None = None
        version: str | None = request.version
        if response is not None:
            status = response.status
            if response.version is not None:
                version = response.version
        if outcome == OUTCOME_ERROR:
            error_type = response.error_type
            if error_type is None:
                error_type = "_OTHER"
        elif outcome > OUTCOME_ONE_WAY and outcome != OUTCOME_LOST and outcome != OUTCOME_UNKNOWN:
            error_type = semconv.UNANSWERED_ERROR[outcome]
            if outcome == OUTCOME_UNREACHABLE and request.error_type is not None:
                error_type = request.error_type
        if form.routed and self.routes is not None and request.path is not None:
            route: Route | None = self.routes.find(request.path, status is None or status != NOT_FOUND, request.operation)
            if route is not None:
                if route.configured or not self.apart:
                    request.target = route.text
                if not route.configured:
                    request.summary = route.text if self.apart else GUESSED
        server_address: str | None = None
        server_port: cython.int = 0
        if form.by_server:
            server_address = request.server_address
            server_port = request.server_port
            if server_address is None:
                server_address = endpoints.server_name
                server_port = endpoints.server_port
        series: Series = self._find(
            form,
            request.operation,
            request.target,
            request.namespace,
            request.summary,
            version,
            status,
            error_type,
            server_address,
            server_port,
            request.first_ns,
        )
        if outcome != OUTCOME_LOST and form.measured and not request.awaits:
            form.buckets.record(series.row, roundtrip.end_ns - request.first_ns)
            if form.counts:
                moved: cython.longlong = request.messages
                if response is not None:
                    moved += response.messages
                owner: Series = series if series.owner is None else series.owner
                if owner is form.overflow:
                    form.beyond[request.namespace] = form.beyond.get(request.namespace, 0) + moved
                else:
                    owner.messages += moved
            # Here and not where it is made: how often that is asked depends on `near`, that is on addresses in memory.
            if form.overflow is not None and series.row == form.overflow.row:
                self.overflowed += 1
        return series

    def _find(
        self,
        form: Form,
        operation: str | None,
        target: str | None,
        namespace: str | None,
        summary: str | None,
        version: str | None,
        status: object,
        error_type: str | None,
        server_address: str | None,
        server_port: cython.int,
        ts_ns: cython.longlong,
    ) -> Series:
        place: cython.Py_ssize_t
        if cython.compiled:
            place = cython.cast(cython.Py_ssize_t, cython.cast(cython.p_void, operation)) >> 4
            place += cython.cast(cython.Py_ssize_t, cython.cast(cython.p_void, target)) >> 5
            place += cython.cast(cython.Py_ssize_t, cython.cast(cython.p_void, summary)) >> 5
            place += cython.cast(cython.Py_ssize_t, cython.cast(cython.p_void, status)) >> 4
        else:
            place = id(operation) // 16 + id(target) // 32 + id(summary) // 32 + id(status) // 16
        place &= NEAR - 1
        near: Series = self.near[place]
        if (
            near is not None
            and near.form is form
            and near.operation is operation
            and near.target is target
            and near.status is status
            and near.namespace is namespace
            and near.summary is summary
            and near.version is version
            and near.error_type is error_type
            and near.server_address is server_address
            and near.server_port == server_port
        ):
            return near
        near = self._make(
            form, operation, target, namespace, summary, version, status, error_type, server_address, server_port, ts_ns
        )
        self.near[place] = near
        return near

    def _make(
        self,
        form: Form,
        operation: str | None,
        target: str | None,
        namespace: str | None,
        summary: str | None,
        version: str | None,
        status: object,
        error_type: str | None,
        server_address: str | None,
        server_port: cython.int,
        ts_ns: cython.longlong,
    ) -> Series:
        key = (operation, target, namespace, summary, version, status, error_type, server_address, server_port)
        series: Series | None = form.series.get(key)
        if series is not None:
            return series
        if not form.measured:
            series = Series(form, key, 0, (), ts_ns)
        else:
            labels = _labels(form.shape, key)
            owner: Series | None = form.owners.get(labels)
            if owner is not None:
                series = Series(form, key, owner.row, owner.attributes, owner.start_ns)
                series.owner = owner
            elif len(form.owners) >= self.series_max - 1:
                if form.overflow is None:
                    form.overflow = Series(form, key, form.buckets.add_row(), ((semconv.OVERFLOW, True),), ts_ns)
                # Its own span is told in full; only the counters are shared.
                series = Series(form, key, form.overflow.row, form.overflow.attributes, form.overflow.start_ns)
                series.owner = form.overflow
                return series
            else:
                series = Series(form, key, form.buckets.add_row(), labels, ts_ns)
                form.owners[labels] = series
        if len(form.series) < FORMS_PER_SERIES * self.series_max:
            form.series[key] = series
        return series

    def set_routes(self, routes: RouteTable | None, apart: cython.bint = False) -> None:
        """Name routes by this table from here on, guessed ones in an attribute of their own where they are to be told `apart`.
        Series of the earlier table stay, as counters must."""
        if self.routes is not None and routes is not None:
            routes.overflowed += self.routes.overflowed
        self.routes = routes
        self.apart = apart
        for each in self.forms:
            form: Form = each
            if form.routed:
                form.shape = semconv.apart(form.whole) if apart else form.whole

    def begin_by(self, now_ns: int) -> None:
        """The clock was set, and says `now_ns`: nothing began to count later than that."""
        for each in dict.fromkeys(self.forms):
            form: Form = each
            for entry in (*form.series.values(), *form.owners.values(), form.overflow):
                series: Series | None = entry
                if series is not None and series.start_ns > now_ns:
                    series.start_ns = now_ns

    def durations(self) -> list[Metric]:
        """The duration metrics that have a series, one Metric for each name."""
        return self.durations_later()()

    def durations_later(self) -> Later:
        """The same, of what was counted until now."""
        copied: list[Copied] = []
        for each in dict.fromkeys(self.forms):
            form: Form = each
            every = list(form.owners.values())
            if form.overflow is not None:
                every.append(form.overflow)
            if every:
                series = [(one.row, one.attributes, one.start_ns) for one in every]
                copied.append((form.shape.metric, form.buckets.copy(), series))
        return partial(durations, copied, self._messages())

    def _messages(self) -> list[Metric]:
        """How many messages were sent and received, of what counts them."""
        found: dict[str, list[NumberPoint]] = {}
        definitions: dict[str, semconv.MetricDef] = {}
        for each in dict.fromkeys(self.forms):
            form: Form = each
            for kind, definition in form.shape.counted:
                definitions[definition.name] = definition
                points = found.setdefault(definition.name, [])
                for entry in form.owners.values():
                    one: Series = entry
                    if one.messages > 0 and one.namespace == kind:
                        points.append(NumberPoint(attributes=one.attributes, start_ns=one.start_ns, value=one.messages))
                one = form.overflow
                if one is not None and form.beyond.get(kind, 0) > 0:
                    points.append(NumberPoint(attributes=one.attributes, start_ns=one.start_ns, value=form.beyond[kind]))
        return [
            Metric(
                name=name,
                unit=definitions[name].unit,
                description=definitions[name].description,
                kind="sum",
                points=tuple(points),
            )
            for name, points in sorted(found.items())
            if points
        ]

    def roundtrips(self, start_ns: int) -> Metric:
        """`pcap_receiver.roundtrips`: how many, by protocol and outcome."""
        definition = semconv.SELF["pcap_receiver.roundtrips"]
        points: list[NumberPoint] = []
        for protocol in self.protocols:
            for i, outcome in enumerate(OUTCOMES):
                value = self.outcomes[protocol.number * OUTCOME_COUNT + i]
                if value:
                    attributes: Attributes = (("outcome", outcome), ("protocol", protocol.name))
                    attributes = self._told.setdefault(attributes, attributes)  # exporters know them again by identity
                    points.append(NumberPoint(attributes=attributes, start_ns=start_ns, value=value))
        return Metric(
            name=definition.name, unit=definition.unit, description=definition.description, kind="sum", points=tuple(points)
        )

    def total(self) -> int:
        """All roundtrips."""
        return sum(self.outcomes)
