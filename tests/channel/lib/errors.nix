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
  (path.append /etc "../x")
  # lib.path.append: "../x" is no subpath: it holds `..`
  (path.append "/etc" "x")
  # the argument is a string, and must be a path
  (path.removePrefix /etc /usr)
  # /usr is not below /etc
  (path.subpath.join [ "/x" ])
  # it begins with a slash
  (fileset.toSource { root = ./fixtures; fileset = ./lists.nix; })
  # lists.nix is in the file set and not below `root`
  (fileset.union ./no-such-file ./lists.nix)
  # `maybeMissing` takes what may not be there
  (fileset.toList (cleanSource ./.))
  # `lib.fileset.fromSource` makes one of it
  (throwTestFailures { failures = runTests { testAdd = { expr = 1; expected = 2; }; }; })
  # - testAdd
  ((evalModules { modules = [ ./fixtures/web.nix ./fixtures/wrong-type.nix ]; }).config.services.web.port)
  # A definition for option `services.web.port' is not of type `16 bit unsigned integer; between 0 and 65535 (both inclusive)'. Definition values:
  ((evalModules { modules = [ ./fixtures/web.nix ./fixtures/wrong-type.nix ]; }).config.services.web.port)
  # fixtures/wrong-type.nix:5': "eighty"
  ((evalModules { modules = [ ./fixtures/web.nix ./fixtures/misspelt.nix ]; }).config)
  # The option `services.web.prot' does not exist. Definition values:
  ((evalModules { modules = [ ./fixtures/web.nix ./fixtures/misspelt.nix ]; }).config)
  # fixtures/misspelt.nix:4': 8080
  ((evalModules { modules = [ ./fixtures/web.nix ./fixtures/misspelt.nix ]; }).config)
  # Did you mean `services.web.port'?
  ((evalModules { modules = [ ./fixtures/web.nix { service.web.enable = true; } ]; }).config)
  # Did you mean `services'?
  ((evalModules { modules = [ (mkIf true { imports = [ ]; }) ]; }).config)
  # `imports` was found under a condition
  ((evalModules { modules = [ ./fixtures/web.nix { services.web.nothingLike = true; } ]; }).config)
  # There is: `services.web.enable', `services.web.names', `services.web.port'
  ((evalModules { modules = [ ./fixtures/web.nix { services.web.enable.yes = true; } ]; }).config.services.web.enable)
  # is not of type `boolean'
  ((evalModules { modules = [ ./fixtures/web.nix { services.web = true; } ]; }).config)
  # `services.web' is a set of options, and <unknown-file> defines it as a bool; its options are: enable, names, port
  ((evalModules { modules = [ ./fixtures/web.nix ./fixtures/clash.nix { services.web.port = 82; } ]; }).config.services.web.port)
  # The option `services.web.port' has conflicting definition values:
  ((evalModules { modules = [ ./fixtures/web.nix ./fixtures/clash.nix { services.web.port = 82; } ]; }).config.services.web.port)
  # fixtures/clash.nix:3': 81
  ((evalModules { modules = [ ./fixtures/web.nix ./fixtures/clash.nix { services.web.port = 82; } ]; }).config.services.web.port)
  # Use `lib.mkForce value` or `lib.mkDefault value` to change the priority on any of these definitions.
  ((evalModules { modules = [ ./fixtures/web.nix { services.web.names = [ "a" 1 ]; } ]; }).config.services.web.names)
  # A definition for option `services.web.names.[definition 1-entry 2]' is not of type `string'
  ((evalModules { modules = [ { options.a = mkOption { type = types.attrsOf types.int; }; } { a.x = 1; a.y = "no"; } ]; }).config.a)
  # A definition for option `a.y' is not of type `signed integer'
  ((evalModules { modules = [ { options.a = mkOption { }; } ]; }).config.a)
  # The option `a' was accessed but has no value defined. Try setting the option.
  ((evalModules { prefix = [ "x" ]; modules = [ { options.a = mkOption { }; } ]; }).config.a)
  # The option `x.a' was accessed
  ((evalModules { modules = [ { options.a = mkOption { readOnly = true; default = 1; }; } { a = 2; } ]; }).config.a)
  # The option `a' is read-only, but it's set multiple times
  ((evalModules { modules = [ { options.a = mkOption { type = types.uniq types.int; }; } { a = 1; } { a = 2; } ]; }).config.a)
  # The option `a' is defined multiple times while it's expected to be unique
  ((evalModules { modules = [ { options.a = mkOption { type = types.unique { message = "Only one may."; } types.int; }; } { a = 1; } { a = 2; } ]; }).config.a)
  # Only one may.
  ((evalModules { modules = [ { options.a = mkOption { }; } { a = 1; } { a = "x"; } ]; }).config.a)
  # Cannot merge definitions of `a'
  ((evalModules { modules = [ { _file = "x.nix"; options.a = mkOption { type = types.int; }; } { _file = "y.nix"; options.a = mkOption { type = types.str; }; } ]; }).options.a.type)
  # is already declared in `y.nix', as string there and as signed integer here
  ((evalModules { modules = [ { _file = "y.nix"; options.a = mkOption { default = 1; }; } { _file = "x.nix"; options.a = mkOption { default = 2; }; } ]; }).options.a)
  # The option `a' in `y.nix' is already declared in `x.nix', and both give `default'
  ((evalModules { modules = [ { options.a = mkOption { }; } { options.a.b = mkOption { }; } ]; }).options.a)
  # The option `a' in `<unknown-file>' is a prefix of options in
  ((evalModules { modules = [ { options.a = 1; } ]; }).options.a)
  # `options.a' in `<unknown-file>' is a int, and must be a set of options or an option
  ((evalModules { modules = [ { _file = "m.nix"; options.a = mkOption { }; a = 1; } ]; }).config)
  # the module `m.nix' has the attribute `a' beside `config' or `options'
  ((evalModules { modules = [ 1 ]; }).config)
  # a int was given as a module
  ((evalModules { modules = [ [ { } ] ]; }).config)
  # a list was given as a module
  ((evalModules { modules = [ { imports = [ "relative.nix" ]; } ]; }).config)
  # the import "relative.nix" in `<unknown-file>' is no absolute path
  ((evalModules { modules = [ { _file = "m.nix"; imports = [ /no/such/file.nix ]; } ]; }).config)
  # the import `/no/such/file.nix' in `m.nix' does not exist
  ((evalModules { modules = [ (evalModules { modules = [ ]; }) ]; }).config)
  # a set of kind `configuration' was given as a module
  ((evalModules { modules = [ { options.a = mkOption { }; } ({ pkgs, ... }: { a = pkgs; }) ]; }).config.a)
  # wants the argument `pkgs', which nothing gives; set `_module.args.pkgs'
  ((evalModules { class = "machine"; modules = [ { _class = "home"; _file = "h.nix"; } ]; }).config)
  # the module `h.nix' is of class "home", and was imported into a configuration of class "machine"
  ((evalModules { modules = [ { disabledModules = [ 1 ]; } ]; }).config)
  # `disabledModules' in `<unknown-file>' holds a int
  ((evalModules { modules = [ { options.a = mkOption { }; } { a = mkIf "yes" 1; } ]; }).config.a)
  # `mkIf' was called with a string as its condition
  ((evalModules { modules = [ { options.a = mkOption { }; } { a = mkAssert false "never" 1; } ]; }).config.a)
  # Failed assertion: never
  ((evalModules { modules = [ (mkRemovedOptionModule [ "old" ] "Use new.") { options.assertions = mkOption { }; } { old = 1; } ]; }).config.old)
  # The option `old' can no longer be used since it's been removed. Use new.
  ((evalModules { modules = [ { options.s = mkOption { type = types.submodule { options.x = mkOption { type = types.int; }; }; }; } { s.y = 1; } ]; }).config.s)
  # The option `s.y' does not exist
  ((evalModules { modules = [ { freeformType = types.attrsOf types.int; } { b = "x"; } ]; }).config)
  # A definition for option `b' is not of type `signed integer'
  ((evalModules { modules = [ { options.a = mkOption { type = types.nullOr types.int; }; } { a = null; } { a = 1; } ]; }).config.a)
  # The option `a' is defined both null and not null
  ((evalModules { modules = [ { options.a = mkOption { type = types.int; }; } { a = throw "inside"; } ]; }).config.a)
  # inside
  ((evalModules { modules = [ { options.p = mkPackageOption { } "hello" { }; } ]; }).config.p)
  # `pkgs.hello` cannot be found
  (types.coercedTo (types.submodule { }) id types.int)
  # the first type must not be a submodule
  (types.ints.between 3 1)
  # there is no number from 3 to 1
  (literalExpression 1)
  # takes a string, and got a int
]
