"""Fills a store with a closure: `fill.py ROOT COUNT SIZE` prints the path that refers to all others.

Each path is a folder of three files of together SIZE bytes, half of them noise, and refers to three others.  Always the same.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

from nivalis import _native
from nivalis.store import PathInfo, Store, StoreLayout
from nivalis.store.nars import Staged, register_staged, stage_nar


def fill(store: Store, count: int, size: int) -> str:
    chance = random.Random(1)
    paths: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        batch: list[Staged] = []
        for number in range(count):
            name = f"path-{number}"
            path = f"{store.store_dir}/{_native.base32_encode(_native.hash_bytes('sha256', name.encode()).digest[:20])}-{name}"
            references = paths if number == count - 1 else chance.sample(paths, min(3, number))
            tree = Path(folder, name)
            tree.mkdir()
            for index in range(3):
                (tree / str(index)).write_bytes(chance.randbytes(size // 6) + bytes(size // 6))
            (tree / "references").write_text("\n".join(references))
            archive = Path(folder, f"{name}.nar")
            with archive.open("w+b") as file:
                nar_hash, nar_size = _native.dump_nar(tree, file.fileno())
                file.seek(0)
                store.protect([path])
                batch.append(stage_nar(store, PathInfo(path, nar_hash, nar_size, frozenset(references)), file.fileno()))
            archive.unlink()
            paths.append(path)
            if len(batch) == 200:
                register_staged(store, batch)
                batch.clear()
        register_staged(store, batch)
    return paths[-1]


if __name__ == "__main__":
    with Store.open(StoreLayout.under(sys.argv[1])) as opened:
        print(fill(opened, int(sys.argv[2]), int(sys.argv[3])))
