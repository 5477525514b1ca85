(import { outPath = ../fixtures/values.nix; }).one
