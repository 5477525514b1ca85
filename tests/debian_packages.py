"""Packages of a real Debian archive as derivations, written by hand: what the tests of whole closures build.

Run as a program it builds some and says how long each part took:

    python tests/debian_packages.py FOLDER [PACKAGE ...]
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from nivalis.build import BuildSettings, realise
from nivalis.build.events import Event
from nivalis.debian.address import DebianAddress
from nivalis.debian.archive import SnapshotMaker
from nivalis.debian.mirror import read_mirrors
from nivalis.debian.snapshot import Snapshot
from nivalis.fetch.network import Network
from nivalis.lang import EvalSettings, Evaluator
from nivalis.store import Store, StoreLayout

SYSTEM = "x86_64-linux"
# What Debian takes for granted: in nobody's dependencies.
ESSENTIAL = [
    *("base-files", "base-passwd", "bash", "coreutils", "dash", "diffutils", "findutils", "grep", "gzip"),
    *("hostname", "libc-bin", "mawk", "ncurses-base", "ncurses-bin", "sed", "tar", "util-linux"),
]


def make_snapshot(store: Store, suite: str) -> Snapshot:
    """What the machine's mirrors have of a suite.  Raises DebianError, FetchError."""
    maker = SnapshotMaker(store=store, network=Network(os.environ), system=SYSTEM, clock=time.time)
    path = maker.make(DebianAddress.parse(suite), read_mirrors(os.environ).all)
    return Snapshot.open(store.real_path(path))


def closure_of(snapshot: Snapshot, names: Iterable[str]) -> dict[str, dict[str, object]]:
    """The records of packages and of all that they depend on."""
    found: dict[str, dict[str, object]] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            record = found[name] = snapshot.record(name)
            assert "broken" not in record, record
            waiting += [*record["depends"], *record.get("group", ())]
    return found


def write_expression(records: dict[str, dict[str, object]]) -> str:
    """A set of `packages`, and the function `farm`."""
    data = json.dumps(json.dumps(records)).replace("${", "\\${")
    return f"""
let
  records = builtins.fromJSON {data};
  valid = builtins.replaceStrings [ ":" "~" ] [ "-" "-" ];
  fetch = name: let r = records.${{name}}; in derivation {{
    name = valid "${{name}}_${{r.version}}.deb"; system = "builtin"; builder = "builtin:debian-fetch"; path = r.filename;
    outputHashMode = "flat"; outputHashAlgo = "sha256"; outputHash = r.sha256; preferLocalBuild = true;
  }};
  uniq = list: builtins.attrNames (builtins.listToAttrs (map (name: {{ inherit name; value = null; }}) list));
  package = name: let r = records.${{name}}; names = r.group or [ name ]; in
    if builtins.head names != name then packages.${{builtins.head names}} else derivation {{
      name = valid "${{name}}-${{r.version}}"; system = "{SYSTEM}"; builder = "builtin:debian-package"; format = "2";
      packages = names; sources = map fetch names;
      depends = map (name: packages.${{name}}) (uniq (builtins.concatMap (name: records.${{name}}.depends) names));
    }};
  packages = builtins.mapAttrs (name: _: package name) records;
  farm = names: derivation {{
    name = "farm"; system = "{SYSTEM}"; builder = "builtin:debian-farm"; format = "3"; packages = map (name: packages.${{name}}) names;
  }};
in {{ inherit packages farm; debs = derivation {{
  name = "debs"; system = "{SYSTEM}"; builder = "/bin/sh"; args = [ "-c" "echo $debs >$out" ]; debs = map fetch (builtins.attrNames records);
}}; }}
"""


class Builder:
    """Builds attributes of one expression in a store."""

    def __init__(self, store: Store, text: str, **options: str) -> None:
        self._store = store
        self._text = text
        self._settings = BuildSettings.make(SYSTEM, os.environ, options)
        self.events: list[Event] = []

    def build(self, what: str) -> str:
        """The output of an attribute; how long it took is said on the standard error."""
        started = time.monotonic()
        with Evaluator(self._store, EvalSettings(system=SYSTEM)) as evaluator:
            path = str(evaluator.eval(f"(({self._text}).{what}).drvPath").to_python())
            evaluator.flush()
        evaluated = time.monotonic()
        result = realise(self._store, [path], self._settings, listen=self.events.append)
        result.check()
        print(f"{what[:60]}: {evaluated - started:.2f} s to evaluate, {time.monotonic() - evaluated:.2f} s to build", file=sys.stderr)
        return result.paths[0]


def main(folder: str, *names: str) -> None:
    with Store.open(StoreLayout.under(Path(folder))) as store:
        started = time.monotonic()
        snapshot = make_snapshot(store, "debian:bookworm")
        print(f"snapshot: {time.monotonic() - started:.2f} s", file=sys.stderr)
        wanted = [*names, *ESSENTIAL]
        records = closure_of(snapshot, wanted)
        print(f"{len(records)} packages", file=sys.stderr)
        builder = Builder(store, write_expression(records), **{"max-jobs": "2"})
        builder.build("debs")
        for name in names:
            builder.build(f"packages.{json.dumps(name)}")
        words = " ".join(map(json.dumps, wanted))
        print(store.real_path(builder.build(f"farm [ {words} ]")))


if __name__ == "__main__":
    main(*sys.argv[1:])
