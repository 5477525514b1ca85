"""What a benchmark found, as plain text, Markdown or JSON.

A row is one piece of work, measured for us and for peers.  Its ratio is ours divided by the better peer's, in each column for
itself: the fastest peer need not be the smallest.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks._measure import Figures

OURS = "nivalis"


@dataclass(frozen=True)
class Row:
    """One piece of work.  Of `figures`, OURS is us and all others are peers.

    `goals` are ratios by column; `limits` what ours may take, where that is what matters, or where there is no peer.
    """

    name: str
    figures: Mapping[str, Figures]
    goals: Mapping[str, float] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    # Bytes of the file that each has made, where that is part of the work.
    sizes: Mapping[str, int] = field(default_factory=dict)

    @property
    def peers(self) -> list[str]:
        return [name for name in self.figures if name != OURS]

    def ratio(self, column: str) -> float:
        """Ours to the better peer's, in `wall`, `cpu` or `memory`."""
        return float(getattr(self.figures[OURS], column) / min(getattr(self.figures[name], column) for name in self.peers))


@dataclass(frozen=True)
class Report:
    """All rows of a run, and what has to be known of it: date, versions, machine, and what was left out."""

    rows: Sequence[Row]
    notes: Sequence[str]

    def text(self) -> str:
        """Tables of fixed width."""
        parts = []
        for title, lines in self._tables():
            widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
            parts.append(title)
            for name, *cells in lines:
                padded = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
                parts.append("  ".join(["", name.ljust(widths[0]), *padded]).rstrip())
            parts.append("")
        return "\n".join([*parts, *self.notes])

    def markdown(self) -> str:
        """The same tables for the documentation."""
        parts = []
        for title, lines in self._tables():
            parts += [f"## {title}", ""]
            head, *body = [f"| {' | '.join(line)} |" for line in lines]
            parts += [head, "|---|" + "--:|" * (len(lines[0]) - 1), *body, ""]
        return "\n".join([*parts, *(f"- {note}" for note in self.notes), ""])

    def json(self) -> str:
        """Every single run, with the medians and the ratios."""
        rows = [
            {
                "name": row.name,
                "figures": {name: dataclasses.asdict(figures) for name, figures in row.figures.items()},
                "ratios": {column: row.ratio(column) for column in ("wall", "cpu", "memory") if row.peers},
                "goals": dict(row.goals),
                "limits": dict(row.limits),
                "sizes": dict(row.sizes),
            }
            for row in self.rows
        ]
        return json.dumps({"rows": rows, "notes": list(self.notes)}, indent=2)

    def _tables(self) -> Iterable[tuple[str, list[list[str]]]]:
        yield "Wall time", self._table("wall", lambda value: f"{value:.3f} s")
        yield "Processor time, user and system", self._table("cpu", lambda value: f"{value:.3f} s")
        yield "Peak memory", self._table("memory", lambda value: f"{value / 2**20:.1f} MiB")
        if sized := [row for row in self.rows if row.sizes]:
            programs = list(dict.fromkeys(name for row in sized for name in row.sizes))
            cells = [[f"{row.sizes[name] / 2**20:.1f} MiB" if name in row.sizes else "" for name in programs] for row in sized]
            yield "Size of what is made", [["", *programs], *([row.name, *line] for row, line in zip(sized, cells, strict=True))]

    def _table(self, column: str, show: Callable[[float], str]) -> list[list[str]]:
        programs = [OURS, *dict.fromkeys(name for row in self.rows for name in row.peers)]
        lines = [["", *programs, "ratio", "goal", *(["spread"] if column == "wall" else [])]]
        for row in self.rows:
            cells = [show(getattr(row.figures[name], column)) if name in row.figures else "" for name in programs]
            goal = f"≤ {row.goals[column]:g}" if column in row.goals else f"≤ {show(row.limits[column])}" if column in row.limits else ""
            ratio = f"{row.ratio(column):.2f}" if row.peers else ""
            spread = [f"{max(figures.spread for figures in row.figures.values()):.0%}"] if column == "wall" else []
            lines.append([row.name, *cells, ratio, goal, *spread])
        return lines
