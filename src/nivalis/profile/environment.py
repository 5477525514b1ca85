"""User environments: one tree of symlinks over several packages, built like any derivation.

The derivation is CppNix's, so both programs make the same store path of the same elements: its builder is `builtin:buildenv`, and its
one input the manifest.  Building is handed in, as is whatever shows how far it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from nivalis import _native
from nivalis.profile.manifest import ManifestError, coerce_to_word, print_manifest
from nivalis.profile.packages import Element
from nivalis.store.derivation import Derivation, Output
from nivalis.store.store import Store

__all__ = ["ENVIRONMENT_NAME", "Build", "make_environment"]

# Makes store paths valid: derivations (all outputs), `derivation!output`, or paths to be fetched.  Raises NivalisError.
Build = Callable[[Sequence[str]], object]

ENVIRONMENT_NAME = "user-environment"


def make_environment(store: Store, elements: Iterable[Element], build: Build, *, keep_derivations: bool = False) -> str:
    """Build the elements and the environment of them; its store path, a temporary root.

    Raises what `build` raises; of two packages with the same file and the same priority, CollisionError is the cause.
    """
    wanted = list(elements)
    outputs = sorted({path for element in wanted for path in element.outputs.values()})
    kept = {element.drv_path for element in wanted if keep_derivations and element.drv_path is not None}
    store.protect([*outputs, *kept])
    build(list(dict.fromkeys(element.drv_path for element in wanted if element.drv_path is not None)))
    build(outputs)
    manifest = store.add_text("env-manifest.nix", print_manifest(wanted, keep_derivations=keep_derivations), {*outputs, *kept})
    drv_path, out_path = _write_derivation(store, wanted, manifest)
    build([f"{drv_path}!out"])
    return out_path


def _write_derivation(store: Store, elements: Iterable[Element], manifest: str) -> tuple[str, str]:
    """The paths of the derivation and of its output."""
    variables = {
        "allowSubstitutes": "",
        "builder": "builtin:buildenv",
        "derivations": " ".join(_describe(element) for element in elements),
        "manifest": manifest,
        "name": ENVIRONMENT_NAME,
        "out": "",
        "preferLocalBuild": "1",
        "system": "builtin",
    }
    blank = Derivation({"out": Output(None)}, "builtin", "builtin:buildenv", env=variables, input_srcs=frozenset([manifest]))
    # There is no input derivation, so its hash is that of its text without the output path.
    digest = _native.hash_bytes("sha256", blank.unparse(store.store_dir))
    out_path = _native.make_output_path("out", digest, ENVIRONMENT_NAME, store.store_dir)
    derivation = blank._replace(outputs={"out": Output(out_path)}, env={**variables, "out": out_path})
    store.protect([out_path])
    return store.add_text(f"{ENVIRONMENT_NAME}.drv", derivation.unparse(store.store_dir), derivation.references), out_path


def _describe(element: Element) -> str:
    """One element as the builder reads it: whether it is active, its priority, how many outputs, and these."""
    try:
        active, priority = (coerce_to_word(element.meta.get(name, default)) for name, default in (("active", "true"), ("priority", 5)))
    except ManifestError as error:
        error.where = f"`meta.active` or `meta.priority` of `{element.name}`"
        raise
    return " ".join([active, priority, str(len(element.outputs)), *element.outputs.values()])
