//! Pure readers and writers of the data formats that builtins take.
