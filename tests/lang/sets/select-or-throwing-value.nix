{ a = throw "kept"; }.a or 1
