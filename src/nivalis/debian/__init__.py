"""A Debian archive as a source of packages: from the archive's signature to one immutable snapshot in the store.

What it is: the keys that are trusted (`keys`), the signed Release (`release`), the indices it names (`index`), versions and
dependencies as dpkg understands them (`version`, `relations`), one choice for every dependency (`resolve`), the snapshot made of all
that (`snapshot`), where mirrors come from (`mirror`), and the way from a mirror to a snapshot (`archive`).  Builders that run in the
sandbox are here too: `fetch` for one .deb, `package` for a package's store path (it reads .debs by `deb`), and `farm` for the tree over
a closure that serves as a /usr (`alternatives` says which names stand for which programs).

What it may import: `nivalis.store`, `nivalis.fetch` and what is below them.

What it does not do: no script of a package ever runs, and no address of a mirror gets into a snapshot
or a derivation.  Clocks are handed in.
"""
