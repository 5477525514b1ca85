"""Keys and signatures: ed25519, as `name:base64` in files, settings and narinfos.

A secret key is the 32 bytes of the seed followed by the 32 of the public key, as libsodium has it and CppNix writes it; a public key
is 32 bytes, a signature 64.  Signed is a path's fingerprint: its name, NAR hash, NAR size and references.

A path needs no signature if its name says what is in it (an address by content) and that can be computed again.  A self-reference is
part of such a name in a way that the NAR's hash alone does not show, so these do need one.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from nivalis import _native
from nivalis._native import NarInfo
from nivalis.cache.errors import KeyFormatError, SignatureError
from nivalis.errors import FormatError
from nivalis.store.paths import name_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

__all__ = ["PublicKey", "SecretKey", "check_trusted", "is_self_evident", "public_keys"]


@dataclass(frozen=True)
class PublicKey:
    """A key for checking, and its name."""

    name: str
    data: bytes

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """Raises KeyFormatError."""
        return cls(*_split(text, 32, "public key"))

    def __str__(self) -> str:
        return f"{self.name}:{base64.b64encode(self.data).decode()}"

    def verify(self, text: str, signature: bytes) -> bool:
        """Whether `signature` was made of `text` by the owner of this key."""
        from cryptography.exceptions import InvalidSignature

        try:
            self._key.verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True

    @cached_property
    def _key(self) -> Ed25519PublicKey:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        return Ed25519PublicKey.from_public_bytes(self.data)


@dataclass(frozen=True, repr=False)
class SecretKey:
    """A key for signing, and its name; `str()` is what its file holds."""

    name: str
    data: bytes

    @classmethod
    def generate(cls, name: str) -> SecretKey:
        """A new key.  Raises KeyFormatError for a name that no key can have."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        if not name or ":" in name or any(character.isspace() for character in name):
            raise KeyFormatError(f"not a name for a key: `{name}`", hint="use a word without a colon, such as `cache.example.org-1`")
        key = Ed25519PrivateKey.generate()
        return cls(name, key.private_bytes_raw() + key.public_key().public_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> SecretKey:
        """Raises KeyFormatError, whose message does not have the key."""
        return cls(*_split(text, 64, "secret key"))

    @classmethod
    def read(cls, file: str | os.PathLike[str]) -> SecretKey:
        """The key in a file.  Raises KeyFormatError, OSError."""
        try:
            with open(file, encoding="ascii") as stream:
                return cls.parse(stream.read())
        except (KeyFormatError, UnicodeDecodeError) as error:
            raise KeyFormatError(f"no secret key in the file: `{os.fspath(file)}`", hint="`nivalis cache key generate NAME` makes one") from error

    def __str__(self) -> str:
        return f"{self.name}:{base64.b64encode(self.data).decode()}"

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.name, self.data[32:])

    def sign(self, text: str) -> str:
        """A signature, as a narinfo has it."""
        return f"{self.name}:{base64.b64encode(self._key.sign(text.encode())).decode()}"

    @cached_property
    def _key(self) -> Ed25519PrivateKey:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self.data[:32])


def public_keys(texts: Iterable[str]) -> dict[str, PublicKey]:
    """Keys by their names.  Raises KeyFormatError."""
    keys = map(PublicKey.parse, texts)
    return {key.name: key for key in keys}


def check_trusted(info: NarInfo, keys: Mapping[str, PublicKey], store_dir: str) -> None:
    """Raises SignatureError unless one of `keys` has signed `info`, or its name says what is in it."""
    known = False
    for signature in info.signatures:
        name, _, digits = signature.partition(":")
        key = keys.get(name)
        if key is None:
            continue
        known = True
        try:
            data = base64.b64decode(digits, validate=True)
        except binascii.Error:
            continue
        if key.verify(info.fingerprint, data):
            return
    if is_self_evident(info, store_dir):
        return
    path = info.store_path
    if known:
        raise SignatureError(f"signature is wrong: `{path}`", code="wrong-signature")
    if info.signatures:
        names = ", ".join(sorted({f"`{signature.partition(':')[0]}`" for signature in info.signatures}))
        raise SignatureError(f"signed only by keys that are not trusted ({names}): `{path}`", code="unknown-key", hint="see `trusted-public-keys`")
    raise SignatureError(f"not signed: `{path}`", code="not-signed", hint="see `trusted-public-keys` and `require-sigs`")


def is_self_evident(info: NarInfo, store_dir: str) -> bool:
    """Whether the path's name follows from its content address, so that no one has to be trusted."""
    if info.ca is None or info.store_path in info.references:
        return False
    try:
        method, content = _native.parse_content_address(info.ca)
        name = name_of(info.store_path)
        if method == "text":
            return _native.make_text_path(name, content, info.references, store_dir) == info.store_path
        return _native.make_fixed_output_path(name, method, content, info.references, store_dir) == info.store_path
    except (FormatError, ValueError):
        return False


def _split(text: str, size: int, what: str) -> tuple[str, bytes]:
    name, colon, digits = text.strip().partition(":")
    try:
        data = base64.b64decode(digits, validate=True)
    except binascii.Error:
        data = b""
    if not (name and colon and len(data) == size):
        shown = f": `{text.strip()}`" if what == "public key" else ""
        raise KeyFormatError(f"not a {what}{shown}", hint="it is a name, a colon and base 64")
    return name, data
