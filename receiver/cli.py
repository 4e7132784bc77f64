"""The commands.

Room: cli, the last one. Each command imports what it needs, and nothing is imported for the others: a sidecar has half
a second until its first packet, and `health` runs every few seconds as a probe.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from receiver import __version__

if TYPE_CHECKING:
    from receiver.config import Config
    from receiver.settings.loader import Loaded

EXIT_OK = 0
EXIT_CONFIGURATION = 1
EXIT_USAGE = 2
EXIT_CAPTURE = 3

DEBUG = ("service.telemetry.logs.level=debug",)  # --debug: as a key, a reload keeps it

DESCRIPTION = """\
Sees what services say to each other: captures packets, decodes the roundtrips of application protocols in them, and
exports spans and metrics by OTLP and by Prometheus remote write. Without a command it runs, as a Collector does."""

EPILOG = """\
configuration:
  --config may be given several times, a later one over an earlier one: maps merge, lists replace; --set goes over all.
  Values may refer to ${env:NAME}, ${env:NAME:-default} or ${file:PATH}; $$ is one $. Keys that are left out have the
  defaults that print-config shows; the OTEL_* variables of the specification fill in exporters and resource.
  Without any it captures on every interface and exports by OTLP to OTEL_EXPORTER_OTLP_ENDPOINT, or localhost:4317.

exit status:
  0  done      1  the configuration is wrong      2  the command line is wrong
  3  capture is not permitted, or the interface is gone

examples:
  pcap-receiver --config /etc/pcap-receiver/config.yaml
  pcap-receiver --config base.yaml --config site.yaml --set receivers.pcap.interfaces=[eth0]
  pcap-receiver --set receivers.pcap.files=[trace.pcap] --set exporters.debug.verbosity=detailed
  pcap-receiver watch -i any --protocol http:8080
"""


EXPORTS_NOTHING = ("exporters={}",)
"""For commands that export nothing: what the environment wants to export by is no fault of theirs."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` (the process's own when None) names, and return its exit status.

    Nothing but SystemExit of argparse (2, and 0 for --help) leaves it: what is wrong is one line on standard error for
    each fault, and with --debug the traceback too.
    """
    arguments = _parser().parse_args(argv)
    try:
        status = COMMANDS[arguments.command](arguments)
        sys.stdout.flush()  # here, not at exit: a reader that is gone is found while it can be handled
        return status
    except BrokenPipeError:  # `components | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except KeyboardInterrupt:
        return 128 + 2  # as a shell reports SIGINT
    except Exception as error:
        return _explain(error, debug=arguments.debug)


def _explain(error: Exception, *, debug: bool) -> int:
    """Say what went wrong and return the exit status for it."""
    from receiver.config import ConfigError

    if debug:
        import traceback

        traceback.print_exception(error)
    if isinstance(error, ConfigError):
        print(error, file=sys.stderr)  # a line for each fault, which begins with its key's path
        return EXIT_CONFIGURATION
    if isinstance(error, PermissionError):
        _say(f"not permitted: {error}")
        return EXIT_CAPTURE
    if isinstance(error, OSError):
        _say(str(error))
        return EXIT_CONFIGURATION
    hint = "" if debug else "; --debug shows where"
    _say(f"a defect of pcap-receiver: {type(error).__name__}: {error}{hint}")
    return EXIT_CONFIGURATION


# -- commands --------------------------------------------------------------------------------------------------------


def _run(arguments: argparse.Namespace) -> int:
    loaded = _load(arguments)
    _start_logs(loaded)
    from receiver.service import run

    status: int = run(loaded.config)
    return status


def _validate(arguments: argparse.Namespace) -> int:
    for warning in _load(arguments).warnings:
        _say(f"warning: {warning}")
    return EXIT_OK


def _print_config(arguments: argparse.Namespace) -> int:
    from receiver.settings.loader import effective

    loaded = _load(arguments)
    for warning in loaded.warnings:
        _say(f"warning: {warning}")
    sys.stdout.write(effective(loaded.config))
    return EXIT_OK


def _components(_: argparse.Namespace) -> int:
    import yaml

    from receiver.l7.registry import PROTOCOLS
    from receiver.wire.cursor import COMPILED

    listing: dict[str, Any] = {
        "buildinfo": {
            "command": "pcap-receiver",
            "description": "Packets in; OTLP spans, metrics and remote write out",
            "version": __version__,
            "compiled": COMPILED,
        },
        "receivers": [{"name": "pcap", "stability": {"traces": "beta", "metrics": "beta"}}],
        "exporters": [
            {"name": "otlp_grpc", "stability": {"traces": "beta", "metrics": "beta"}},
            {"name": "prometheus_remote_write", "stability": {"metrics": "beta"}},
            {"name": "debug", "stability": {"traces": "beta", "metrics": "beta"}},
        ],
        "extensions": [{"name": "health_check", "stability": {"extension": "beta"}}],
        "protocols": [{"name": row.name, "stability": str(row.stability)} for row in PROTOCOLS],
    }
    sys.stdout.write(yaml.safe_dump(listing, sort_keys=False))
    return EXIT_OK


def _health(arguments: argparse.Namespace) -> int:
    from receiver.health import ask

    loaded = None if arguments.endpoint else _load(arguments, EXPORTS_NOTHING, check_user_filter=False)
    endpoint = arguments.endpoint if loaded is None else loaded.config.extensions.health_check.endpoint
    try:
        well, answer = ask(endpoint, arguments.timeout)
    except ValueError as error:
        _say(f"--endpoint: takes host:port, {error}")
        return EXIT_USAGE
    print(answer, file=sys.stdout if well else sys.stderr)
    return EXIT_OK if well else 1


def _interfaces(_: argparse.Namespace) -> int:
    from receiver.interface import interfaces
    from receiver.privileges import explain_denied, may_capture

    found = interfaces()
    width = max(len(interface.name) for interface in found)
    for interface in found:
        addresses = "all of the others" if interface.name == "any" else ", ".join(interface.addresses) or "no address"
        print(f"{interface.name:<{width}}  {addresses}")
    if may_capture():
        print("\ncapture: permitted")
    else:
        print(f"\ncapture: {explain_denied()}")
    return EXIT_OK


def _watch(arguments: argparse.Namespace) -> int:
    import json

    from msgspec.structs import replace

    from receiver.config import TelemetryMetrics

    sets = [*EXPORTS_NOTHING]
    if arguments.interface or arguments.read:
        sets.append(f"receivers.pcap.interfaces={_literal(arguments.interface or [])}")
        sets.append(f"receivers.pcap.files={_literal(arguments.read or [])}")
    if arguments.protocol:
        pinned: dict[str, list[int]] = {}
        for protocol, port in arguments.protocol:
            pinned.setdefault(protocol, []).append(port)
        sets += [f"receivers.pcap.ports.{protocol}={json.dumps(ports)}" for protocol, ports in pinned.items()]
    if arguments.filter:
        sets.append(f"receivers.pcap.filter={_literal(arguments.filter)}")
    loaded = _load(arguments, sets)
    # It looks on: nothing is exported, no port is opened, and the terminal belongs to the roundtrips.
    service = loaded.config.service
    telemetry = replace(
        service.telemetry,
        metrics=TelemetryMetrics(level="none"),
        logs=replace(service.telemetry.logs, level="debug" if arguments.debug else "warn"),
    )
    config = replace(
        loaded.config, exporters={}, service=replace(service, extensions=(), pipelines={}, telemetry=telemetry)
    )
    _configure_logs(config)
    from receiver.watch import watch

    status: int = watch(config, table=arguments.table)
    return status


def _demo(_: argparse.Namespace) -> int:
    from receiver.demo import demo

    status: int = demo()
    return status


COMMANDS = {
    "run": _run,
    "validate": _validate,
    "print-config": _print_config,
    "components": _components,
    "health": _health,
    "interfaces": _interfaces,
    "watch": _watch,
    "demo": _demo,
}


# -- what commands share ---------------------------------------------------------------------------------------------


def _load(arguments: argparse.Namespace, sets: Sequence[str] = (), *, check_user_filter: bool = True) -> Loaded:
    """The configuration by the command line. Raises ConfigError."""
    from receiver.config import ConfigError, Fault
    from receiver.settings.loader import load

    loaded = load(
        [*(arguments.config or ()), *(getattr(arguments, "config_after", None) or ())],
        [*(arguments.set or ()), *(getattr(arguments, "set_after", None) or ()), *sets, *(DEBUG if arguments.debug else ())],
    )
    if check_user_filter and loaded.config.receivers.pcap.filter:
        from receiver.pcap.capture import FilterError
        from receiver.pcap.filter import check_filter

        try:
            check_filter(loaded.config.receivers.pcap.filter)
        except FilterError as error:
            raise ConfigError((Fault("receivers.pcap.filter", str(error)),)) from error
    return loaded


def _start_logs(loaded: Loaded) -> None:
    import logging

    _configure_logs(loaded.config)
    for warning in loaded.warnings:
        logging.getLogger(__name__).warning("%s", warning)


def _configure_logs(config: Config) -> None:
    from receiver import logs

    logs.configure(config.service.telemetry.logs)


def _literal(value: object) -> str:
    """`value` as YAML in which no `$` is a reference."""
    import json

    return json.dumps(value, ensure_ascii=False).replace("$", "$$")


def _say(line: str) -> None:
    print(f"pcap-receiver: {line}", file=sys.stderr)


# -- the command line ------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pcap-receiver",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", "-v", action="version", version=f"pcap-receiver version {__version__}")
    parser.set_defaults(command="run", debug=False)
    _add_sources(parser)
    _add_debug(parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command_given")

    def add(name: str, summary: str, details: str = "", *, sources: bool = True) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.{details}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.set_defaults(command=name)
        if sources:
            _add_sources(command, "_after")
        _add_debug(command)
        return command

    add(
        "validate",
        "check the configuration without running it",
        "\n\nOpens nothing. Prints nothing and exits 0 when all is well; else one line for each fault, with the path of"
        "\nits key, and exit 1.",
    )
    add(
        "components",
        "list receivers, exporters, extensions and protocols with their stability",
        "\n\nThe output is YAML. `compiled` says whether the packet path runs as compiled modules.",
        sources=False,
    )
    add(
        "print-config",
        "print the effective configuration, secrets as [REDACTED]",
        "\n\nThat is after merging, with the environment and every default filled in.",
    )
    _add_watch_options(
        add(
            "watch",
            "show live roundtrips on the terminal",
            "\n\nNeeds no configuration and exports nothing. Capture needs CAP_NET_RAW; reading files does not.",
        )
    )
    add(
        "demo",
        "show what it does with a small application of its own",
        "\n\nServes a small application on loopback, calls it, captures that, and shows roundtrips, spans and metrics"
        "\nas they are exported. Needs CAP_NET_RAW, and ends by itself.",
        sources=False,
    )
    health = add(
        "health",
        "ask the running process whether it is well, for exec probes",
        "\n\nExits 0 when the health_check extension answers 200, else 1. The endpoint comes from the configuration.",
    )
    health.add_argument("--endpoint", metavar="HOST:PORT", help="ask here instead of reading a configuration")
    health.add_argument("--timeout", metavar="SECONDS", type=_seconds, default=2.0, help="wait so long (default: 2)")
    add("interfaces", "list what can be captured on, and whether this user may", sources=False)
    return parser


def _add_sources(parser: argparse.ArgumentParser, suffix: str = "") -> None:
    # A command has destinations of its own: argparse would let its empty ones replace those given before the command.
    parser.add_argument(
        "--config",
        metavar="SOURCE",
        action="append",
        dest=f"config{suffix}",
        help="a file, or file:PATH, yaml:TEXT, env:NAME; may be repeated, later over earlier",
    )
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        dest=f"set{suffix}",
        help="set one key by its path, as in receivers.pcap.snaplen=256; the value is YAML; may be repeated",
    )


def _add_debug(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="log at level debug, and show tracebacks"
    )


def _add_watch_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-i", "--interface", metavar="NAME", action="append", help="capture here, any for everywhere; may be repeated"
    )
    parser.add_argument(
        "-r", "--read", metavar="FILE", action="append", help="read a capture file, - for standard input"
    )
    parser.add_argument(
        "--protocol",
        metavar="NAME:PORT",
        action="append",
        type=_pin,
        help="pin a port to a protocol, as in http:8080; the others are told by their content; may be repeated",
    )
    parser.add_argument("--filter", metavar="EXPRESSION", help="look only at these packets, in tcpdump's language")
    parser.add_argument("--table", action="store_true", help="a table that updates, instead of one line each")


def _pin(text: str) -> tuple[str, int]:
    from receiver.config import PROTOCOLS

    name, _, port = text.partition(":")
    if name not in PROTOCOLS:
        raise argparse.ArgumentTypeError(f"unknown protocol {name!r}, takes {', '.join(PROTOCOLS)}")
    if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r}: takes NAME:PORT, the port from 1 to 65535")
    return name, int(port)


def _seconds(text: str) -> float:
    from receiver.settings.schema import parse_duration

    try:
        seconds = float(text) if text.replace(".", "", 1).isdigit() else float(parse_duration(text))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r}: takes seconds, or a duration such as 500ms")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
