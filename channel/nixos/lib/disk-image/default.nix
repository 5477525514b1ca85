/**
  A disk with a system on it, as one file, or what starts it without a boot loader: `{ config; lib; pkgs; … }` -> derivation.

  The builder is `make.py` with Debian's own tools (mke2fs, debugfs, sfdisk, GRUB) as its /usr: an ordinary build, that needs no root, no
  loop device, no mount and no virtual machine, and gives the same bytes each time.

  `contents` are further files: `{ "etc/nixos/configuration.nix" = path; }`, copied with what they hold.  `channels`, where it is not null, is the user
  environment that root's channels begin with.
*/
{ config
, lib
, pkgs
, name ? "nixos-disk-image"
  # The file's name, without what its format adds.
, fileName ? "nixos"
  # raw, qcow2 (zlib), qcow2-zstd, tar, direct (kernel, initrd and command line)
, format ? "qcow2"
  # In MiB, or "auto": what is needed, and `additionalSpace` MiB.
, diskSize ? "auto"
, additionalSpace ? 512
, label ? "nixos"
, contents ? { }
, channels ? null
}:
let
  formats = [ "raw" "qcow2" "qcow2-zstd" "tar" "direct" ];
  inherit (config.system.build) toplevel;

  farm = pkgs.makeFarm (with pkgs.debian; [ python3 e2fsprogs fdisk grub-common grub-pc-bin libdeflate0 libzstd1 ]);
  scripts = builtins.path { name = "disk-image"; path = ./.; filter = path: _: lib.hasSuffix ".py" path; };
  # What the builder is made of, the programs of the machine, of which the boot menu's writer is one, and the store's database.
  libraries = [ "${scripts}" "${config.system.build.target}" "${pkgs.nivalis.source}" ];
in
assert lib.assertOneOf "format" format formats;
derivation {
  inherit name;
  inherit (pkgs) system;
  __structuredAttrs = true;
  builder = "${farm}/usr/bin/python3";
  args = [ "-S" "-B" "-P" "${scripts}/make.py" ];
  preferLocalBuild = true;
  allowSubstitutes = false;
  # A machine's disk has no use for what it was made from.
  unsafeDiscardReferences.out = true;
  usrFarm = "${farm}";
  exportReferencesGraph.closure = [ "${toplevel}" ] ++ lib.optional (channels != null) "${channels}" ++ lib.mapAttrsToList (_: file: "${file}") contents;
  description = {
    inherit fileName format diskSize additionalSpace label libraries;
    toplevel = "${toplevel}";
    inherit (pkgs.snapshot) date;
    channels = if channels == null then null else "${channels}";
    contents = lib.mapAttrs (_: file: "${file}") contents;
    # Names of the disk and its file system follow from the system: two systems' are not mistaken for each other.
    seed = builtins.hashString "sha256" (builtins.unsafeDiscardStringContext "${toplevel}");
  };
}
