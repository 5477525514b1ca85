/**
  Platforms: what a system name such as `x86_64-linux` stands for.

  `elaborate` makes a platform of it: `stdenv.hostPlatform` and its like.  Packages of the channel exist for Debian's Linux
  architectures; other names can be spoken of (`meta.platforms`), and elaborated as far as `tables.nix` knows them.
*/
{ lib }:
let
  inherit (builtins) attrNames elemAt filter isAttrs isString length listToAttrs mapAttrs;
  inherit (lib.strings) optionalString;

  tables = import ./tables.nix;

  known = what: table: name:
    if table ? ${name} then name
    else throw "lib.systems: `${name}` is no ${what} that is known here; these are: ${toString (attrNames table)}";

  defaultAbi = cpu: kernel:
    if kernel == "linux" then
      (if lib.hasPrefix "armv5" cpu then "gnueabi"
      else if lib.hasPrefix "arm" cpu then "gnueabihf"
      else if cpu == "powerpc64" then "gnuabielfv2"
      else if lib.hasPrefix "mips64" cpu then "gnuabi64"
      else "gnu")
    else if kernel == "windows" then "msvc"
    else if kernel == "cygwin" then "cygnus"
    else if kernel == "none" then "elf"
    else "unknown";

  makeParsed = cpuName: vendor: kernelName: abiName:
    let
      cpu = tables.cpus.${known "processor" tables.cpus cpuName};
      kernel = tables.kernels.${known "kernel" tables.kernels kernelName};
      abi = tables.abis.${known "ABI" tables.abis abiName};
    in
    {
      _type = "system";
      cpu = { name = cpuName; inherit (cpu) bits family; significantByte.name = cpu.byteOrder; }
        // lib.optionalAttrs (cpu ? version) { inherit (cpu) version; };
      vendor.name = if vendor == null then kernel.vendor else vendor;
      kernel = { name = kernelName; execFormat.name = kernel.execFormat; families = lib.genAttrs kernel.families (name: { inherit name; }); };
      abi = { name = abiName; } // lib.optionalAttrs (abi ? float) { inherit (abi) float; };
    };

  # What the predicates mean, as patterns for `matchAttrs` on a parsed system; one of several fits.
  patterns =
    let
      family = name: { cpu.family = name; };
      kernel = name: { kernel = { inherit name; }; };
      abi = name: { abi = { inherit name; }; };
    in
    {
      isx86_64 = { cpu = { family = "x86"; bits = 64; }; };
      isi686 = { cpu.name = "i686"; };
      isx86_32 = { cpu = { family = "x86"; bits = 32; }; };
      isx86 = family "x86";
      isAarch64 = { cpu = { family = "arm"; bits = 64; }; };
      isAarch32 = { cpu = { family = "arm"; bits = 32; }; };
      isAarch = family "arm";
      isArmv7 = map (name: { cpu = { inherit name; }; }) [ "armv7a" "armv7l" ];
      isLoongArch64 = { cpu = { family = "loongarch"; bits = 64; }; };
      isM68k = family "m68k";
      isMicroBlaze = family "microblaze";
      isMips = family "mips";
      isMips32 = { cpu = { family = "mips"; bits = 32; }; };
      isMips64 = { cpu = { family = "mips"; bits = 64; }; };
      isPower = family "power";
      isPower64 = { cpu = { family = "power"; bits = 64; }; };
      isRiscV = family "riscv";
      isRiscV32 = { cpu = { family = "riscv"; bits = 32; }; };
      isRiscV64 = { cpu = { family = "riscv"; bits = 64; }; };
      isS390 = family "s390";
      isS390x = { cpu = { family = "s390"; bits = 64; }; };
      isWasm = family "wasm";
      is32bit = { cpu.bits = 32; };
      is64bit = { cpu.bits = 64; };
      isBigEndian = { cpu.significantByte.name = "bigEndian"; };
      isLittleEndian = { cpu.significantByte.name = "littleEndian"; };

      isLinux = kernel "linux";
      isDarwin = kernel "darwin";
      isMacOS = kernel "darwin";
      isFreeBSD = kernel "freebsd";
      isNetBSD = kernel "netbsd";
      isOpenBSD = kernel "openbsd";
      isBSD = [ { kernel.families.bsd = { }; } { kernel.families.darwin = { }; } ];
      isSunOS = kernel "solaris";
      isWindows = kernel "windows";
      isCygwin = kernel "cygwin";
      isMinGW = { kernel.name = "windows"; abi.name = "gnu"; };
      isWasi = kernel "wasi";
      isNone = kernel "none";
      isUnix = map kernel [ "linux" "darwin" "freebsd" "netbsd" "openbsd" "solaris" "cygwin" ];

      isGnu = map abi [ "gnu" "gnueabi" "gnueabihf" "gnuabi64" "gnuabielfv1" "gnuabielfv2" ];
      isMusl = map abi [ "musl" "musleabi" "musleabihf" ];
      isElf = { kernel.execFormat.name = "elf"; };
      isMacho = { kernel.execFormat.name = "macho"; };
    };
in
rec {
  /** { predicates; patterns; }: questions about a parsed system, as functions and as patterns.
      systems.inspect.predicates.isLinux (systems.parse.mkSystemFromString "x86_64-linux") => true */
  inspect = {
    inherit patterns;
    predicates = mapAttrs (_: pattern: parsed: lib.any (p: lib.matchAttrs p parsed) (lib.toList pattern)) patterns;
  };

  parse = {
    /** string -> parsed system: from `cpu-kernel`, or a triple `cpu-vendor-kernel-abi`.
        (systems.parse.mkSystemFromString "x86_64-linux").cpu.bits => 64 */
    mkSystemFromString = text:
      let
        parts = lib.splitString "-" text;
        part = elemAt parts;
        n = length parts;
        isAbi = name: tables.abis ? ${name};
      in
      if !isString text then throw "lib.systems: a system's name is a string, and not a ${builtins.typeOf text}"
      else if n == 2 then makeParsed (part 0) null (part 1) (defaultAbi (part 0) (part 1))
      else if n == 3 && tables.kernels ? ${part 1} && isAbi (part 2) then makeParsed (part 0) null (part 1) (part 2)
      else if n == 3 && lib.hasPrefix "darwin" (part 2) then makeParsed (part 0) (part 1) "darwin" "unknown"
      else if n == 3 then makeParsed (part 0) (part 1) (part 2) (defaultAbi (part 0) (part 2))
      else if n == 4 then makeParsed (part 0) (part 1) (part 2) (part 3)
      else throw "lib.systems: `${text}` is no name of a system; one looks like `x86_64-linux` or `x86_64-unknown-linux-gnu`";

    /** parsed system -> string
        systems.parse.doubleFromSystem (systems.parse.mkSystemFromString "x86_64-unknown-linux-musl") => "x86_64-linux" */
    doubleFromSystem = { cpu, kernel, ... }: "${cpu.name}-${kernel.name}";

    /** parsed system -> string
        systems.parse.tripleFromSystem (systems.parse.mkSystemFromString "x86_64-linux") => "x86_64-unknown-linux-gnu" */
    tripleFromSystem = { cpu, vendor, kernel, abi, ... }:
      "${cpu.name}-${vendor.name}-${kernel.name}${optionalString (abi.name != "unknown") "-${abi.name}"}";
  };

  /** { name = [system]; }: lists of system names, by kernel, processor and kind; also `lib.platforms`.
      elem "x86_64-linux" systems.doubles.linux => true */
  doubles =
    let
      parsed = listToAttrs (map (name: { inherit name; value = parse.mkSystemFromString name; }) tables.systems);
      those = pred: filter (name: pred parsed.${name}) tables.systems;
      fulfil = name: those inspect.predicates.${name};
    in
    {
      all = tables.systems;
      none = [ ];
      allBut = names: lib.subtractLists names tables.systems;
    }
    // mapAttrs (_: fulfil) {
      arm = "isAarch32";
      armv7 = "isArmv7";
      aarch = "isAarch";
      aarch64 = "isAarch64";
      bigEndian = "isBigEndian";
      cygwin = "isCygwin";
      darwin = "isDarwin";
      freebsd = "isFreeBSD";
      gnu = "isLinux";
      i686 = "isi686";
      linux = "isLinux";
      littleEndian = "isLittleEndian";
      loongarch64 = "isLoongArch64";
      m68k = "isM68k";
      microblaze = "isMicroBlaze";
      mips = "isMips";
      netbsd = "isNetBSD";
      openbsd = "isOpenBSD";
      power = "isPower";
      riscv = "isRiscV";
      riscv32 = "isRiscV32";
      riscv64 = "isRiscV64";
      s390 = "isS390";
      s390x = "isS390x";
      unix = "isUnix";
      wasi = "isWasi";
      windows = "isWindows";
      x86 = "isx86";
      x86_64 = "isx86_64";
    };

  /** [system]: those that the channel has packages for, where nothing else is said. */
  flakeExposed = [ "x86_64-linux" "aarch64-linux" ];

  /** platform -> platform -> bool: the same, functions apart?
      systems.equals (systems.elaborate "x86_64-linux") (systems.elaborate { system = "x86_64-linux"; }) => true */
  equals = a: b:
    let plain = lib.filterAttrs (_: v: !lib.isFunction v); in plain a == plain b;

  /** system, or set with `system`, `config` or a parsed system, and what shall be otherwise -> platform
      (systems.elaborate "aarch64-linux").config => "aarch64-unknown-linux-gnu" */
  elaborate = given:
    let
      args = if isString given then { system = given; } else given;
      parsed =
        args.parsed or (
          if args ? config then parse.mkSystemFromString args.config
          else if args ? system then parse.mkSystemFromString args.system
          else throw "lib.systems.elaborate: give `system` or `config`");
      cpu = tables.cpus.${parsed.cpu.name};
      libc = tables.abis.${parsed.abi.name}.libc or tables.kernels.${parsed.kernel.name}.libc;
      predicates = mapAttrs (_: pred: pred parsed) inspect.predicates;

      final = predicates // {
        inherit parsed libc;
        system = parse.doubleFromSystem parsed;
        config = parse.tripleFromSystem parsed;

        # Names of the processor elsewhere.
        linuxArch = cpu.linuxArch or parsed.cpu.name;
        qemuArch = cpu.qemu or parsed.cpu.name;
        efiArch = cpu.efi or parsed.cpu.name;
        debianArch = cpu.debian or (throw "lib.systems: Debian has no port for ${parsed.cpu.name}");
        ubootArch = if final.isAarch64 then "arm64" else if final.isx86 then "x86" else final.linuxArch;
        uname = {
          system = {
            linux = "Linux"; darwin = "Darwin"; freebsd = "FreeBSD"; netbsd = "NetBSD"; openbsd = "OpenBSD"; windows = "Windows";
          }.${parsed.kernel.name} or null;
          processor =
            if final.isDarwin && final.isAarch64 then "arm64"
            else if final.isPower64 then "ppc64${optionalString final.isLittleEndian "le"}"
            else if final.isPower then "ppc"
            else parsed.cpu.name;
          release = null;
        };
        rust.rustcTarget = if parsed.vendor.name == "pc" then "${parsed.cpu.name}-pc-windows-${parsed.abi.name}" else final.config;
        go = { GOARCH = cpu.go or null; GOOS = parsed.kernel.name; };

        linux-kernel =
          if final.isx86 then { name = "pc"; baseConfig = "defconfig"; target = "bzImage"; autoModules = true; }
          else if final.isAarch64 then { name = "aarch64-multiplatform"; baseConfig = "defconfig"; target = "Image"; autoModules = true; DTB = true; }
          else { name = final.linuxArch; baseConfig = "defconfig"; target = "vmlinux"; autoModules = true; };

        isStatic = final.isWasi || final.isNone;
        hasSharedLibraries = !final.isStatic;
        useLLVM = false;
        isLLVMLibc = false;
        extensions = {
          sharedLibrary = if final.isDarwin then ".dylib" else if final.isWindows || final.isCygwin then ".dll" else ".so";
          staticLibrary = if final.isWindows && !final.isMinGW then ".lib" else ".a";
          library = if final.isStatic then final.extensions.staticLibrary else final.extensions.sharedLibrary;
          executable = if final.isWindows || final.isCygwin then ".exe" else if final.isWasi then ".wasm" else "";
        };

        /** platform -> bool: do programs of the other platform run on this one as they are? */
        canExecute = other:
          parsed.kernel.name == other.parsed.kernel.name
          && (parsed.cpu.name == other.parsed.cpu.name
            || (final.isx86_64 && other.isx86_32)
            || (final.isAarch32 && other.isAarch32 && !lib.versionOlder parsed.cpu.version other.parsed.cpu.version));
        isCompatible = final.canExecute;
      } // builtins.removeAttrs args [ "parsed" "system" "config" ];
    in
    if !(isString given || isAttrs given) then throw "lib.systems.elaborate: takes the name of a system, or a set, and got a ${builtins.typeOf given}"
    # What is elaborated already stays as it is.
    else if args ? parsed && args ? canExecute then args
    else final;
}
