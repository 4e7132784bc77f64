"""What the pages promise, against the program: the table of protocols, the metrics, the example, the links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from receiver.l7.registry import PROTOCOLS
from receiver.settings.loader import load
from receiver.telemetry import semconv
from tests.generate_metrics_page import PAGE, page
from tests.start import start

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_metrics_page_is_what_the_table_of_names_says() -> None:
    assert PAGE.read_text() == page(), "stale: python -m tests.generate_metrics_page"


def test_table_of_protocols_promises_what_is_registered() -> None:
    rows = dict(re.findall(r"^\| [^|]+ \| `(\w+)` \| (\w+)", README.partition("## Protocols")[2], re.MULTILINE))
    assert set(rows.values()) == {"works"}
    assert set(rows) == {row.name for row in PROTOCOLS}


def test_readme_names_metrics_and_attributes_that_are_emitted() -> None:
    emitted = {*semconv.SELF, *semconv.LEVELS, *semconv.ATTRIBUTES}
    emitted |= {shape.metric.name for shape in semconv.SHAPES if shape.metric is not None}
    emitted |= {slot.attribute for shape in semconv.SHAPES for slot in shape.slots}
    emitted |= {value for value in vars(semconv).values() if isinstance(value, str)}
    named = re.findall(r"`((?:http|url|server|client|network|user_agent|error|pcap_receiver)\.[\w.]+)`", README)
    assert len(named) > 15
    assert set(named) - emitted == set()


def test_example_configuration_is_accepted_and_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    [example] = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    monkeypatch.setenv("GATEWAY", "gateway:4317")
    loaded = load([f"yaml:{example}"], [])
    assert not loaded.warnings
    assert set(loaded.config.exporters) == {"otlp_grpc", "prometheus_remote_write"}
    start(loaded.config, monkeypatch)


@pytest.mark.parametrize("name", ["pcap-receiver.yaml", "pcap-receiver-victoria-metrics.yaml"])
def test_shipped_configuration_starts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    start(load([str(ROOT / "collector-config" / name)], environ={}).config, monkeypatch)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text()):
        if not target.startswith(("http:", "https:")):
            assert (path.parent / target).exists(), target


def test_decisions_are_numbered_without_holes_and_have_their_three_parts() -> None:
    decisions = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert [int(path.name[:4]) for path in decisions] == list(range(1, len(decisions) + 1))
    for path in decisions:
        text = path.read_text()
        assert text.startswith(f"# {int(path.name[:4])}. "), path.name
        assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Context", "Choice", "Consequence"], path.name
