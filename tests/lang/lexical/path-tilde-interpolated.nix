baseNameOf ~/${"x"}
