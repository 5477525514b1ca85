"""Hashes of passwords that are declared as they are: the scheme `$6$` of crypt(3).

Python has no crypt(3) any more (since 3.13), and libcrypt is a library of the system that is about to be made; the scheme needs nothing but SHA-512.
It is Ulrich Drepper's "Unix crypt using SHA-256 and SHA-512", version 0.6, with the number of rounds that it has unless another is said.

Debian's own tools make `$y$` (yescrypt), which costs an attacker more; `hashedPassword` takes that, or any other.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

__all__ = ["hash_password", "is_password"]

_ROUNDS = 5000
_LETTERS = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def hash_password(password: str, salt: str | None = None) -> str:
    """A hash for shadow(5), with a salt of its own unless one is given, which is of at most 16 of crypt(3)'s letters."""
    if salt is None:
        salt = "".join(secrets.choice(_LETTERS) for _ in range(16))
    return f"$6${salt}${_encode(_digest(password.encode(), salt.encode()))}"


def is_password(password: str, hashed: str) -> bool:
    """Whether `hashed` is what `hash_password` may have made of a password."""
    fields = hashed.split("$")
    return len(fields) == 4 and fields[:2] == ["", "6"] and hmac.compare_digest(hash_password(password, fields[2]).encode(), hashed.encode())


def _digest(password: bytes, salt: bytes) -> bytes:
    length = len(password)
    other = hashlib.sha512(password + salt + password).digest()
    first = hashlib.sha512(password + salt + _stretch(other, length))
    bits = length
    while bits:
        first.update(other if bits & 1 else password)
        bits >>= 1
    result = first.digest()
    words = _stretch(hashlib.sha512(password * length).digest(), length)
    grains = hashlib.sha512(salt * (16 + result[0])).digest()[: len(salt)]
    for turn in range(_ROUNDS):
        text = words if turn & 1 else result
        text += grains if turn % 3 else b""
        text += words if turn % 7 else b""
        result = hashlib.sha512(text + (result if turn & 1 else words)).digest()
    return result


def _stretch(block: bytes, length: int) -> bytes:
    """A block again and again, up to a length."""
    return (block * (length // len(block) + 1))[:length]


def _encode(digest: bytes) -> str:
    """Letters for six bits each, the lowest first, of three bytes at a time that are taken from its thirds in turn."""
    text = ""
    for turn in range(21):
        a, b, c = (digest[21 * ((turn + place) % 3) + turn] for place in range(3))
        text += _letters(a << 16 | b << 8 | c, 4)
    return text + _letters(digest[63], 2)


def _letters(number: int, count: int) -> str:
    return "".join(_LETTERS[number >> 6 * place & 63] for place in range(count))
