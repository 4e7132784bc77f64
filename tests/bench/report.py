"""Figures, the table that people read, and the JSON file that tools read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median


@dataclass(frozen=True)
class Bars:
    """What a figure is held to: the one to aim for, the one not to fall behind, and what packetd 0.0.7 was measured at
    on two cores of this kind. Figures are better when smaller, unless `more_is_better`."""

    aim: float | None = None
    limit: float | None = None
    packetd: float | None = None
    more_is_better: bool = False


@dataclass
class Figure:
    """One line of the table: every sample, in `unit`. `note` says what a reader must know to believe it."""

    row: str
    who: str
    what: str
    unit: str
    samples: list[float]
    bars: Bars = field(default_factory=Bars)
    note: str = ""

    @property
    def median(self) -> float:
        return median(self.samples)

    @property
    def verdict(self) -> str:
        """`aim` reached, within the `limit`, `OVER` it; empty where there is no bar."""
        sign = -1 if self.bars.more_is_better else 1
        if self.bars.aim is not None and sign * self.median <= sign * self.bars.aim:
            return "aim"
        if self.bars.limit is not None:
            return "limit" if sign * self.median <= sign * self.bars.limit else "OVER"
        return "" if self.bars.aim is None else "OVER"


class Report:
    """Collects figures in the order in which they were made."""

    def __init__(self, facts: dict[str, object]) -> None:
        self.facts = facts
        self.figures: list[Figure] = []
        self.void: list[str] = []
        self.skipped: list[str] = []
        self.runs: list[dict[str, object]] = []

    def add(self, figure: Figure) -> None:
        self.figures.append(figure)

    def table(self) -> str:
        """Columns as wide as they need; a heading for each row."""
        lines: list[tuple[str, ...]] = [("", "", "median", "min..max", "unit", "aim", "limit", "packetd", "", "")]
        row = ""
        for figure in self.figures:
            if figure.row != row:
                row = figure.row
                lines.append((f"[{row}]", *[""] * 9))
            span = f"{number(min(figure.samples))}..{number(max(figure.samples))} of {len(figure.samples)}"
            bars = figure.bars
            cells = [f"  {figure.what}", figure.who, number(figure.median)]
            cells += [span if len(figure.samples) > 1 else "", figure.unit]
            cells += [number(bars.aim), number(bars.limit), number(bars.packetd), figure.verdict, figure.note]
            lines.append(tuple(cells))
        widths = [max(len(line[column]) for line in lines if line[2]) for column in range(9)]
        right = (2, 5, 6, 7)
        text = []
        for line in lines:
            columns = zip(line, [*widths, 0], strict=True)
            padded = [cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(columns)]
            text.append("  ".join(padded).rstrip())
        kept = sum(line.startswith("kept") for line in self.void)
        if self.void:
            text.append(f"void: {len(self.void)} runs on a busy machine, of which {kept} were kept; the JSON file names them")
        text += [f"skipped: {line}" for line in self.skipped]
        return "\n".join(text)

    def write_json(self, path: Path) -> None:
        """Machine facts, figures with all samples, single runs, and what was void or skipped."""
        figures = [{**asdict(figure), "median": figure.median, "verdict": figure.verdict} for figure in self.figures]
        whole = {
            "machine": self.facts,
            "figures": figures,
            "runs": self.runs,
            "void": self.void,
            "skipped": self.skipped,
        }
        path.write_text(json.dumps(whole, indent=1) + "\n")


def number(value: float | None) -> str:
    """Three significant digits; the table's spelling of nothing is nothing."""
    if value is None:
        return ""
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3f}" if abs(value) < 0.1 else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
