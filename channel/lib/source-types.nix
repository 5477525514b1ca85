/**
  What a package was made from: values of `meta.sourceProvenance`.
*/
{ lib }:
builtins.mapAttrs (shortName: isSource: { inherit shortName isSource; }) {
  fromSource = true;
  binaryNativeCode = false;
  binaryBytecode = false;
  binaryFirmware = false;
}
