"""What the expressions of the tests of builds may use: derivations whose builder is the sandbox's static shell."""

from __future__ import annotations

PRELUDE = """
let
  sh = name: script: derivation { inherit name; system = "x86_64-linux"; builder = "/bin/sh"; args = [ "-c" script ]; };
  shWith = name: attrs: script: derivation ({ inherit name; system = "x86_64-linux"; builder = "/bin/sh"; args = [ "-c" script ]; } // attrs);
  texts = count: map (n: builtins.toFile "t${toString n}" "x") (builtins.genList (n: n) count);
in
"""
