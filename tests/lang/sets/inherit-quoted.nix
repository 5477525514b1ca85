let x = 1; in { inherit "x"; inherit ({ "a b" = 2; }) "a b"; }
