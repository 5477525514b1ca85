"""What a builder finds when it starts: variables, and files in its build folder.

As in CppNix: nothing of the caller's environment is left but, for fixed outputs, the variables that `impureEnvVars` names.
Placeholders of outputs are replaced by the outputs' paths in arguments, variables and files.  `passAsFile`, structured attributes
(`.attrs.json`, `.attrs.sh`) and `exportReferencesGraph` become files.

Nothing is written here: the files are returned, so that whoever owns the folder writes them.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nivalis import _native
from nivalis.build.errors import CannotBuildError
from nivalis.build.options import DerivationOptions
from nivalis.build.settings import BuildSettings
from nivalis.store.derivation import Derivation
from nivalis.store.paths import base_name, is_derivation
from nivalis.store.store import Store

__all__ = ["BuildEnvironment", "make_environment"]

_SHELL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class BuildEnvironment:
    """How a builder starts: program, arguments (without the program's name), variables, and files (name: bytes) beside it."""

    builder: str
    args: tuple[str, ...]
    variables: Mapping[str, str]
    files: Mapping[str, bytes]


def make_environment(
    store: Store, derivation: Derivation, options: DerivationOptions, inputs: Collection[str], settings: BuildSettings, build_dir: str
) -> BuildEnvironment:
    """The environment of a build that sees its folder at `build_dir`; `inputs` is the input closure.  Raises CannotBuildError."""
    rewrites = {_native.hash_placeholder(name): output.path or "" for name, output in derivation.outputs.items()}

    def rewrite(text: str) -> str:
        for placeholder, path in rewrites.items():
            text = text.replace(placeholder, path)
        return text

    files: dict[str, bytes] = {}
    variables = {
        "PATH": "/path-not-set",
        "HOME": "/homeless-shelter",
        "NIX_STORE": store.store_dir,
        "NIX_BUILD_CORES": str(settings.cores or os.cpu_count() or 1),
    }
    if options.structured is None:
        in_files = set((derivation.env.get("passAsFile") or "").split())
        for name, text in derivation.env.items():
            if name in in_files:
                file = ".attr-" + _native.base32_encode(_native.hash_bytes("sha256", os.fsencode(name)).digest)
                files[file] = os.fsencode(rewrite(text))
                variables[f"{name}Path"] = f"{build_dir}/{file}"
            else:
                variables[name] = rewrite(text)
        for name, paths in options.references_graphs().items():
            if "/" in name or name in ("", ".", ".."):
                raise CannotBuildError(f"not a file name in `exportReferencesGraph`: `{name}`")
            files[name] = _registration_text(store, _exported(store, paths, inputs))
    else:
        attributes = {**options.structured, "outputs": {name: output.path for name, output in derivation.outputs.items()}}
        for name, paths in options.references_graphs().items():
            attributes[name] = _describe(store, _exported(store, paths, inputs))
        text = rewrite(json.dumps(attributes, ensure_ascii=False, sort_keys=True, separators=(",", ":")))
        files[".attrs.json"] = os.fsencode(text)
        files[".attrs.sh"] = os.fsencode(_shell_text(json.loads(text)))
        variables["NIX_ATTRS_JSON_FILE"] = f"{build_dir}/.attrs.json"
        variables["NIX_ATTRS_SH_FILE"] = f"{build_dir}/.attrs.sh"
    variables |= dict.fromkeys(("NIX_BUILD_TOP", "TMPDIR", "TEMPDIR", "TMP", "TEMP", "PWD"), build_dir)
    if derivation.is_fixed_output:
        # So says CppNix to fetchers that would check the hash a second time.
        variables["NIX_OUTPUT_CHECKED"] = "1"
        for name in options.words("impureEnvVars") or ():
            variables[name] = settings.environment.get(name, "")
    variables |= {"NIX_LOG_FD": "2", "TERM": "xterm-256color"}
    return BuildEnvironment(rewrite(derivation.builder), tuple(rewrite(word) for word in derivation.args), variables, files)


def _exported(store: Store, paths: Iterable[str], inputs: Collection[str]) -> list[str]:
    """The closure of `paths`; of derivations in it, their outputs' closures too."""
    for path in paths:
        if not store.layout.is_in_store(path):
            raise CannotBuildError(f"`exportReferencesGraph` names what is no store path: `{path}`")
    wanted = {_native.split_store_path(path, store.store_dir)[0] for path in paths}
    for path in wanted.difference(inputs):
        raise CannotBuildError(
            f"`exportReferencesGraph` names a path that the build does not depend on: `{path}`", hint="only its own inputs' closure can be exported"
        )
    closure = store.database.closure(wanted)
    outputs = {output for path in closure if is_derivation(path) for output in store.database.outputs(path).values()}
    return sorted(closure | store.database.closure(store.valid_among(outputs)), key=base_name)


def _registration_text(store: Store, paths: Collection[str]) -> bytes:
    infos = store.database.infos(paths)
    text = []
    for path in paths:
        references = sorted(infos[path].references, key=base_name)
        # The empty line is the deriver's.
        text.append("\n".join([path, "", str(len(references)), *references]) + "\n")
    return "".join(text).encode()


def _describe(store: Store, paths: Collection[str]) -> list[dict[str, Any]]:
    infos = store.database.infos(paths)
    described = []
    for path in paths:
        info = infos[path]
        closure = store.database.infos(store.database.closure([path]))
        one: dict[str, Any] = {
            "closureSize": sum(member.nar_size for member in closure.values()),
            "narHash": info.nar_hash.format_prefixed("nix32"),
            "narSize": info.nar_size,
            "path": path,
            "references": sorted(info.references, key=base_name),
        }
        if info.ca is not None:
            one["ca"] = info.ca
        described.append(one)
    return described


def _shell_text(attributes: Mapping[str, Any]) -> str:
    """Declarations for Bash of what Bash can hold."""
    lines = []
    for name in sorted(attributes):
        if not _SHELL_NAME.fullmatch(name):
            continue
        value = attributes[name]
        if isinstance(value, list):
            words = [_shell_word(element) for element in value]
            if None not in words:
                lines.append(f"declare -a {name}=({''.join(f'{word} ' for word in words)})\n")
        elif isinstance(value, dict):
            pairs = [(_quoted(key), _shell_word(value[key])) for key in sorted(value)]
            if all(word is not None for _, word in pairs):
                lines.append(f"declare -A {name}=({''.join(f'[{key}]={word} ' for key, word in pairs)})\n")
        elif (word := _shell_word(value)) is not None:
            lines.append(f"declare {name}={word}\n")
    return "".join(lines)


def _shell_word(value: object) -> str | None:
    if isinstance(value, str):
        return _quoted(value)
    if value is None:
        return "''"
    if isinstance(value, bool):
        return "1" if value else ""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and math.isfinite(value) and value == math.ceil(value):
        return str(int(value))
    return None


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
