"""What a cache says of a path of the store: the narinfo, signed."""

from __future__ import annotations

from collections.abc import Collection

from nivalis._native import Hash, NarInfo
from nivalis.cache.keys import SecretKey
from nivalis.store.database import PathInfo

__all__ = ["make_narinfo"]


def make_narinfo(
    info: PathInfo,
    store_dir: str,
    *,
    url: str,
    compression: str,
    file_hash: Hash | None,
    file_size: int | None,
    keys: Collection[SecretKey] = (),
) -> NarInfo:
    """The narinfo of `info`, whose NAR is the file `url` of a cache, with the store's signatures and those of `keys`."""

    def make(signatures: Collection[str]) -> NarInfo:
        return NarInfo(
            store_path=info.path,
            url=url,
            compression=compression,
            nar_hash=info.nar_hash,
            nar_size=info.nar_size,
            references=sorted(info.references),
            store_dir=store_dir,
            file_hash=file_hash,
            file_size=file_size,
            deriver=info.deriver,
            signatures=sorted(signatures),
            ca=info.ca,
        )

    plain = make(info.signatures)
    if not keys:
        return plain
    return make({*info.signatures, *(key.sign(plain.fingerprint) for key in keys)})
