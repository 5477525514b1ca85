let __nixPath = [ { prefix = "mine"; path = ../fixtures; } ]; in baseNameOf <mine/text.txt>
