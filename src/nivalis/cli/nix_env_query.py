"""`nix-env --query`: what is installed, or can be, as columns, JSON or XML.

Nothing is written.  On a terminal columns have headings; elsewhere they are CppNix's.  A package whose evaluation fails by an
assertion or a `throw` (it is marked as broken, say) is left out, as far as what is asked for cannot be told of it.
Packages are sorted by their names, whatever the case of letters; of the same name they stay in the order of their attribute paths.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nivalis.cli.arguments import UsageError
from nivalis.cli.effects import LazySubstituter
from nivalis.cli.nix_env import Options
from nivalis.cli.nix_env_sources import Sources, open_sources
from nivalis.lang.encoding import encode
from nivalis.lang.get_derivations import FoundDerivation
from nivalis.profile.names import PackageName, compare_versions
from nivalis.profile.packages import read_columns
from nivalis.profile.profiles import Profile
from nivalis.profile.selection import select

__all__ = ["query"]

_Row = dict[str, Any]


def query(options: Options, profile: Profile, environment: dict[str, str]) -> int:
    """List packages; the exit status.  Raises NivalisError."""
    if "attr-path" in options.given and "available" not in options.given:
        raise UsageError("flag '--attr-path' only works with `--available`", hint="what is installed has no attribute path")
    with open_sources(options, profile.layout, environment) as sources:
        packages = _Query(options, profile, sources, environment).run()
    if "json" in options.given:
        _write(json.dumps({row["path"]: _json_of(row, options) for row in packages}, indent=2, ensure_ascii=False) + "\n")
    elif "xml" in options.given:
        _write("".join(f"{line}\n" for line in _xml_lines(packages, options)))
    else:
        _show_columns([_columns_of(row, options) for row in packages if row["details"] is not None], _headings(options))
    return 0


class _Query:
    def __init__(self, options: Options, profile: Profile, sources: Sources, environment: dict[str, str]) -> None:
        self._environment = environment
        self._options = options
        self._given = options.given
        self._profile = profile
        self._sources = sources

    def run(self) -> list[_Row]:
        """What there is to show of each package, as a dictionary; `details` is None where evaluating them fails."""
        given = self._given
        compares = "compare-versions" in given
        of_available = "available" in given
        installed = self._sources.installed(self._profile) if not of_available or compares or "status" in given else []
        available = self._sources.available(self._options.attribute or "") if of_available or compares else []
        chosen = select(available if of_available else installed, self._options.words)
        chosen.sort(key=lambda found: found.name.upper())
        rows = self._read(chosen)
        if "status" in given or self._options.prebuilt_only:
            rows = self._add_status(rows, installed)
        if compares:
            _add_comparison(rows, installed if of_available else available)
        return rows

    def _read(self, chosen: Sequence[FoundDerivation]) -> list[_Row]:
        given = self._given
        is_data = bool(given & {"json", "xml"})
        columns = {"system", "output"} if is_data else {name for name, flag in {"system": "system"}.items() if flag in given}
        if "description" in given:
            columns.add("description")
        if "drv-path" in given:
            columns.add("drv")
        if "status" in given or self._options.prebuilt_only:
            columns.add("out")
        details = set()
        if is_data or "out-path" in given:
            details.add("paths" if "out-path" in given else "outputs")
        if is_data and "meta" in given:
            details.add("meta")
        values = [found.value for found in chosen]
        first = _read_columns(values, columns)
        second = _read_columns(values, details)
        rows = []
        for found, row, more in zip(chosen, first, second, strict=True):
            if row is not None:
                rows.append({"path": found.path, "name": found.name, "details": more, **row})
        return rows

    def _add_status(self, rows: list[_Row], installed: Sequence[FoundDerivation]) -> list[_Row]:
        there = {row["out"] for row in _read_columns([found.value for found in installed], {"out"}) if row is not None}
        valid, fetchable = self._find_present({row["out"] for row in rows})
        shown = []
        for row in rows:
            row |= {"installed": row["out"] in there, "valid": row["out"] in valid, "substitutable": row["out"] in fetchable}
            if row["valid"] or row["substitutable"] or not self._options.prebuilt_only:
                shown.append(row)
        return shown

    def _find_present(self, paths: set[str]) -> tuple[set[str], set[str]]:
        """Those of `paths` that are valid, and those that can be fetched."""
        if not self._profile.layout.database_dir.is_dir():
            return set(), set()
        from nivalis.store.store import Store

        with (
            Store.open(self._profile.layout, read_only=True) as store,
            LazySubstituter(store, self._environment, self._options.config) as substituter,
        ):
            return store.valid_among(paths), substituter.available(paths)


def _read_columns(values: Sequence[Any], names: set[str]) -> list[_Row | None]:
    return read_columns(values, sorted(names), skip_failed_assertions=True) if names else [{} for _ in values]


def _add_comparison(rows: Iterable[_Row], others: Iterable[FoundDerivation]) -> None:
    """How each package's version compares with those of the same name among `others`: the sign, and the version that it is of."""
    versions: dict[str, list[str]] = {}
    for found in others:
        name, version = PackageName.parse(found.name)
        versions.setdefault(name, []).append(version)
    for row in rows:
        name, version = PackageName.parse(row["name"])
        sign, shown = "-", "?"
        for other in versions.get(name, ()):
            order = compare_versions(version, other)
            if order < 0:
                sign, shown = "<", other
            elif order == 0 and sign != "<":
                sign, shown = "=", other
            elif order > 0 and sign not in "<=":
                sign = ">"
                if not shown or compare_versions(shown, other) < 0:
                    shown = other
        row["difference"] = (sign, shown)


# ---- columns ----


def _headings(options: Options) -> list[str]:
    names = {"status": "status", "attr-path": "attribute", "name": "name", "compare-versions": "version", "system": "system"}
    names |= {"drv-path": "derivation", "out-path": "output", "description": "description"}
    return [heading for flag, heading in names.items() if flag in options.given or (flag == "name" and "no-name" not in options.given)]


def _columns_of(row: _Row, options: Options) -> list[str]:
    given = options.given
    columns = []
    if "status" in given:
        columns.append("".join(letter if row[what] else "-" for letter, what in zip("IPS", ("installed", "valid", "substitutable"), strict=True)))
    if "attr-path" in given:
        columns.append(row["path"])
    if "no-name" not in given:
        columns.append(row["name"])
    if "compare-versions" in given:
        columns.append(" ".join(row["difference"]))
    if "system" in given:
        columns.append(row["system"])
    if "drv-path" in given:
        columns.append(row["drv"] or "-")
    if "out-path" in given:
        paths = sorted(row["details"]["paths"].items())
        columns.append(";".join(path if name == "out" else f"{name}={path}" for name, path in paths))
    if "description" in given:
        columns.append(row["description"] if isinstance(row["description"], str) else "")
    return columns


def _show_columns(rows: list[list[str]], headings: list[str]) -> None:
    if sys.stdout.isatty() and headings and rows:
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(*headings, box=box.SIMPLE_HEAD, pad_edge=False)
        for row in rows:
            table.add_row(*(Text(column) for column in row))
        Console().print(table)
        return
    widths = [max((len(encode(column)) for column in columns), default=0) for columns in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        line = ""
        for number, column in enumerate(row, 1):
            line += column.replace("\n", " ")
            if number < len(row):
                line += " " * (widths[number - 1] - len(encode(column)) + 2)
        lines.append(f"{line}\n")
    _write("".join(lines))


def _write(text: str) -> None:
    sys.stdout.buffer.write(encode(text))
    sys.stdout.flush()


# ---- data ----


def _identity(row: _Row) -> dict[str, str]:
    name, version = PackageName.parse(row["name"])
    return {"name": row["name"], "pname": name, "version": version}


def _outputs(row: _Row) -> dict[str, str | None]:
    details = row["details"]
    outputs: Mapping[str, str | None] = details["paths"] if "paths" in details else dict.fromkeys(details["outputs"])
    return dict(sorted(outputs.items()))


def _json_of(row: _Row, options: Options) -> dict[str, object]:
    shown: dict[str, object] = {**_identity(row), "system": row["system"], "outputName": row["output"]}
    if row["details"] is None:
        return shown
    shown["outputs"] = _outputs(row)
    if row.get("drv") is not None:
        shown["drvPath"] = row["drv"]
    if "meta" in options.given:
        shown["meta"] = {}
        for name, found in _meta(row):
            shown["meta"][name] = None if found is None else found["value"]  # type: ignore[index]
    return shown


def _meta(row: _Row) -> Iterable[tuple[str, dict[str, Any] | None]]:
    for name, found in sorted(row["details"]["meta"].items()):
        if found is None:
            print(f"derivation '{row['name']}' has invalid meta attribute '{name}'", file=sys.stderr)
        yield name, found


def _xml_lines(rows: Iterable[_Row], options: Options) -> Iterable[str]:
    yield "<?xml version='1.0' encoding='utf-8'?>"
    yield "<items>"
    for row in rows:
        yield f"  <item{_attributes(_item_attributes(row, options))}>"
        if row["details"] is not None:
            for name, path in _outputs(row).items():
                yield f"    <output{_attributes({'name': name} | ({'path': path} if path is not None else {}))} />"
            if "meta" in options.given:
                for name, found in _meta(row):
                    if found is not None:
                        yield from _meta_lines(name, found["value"])
        yield "  </item>"
    yield "</items>"


def _item_attributes(row: _Row, options: Options) -> dict[str, str]:
    attributes = {"attrPath": row["path"], **_identity(row), "outputName": row["output"]}
    if "status" in options.given:
        attributes |= {what: "1" if row[what] else "0" for what in ("installed", "valid", "substitutable")}
    if "compare-versions" in options.given and row["difference"][0] != "-":
        attributes["versionDiff"], attributes["maxComparedVersion"] = row["difference"]
    if row["system"]:
        attributes["system"] = row["system"]
    if row.get("drv") is not None:
        attributes["drvPath"] = row["drv"]
    if isinstance(row.get("description"), str) and row["description"]:
        attributes["description"] = row["description"]
    return attributes


def _meta_lines(name: str, value: object) -> Iterable[str]:
    scalars = {bool: "bool", str: "string", int: "int", float: "float"}
    kind = scalars.get(type(value))
    if kind is not None:
        text = ("true" if value else "false") if kind == "bool" else f"{value:g}" if kind == "float" else str(value)
        yield f"    <meta{_attributes({'name': name, 'type': kind, 'value': text})} />"
        return
    yield f"    <meta{_attributes({'name': name, 'type': 'strings'})}>"
    pairs = [({"type": key}, inner) for key, inner in sorted(value.items())] if isinstance(value, dict) else [({}, inner) for inner in value]  # type: ignore[attr-defined]
    for attributes, inner in pairs:
        if isinstance(inner, str):
            yield f"      <string{_attributes({**attributes, 'value': inner})} />"
    yield "    </meta>"


def _attributes(attributes: Mapping[str, str]) -> str:
    escapes = str.maketrans({'"': "&quot;", "<": "&lt;", ">": "&gt;", "&": "&amp;", "\n": "&#xA;"})
    return "".join(f' {name}="{value.translate(escapes)}"' for name, value in sorted(attributes.items()))
