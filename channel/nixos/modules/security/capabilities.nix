/**
  The kernel's capabilities by their numbers (linux/capability.h), and what capabilities(7) calls their textual representation.
*/
{ lib }:
let
  names = [
    "chown" "dac_override" "dac_read_search" "fowner" "fsetid" "kill" "setgid" "setuid" "setpcap" "linux_immutable" "net_bind_service" "net_broadcast"
    "net_admin" "net_raw" "ipc_lock" "ipc_owner" "sys_module" "sys_rawio" "sys_chroot" "sys_ptrace" "sys_pacct" "sys_admin" "sys_boot" "sys_nice"
    "sys_resource" "sys_time" "sys_tty_config" "mknod" "lease" "audit_write" "audit_control" "setfcap" "mac_override" "mac_admin" "syslog" "wake_alarm"
    "block_suspend" "audit_read" "perfmon" "bpf" "checkpoint_restore"
  ];
  numbers = lib.listToAttrs (lib.imap0 (value: name: { name = "cap_${name}"; inherit value; }) names);
in
{
  /** string -> { permitted; inheritable; effective; } or null: the numbers that clauses such as `cap_net_raw,cap_net_admin+ep` give a program.
      null where it is no such text.  That they are effective from the start is one bit of a file: a clause with `e` sets it for all. */
  parse = text:
    let
      parts = builtins.split "([a-z_,]*)[=+]([eip]+)" text;
      clauses = builtins.filter builtins.isList parts;
      namesOf = clause: builtins.filter (name: name != "") (lib.splitString "," (builtins.head clause));
      numbersOf = clause: if namesOf clause == [ "all" ] then lib.range 0 (builtins.length names - 1) else map (name: numbers.${name}) (namesOf clause);
      having = flag: lib.sort (a: b: a < b) (lib.unique (lib.concatMap numbersOf (builtins.filter (clause: lib.hasInfix flag (lib.last clause)) clauses)));
      isKnown = clause: namesOf clause != [ ] && (namesOf clause == [ "all" ] || lib.all (name: numbers ? ${name}) (namesOf clause));
    in
    if lib.any (part: builtins.isString part && builtins.match "[ ,]*" part == null) parts || !lib.all isKnown clauses then null
    else { permitted = having "p"; inheritable = having "i"; effective = having "e" != [ ]; };
}
