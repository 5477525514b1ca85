baseNameOf ~/some/file
