"""A Debian archive as a source of packages: from the archive's signature to one immutable snapshot in the store.

What it is: the keys that are trusted (`keys`), the signed Release (`release`), the indices it names (`index`), versions and
dependencies as dpkg understands them (`version`, `relations`), one choice for every dependency (`resolve`), the snapshot made of all
that (`snapshot`), where mirrors come from (`mirror`), and the way from a mirror to a snapshot (`archive`).  Builders that run in the
sandbox are here too: `fetch` for one .deb.

What it may import: `nivalis.store`, `nivalis.fetch` and what is below them.

What it does not do: no file of a package is looked into, no script of one ever runs, and no address of a mirror gets into a snapshot
or a derivation.  Clocks are handed in.
"""
