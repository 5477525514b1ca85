/**
  The program that launchers in a profile are run by: `launch.c`, compiled from the archive by a small compiler, against a small C library.

  Neither is needed afterwards.  musl's package asks for a whole GCC, whose driver it has a specification for; its files alone will do.
*/
{ packages, system }:
let
  inherit (packages) tcc;
  machine = builtins.head (builtins.split "-" system);
  musl = derivation {
    inherit (packages.musl-dev) name system builder format packages sources;
    depends = [ ];
  };
  lib = "${musl}/usr/lib/${machine}-linux-musl";
  own = "${tcc}/usr/lib/${machine}-linux-gnu/tcc";
in
derivation {
  name = "launcher";
  inherit system;
  builder = "${tcc}/bin/tcc";
  args = [
    "-B${own}" "-static" "-nostdlib" "-nostdinc" "-I${musl}/usr/include/${machine}-linux-musl" "-I${own}/include" "-o" (builtins.placeholder "out")
    "${lib}/crt1.o" "${lib}/crti.o" ./launch.c "${lib}/libc.a" "${own}/libtcc1.a" "${lib}/crtn.o"
  ];
}
