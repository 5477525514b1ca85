builtins.getEnv "NIVALIS_LANG_TEST"
