/**
  The database PostgreSQL.

  `postgresql.service` is the server; `postgresql-setup.service` then makes the databases and users that are declared, so that declaring one more
  does not restart the server.  `postgresql.target` is what a service waits for that needs both.

  The data on disk are of one major version.  Which one a machine has follows from `system.stateVersion`, so that a newer release of Debian does not
  start a server that cannot read them.
*/
{ config, lib, pkgs, ... }:
let
  inherit (lib) concatMapStrings literalExpression mkOption optionalString types;
  cfg = config.services.postgresql;

  refuse = version: throw ''
    `system.stateVersion` is "${config.system.stateVersion}", so the databases of this machine are of PostgreSQL ${version}, which Debian ${config.system.nixos.release} does not have: convert them by pg_upgrade(1), and say by `services.postgresql.package` which version they are of then'';
  # What the releases of Debian come with.
  packageOf = {
    "11" = pkgs.debian.postgresql-13 or (refuse "13");
    "12" = pkgs.debian.postgresql-15 or (refuse "15");
    "13" = pkgs.debian.postgresql-17 or (refuse "17");
  };
  clientOf = {
    "13" = pkgs.debian.postgresql-client-13;
    "15" = pkgs.debian.postgresql-client-15;
    "17" = pkgs.debian.postgresql-client-17;
  };

  major = lib.removePrefix "postgresql-" cfg.package.debian.name;
  bin = "${cfg.package}/usr/lib/postgresql/${major}/bin";
  isUsual = lib.hasPrefix "/var/lib/postgresql/" cfg.dataDir;
  client = clientOf.${major} or pkgs.debian."postgresql-client-${major}";

  show = value:
    if value == true then "on" else if value == false then "off"
    else if builtins.isString value then "'${builtins.replaceStrings [ "'" ] [ "''" ] value}'"
    else toString value;
  line = name: value: optionalString (value != null) "${name} = ${show value}\n";
  configuration = pkgs.writeText "postgresql.conf" (lib.concatStrings (lib.mapAttrsToList line cfg.settings));

  identifier = name: ''"${builtins.replaceStrings [ ''"'' ] [ ''""'' ] name}"'';
  literal = text: "'${builtins.replaceStrings [ "'" ] [ "''" ] text}'";
  sql = command: "psql -tA -c ${lib.escapeShellArg command}\n";
  # Makes something unless a query finds it.
  ensure = query: command: ''
    if [ -z "$(psql -tA -c ${lib.escapeShellArg query})" ]; then
      psql -tA -c ${lib.escapeShellArg command}
    fi
  '';
  clauses = user:
    let given = lib.filterAttrs (_: value: value != null) user.ensureClauses; in
    lib.concatStringsSep " " (lib.mapAttrsToList (name: value: optionalString (!value) "NO" + lib.toUpper name) given);

  clause = description: mkOption {
    type = types.nullOr types.bool;
    default = null;
    example = true;
    description = "Whether the user ${description}; null to leave it as it is.";
  };
  flag = default: description: mkOption { type = types.bool; inherit default description; example = !default; };
in
{
  imports = [
    (lib.mkRenamedOptionModule [ "services" "postgresql" "port" ] [ "services" "postgresql" "settings" "port" ])
    (lib.mkRemovedOptionModule [ "services" "postgresql" "extraConfig" ] "Settings are set one by one, by `services.postgresql.settings`.")
  ];

  options.services.postgresql = {
    enable = lib.mkEnableOption "the database PostgreSQL";
    package = mkOption {
      type = types.package;
      default = packageOf.${config.system.stateVersion} or (throw "which version of PostgreSQL a machine of release \"${config.system.stateVersion}\" (`system.stateVersion`) has is not known here: set `services.postgresql.package`");
      defaultText = literalExpression "the version of the release that `system.stateVersion` names";
      example = literalExpression "pkgs.debian.postgresql-15";
      description = "The package that has the server, one of Debian's `postgresql-VERSION`.";
    };
    dataDir = mkOption {
      type = types.path;
      default = "/var/lib/postgresql/${major}";
      defaultText = literalExpression ''"/var/lib/postgresql/VERSION"'';
      example = "/srv/postgresql";
      description = "Where the databases are; the folder is made if it is not there.";
    };
    authentication = mkOption {
      type = types.lines;
      default = "";
      example = "host shop shop 192.0.2.0/24 scram-sha-256";
      description = "Who may connect, as pg_hba.conf has it; the usual rules, by which a user of the machine is that of the database, come after these.";
    };
    identMap = mkOption {
      type = types.lines;
      default = "";
      example = "postgres alice postgres";
      description = "Which users of the machine may be which of the database, as pg_ident.conf has it.";
    };
    settings = mkOption {
      type = types.submodule {
        freeformType = with types; attrsOf (nullOr (oneOf [ bool int float str ]));
        options = {
          port = mkOption {
            type = types.port;
            default = 5432;
            example = 5433;
            description = "The port, of TCP and in the name of the socket in /run/postgresql.";
          };
          log_line_prefix = mkOption {
            type = types.str;
            default = "[%p] ";
            example = "%m [%p] ";
            description = "What a line of the log begins with.";
          };
        };
      };
      default = { };
      example = { max_connections = 200; shared_buffers = "1GB"; };
      description = "Settings of postgresql.conf.";
    };
    enableTCPIP = flag false "Whether the server listens at all addresses, in place of the machine's own ones alone.";
    enableJIT = flag false "Whether queries are compiled.";
    initdbArgs = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "--data-checksums" ];
      description = "Further arguments of initdb(1), which makes the folder of data.";
    };
    initialScript = mkOption {
      type = types.nullOr types.path;
      default = null;
      example = literalExpression "./initial.sql";
      description = "SQL that is run once, when the folder of data is made.";
    };
    ensureDatabases = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "shop" ];
      description = "Databases that are made if they are not there.  None is ever removed.";
    };
    ensureUsers = mkOption {
      type = types.listOf (types.submodule {
        options = {
          name = mkOption { type = types.str; example = "shop"; description = "The user's name."; };
          ensureDBOwnership = flag false "Whether the user owns the database of the same name.";
          ensureClauses = {
            superuser = clause "may do everything";
            createrole = clause "may make users";
            createdb = clause "may make databases";
            "inherit" = clause "has the rights of the roles that it is in";
            login = clause "may connect";
            replication = clause "may copy the whole server";
            bypassrls = clause "sees all rows";
          };
        };
      });
      default = [ ];
      example = [ { name = "shop"; ensureDBOwnership = true; } ];
      description = "Users that are made if they are not there.  None is ever removed.";
    };
    superUser = mkOption {
      type = types.str;
      default = "postgres";
      example = "postgres";
      internal = true;
      readOnly = true;
      description = "The user who may do everything.";
    };
  };

  config = lib.mkIf cfg.enable {
    services.postgresql = {
      settings = {
        hba_file = "${pkgs.writeText "pg_hba.conf" cfg.authentication}";
        ident_file = "${pkgs.writeText "pg_ident.conf" cfg.identMap}";
        log_destination = "stderr";
        listen_addresses = if cfg.enableTCPIP then "*" else "localhost";
        unix_socket_directories = "/run/postgresql";
        jit = cfg.enableJIT;
      };
      authentication = lib.mkAfter ''
        local all postgres peer map=postgres
        local all all peer
        host all all 127.0.0.1/32 scram-sha-256
        host all all ::1/128 scram-sha-256
      '';
      identMap = lib.mkAfter ''
        postgres root postgres
        postgres postgres postgres
      '';
    };

    environment.systemPackages = [ cfg.package client pkgs.debian.tzdata ];
    users.users.postgres = {
      isSystemUser = true;
      group = "postgres";
      home = "/var/lib/postgresql";
      homeMode = "750";
      createHome = true;
      description = "PostgreSQL administrator";
      shell = "/bin/bash";
    };
    users.groups.postgres = { };

    systemd.targets.postgresql = {
      description = "PostgreSQL with its databases and users";
      wantedBy = [ "multi-user.target" ];
      requires = [ "postgresql.service" "postgresql-setup.service" ];
      after = [ "postgresql.service" "postgresql-setup.service" ];
    };
    systemd.services.postgresql = {
      description = "PostgreSQL Server";
      documentation = [ "man:postgres(1)" ];
      wantedBy = [ "multi-user.target" ];
      after = [ "network.target" ];
      environment.PGDATA = cfg.dataDir;
      path = [ pkgs.debian.coreutils ];
      preStart = ''
        if [ ! -e "$PGDATA/PG_VERSION" ]; then
          ${bin}/initdb -U ${cfg.superUser} --encoding=UTF8 --locale=C.UTF-8 ${lib.escapeShellArgs cfg.initdbArgs}
          touch "$PGDATA/.first_startup"
        fi
        if [ "$(cat "$PGDATA/PG_VERSION")" != ${major} ]; then
          echo "the databases in $PGDATA are of PostgreSQL $(cat "$PGDATA/PG_VERSION"), and this is ${major}:" \
            "convert them by pg_upgrade(1), or set services.postgresql.package" >&2
          exit 1
        fi
        ln -sfn ${configuration} "$PGDATA/postgresql.conf"
      '';
      serviceConfig = {
        Type = "notify";
        User = "postgres";
        Group = "postgres";
        ExecStart = "${bin}/postgres";
        ExecReload = "${pkgs.debian.procps}/bin/kill -HUP $MAINPID";
        # Clients are disconnected; without, the server would wait for them.
        KillSignal = "SIGINT";
        KillMode = "mixed";
        TimeoutSec = 120;
        RuntimeDirectory = "postgresql";
        StateDirectory = lib.mkIf isUsual "postgresql ${lib.removePrefix "/var/lib/" cfg.dataDir}";
        StateDirectoryMode = "0750";
        OOMScoreAdjust = -900;
      };
    };
    systemd.services.postgresql-setup = {
      description = "Databases and users of PostgreSQL";
      wantedBy = [ "postgresql.target" ];
      requires = [ "postgresql.service" ];
      after = [ "postgresql.service" ];
      environment = { PGPORT = toString cfg.settings.port; PGHOST = "/run/postgresql"; PGDATABASE = "postgres"; PGDATA = cfg.dataDir; };
      script = ''
        psql() { ${client}/usr/lib/postgresql/${major}/bin/psql -X -v ON_ERROR_STOP=1 "$@"; }
        if [ -e "$PGDATA/.first_startup" ]; then
          ${optionalString (cfg.initialScript != null) "psql -f ${cfg.initialScript} postgres\n  "}rm "$PGDATA/.first_startup"
        fi
      ''
      + concatMapStrings
        (name: ensure "select 1 from pg_database where datname = ${literal name}" "create database ${identifier name}")
        cfg.ensureDatabases
      + concatMapStrings
        (user: ensure "select 1 from pg_roles where rolname = ${literal user.name}" "create user ${identifier user.name}"
          + optionalString user.ensureDBOwnership (sql "alter database ${identifier user.name} owner to ${identifier user.name}")
          + optionalString (clauses user != "") (sql "alter role ${identifier user.name} ${clauses user}"))
        cfg.ensureUsers;
      serviceConfig = { Type = "oneshot"; RemainAfterExit = true; User = "postgres"; Group = "postgres"; };
    };
    systemd.tmpfiles.rules = lib.mkIf (!isUsual) [ "d ${cfg.dataDir} 0750 postgres postgres -" ];

    assertions = map
      (user: {
        assertion = !user.ensureDBOwnership || lib.elem user.name cfg.ensureDatabases;
        message = "the user `${user.name}` of `services.postgresql.ensureUsers` is to own the database of this name, which `services.postgresql.ensureDatabases` does not have";
      })
      cfg.ensureUsers;
  };
}
