[ ([ (throw "never") ] == [ ]) ({ a = throw "never"; } == { }) ]
