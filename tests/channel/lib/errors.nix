# Expressions that must fail, each with a part of its message below it.
lib: with lib; [
  (last [ ])
  # lib.lists.last: the list is empty
  (init [ ])
  # lib.lists.init: the list is empty
  (getAttrFromPath [ "a" "b" "c" ] { a.b = 1; })
  # there is no attribute `a.b.c`: `a.b` has no `c`
  (updateManyAttrsByPath [ { path = [ "a" "b" ]; update = x: x; } ] { a = 1; })
  # `a` is no set, and `a.b` lies below it
  (updateManyAttrsByPath [ { path = [ "a" "b" ]; update = x: x + 1; } ] { })
  # there is no attribute `a.b`
  (unionOfDisjoint { a = 1; } { a = 2; })
  # both sets have `a`
  (toInt "12a")
  # lib.toInt: "12a" is not an integer
  (toInt "012")
  # could be octal or decimal; `toIntBase10`
  (fixedWidthString 2 "0" "123")
  # "123" is longer than 2
  (charToInt "é")
  # is not one ASCII character
  (fromHexString "xyz")
  # is not a hexadecimal number
  (toShellVar "a-b" 1)
  # is not a name of a shell variable
  (cmakeOptionType "int" "A" "1")
  # "int" is not a type of CMake; these are: BOOL FILEPATH
  (nameFromURL "http://x/abc" "-")
  # there is no "-" in "abc"
  (checkListOfEnum "sizes" [ "s" "m" ] [ "xl" ] 1)
  # sizes: [ "xl" ] is not among the known values [ "s" "m" ]
  (assertOneOf "size" "xl" [ "s" "m" ])
  # size must be one of [ "s" "m" ], and is "xl"
  (asserts.checkAssertWarn [ { assertion = false; message = "one"; } { assertion = false; message = "two"; } ] [ ] 1)
  # - one
  (callPackageWith { openssl = 1; curl = 2; } ({ opensll }: { a = opensll; }) { })
  # needs an argument `opensll`, which is not there, did you mean `openssl`?
  (callPackageWith { } ({ somethingElse }: { }) { })
  # needs an argument `somethingElse`, which is not there
  (callPackagesWith { } ({ }: { type = "derivation"; }) { })
  # use `callPackage`
  (generators.toKeyValue { } { a = { b = 1; }; })
  # a set has no plain form: { b = 1; }
  (generators.toGitINI { a = 1; })
  # `a` is not in a section
  (generators.withRecursion { depthLimit = 0; } { a.b = 1; })
  # deeper than 0
  (generators.toLua { asBindings = true; } { "a b" = 1; })
  # `a b` is no name of a variable in Lua
  (getExe' { name = "x"; } "y")
  # must be a derivation
  (getExe' { type = "derivation"; outPath = "/x"; } "bin/y")
  # has a slash
  (textClosureList { a = noDepEntry ""; } [ "b" ])
  # there is no piece of text called `b`; known are a
  (systems.elaborate "x86_65-linux")
  # `x86_65` is no processor that is known here
  (systems.elaborate "linux")
  # one looks like `x86_64-linux`
  (commitIdFromGitRepo ./.)
  # is no folder of git's
  (throwTestFailures { failures = runTests { testAdd = { expr = 1; expected = 2; }; }; })
  # - testAdd
]
