"""`bytecode.py PACKAGE OUT`: compiles the Python modules of a package into `OUT`, by their paths below it.

Byte code says that it is that of its source without comparing (PEP 552): in the store neither changes, and all times are alike.  What cannot
be compiled, such as a template, is left to whoever imports it.
"""

import os
import py_compile
import sys

package, out = sys.argv[1:]
os.mkdir(out)
for folder, _, files in os.walk(f"{package}/usr"):
    inside = os.path.relpath(folder, package)
    if inside.startswith(("usr/lib/python3", "usr/share/")) and not inside.startswith("usr/share/doc/"):
        for name in files:
            stem, kind = os.path.splitext(name)
            if kind == ".py" and not os.path.islink(f"{folder}/{name}"):
                try:
                    py_compile.compile(
                        f"{folder}/{name}",
                        f"{out}/{inside}/__pycache__/{stem}.{sys.implementation.cache_tag}.pyc",
                        f"/{inside}/{name}",
                        doraise=True,
                        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
                    )
                except (py_compile.PyCompileError, UnicodeDecodeError):
                    continue
