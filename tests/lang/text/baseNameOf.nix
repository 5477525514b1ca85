map baseNameOf [ "a/b/c" "/a/b/" "a" "/" "" "a//" "/a" "a/b//" ../fixtures/text.txt ]
