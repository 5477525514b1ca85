"""What can go wrong with a binary cache; below each class its codes, where they are more than its own.

CacheError                    cache-error
├── CacheAddressError         cache-address: not an address of a cache, or of a kind that is not known
├── CacheUnreachableError     cache-unreachable: no connection, no answer in time, a server's own error, a body cut short
│                             cache-timeout; cache-given-up: it failed too often in a row
├── NotInCacheError           not-in-cache: the cache does not have it (any more)
├── CacheInfoError            invalid-cache-info: `nix-cache-info` is rubbish, missing, or of another store directory
├── CacheContentError         cache-content: what came is not what the cache said
│                             cache-wrong-path, cache-file-hash, cache-file-size, cache-nar, cache-compression, cache-slow
├── SignatureError            untrusted: no signature that could be believed
│                             not-signed, unknown-key, wrong-signature
├── KeyFormatError            invalid-key: not a key for signing or checking
└── ListenError               cache-listen: no connections can be taken at an address, or it is none
"""

from __future__ import annotations

from nivalis.errors import NivalisError

__all__ = [
    "CacheAddressError",
    "CacheContentError",
    "CacheError",
    "CacheInfoError",
    "CacheUnreachableError",
    "KeyFormatError",
    "ListenError",
    "NotInCacheError",
    "SignatureError",
]


class CacheError(NivalisError):
    """A binary cache cannot do what was asked of it."""

    default_code = "cache-error"


class CacheAddressError(CacheError):
    """Not the address of a binary cache."""

    default_code = "cache-address"


class CacheUnreachableError(CacheError):
    """A cache does not answer, or not to the end."""

    default_code = "cache-unreachable"


class NotInCacheError(CacheError):
    """A cache does not have a file."""

    default_code = "not-in-cache"


class CacheInfoError(CacheError):
    """What stands at the address is no cache for this store."""

    default_code = "invalid-cache-info"


class CacheContentError(CacheError):
    """What came from a cache is not what it should be."""

    default_code = "cache-content"


class SignatureError(CacheError):
    """Nobody who is trusted vouches for a path."""

    default_code = "untrusted"


class KeyFormatError(CacheError):
    """Not a key."""

    default_code = "invalid-key"


class ListenError(CacheError):
    """A server cannot have its address."""

    default_code = "cache-listen"
