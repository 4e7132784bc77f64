"""The resource. Precedence and names as in the semantic conventions 1.44.0, docs/non-normative/k8s-attributes.md."""

from __future__ import annotations

import os
from typing import Any

import pytest

from receiver import __version__
from receiver.resource import observed_resource
from receiver.settings.resource import ATTRIBUTES, SERVICE_NAMES, describe, read_resource_attributes

POD = {"K8S_NAMESPACE_NAME": "shop", "K8S_POD_NAME": "cart-7d4f-x2x", "K8S_POD_UID": "u1", "K8S_POD_IP": "10.1.2.3"}


def _describe(given: dict[str, Any] | None = None, /, **environ: str) -> dict[str, Any]:
    return describe(given or {}, environ, [], host="box")


def test_nothing_known_is_unknown_service_on_this_host() -> None:
    assert describe({}, {}, []) == {"service.name": "unknown_service", "service.instance.id": os.uname().nodename}


def test_who_emits_is_not_who_is_observed() -> None:
    resource = observed_resource({"telemetry.sdk.name": "opentelemetry", "telemetry.sdk.language": "java", "a": "b"})
    attributes = dict(resource.attributes)
    assert attributes["telemetry.sdk.name"] == "pcap-receiver"
    assert attributes["telemetry.sdk.language"] == "python"
    assert attributes["telemetry.sdk.version"] == __version__
    assert attributes["a"] == "b"
    assert resource.scope_name == "pcap-receiver"
    assert resource.scope_version == __version__
    assert resource.schema_url == "https://opentelemetry.io/schemas/1.44.0"
    assert len(attributes) == len(resource.attributes)


def test_configuration_over_service_name_over_attributes_over_pod() -> None:
    environ = {"K8S_DEPLOYMENT_NAME": "pod"}
    assert _describe(**environ)["service.name"] == "pod"
    environ["OTEL_RESOURCE_ATTRIBUTES"] = "service.name=attributes"
    assert _describe(**environ)["service.name"] == "attributes"
    environ["OTEL_SERVICE_NAME"] = "variable"
    assert _describe(**environ)["service.name"] == "variable"
    assert _describe({"service.name": "given"}, **environ)["service.name"] == "given"


def test_names_of_the_pod_in_the_order_of_the_convention() -> None:
    order = ["annotation", "instance label", "name label", "deployment", "replicaset", "statefulset", "daemonset",
             "cronjob", "job", "pod", "container"]
    environ = dict(zip(SERVICE_NAMES, order, strict=True))
    for variable, name in zip(SERVICE_NAMES, order, strict=True):
        assert _describe(**environ)["service.name"] == name
        del environ[variable]
    assert _describe(**environ)["service.name"] == "unknown_service"


@pytest.mark.parametrize(
    ("variable", "attribute"),
    [
        ("K8S_POD_NAME", "k8s.pod.name"),
        ("K8S_POD_UID", "k8s.pod.uid"),
        ("K8S_POD_IP", "k8s.pod.ip"),
        ("K8S_NAMESPACE_NAME", "k8s.namespace.name"),
        ("K8S_NODE_NAME", "k8s.node.name"),
        ("K8S_CONTAINER_NAME", "k8s.container.name"),
        ("K8S_REPLICASET_NAME", "k8s.replicaset.name"),
    ],
)
def test_downward_variable_is_an_attribute(variable: str, attribute: str) -> None:
    assert ATTRIBUTES[variable] == attribute
    assert _describe(**{variable: "x"})[attribute] == "x"
    assert attribute not in _describe(**{variable: ""})


def test_namespace_and_instance_of_a_pod() -> None:
    found = _describe(**POD, K8S_CONTAINER_NAME="app")
    assert found["service.namespace"] == "shop"
    assert found["service.instance.id"] == "shop.cart-7d4f-x2x.app"


def test_instance_without_the_container_s_name() -> None:
    assert _describe(**POD)["service.instance.id"] == "shop.cart-7d4f-x2x"


def test_annotations_go_over_what_is_derived() -> None:
    found = _describe(
        **POD,
        K8S_POD_ANNOTATION_SERVICE_NAMESPACE="ns",
        K8S_POD_ANNOTATION_SERVICE_INSTANCE_ID="i",
        K8S_POD_ANNOTATION_SERVICE_VERSION="2",
        K8S_POD_LABEL_APP_VERSION="1",
    )
    assert found["service.namespace"] == "ns"
    assert found["service.instance.id"] == "i"
    assert found["service.version"] == "2"


def test_instance_given_by_attributes_is_kept() -> None:
    assert _describe(OTEL_RESOURCE_ATTRIBUTES="service.instance.id=i7")["service.instance.id"] == "i7"


def test_values_keep_their_type_and_empty_ones_are_left_out() -> None:
    found = _describe({"a": 1, "b": True, "c": "", "service.name": ""})
    assert found["a"] == 1
    assert found["b"] is True
    assert "c" not in found
    assert found["service.name"] == "unknown_service"


def test_percent_encoding_and_spaces() -> None:
    warnings: list[str] = []
    assert read_resource_attributes("a=b%2Cc%3D, k%20 = %C3%BC ,e=", warnings) == {"a": "b,c=", "k ": "ü", "e": ""}
    assert warnings == []


@pytest.mark.parametrize("text", ["a", "a=b,c", "=b", "a=b,,c=d", "a=%zz", "a=%F", "a=%FF"])
def test_one_bad_pair_discards_the_variable(text: str) -> None:
    warnings: list[str] = []
    found = describe({}, {"OTEL_RESOURCE_ATTRIBUTES": f"good=1,{text}"}, warnings, "box")
    assert found == {"service.name": "unknown_service", "service.instance.id": "box"}
    assert len(warnings) == 1
    assert warnings[0].startswith("OTEL_RESOURCE_ATTRIBUTES is ignored: ")
