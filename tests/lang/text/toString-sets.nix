map toString [ { outPath = "/o"; } { __toString = self: self.x; x = "t"; } { outPath = /p; } ]
