"""OpenTelemetry's variables fill in what the sources leave out.

Room: settings. Works on the tree of plain values before it is read, because only there "left out" can still be told
from "the default was written down". Source: OpenTelemetry specification 1.60, protocol/exporter.md and
configuration/sdk-environment-variables.md: a signal's own variable goes over the general one, an empty one counts as
unset, booleans are true only for `true`, and a bad value is reported and ignored, never a fault. What is well said and
cannot be done is a fault, for it would be nothing done in silence; but only where the sources leave the choice open.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import unquote

from receiver.config import (
    CARRIES,
    EXPORTERS,
    PROPAGATORS,
    TARGET_SCHEMES,
    WAIT_MAX_S,
    Duration,
    Fault,
    OtlpGrpcExporter,
    PrometheusRemoteWriteExporter,
    endpoint_hosts,
    split_endpoint,
    target_problem,
)
from receiver.route import TOKEN
from receiver.settings.proxy import Proxies, read_proxy
from receiver.settings.schema import Expanded, exporter_type

T = TypeVar("T")

SIGNALS = ("traces", "metrics")
OTLP = "OTEL_EXPORTER_OTLP_"
OTLP_DEFAULT_ENDPOINT = "http://localhost:4317"

OTLP_KEYS = (
    "ENDPOINT",
    "INSECURE",
    "CERTIFICATE",
    "CLIENT_KEY",
    "CLIENT_CERTIFICATE",
    "HEADERS",
    "COMPRESSION",
    "TIMEOUT",
)
"""The variables that say where and how an exporter sends; those of one signal may differ from the other's."""

FILES = {"CERTIFICATE": "ca_file", "CLIENT_KEY": "key_file", "CLIENT_CERTIFICATE": "cert_file"}

SAMPLERS = ("always_on", "always_off", "traceidratio")

UNUSED = {
    "OTEL_BSP_MAX_QUEUE_SIZE": "sending_queue.queue_size bounds the queue in bytes",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "sending_queue.batch.max_size bounds a batch in bytes",
    "OTEL_BSP_EXPORT_TIMEOUT": "set the exporter's timeout",
    "OTEL_METRIC_EXPORT_TIMEOUT": "set the exporter's timeout",
}
"""Variables of an SDK that have another unit here: named when they are set, so that nobody waits for their effect."""

FROM_VARIABLES = {"otlp": "otlp_grpc", "otlp_proto_grpc": "otlp_grpc", "console": "debug", "logging": "debug"}
"""The words of OTEL_TRACES_EXPORTER and OTEL_METRICS_EXPORTER, and our exporters."""

NOT_HERE = ("prometheus", "zipkin", "jaeger", "otlp_proto_http", "otlp_http", "otlp/stdout", "otlp_file")
"""Words of theirs that other programs follow, some with more behind them (`zipkin_json`)."""

ONLY = {
    "PROTOCOL": ("grpc", "only grpc is spoken"),
    "METRICS_TEMPORALITY_PREFERENCE": ("cumulative", "sums and histograms are cumulative"),
    "METRICS_DEFAULT_HISTOGRAM_AGGREGATION": ("explicit_bucket_histogram", "histograms have explicit buckets"),
}


def fill(
    tree: Mapping[str, Any], environ: Mapping[str, str], warnings: list[str], faults: list[Fault]
) -> dict[str, Any]:
    """`tree` with exporters, pipelines and variables where it says nothing; what is bad goes to `warnings`, what cannot be done
    to `faults`."""
    out: dict[str, Any] = _copy(tree)
    variables = _Variables(environ, warnings)
    _add_exporters(out, variables, faults)
    _add_pipelines(out, variables)
    _fill_exporters(out, variables)
    _fill_proxies(out, Proxies(environ, warnings))
    _fill_receiver(out, variables)
    _fill_logs(out, variables)
    for name, instead in UNUSED.items():
        if variables.text(name):
            warnings.append(f"{name} is not used: {instead}")
    for signal in ("", "TRACES_", "METRICS_"):
        for suffix, (supported, why) in ONLY.items():
            if suffix != "PROTOCOL" and signal:
                continue
            value = variables.text(f"{OTLP}{signal}{suffix}")
            if value and value.lower() != supported:
                warnings.append(f"{OTLP}{signal}{suffix}: {value!r} is ignored, {why}")
    return out


class _Variables:
    """The environment, read as the specification says; each bad value is reported once."""

    def __init__(self, environ: Mapping[str, str], warnings: list[str]) -> None:
        self.environ = environ
        self.warnings = warnings

    def text(self, name: str) -> str:
        return self.environ.get(name, "").strip()

    def parsed(self, name: str, parse: Callable[[str], T]) -> T | None:
        """What `parse` makes of the variable; None when it is unset, or bad, which ValueError says."""
        text = self.text(name)
        if not text:
            return None
        try:
            return parse(text)
        except ValueError as error:
            self.warn(f"{name} is ignored: {error}")
            return None

    def warn(self, warning: str) -> None:
        if warning not in self.warnings:
            self.warnings.append(warning)

    def propagators(self, text: str) -> list[str]:
        """The formats of trace context among those that OTEL_PROPAGATORS names; baggage carries none, `none` means none."""
        named = list(dict.fromkeys(name for word in text.split(",") if (name := word.strip())))
        for name in named:
            if name not in (*PROPAGATORS, "baggage", "none"):
                self.warn(f"OTEL_PROPAGATORS: {name!r} is not known and ignored, takes {', '.join(PROPAGATORS)} or none")
        return [name for name in named if name in PROPAGATORS]

    def otlp_name(self, key: str, signals: tuple[str, ...]) -> str:
        """The variable that decides `key` of an exporter that carries `signals`; "" when none is set."""
        general = f"{OTLP}{key}" if self.text(f"{OTLP}{key}") else ""
        own = {name: self.text(name) for signal in signals if self.text(name := f"{OTLP}{signal.upper()}_{key}")}
        if not own:
            return general
        if len(own) == len(signals) and len(set(own.values())) == 1:
            return next(iter(own))
        self.warn(f"{', '.join(own)} ignored: one exporter carries {' and '.join(signals)}; name one for each")
        return general


# -- exporters and pipelines -----------------------------------------------------------------------------------------


def _add_exporters(tree: dict[str, Any], variables: _Variables, faults: list[Fault]) -> None:
    """Without a word about exporters: those that the variables choose, OTLP when they choose none, by two exporters where they
    tell the signals apart."""
    service = _child(tree, "service")
    pipelines = service is None or service.get("pipelines") is not None
    if tree.get("exporters") is not None or pipelines or _is_disabled(variables):
        if tree.get("exporters") is None:
            tree["exporters"] = {"otlp_grpc": {}}
        elif not pipelines:
            _say_unfollowed(variables)
        return
    assert service is not None
    chosen = {signal: _chosen(signal, variables, faults) for signal in SIGNALS}
    traces, metrics = (
        [variables.text(f"{OTLP}{signal.upper()}_{key}") or variables.text(OTLP + key) for key in OTLP_KEYS]
        for signal in SIGNALS
    )
    apart = traces != metrics and all("otlp_grpc" in names for names in chosen.values())
    names = {
        signal: [f"otlp_grpc/{signal}" if name == "otlp_grpc" and apart else name for name in chosen[signal]]
        for signal in SIGNALS
    }
    tree["exporters"] = {
        name: {"verbosity": "normal"} if name == "debug" else {} for signal in SIGNALS for name in names[signal]
    }
    service["pipelines"] = {signal: {"exporters": found} for signal, found in names.items() if found}


def _chosen(signal: str, variables: _Variables, faults: list[Fault]) -> list[str]:
    """The types of our exporters that OTEL_TRACES_EXPORTER or OTEL_METRICS_EXPORTER asks for."""
    variable = f"OTEL_{signal.upper()}_EXPORTER"
    asked = [word for text in (variables.text(variable) or "otlp").split(",") if (word := text.strip().lower())]
    found: list[str] = []
    for word in asked:
        if word in FROM_VARIABLES:
            found.append(FROM_VARIABLES[word])
        elif word.startswith(NOT_HERE):
            others = "" if signal == "traces" else ", or name prometheus_remote_write under exporters in a configuration file"
            faults.append(Fault(variable, f"{word} cannot be done here: set otlp, console or none{others}"))
        elif word != "none":
            variables.warn(f"{variable}: {word!r} is not known and ignored, takes otlp, console or none")
            found.append("otlp_grpc")  # as if it were not set
    if "none" in asked:
        return []
    if "otlp_grpc" in found:
        _check_protocol(signal, variables, faults)
    return list(dict.fromkeys(found))


def _check_protocol(signal: str, variables: _Variables, faults: list[Fault]) -> None:
    own = f"{OTLP}{signal.upper()}_PROTOCOL"
    variable = own if variables.text(own) else f"{OTLP}PROTOCOL"
    protocol = variables.text(variable).lower()
    if protocol in ("http/protobuf", "http/json"):
        fault = Fault(
            variable,
            f"{protocol} is not spoken, only grpc: set it to grpc, and the endpoint to the Collector's port for gRPC (4317),"
            " or name exporters in a configuration file",
        )
        if fault not in faults:
            faults.append(fault)


def _say_unfollowed(variables: _Variables) -> None:
    for signal in SIGNALS:
        variable = f"OTEL_{signal.upper()}_EXPORTER"
        if variables.text(variable).lower() not in ("", "otlp"):
            variables.warn(f"{variable} is not followed: the configuration names its exporters")


def _is_disabled(variables: _Variables) -> bool:
    return variables.text("OTEL_SDK_DISABLED").lower() == "true"


def _add_pipelines(tree: dict[str, Any], variables: _Variables) -> None:
    """Pipelines that are left out take every exporter that carries their signal."""
    service, exporters = _child(tree, "service"), _child(tree, "exporters")
    if service is None or exporters is None or service.get("pipelines") is not None:
        return
    if _is_disabled(variables):
        variables.warn("OTEL_SDK_DISABLED is true: nothing is exported")
        service["pipelines"] = {}
        return
    service["pipelines"] = {}
    for signal in SIGNALS:
        names = [
            name for name in exporters if (kind := EXPORTERS.get(exporter_type(str(name)))) and signal in CARRIES[kind]
        ]
        if names:
            service["pipelines"][signal] = {"exporters": names}


def _fill_exporters(tree: dict[str, Any], variables: _Variables) -> None:
    exporters = _child(tree, "exporters")
    for name in exporters or ():
        exporter = _child(exporters, name)
        if exporter is None or EXPORTERS.get(exporter_type(str(name))) is not OtlpGrpcExporter:
            continue
        signals = tuple(signal for signal in SIGNALS if name in _exporters_of(tree, signal)) or SIGNALS
        _fill_endpoint(name, exporter, signals, variables)
        tls = _child(exporter, "tls")
        for key, field in FILES.items():
            if tls is not None and tls.get(field) is None and (variable := variables.otlp_name(key, signals)):
                tls[field] = variables.text(variable)
        for key, field, parse in (
            ("HEADERS", "headers", _parse_headers),
            ("COMPRESSION", "compression", _parse_compression),
            ("TIMEOUT", "timeout", _parse_ms),
        ):
            _fill_key(exporter, field, variables, variables.otlp_name(key, signals), parse)
        if "metrics" in signals:
            _fill_key(exporter, "interval", variables, "OTEL_METRIC_EXPORT_INTERVAL", _parse_ms)
        queue = _child(exporter, "sending_queue")
        batch = None if queue is None else _child(queue, "batch")
        if batch is not None and "traces" in signals:
            _fill_key(batch, "flush_timeout", variables, "OTEL_BSP_SCHEDULE_DELAY", _parse_ms)


def _fill_endpoint(name: str, exporter: dict[str, Any], signals: tuple[str, ...], variables: _Variables) -> None:
    """The endpoint, and by its scheme whether TLS is spoken: `http` says no, `https` yes, and both go over INSECURE. A socket in
    the file system has none unless it is asked for.

    An endpoint that nobody names is the specification's, without TLS. One that the file names has TLS unless the file
    or its scheme says otherwise, as in the Collector.
    """
    insecure: bool | None = None
    endpoint = exporter.get("endpoint")
    if endpoint is None:
        variable = variables.otlp_name("ENDPOINT", signals)
        given = variables.parsed(variable, _parse_endpoint) if variable else None
        exporter["endpoint"], insecure, path = given or _parse_endpoint(OTLP_DEFAULT_ENDPOINT)
        if path:
            variables.warn(f"{variable}: the path is dropped, OTLP over gRPC has none")
    elif isinstance(endpoint := endpoint.text if isinstance(endpoint, Expanded) else endpoint, str):
        exporter["endpoint"], insecure, path = _split_path(*_split_scheme(endpoint))
        if path:
            variables.warn(f"exporters.{name}.endpoint: the path is dropped, OTLP over gRPC has none")
    tls = _child(exporter, "tls")
    if tls is not None and tls.get("insecure") is None:
        given_by_scheme = insecure is not None and not str(exporter["endpoint"]).startswith(TARGET_SCHEMES)
        if not given_by_scheme and (variable := variables.otlp_name("INSECURE", signals)):
            said = variables.parsed(variable, _parse_bool)
            insecure = insecure if said is None else said
        if insecure is not None:
            tls["insecure"] = insecure


def _fill_proxies(tree: dict[str, Any], proxies: Proxies) -> None:
    """What stands before each endpoint; an exporter that names its proxy keeps it, for whatever endpoint."""
    exporters = _child(tree, "exporters")
    for name in exporters or ():
        exporter, kind = _child(exporters, name), EXPORTERS.get(exporter_type(str(name)))
        if exporter is None:
            continue
        given = exporter.get("proxy_url")
        given = given.text if isinstance(given, Expanded) else given
        if given not in (None, ""):
            with contextlib.suppress(ValueError):  # a fault found later
                exporter["proxy_url"] = read_proxy(given) if isinstance(given, str) else given
            continue
        endpoint = exporter.get("endpoint")
        endpoint = endpoint.text if isinstance(endpoint, Expanded) else endpoint
        if not isinstance(endpoint, str):
            continue
        proxy = ""
        if kind is OtlpGrpcExporter:
            tls = _child(exporter, "tls")
            for host, port in endpoint_hosts(endpoint)[:1]:
                proxy = proxies.of_grpc(host, port, tls=not _is_true(tls.get("insecure") if tls else None))
        elif kind is PrometheusRemoteWriteExporter:
            proxy = proxies.of_url(endpoint)
        if proxy:
            exporter["proxy_url"] = proxy


def _is_true(value: object) -> bool:
    return (value.value if isinstance(value, Expanded) else value) is True


def _exporters_of(tree: dict[str, Any], signal: str) -> list[Any]:
    service = _child(tree, "service")
    pipelines = _child(service, "pipelines") if service is not None else None
    out: list[Any] = []
    for key, pipeline in (pipelines or {}).items():
        names = pipeline.get("exporters") if isinstance(pipeline, dict) else None
        if str(key).partition("/")[0] == signal and isinstance(names, list):
            out += names
    return out


# -- receiver and logs -----------------------------------------------------------------------------------------------


def _fill_receiver(tree: dict[str, Any], variables: _Variables) -> None:
    receivers = _child(tree, "receivers")
    pcap = _child(receivers, "pcap") if receivers is not None else None
    if pcap is None:
        return
    if pcap.get("files") and pcap.get("interfaces") is None:
        pcap["interfaces"] = []
    http = _child(pcap, "http")
    if http is not None:
        name = "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS"
        _fill_key(http, "known_methods", variables, name, _parse_methods)
    sampling, traces = _child(pcap, "sampling"), _child(pcap, "traces")
    if traces is not None:
        _fill_key(traces, "propagators", variables, "OTEL_PROPAGATORS", variables.propagators)
    # A share in the file is a choice of the sampler: nothing of the variable's is mixed into it.
    if sampling is None or sampling.get("default") is not None:
        return
    sampler = variables.parsed("OTEL_TRACES_SAMPLER", _parse_sampler)
    if sampler is None:
        return
    share = {"always_on": 1.0, "always_off": 0.0}.get(sampler.removeprefix("parentbased_"))
    if share is None:
        share = variables.parsed("OTEL_TRACES_SAMPLER_ARG", _parse_share)
    sampling["default"] = 1.0 if share is None else share
    if traces is not None and traces.get("respect_sampled") is None:
        traces["respect_sampled"] = sampler.startswith("parentbased_")


def _fill_logs(tree: dict[str, Any], variables: _Variables) -> None:
    service = _child(tree, "service")
    telemetry = _child(service, "telemetry") if service is not None else None
    logs = _child(telemetry, "logs") if telemetry is not None else None
    if logs is not None:
        _fill_key(logs, "level", variables, "OTEL_LOG_LEVEL", _parse_level)


def _fill_key(
    section: dict[str, Any], key: str, variables: _Variables, variable: str, parse: Callable[[str], object]
) -> None:
    if section.get(key) is None and variable:
        value = variables.parsed(variable, parse)
        if value is not None:
            section[key] = value


# -- values ----------------------------------------------------------------------------------------------------------


def _split_scheme(endpoint: str) -> tuple[str, bool | None]:
    """`host:port` and whether it is plain text; None when the endpoint has no scheme that says so."""
    for scheme, insecure in (("http://", True), ("https://", False)):
        if endpoint.lower().startswith(scheme):
            return endpoint[len(scheme) :].rstrip("/"), insecure
    return endpoint, None


def _split_path(endpoint: str, insecure: bool | None) -> tuple[str, bool | None, str]:
    """The same of a URL, and its path apart."""
    host, _, path = endpoint.partition("/")
    # With an `@` behind it the slash is a password's: not an endpoint.
    return (endpoint, insecure, "") if insecure is None or "@" in path else (host, insecure, path)


def _parse_endpoint(text: str) -> tuple[str, bool | None, str]:
    """An endpoint as gRPC takes it, whether it is plain text where that is said, and the path that it cannot take."""
    if text.startswith(TARGET_SCHEMES):
        if problem := target_problem(text):
            raise ValueError(problem)
        return text, True if text.startswith(("unix:", "unix-abstract:")) else None, ""
    endpoint, insecure, path = _split_path(*_split_scheme(text))
    if insecure is not None and not re.search(r":[0-9]*$", endpoint):
        endpoint += ":4317"  # OTLP/gRPC's port
    try:
        split_endpoint(endpoint)
    except ValueError as error:
        raise ValueError(f"not an endpoint, {error}") from None  # not its text: it may have a password
    return endpoint, insecure, path


def _parse_headers(text: str) -> dict[str, str]:
    """`k=v,k2=v2`, percent-encoded. Source: W3C Baggage, without properties."""
    out = {}
    for pair in text.split(","):
        name, equals, value = pair.partition("=")
        name = unquote(name.strip())
        if not pair.strip():
            continue
        if not equals or not TOKEN.fullmatch(name):
            raise ValueError("takes name=value,name=value")
        out[name] = unquote(value.strip())
    return out


def _parse_compression(text: str) -> str:
    if text not in ("gzip", "none"):
        raise ValueError(f"got {text!r}, takes gzip or none")
    return text


def _parse_ms(text: str) -> Duration:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:12]) <= WAIT_MAX_S * 1000 and len(text) <= 12):
        raise ValueError(f"got {text!r}, takes milliseconds")
    return Duration(int(text) / 1000)


def _parse_bool(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"got {text!r}, takes true or false")
    return text.lower() == "true"


def _parse_methods(text: str) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not all(TOKEN.fullmatch(word) for word in words):
        raise ValueError(f"got {text!r}, takes methods such as GET,POST")
    return words


def _parse_sampler(text: str) -> str:
    if text.removeprefix("parentbased_") not in SAMPLERS:
        known = [prefix + name for prefix in ("", "parentbased_") for name in SAMPLERS]
        raise ValueError(f"got {text!r}, takes {', '.join(known)}")
    return text


def _parse_share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ValueError(f"got {text!r}, takes 0 to 1")
    return share


def _parse_level(text: str) -> str:
    level = text.lower()
    level = {"warning": "warn", "trace": "debug", "fatal": "error"}.get(level, level)
    if level not in ("debug", "info", "warn", "error"):
        raise ValueError(f"got {text!r}, takes debug, info, warn or error")
    return level


# -- the tree --------------------------------------------------------------------------------------------------------


def _copy(value: Any) -> Any:
    return {key: _copy(entry) for key, entry in value.items()} if isinstance(value, dict) else value


def _child(tree: dict[str, Any] | None, key: str) -> dict[str, Any] | None:
    """The map at `key`, made when it is left out; None when something else stands there, a fault found later."""
    if tree is None:
        return None
    value = tree.get(key)
    if isinstance(value, Expanded) and (value.value is None or isinstance(value.value, dict)):
        value = value.value
    if value is None:
        value = {}
    if not isinstance(value, dict):
        return None
    tree[key] = value
    return value
