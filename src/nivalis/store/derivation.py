"""Derivations as Python data; the kernel reads and writes their bytes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from nivalis import _native
from nivalis.store.layout import DEFAULT_STORE_DIR


class Output(NamedTuple):
    """One output.  A fixed one has a `hash_algo` (`sha256`, or with its method `r:sha256`) and a base-16 `hash`.

    `path` is None while it is not known (content-addressed outputs).
    """

    path: str | None
    hash_algo: str = ""
    hash: str = ""

    @property
    def is_fixed(self) -> bool:
        return bool(self.hash)


class Derivation(NamedTuple):
    """What to build, from what, and how.  Text that is not UTF-8 holds surrogates, as `os.fsdecode` makes them."""

    outputs: Mapping[str, Output]
    platform: str
    builder: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = MappingProxyType({})
    input_drvs: Mapping[str, frozenset[str]] = MappingProxyType({})
    input_srcs: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, data: bytes, store_dir: str = DEFAULT_STORE_DIR) -> Derivation:
        """Read the bytes of a .drv file.  Raises DerivationError."""
        outputs, drvs, sources, platform, builder, args, env = _native.parse_derivation(data, store_dir)
        return cls(
            outputs={name: Output(*parts) for name, parts in outputs.items()},
            platform=platform,
            builder=builder,
            args=tuple(args),
            env=env,
            input_drvs={path: frozenset(names) for path, names in drvs.items()},
            input_srcs=frozenset(sources),
        )

    def unparse(self, store_dir: str = DEFAULT_STORE_DIR) -> bytes:
        """The bytes of the .drv file."""
        return _native.unparse_derivation(
            {name: (output.path, output.hash_algo, output.hash) for name, output in self.outputs.items()},
            {path: list(names) for path, names in self.input_drvs.items()},
            list(self.input_srcs),
            self.platform,
            self.builder,
            self.args,
            dict(self.env),
            store_dir,
        )

    @property
    def references(self) -> frozenset[str]:
        """What the store object of the .drv file refers to."""
        return self.input_srcs.union(self.input_drvs)

    @property
    def is_fixed_output(self) -> bool:
        return any(output.is_fixed for output in self.outputs.values())
