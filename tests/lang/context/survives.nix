let f = builtins.toFile "a" "b"; has = builtins.hasContext; in {
  concat = has ("x" + f); substring = has (builtins.substring 0 3 f); replace = has (builtins.replaceStrings [ "a" ] [ "b" ] f);
  replaced-with = has (builtins.replaceStrings [ "x" ] [ f ] "x"); replaced-unused = has (builtins.replaceStrings [ "x" ] [ f ] "y");
  join = has (builtins.concatStringsSep f [ "a" "b" ]); join-one = has (builtins.concatStringsSep f [ "a" ]); to-string = has (toString [ f ]);
  json = has (builtins.toJSON { a = f; }); xml = has (builtins.toXML f); base-name = has (baseNameOf f); dir = has (dirOf f);
  match = map has (builtins.match "(.).*" f); split = has (builtins.head (builtins.split "/" f)); hash = has (builtins.hashString "md5" f); }
