assert throw "inside"; 2
