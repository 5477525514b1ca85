/**
  Pieces of text that want other pieces before them, as activation scripts do.

  A set names the pieces; each is `{ text; deps = [ names ]; }`.
*/
{ lib }:
rec {
  /** { name = piece; } -> [ name or piece ] -> [text]: each named piece once, after what it depends on.
      textClosureList { a = noDepEntry "A"; b = fullDepEntry "B" [ "a" ]; } [ "b" "a" ] => [ "A" "B" ] */
  textClosureList = pieces: names:
    let
      add = { done, texts }: entry:
        if builtins.isAttrs entry then
          let before = builtins.foldl' add { inherit done texts; } entry.deps; in
          { inherit (before) done; texts = before.texts ++ [ entry.text ]; }
        else if done ? ${entry} then { inherit done texts; }
        else add { done = done // { ${entry} = true; }; inherit texts; } (pieces.${entry}
          or (throw "lib.textClosureList: there is no piece of text called `${entry}`; known are ${toString (builtins.attrNames pieces)}"));
    in
    (builtins.foldl' add { done = { }; texts = [ ]; } names).texts;

  /** (text -> text) -> { name = piece; } -> [ name or piece ] -> text
      textClosureMap id { a = noDepEntry "A"; b = fullDepEntry "B" [ "a" ]; } [ "b" ] => "A\nB" */
  textClosureMap = f: pieces: names: lib.concatMapStringsSep "\n" f (textClosureList pieces names);

  /** text -> piece
      noDepEntry "A" => { text = "A"; deps = [ ]; } */
  noDepEntry = text: { inherit text; deps = [ ]; };

  /** text -> [name] -> piece
      fullDepEntry "A" [ "b" ] => { text = "A"; deps = [ "b" ]; } */
  fullDepEntry = text: deps: { inherit text deps; };

  /** [name] -> piece: a name for several.
      packEntry [ "a" "b" ] => { text = ""; deps = [ "a" "b" ]; } */
  packEntry = deps: { text = ""; inherit deps; };

  /** [name] -> text -> piece
      stringAfter [ "b" ] "A" => { text = "A"; deps = [ "b" ]; } */
  stringAfter = deps: text: { inherit text deps; };
}
