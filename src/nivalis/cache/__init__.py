"""Binary caches: store paths that somebody else has built, fetched from them, written to them and served, in CppNix's format.

What it is: `CacheSubstituter`, which builds are handed as their substituter; `push`, which copies closures into a cache; `server`,
which is one; keys and signatures.  A cache is a folder of files behind one seam, `CacheStore`: file:// and http(s):// today, with room
for other places.

What it may import: the standard library, cryptography, a zstd library, starlette and uvicorn (in `server` only), `nivalis.build` (the
seam that a substituter fills, and its events), `nivalis.store` and what is below them.

What it does not do: it reads no configuration, since settings and the environment are handed in, and nothing that a cache says is
believed without a signature of a trusted key or an address by content.
"""

from nivalis._lazy import from_modules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nivalis.cache.keys import PublicKey, SecretKey
    from nivalis.cache.push import push
    from nivalis.cache.settings import CacheSettings
    from nivalis.cache.substituter import CacheSubstituter

__all__ = ["CacheSettings", "CacheSubstituter", "PublicKey", "SecretKey", "push"]

__getattr__ = from_modules(
    __name__,
    {
        "CacheSettings": "settings",
        "CacheSubstituter": "substituter",
        "PublicKey": "keys",
        "SecretKey": "keys",
        "push": "push",
    },
)
