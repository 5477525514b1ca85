lib: with lib; let g = generators; in {
  values = [ (map (g.mkValueStringDefault { }) [ 1 "a" true false null 0.5 { type = "derivation"; outPath = "/x"; } ]) [ "1" "a" "true" "false" "null" "0.500000" "/x" ] ];
  keyEscaped = [ (g.mkKeyValueDefault { } "=" "a=b" "c=d") "a\\=b=c=d" ];
  keyValueOwn = [ (g.toKeyValue { mkKeyValue = g.mkKeyValueDefault { mkValueString = v: "<${toString v}>"; } ": "; indent = "  "; } { a = 1; }) "  a: <1>\n" ];
  keyValueLists = [ (g.toKeyValue { listsAsDuplicateKeys = true; } { a = [ 1 2 ]; b = 3; }) "a=1\na=2\nb=3\n" ];
  ini = [ (g.toINI { } { "a[b]" = { x = 1; }; c.y = "z"; }) "[a\\[b\\]]\nx=1\n\n[c]\ny=z\n" ];
  iniEmpty = [ (g.toINI { } { }) "" ];
  iniGlobalNone = [ (g.toINIWithGlobalSection { } { globalSection = { }; sections.a.b = 1; }) "[a]\nb=1\n" ];
  iniGlobalOnly = [ (g.toINIWithGlobalSection { } { globalSection.a = 1; }) "a=1\n\n" ];
  git = [
    (g.toGitINI { core.pager = "less \"x\"\t\\"; alias.l = [ "a" "b" ]; http."https://x.y".sslVerify = false; })
    "[alias]\n\tl = \"a\"\n\tl = \"b\"\n\n[core]\n\tpager = \"less \\\"x\\\"\\t\\\\\"\n\n[http \"https://x.y\"]\n\tsslVerify = false\n"
  ];
  json = [ (g.toJSON { } { b = [ 1 null "x" ]; a.c = true; }) "{\"a\":{\"c\":true},\"b\":[1,null,\"x\"]}" ];
  yaml = [ (g.toYAML { } { a = 1; }) "{\"a\":1}" ];
  prettyScalars = [ (map (g.toPretty { }) [ 1 true null "a\"\${b}\\" 1.5 [ ] { } "a\tb" ]) [ "1" "true" "null" "\"a\\\"\\\${b}\\\\\"" "~1.5" "[ ]" "{ }" "\"a\tb\"" ] ];
  prettyFunctions = [ (map (g.toPretty { }) [ (x: x) ({ a, b ? 1 }: a) id ]) [ "<function>" "<function, args: {a, b?}>" "<function>" ] ];
  prettyNested = [ (g.toPretty { } { a = [ 1 { b = 2; } ]; "c d" = { }; }) "{\n  a = [\n    1\n    {\n      b = 2;\n    }\n  ];\n  \"c d\" = { };\n}" ];
  prettyLine = [ (g.toPretty { multiline = false; } { a = [ 1 { b = "x\ny"; } ]; }) "{ a = [ 1 { b = \"x\\ny\"; } ]; }" ];
  prettyLines = [ (g.toPretty { } { t = "one\n''two \${x}\n"; u = "a\nb"; }) "{\n  t = ''\n    one\n    '''two ''\${x}\n  '';\n  u = ''\n    a\n    b'';\n}" ];
  prettyDerivation = [ (g.toPretty { } { type = "derivation"; name = "x"; }) "<derivation x>" ];
  prettyOwn = [ (g.toPretty { allowPrettyValues = true; } { __pretty = v: "«${v}»"; val = "x"; }) "«x»" ];
  prettyIndent = [ (g.toPretty { indent = "    "; } [ 1 ]) "[\n      1\n    ]" ];
  recursion = [ (let a.b = a; in g.withRecursion { depthLimit = 2; throwOnDepthLimit = false; } a) { b.b.b = "<unevaluated>"; } ];
  lua = [ (g.toLua { } { a = 1; b = [ true null "x\"" ]; c = { }; }) "{\n  [\"a\"] = 1,\n  [\"b\"] = {\n    true,\n    nil,\n    \"x\\\"\"\n  },\n  [\"c\"] = {}\n}" ];
  luaBindings = [ (g.toLua { asBindings = true; } { x = 1; y.z = 2; }) "x = 1\ny = {\n  [\"z\"] = 2\n}\n" ];
  dhall = [ (g.toDhall { } { a = 1; b = "x"; c = [ false ]; d = -1; }) "{ a = +1, b = \"x\", c = [ False ], d = -1 }" ];
  plist = [
    (g.toPlist { } { a = 1; b = [ true "x" ]; c = null; })
    (concatStringsSep "\n" [
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"
      "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">"
      "<plist version=\"1.0\">" "<dict>" "\t<key>a</key>" "\t<integer>1</integer>" "\t<key>b</key>" "\t<array>" "\t\t<true/>" "\t\t<string>x</string>"
      "\t</array>" "</dict>" "</plist>"
    ])
  ];
  plistEscape = [ (hasInfix "<string>a &lt; b</string>" (g.toPlist { escape = true; } "a < b")) true ];
  gnu = [
    (toGNUCommandLine { } { data = "x y"; F = [ 1 2 ]; verbose = true; quiet = false; none = null; v = true; })
    [ "-F" "1" "-F" "2" "--data" "x y" "-v" "--verbose" ]
  ];
  gnuSeparator = [ (toGNUCommandLine { optionValueSeparator = "="; } { a-b = 1; }) [ "--a-b=1" ] ];
  gnuShell = [ (toGNUCommandLineShell { } { data = "x y"; }) "--data 'x y'" ];
}
