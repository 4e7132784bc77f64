"""The resource as exporters take it: what the configuration says of the observed application, and who says so.

Room: service. Source: semantic conventions 1.44.0, docs/registry/attributes/telemetry.md.
"""

from __future__ import annotations

from collections.abc import Mapping

from receiver import __version__
from receiver.config import Scalar
from receiver.telemetry.semconv import SCHEMA_URL
from receiver.telemetry.snapshot import Resource

SCOPE_NAME = "pcap-receiver"


def observed_resource(given: Mapping[str, Scalar]) -> Resource:
    """The resource by `service.resource`."""
    # Whoever emits says so: an application's own SDK may have put itself into OTEL_RESOURCE_ATTRIBUTES.
    emitter = {
        "telemetry.sdk.name": SCOPE_NAME,
        "telemetry.sdk.language": "python",
        "telemetry.sdk.version": __version__,
    }
    attributes = {**given, **emitter}
    return Resource(tuple(attributes.items()), SCOPE_NAME, __version__, SCHEMA_URL)
