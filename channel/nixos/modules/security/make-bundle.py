"""The bundle of certificates: all of a folder but those that are named in `without`, and then those of `files`.

It runs as a builder.  A name that no file has is an error: it would be trusted, unnoticed, under another name.
"""

from __future__ import annotations

import json
import os


def main() -> None:
    variables = os.environ
    folder = variables["folder"]
    names = sorted(name.removesuffix(".crt") for name in os.listdir(folder) if name.endswith(".crt"))
    without = json.loads(variables["without"])
    for name in without:
        if name not in names:
            raise SystemExit(f"error: there is no certificate of this name: `{name}`")
    kept = [f"{folder}/{name}.crt" for name in names if name not in without]
    with open(variables["out"], "wb") as out:
        for path in [*kept, *variables["files"].split()]:
            with open(path, "rb") as file:
                out.write(file.read().rstrip(b"\n") + b"\n")


if __name__ == "__main__":
    main()
