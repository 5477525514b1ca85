baseNameOf <fixtures/text.txt>
