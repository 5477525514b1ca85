{ a = throw "never"; }
