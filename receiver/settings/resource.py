"""The attributes of the observed application, which a sidecar is not itself: what `service.resource` leaves out.

Room: settings. Source: semantic conventions 1.44.0, docs/non-normative/k8s-attributes.md (precedence of names).

Strongest first: `service.resource`, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, then what the Downward API was to
put into these variables, each named for its attribute, label or annotation:

    K8S_POD_NAME          metadata.name             K8S_POD_ANNOTATION_SERVICE_NAME         resource.opentelemetry.io/
    K8S_POD_UID           metadata.uid              K8S_POD_ANNOTATION_SERVICE_NAMESPACE      service.name, .namespace,
    K8S_POD_IP            status.podIP              K8S_POD_ANNOTATION_SERVICE_VERSION        .version, .instance.id
    K8S_NAMESPACE_NAME    metadata.namespace        K8S_POD_ANNOTATION_SERVICE_INSTANCE_ID
    K8S_NODE_NAME         spec.nodeName             K8S_POD_LABEL_APP_INSTANCE              app.kubernetes.io/instance
                                                    K8S_POD_LABEL_APP_NAME                  app.kubernetes.io/name
                                                    K8S_POD_LABEL_APP_VERSION               app.kubernetes.io/version

and what the Downward API does not know, written into the manifest: K8S_CONTAINER_NAME (the application's, not ours),
K8S_DEPLOYMENT_NAME, K8S_REPLICASET_NAME, K8S_STATEFULSET_NAME, K8S_DAEMONSET_NAME, K8S_CRONJOB_NAME, K8S_JOB_NAME and
K8S_CLUSTER_NAME.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import unquote

from receiver.config import Scalar

UNKNOWN_SERVICE = "unknown_service"
"""The convention adds the executable's name after a colon where it is known; that of another container is not."""

ATTRIBUTES = {
    "K8S_CLUSTER_NAME": "k8s.cluster.name",
    "K8S_NAMESPACE_NAME": "k8s.namespace.name",
    "K8S_NODE_NAME": "k8s.node.name",
    "K8S_POD_NAME": "k8s.pod.name",
    "K8S_POD_UID": "k8s.pod.uid",
    "K8S_POD_IP": "k8s.pod.ip",
    "K8S_CONTAINER_NAME": "k8s.container.name",
    "K8S_DEPLOYMENT_NAME": "k8s.deployment.name",
    "K8S_REPLICASET_NAME": "k8s.replicaset.name",
    "K8S_STATEFULSET_NAME": "k8s.statefulset.name",
    "K8S_DAEMONSET_NAME": "k8s.daemonset.name",
    "K8S_CRONJOB_NAME": "k8s.cronjob.name",
    "K8S_JOB_NAME": "k8s.job.name",
}

SERVICE_NAMES = (
    "K8S_POD_ANNOTATION_SERVICE_NAME",
    "K8S_POD_LABEL_APP_INSTANCE",
    "K8S_POD_LABEL_APP_NAME",
    "K8S_DEPLOYMENT_NAME",
    "K8S_REPLICASET_NAME",
    "K8S_STATEFULSET_NAME",
    "K8S_DAEMONSET_NAME",
    "K8S_CRONJOB_NAME",
    "K8S_JOB_NAME",
    "K8S_POD_NAME",
    "K8S_CONTAINER_NAME",
)
"""The convention's order: the first that is set names the service."""

ENCODED = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*")


def describe(
    given: Mapping[str, Scalar], environ: Mapping[str, str], warnings: list[str], host: str | None = None
) -> dict[str, Scalar]:
    """The attributes by `given` (the file's `service.resource`), the environment and this machine's name, `service.*` first.

    A bad variable is ignored and said in `warnings`. `host` is asked for when it is not given.
    """
    found: dict[str, Scalar] = {
        name: environ[variable] for variable, name in ATTRIBUTES.items() if environ.get(variable)
    }
    found |= _of_the_pod(environ)
    found |= read_resource_attributes(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""), warnings)
    if environ.get("OTEL_SERVICE_NAME"):
        found["service.name"] = environ["OTEL_SERVICE_NAME"]
    found |= given
    found["service.name"] = found.get("service.name") or UNKNOWN_SERVICE
    if not found.get("service.namespace") and found.get("k8s.namespace.name"):
        found["service.namespace"] = found["k8s.namespace.name"]
    if not found.get("service.instance.id"):
        found["service.instance.id"] = _instance_id(found, host)
    first = ("service.name", "service.namespace", "service.instance.id", "service.version")
    order = [name for name in first if name in found] + [name for name in found if name not in first]
    return {name: found[name] for name in order if found[name] != ""}


def read_resource_attributes(text: str, warnings: list[str]) -> dict[str, str]:
    """The pairs of OTEL_RESOURCE_ATTRIBUTES, `k=v,k2=v2`, percent-encoded.

    One bad pair discards the whole variable and is reported: OpenTelemetry specification, resource/sdk.md.
    """
    pairs = {}
    for pair in text.split(",") if text.strip() else ():
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not name or not ENCODED.fullmatch(name + value):
            warnings.append("OTEL_RESOURCE_ATTRIBUTES is ignored: takes name=value,name=value, percent-encoded")
            return {}
        try:
            pairs[unquote(name, errors="strict")] = unquote(value, errors="strict")
        except UnicodeDecodeError:
            warnings.append("OTEL_RESOURCE_ATTRIBUTES is ignored: what is percent-encoded is not UTF-8")
            return {}
    return pairs


def _of_the_pod(environ: Mapping[str, str]) -> dict[str, str]:
    """What annotations, labels and workload names say of the service."""
    choices = {
        "service.name": SERVICE_NAMES,
        "service.namespace": ("K8S_POD_ANNOTATION_SERVICE_NAMESPACE",),
        "service.version": ("K8S_POD_ANNOTATION_SERVICE_VERSION", "K8S_POD_LABEL_APP_VERSION"),
        "service.instance.id": ("K8S_POD_ANNOTATION_SERVICE_INSTANCE_ID",),
    }
    found = {}
    for name, variables in choices.items():
        value = next((environ[variable] for variable in variables if environ.get(variable)), "")
        if value:
            found[name] = value
    return found


def _instance_id(found: Mapping[str, Scalar], host: str | None) -> str:
    """`<namespace>.<pod>.<container>`, of which a sidecar may not know the last; outside Kubernetes the host's name.

    Never random: two instances must not write one series, and a restart must not begin new ones.
    """
    if found.get("k8s.pod.name"):
        names = ("k8s.namespace.name", "k8s.pod.name", "k8s.container.name")
        return ".".join(str(found[name]) for name in names if found.get(name))
    return os.uname().nodename if host is None else host
