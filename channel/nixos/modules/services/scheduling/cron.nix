/**
  Lines of crontab(5) as timers of systemd.

  There is no cron: a line becomes a service and a timer, so that its output is in the journal, and `systemctl list-timers` shows when it is due.
*/
{ config, lib, utils, ... }:
let
  inherit (builtins) concatStringsSep elemAt match;
  inherit (lib) mkOption types;
  cfg = config.services.cron;

  refuse = job: why: throw "the line of `services.cron.systemCronJobs` cannot be understood: ${why}: `${job}`";
  space = "[[:space:]]+";
  word = "([^[:space:]]+)";

  days = [ "Sun" "Mon" "Tue" "Wed" "Thu" "Fri" "Sat" "Sun" ];
  months = [ "jan" "feb" "mar" "apr" "may" "jun" "jul" "aug" "sep" "oct" "nov" "dec" ];
  indexOf = list: name: lib.findFirst (index: elemAt list index == name) null (lib.range 0 (builtins.length list - 1));
  # A number, or a name of one, between two bounds; `show` is how systemd has it.
  number = job: kind: text:
    let
      small = lib.toLower text;
      named = if kind.names == [ ] then null else indexOf (map lib.toLower kind.names) small;
      value = if match "[0-9]{1,2}" text != null then lib.toIntBase10 text else if named != null then named + kind.first else -1;
    in
    if value < kind.low || value > kind.high then refuse job "`${text}` is no ${kind.what}" else kind.show value;
  plain = what: low: high: { inherit what low high; names = [ ]; first = 0; show = toString; };
  kinds = {
    minute = plain "minute" 0 59;
    hour = plain "hour" 0 23;
    day = plain "day of a month" 1 31;
    month = plain "month" 1 12 // { names = months; first = 1; };
    weekday = { what = "day of the week"; low = 0; high = 7; names = lib.take 7 days; first = 0; show = elemAt days; };
  };
  item = job: kind: text:
    let
      every = match "\\*/([0-9]+)" text;
      range = match "([^-/]+)-([^-/]+)(/([0-9]+))?" text;
      step = let count = elemAt range 3; in if count == null then "" else "/${count}";
    in
    if kind.names == kinds.weekday.names && (every != null || (range != null && step != "")) then refuse job "systemd knows no steps of days of the week"
    else if every != null then "${toString kind.low}/${elemAt every 0}"
    else if range != null then "${number job kind (elemAt range 0)}..${number job kind (elemAt range 1)}${step}"
    else number job kind text;
  field = job: kind: text: if text == "*" then "*" else lib.concatMapStringsSep "," (item job kind) (lib.splitString "," text);

  shorthands = {
    "@yearly" = "0 0 1 1 *";
    "@annually" = "0 0 1 1 *";
    "@monthly" = "0 0 1 * *";
    "@weekly" = "0 0 * * 0";
    "@daily" = "0 0 * * *";
    "@midnight" = "0 0 * * *";
    "@hourly" = "0 * * * *";
  };

  read = job:
    let
      short = match "[[:space:]]*(@[a-z]+)${space}(.*)" job;
      long =
        if short == null then job
        else if shorthands ? ${elemAt short 0} then "${shorthands.${elemAt short 0}} ${elemAt short 1}"
        else refuse job "`${elemAt short 0}` is no time; what is done once at boot is a service, `systemd.services.NAME`";
      parts = match "[[:space:]]*${word}${space}${word}${space}${word}${space}${word}${space}${word}${space}${word}${space}(.*)" long;
      get = kind: index: field job kinds.${kind} (elemAt parts index);
      at = weekday: day: "${lib.optionalString (weekday != "*") "${weekday} "}*-${get "month" 3}-${day} ${get "hour" 1}:${get "minute" 0}:00";
      day = get "day" 2;
      weekday = get "weekday" 4;
    in
    if parts == null then refuse job "it wants five fields of time, a user and a command"
    else {
      # A line with both is due when either is.
      calendar = if day != "*" && weekday != "*" then [ (at weekday "*") (at "*" day) ] else [ (at weekday day) ];
      user = elemAt parts 5;
      command = elemAt parts 6;
    };

  services = lib.listToAttrs (map
    (job:
      let it = read job; in
      {
        name = "cron-${builtins.substring 0 8 (builtins.hashString "sha256" job)}";
        value = {
          description = "cron: ${builtins.replaceStrings [ "%" ] [ "%%" ] it.command}";
          startAt = it.calendar;
          restartIfChanged = false;
          environment.PATH = lib.mkForce "/run/wrappers/bin:/usr/local/bin:/usr/bin:/usr/local/sbin:/usr/sbin";
          serviceConfig = { Type = "oneshot"; User = it.user; ExecStart = "/bin/sh -c ${utils.escapeSystemdExecArg it.command}"; };
        };
      })
    cfg.systemCronJobs);
in
{
  options.services.cron = {
    enable = mkOption {
      type = types.bool;
      default = cfg.systemCronJobs != [ ];
      defaultText = lib.literalExpression "config.services.cron.systemCronJobs != [ ]";
      example = true;
      description = "Whether the lines are timers.";
    };
    systemCronJobs = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "*/5 * * * * root /srv/bin/check" "@daily www-data /srv/bin/clean" ];
      description = "Lines as /etc/crontab has them: minute, hour, day, month, day of the week, user, command.";
    };
  };

  config = lib.mkIf cfg.enable { systemd.services = services; };
}
