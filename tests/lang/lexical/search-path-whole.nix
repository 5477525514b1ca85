builtins.typeOf <fixtures>
