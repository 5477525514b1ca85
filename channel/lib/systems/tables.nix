/**
  Processors, kernels and ABIs by the names that system names and GNU triples use.

  The other names of a processor are what each project calls it: Linux (`linuxArch`), QEMU, Debian, UEFI, Rust, Go.
*/
let
  little = "littleEndian";
  big = "bigEndian";
in
{
  cpus = {
    x86_64 = { bits = 64; byteOrder = little; family = "x86"; linuxArch = "x86_64"; debian = "amd64"; efi = "x64"; go = "amd64"; };
    i686 = { bits = 32; byteOrder = little; family = "x86"; linuxArch = "i386"; qemu = "i386"; debian = "i386"; efi = "ia32"; go = "386"; };
    aarch64 = { bits = 64; byteOrder = little; family = "arm"; linuxArch = "arm64"; version = "8"; debian = "arm64"; efi = "aa64"; go = "arm64"; };
    armv5tel = { bits = 32; byteOrder = little; family = "arm"; linuxArch = "arm"; qemu = "arm"; version = "5"; debian = "armel"; efi = "arm"; go = "arm"; };
    armv6l = { bits = 32; byteOrder = little; family = "arm"; linuxArch = "arm"; qemu = "arm"; version = "6"; efi = "arm"; go = "arm"; };
    armv7a = { bits = 32; byteOrder = little; family = "arm"; linuxArch = "arm"; qemu = "arm"; version = "7"; efi = "arm"; go = "arm"; };
    armv7l = { bits = 32; byteOrder = little; family = "arm"; linuxArch = "arm"; qemu = "arm"; version = "7"; debian = "armhf"; efi = "arm"; go = "arm"; };
    loongarch64 = { bits = 64; byteOrder = little; family = "loongarch"; linuxArch = "loongarch"; debian = "loong64"; efi = "loongarch64"; go = "loong64"; };
    m68k = { bits = 32; byteOrder = big; family = "m68k"; linuxArch = "m68k"; debian = "m68k"; };
    microblaze = { bits = 32; byteOrder = big; family = "microblaze"; linuxArch = "microblaze"; };
    microblazeel = { bits = 32; byteOrder = little; family = "microblaze"; linuxArch = "microblaze"; };
    mips = { bits = 32; byteOrder = big; family = "mips"; linuxArch = "mips"; go = "mips"; };
    mips64 = { bits = 64; byteOrder = big; family = "mips"; linuxArch = "mips"; go = "mips64"; };
    mips64el = { bits = 64; byteOrder = little; family = "mips"; linuxArch = "mips"; debian = "mips64el"; go = "mips64le"; };
    mipsel = { bits = 32; byteOrder = little; family = "mips"; linuxArch = "mips"; debian = "mipsel"; go = "mipsle"; };
    powerpc = { bits = 32; byteOrder = big; family = "power"; linuxArch = "powerpc"; qemu = "ppc"; debian = "powerpc"; };
    powerpc64 = { bits = 64; byteOrder = big; family = "power"; linuxArch = "powerpc"; qemu = "ppc64"; debian = "ppc64"; go = "ppc64"; };
    powerpc64le = { bits = 64; byteOrder = little; family = "power"; linuxArch = "powerpc"; qemu = "ppc64le"; debian = "ppc64el"; go = "ppc64le"; };
    riscv32 = { bits = 32; byteOrder = little; family = "riscv"; linuxArch = "riscv"; efi = "riscv32"; };
    riscv64 = { bits = 64; byteOrder = little; family = "riscv"; linuxArch = "riscv"; debian = "riscv64"; efi = "riscv64"; go = "riscv64"; };
    s390 = { bits = 32; byteOrder = big; family = "s390"; linuxArch = "s390"; };
    s390x = { bits = 64; byteOrder = big; family = "s390"; linuxArch = "s390"; debian = "s390x"; go = "s390x"; };
    wasm32 = { bits = 32; byteOrder = little; family = "wasm"; };
  };

  # `abi` is what a system name without one means; `vendor` likewise.
  kernels = {
    linux = { families = [ ]; execFormat = "elf"; vendor = "unknown"; libc = "glibc"; };
    darwin = { families = [ "darwin" ]; execFormat = "macho"; vendor = "apple"; libc = "libSystem"; };
    freebsd = { families = [ "bsd" ]; execFormat = "elf"; vendor = "unknown"; libc = "fblibc"; };
    netbsd = { families = [ "bsd" ]; execFormat = "elf"; vendor = "unknown"; libc = "nblibc"; };
    openbsd = { families = [ "bsd" ]; execFormat = "elf"; vendor = "unknown"; libc = null; };
    solaris = { families = [ ]; execFormat = "elf"; vendor = "sun"; libc = null; };
    windows = { families = [ ]; execFormat = "pe"; vendor = "pc"; libc = "msvcrt"; };
    cygwin = { families = [ ]; execFormat = "pe"; vendor = "pc"; libc = "cygwin"; };
    none = { families = [ ]; execFormat = "unknown"; vendor = "unknown"; libc = "newlib"; };
    wasi = { families = [ ]; execFormat = "wasm"; vendor = "unknown"; libc = "wasilibc"; };
  };

  # All that a triple may end with.  `float` is that of 32-bit ARM.
  abis = {
    gnu = { libc = "glibc"; };
    gnueabi = { libc = "glibc"; float = "soft"; };
    gnueabihf = { libc = "glibc"; float = "hard"; };
    gnuabi64 = { libc = "glibc"; };
    gnuabielfv1 = { libc = "glibc"; };
    gnuabielfv2 = { libc = "glibc"; };
    musl = { libc = "musl"; };
    musleabi = { libc = "musl"; float = "soft"; };
    musleabihf = { libc = "musl"; float = "hard"; };
    msvc = { };
    cygnus = { };
    eabi = { float = "soft"; };
    eabihf = { float = "hard"; };
    elf = { };
    unknown = { };
  };

  systems = [
    "i686-cygwin" "x86_64-cygwin"
    "aarch64-darwin" "x86_64-darwin"
    "aarch64-freebsd" "i686-freebsd" "x86_64-freebsd"
    "aarch64-linux" "armv5tel-linux" "armv6l-linux" "armv7a-linux" "armv7l-linux" "i686-linux" "loongarch64-linux" "m68k-linux"
    "microblaze-linux" "microblazeel-linux" "mips-linux" "mips64-linux" "mips64el-linux" "mipsel-linux" "powerpc-linux" "powerpc64-linux"
    "powerpc64le-linux" "riscv32-linux" "riscv64-linux" "s390-linux" "s390x-linux" "x86_64-linux"
    "aarch64-netbsd" "i686-netbsd" "x86_64-netbsd"
    "aarch64-none" "riscv32-none" "riscv64-none" "x86_64-none"
    "i686-openbsd" "x86_64-openbsd"
    "x86_64-solaris"
    "wasm32-wasi"
    "aarch64-windows" "i686-windows" "x86_64-windows"
  ];
}
