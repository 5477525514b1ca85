(throw "left") ? a
