/**
  The web server nginx: virtual hosts, from options to its configuration.

  It runs as its own user from the start, with the right to have ports below 1024.  Its configuration is /etc/nginx/nginx.conf, so that a switch
  that changes nothing else reloads the server, which goes on answering.
*/
{ config, lib, pkgs, ... }:
let
  inherit (lib) concatMapStrings literalExpression mkOption optional optionalString types;
  cfg = config.services.nginx;

  indent = text: concatMapStrings (line: if line == "" then "" else "  ${line}\n") (lib.splitString "\n" text);
  block = head: body: "${head} {\n${indent body}}\n";
  directive = name: value: optionalString (value != null) "${name} ${toString value};\n";
  given = text: optionalString (text != "") "${text}\n";

  hosts = builtins.attrValues cfg.virtualHosts;
  hasTLS = host: host.addSSL || host.onlySSL || host.forceSSL;
  modules = pkgs.runCommandLocal "nginx-modules.conf" { folders = map (package: "${package}/usr/lib/nginx/modules") cfg.additionalModules; } ''
    for folder in $folders; do
      for file in "$folder"/*.so; do echo "load_module $file;" >> $out; done
    done
  '';

  proxyHeaders = ''
    proxy_set_header Host $host;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Host $host;
    proxy_set_header X-Forwarded-Server $hostname;
  '';

  # Headers that a block sets itself are all that it has.
  keepConnection = "proxy_set_header Connection \"\";\n";

  passwords = basicAuth: pkgs.writeText "nginx-users" (lib.concatStrings (lib.mapAttrsToList (name: password: "${name}:{PLAIN}${password}\n") basicAuth));
  users = one:
    if one.basicAuthFile != null then one.basicAuthFile
    else if one.basicAuth != { } then "${passwords one.basicAuth}"
    else null;
  authentication = one: optionalString (users one != null) "auth_basic secured;\nauth_basic_user_file ${users one};\n";

  isTold = one: if one.recommendedProxySettings != null then one.recommendedProxySettings else cfg.recommendedProxySettings;
  locationText = path: one: block "location ${path}" (
    directive "proxy_pass" one.proxyPass
    + optionalString one.proxyWebsockets ''
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
    ''
    + optionalString (one.proxyPass != null && isTold one) (proxyHeaders + optionalString (!one.proxyWebsockets) keepConnection)
    + lib.concatStrings (lib.mapAttrsToList (name: value: "fastcgi_param ${name} \"${value}\";\n") one.fastcgiParams)
    + directive "index" one.index
    + directive "try_files" one.tryFiles
    + directive "root" one.root
    + directive "alias" one.alias
    + directive "return" one.return
    + authentication one
    + given one.extraConfig);
  locationsText = locations:
    let sorted = lib.sort (a: b: a.value.priority < b.value.priority) (lib.mapAttrsToList lib.nameValuePair locations); in
    concatMapStrings (pair: locationText pair.name pair.value) sorted;

  listensOf = host:
    if host.listen != [ ] then host.listen
    else
      let
        addresses = if host.listenAddresses != [ ] then host.listenAddresses else cfg.defaultListenAddresses;
        at = ssl: port: map (addr: { inherit addr port ssl; extraParameters = [ ]; }) addresses;
      in
      lib.optionals (!host.onlySSL) (at false cfg.defaultHTTPListenPort) ++ lib.optionals (hasTLS host) (at true cfg.defaultSSLListenPort);
  listenText = host: one:
    let
      port = if one.port != null then one.port else if one.ssl then cfg.defaultSSLListenPort else cfg.defaultHTTPListenPort;
      words = [ (if lib.hasPrefix "unix:" one.addr then one.addr else "${one.addr}:${toString port}") ]
        ++ optional host.default "default_server"
        ++ lib.optionals one.ssl ([ "ssl" ] ++ optional host.http2 "http2")
        ++ one.extraParameters;
    in
    directive "listen" words;

  hostText = host:
    let
      all = listensOf host;
      redirected = builtins.filter (one: !one.ssl) all;
      names = directive "server_name" (optional (host.serverName != null) host.serverName ++ host.serverAliases);
      server = listens: body: block "server" (concatMapStrings (listenText host) listens + names + body);
      redirect = target: block "location /" "return ${toString host.redirectCode} ${target};\n";
    in
    optionalString host.forceSSL (server redirected (redirect "https://$host$request_uri"))
    + server (if host.forceSSL then builtins.filter (one: one.ssl) all else all) (
      directive "root" host.root
      + optionalString (hasTLS host) (
        directive "ssl_certificate" host.sslCertificate
        + directive "ssl_certificate_key" host.sslCertificateKey
        + directive "ssl_trusted_certificate" host.sslTrustedCertificate)
      + authentication host
      + (if host.globalRedirect == null then locationsText host.locations
         else redirect "${if hasTLS host then "https" else "http"}://${host.globalRedirect}$request_uri")
      + given host.extraConfig);

  upstreamText = name: one: block "upstream ${name}" (
    lib.concatStrings (lib.mapAttrsToList
      (address: server: directive "server" ([ address ] ++ optional server.backup "backup" ++ optional (server.weight != null) "weight=${toString server.weight}"))
      one.servers)
    + given one.extraConfig);

  http = ''
    include ${pkgs.debian.nginx-common}/etc/nginx/mime.types;
    default_type application/octet-stream;
    types_hash_max_size 4096;
    access_log /var/log/nginx/access.log;
    client_body_temp_path /var/cache/nginx/client_body;
    proxy_temp_path /var/cache/nginx/proxy;
    fastcgi_temp_path /var/cache/nginx/fastcgi;
    uwsgi_temp_path /var/cache/nginx/uwsgi;
    scgi_temp_path /var/cache/nginx/scgi;
    server_tokens ${if cfg.serverTokens then "on" else "off"};
    client_max_body_size ${cfg.clientMaxBodySize};
    map $http_upgrade $connection_upgrade {
      default upgrade;
      "" close;
    }
  ''
  + optionalString cfg.recommendedOptimisation ''
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    keepalive_timeout 65;
  ''
  + optionalString cfg.recommendedTlsSettings ''
    ssl_protocols ${cfg.sslProtocols};
    ssl_session_timeout 1d;
    ssl_session_cache shared:SSL:10m;
    ssl_session_tickets off;
    ssl_prefer_server_ciphers off;
  ''
  + optionalString cfg.recommendedGzipSettings ''
    gzip on;
    gzip_static on;
    gzip_vary on;
    gzip_comp_level 5;
    gzip_min_length 256;
    gzip_proxied expired no-cache no-store private auth;
    gzip_types application/atom+xml application/javascript application/json application/xml application/xhtml+xml image/svg+xml
      text/css text/javascript text/plain text/xml;
  ''
  + optionalString cfg.recommendedProxySettings (''
    proxy_redirect off;
    proxy_connect_timeout ${cfg.proxyTimeout};
    proxy_send_timeout ${cfg.proxyTimeout};
    proxy_read_timeout ${cfg.proxyTimeout};
    proxy_http_version 1.1;
  '' + proxyHeaders + keepConnection)
  + given cfg.commonHttpConfig
  + lib.concatStrings (lib.mapAttrsToList upstreamText cfg.upstreams)
  + concatMapStrings hostText hosts
  + optionalString cfg.statusPage (block "server" ''
    listen 127.0.0.1:${toString cfg.defaultHTTPListenPort};
    ${optionalString config.networking.enableIPv6 "listen [::1]:${toString cfg.defaultHTTPListenPort};"}
    server_name localhost;
    location /nginx_status {
      stub_status on;
      access_log off;
    }
  '')
  + given cfg.appendHttpConfig;

  configuration = ''
    pid /run/nginx/nginx.pid;
    error_log ${cfg.logError};
    daemon off;
  ''
  + optionalString (cfg.additionalModules != [ ]) "include ${modules};\n"
  + given cfg.config
  + optionalString (cfg.config == "") (block "events" cfg.eventsConfig + block "http" http)
  + given cfg.appendConfig;

  flag = description: mkOption { type = types.bool; default = false; example = true; inherit description; };
  lines = example: description: mkOption { type = types.lines; default = ""; inherit example description; };
in
{
  options.services.nginx = {
    enable = lib.mkEnableOption "the web server nginx";
    package = mkOption {
      type = types.package;
      default = pkgs.debian.nginx;
      defaultText = literalExpression "pkgs.debian.nginx";
      example = literalExpression "pkgs.debian.nginx";
      description = "The package that has the server.";
    };
    additionalModules = mkOption {
      type = types.listOf types.package;
      default = [ ];
      example = literalExpression "[ pkgs.debian.libnginx-mod-http-brotli-filter ]";
      description = "Packages of Debian's with further modules, all of which are loaded: a module comes after those that it needs.";
    };
    user = mkOption { type = types.str; default = "nginx"; example = "www-data"; description = "The user that the server runs as."; };
    group = mkOption { type = types.str; default = "nginx"; example = "www-data"; description = "The group that the server runs in."; };
    virtualHosts = mkOption {
      type = types.attrsOf (types.submodule ({ name, ... }: import ./vhost-options.nix { inherit lib name; }));
      default = { };
      example = { "example.org".root = "/srv/www"; };
      description = "The hosts that are served, by their names.";
    };
    upstreams = mkOption {
      type = types.attrsOf (types.submodule {
        options = {
          servers = mkOption {
            type = types.attrsOf (types.submodule {
              options = {
                backup = flag "Whether it is asked only if the others cannot answer.";
                weight = mkOption {
                  type = types.nullOr types.ints.positive;
                  default = null;
                  example = 2;
                  description = "How large its part of the requests is.";
                };
              };
            });
            default = { };
            example = { "127.0.0.1:8080" = { }; };
            description = "The servers, by their addresses.";
          };
          extraConfig = lines "keepalive 16;" "Further directives.";
        };
      });
      default = { };
      example = { app.servers = { "127.0.0.1:8080" = { }; "127.0.0.1:8081".backup = true; }; };
      description = "Groups of servers that requests are passed on to, by their names.";
    };
    defaultListenAddresses = mkOption {
      type = types.listOf types.str;
      default = [ "0.0.0.0" ] ++ optional config.networking.enableIPv6 "[::0]";
      defaultText = literalExpression ''[ "0.0.0.0" ] ++ lib.optional config.networking.enableIPv6 "[::0]"'';
      example = [ "192.0.2.7" ];
      description = "The addresses that hosts listen at which name none.";
    };
    defaultHTTPListenPort = mkOption { type = types.port; default = 80; example = 8080; description = "The port of plain HTTP."; };
    defaultSSLListenPort = mkOption { type = types.port; default = 443; example = 8443; description = "The port of HTTP over TLS."; };
    recommendedOptimisation = flag "Whether files are sent in the ways that are the fastest.";
    recommendedTlsSettings = flag "Whether TLS is set up as is thought safe today.";
    recommendedGzipSettings = flag "Whether texts are compressed.";
    recommendedProxySettings = flag "Whether servers that are passed on to are told who asks, and given time.";
    proxyTimeout = mkOption {
      type = types.str;
      default = "60s";
      example = "20s";
      description = "How long they may take, with `recommendedProxySettings`.";
    };
    sslProtocols = mkOption {
      type = types.str;
      default = "TLSv1.2 TLSv1.3";
      example = "TLSv1.3";
      description = "The versions of TLS, with `recommendedTlsSettings`.";
    };
    statusPage = flag "Whether `http://localhost/nginx_status` tells how the server is doing.";
    serverTokens = flag "Whether answers tell the server's version.";
    clientMaxBodySize = mkOption { type = types.str; default = "10m"; example = "1g"; description = "How large a request may be."; };
    logError = mkOption {
      type = types.str;
      default = "stderr";
      example = "stderr debug";
      description = "Where errors go, and from which level on; `stderr` is the journal.";
    };
    enableReload = mkOption {
      type = types.bool;
      default = true;
      example = false;
      description = "Whether a changed configuration is reloaded, in place of the server being restarted.";
    };
    eventsConfig = lines "worker_connections 4096;" "Directives of the block `events`.";
    commonHttpConfig = lines "log_format short '$remote_addr $request';" "Directives of the block `http`, before the hosts.";
    appendHttpConfig = lines "include /var/lib/nginx/*.conf;" "Directives of the block `http`, after the hosts.";
    config = lines "events { }\nhttp { server { root /srv/www; } }" "The whole of the blocks `events` and `http`, in place of the generated ones.";
    appendConfig = lines "stream { }" "What the configuration ends with, outside of its blocks.";
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ cfg.package ] ++ cfg.additionalModules;
    environment.etc."nginx/nginx.conf".text = configuration;
    services.logrotate.settings.nginx = {
      files = lib.mkDefault [ "/var/log/nginx/*.log" ];
      rotate = lib.mkDefault 26;
      compress = lib.mkDefault true;
      delaycompress = lib.mkDefault true;
      missingok = lib.mkDefault true;
      su = lib.mkDefault "${cfg.user} ${cfg.group}";
      postrotate = lib.mkDefault "[ ! -f /run/nginx/nginx.pid ] || kill -USR1 $(cat /run/nginx/nginx.pid)";
    };
    users.users = lib.mkIf (cfg.user == "nginx") { nginx = { isSystemUser = true; inherit (cfg) group; description = "nginx web server"; }; };
    users.groups = lib.mkIf (cfg.group == "nginx") { nginx = { }; };

    systemd.services.nginx =
      let
        file = config.environment.etc."nginx/nginx.conf".source;
        server = "${cfg.package}/sbin/nginx -e stderr -c /etc/nginx/nginx.conf";
      in
      {
        description = "Nginx Web Server";
        documentation = [ "man:nginx(8)" ];
        wantedBy = [ "multi-user.target" ];
        after = [ "network.target" ];
        wants = [ "network.target" ];
        # The old one answers until the new one is there.
        stopIfChanged = false;
        reloadTriggers = lib.mkIf cfg.enableReload [ file ];
        restartTriggers = lib.mkIf (!cfg.enableReload) [ file ];
        serviceConfig = {
          ExecStartPre = "${server} -t";
          ExecStart = server;
          ExecReload = [ "${server} -t" "${pkgs.debian.procps}/bin/kill -HUP $MAINPID" ];
          Restart = "always";
          RestartSec = "10s";
          User = cfg.user;
          Group = cfg.group;
          RuntimeDirectory = "nginx";
          CacheDirectory = "nginx";
          LogsDirectory = "nginx";
          UMask = "0027";
          AmbientCapabilities = [ "CAP_NET_BIND_SERVICE" ];
          CapabilityBoundingSet = [ "CAP_NET_BIND_SERVICE" ];
          NoNewPrivileges = true;
          PrivateTmp = true;
          ProtectSystem = "strict";
          ProtectHome = lib.mkDefault true;
        };
      };

    assertions = lib.concatMap
      (name:
        let host = cfg.virtualHosts.${name}; place = "services.nginx.virtualHosts.${builtins.toJSON name}"; in
        [
          {
            assertion = lib.count lib.id [ host.addSSL host.onlySSL host.forceSSL ] <= 1;
            message = "`${place}` has more than one of `addSSL`, `onlySSL` and `forceSSL`";
          }
          {
            assertion = !hasTLS host || (host.sslCertificate != null && host.sslCertificateKey != null);
            message = "`${place}` shall speak TLS, and so needs `sslCertificate` and `sslCertificateKey`";
          }
        ]
        ++ lib.mapAttrsToList
          (path: one: {
            assertion = one.root == null || one.alias == null;
            message = "`${place}.locations.${builtins.toJSON path}` has both `root` and `alias`; it can have one of them";
          })
          host.locations)
      (builtins.attrNames cfg.virtualHosts)
    ++ [ {
      assertion = lib.count (host: host.default) hosts <= 1;
      message = "several hosts of `services.nginx.virtualHosts` are the `default`";
    } ];
  };
}
