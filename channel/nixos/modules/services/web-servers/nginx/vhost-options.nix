/**
  The options of a virtual host of nginx, and of a location in it.
*/
{ lib, name }:
let
  inherit (lib) literalExpression mkOption types;

  text = example: description: mkOption { type = types.nullOr types.str; default = null; inherit example description; };
  lines = example: description: mkOption { type = types.lines; default = ""; inherit example description; };
  flag = description: mkOption { type = types.bool; default = false; example = true; inherit description; };

  # Of a whole host, or of one location.
  authentication = {
    basicAuth = mkOption {
      type = types.attrsOf types.str;
      default = { };
      example = { alice = "secret"; };
      description = "Users and their passwords, which everybody can read in the store.";
    };
    basicAuthFile = mkOption {
      type = types.nullOr types.path;
      default = null;
      example = "/var/lib/nginx/users";
      description = "A file of users and hashes of their passwords, as `htpasswd` makes it.";
    };
  };

  location = {
    options = {
      root = mkOption {
        type = types.nullOr types.path;
        default = null;
        example = "/srv/www";
        description = "The folder that the location's address is looked for in.";
      };
      alias = mkOption {
        type = types.nullOr types.path;
        default = null;
        example = "/srv/files";
        description = "The folder that stands for the location's address.";
      };
      index = text "index.html index.htm" "Files that stand for a folder.";
      tryFiles = text "$uri =404" "Files that are tried in turn, and what comes if none is there.";
      return = mkOption {
        type = with types;
        nullOr (oneOf [ str int ]);
        default = null;
        example = "301 https://example.org$request_uri";
        description = "The answer: a status, with an address or a text.";
      };
      proxyPass = text "http://127.0.0.1:8080" "The server that requests are passed on to.";
      proxyWebsockets = flag "Whether connections of WebSocket are passed on, too.";
      recommendedProxySettings = mkOption {
        type = types.nullOr types.bool;
        default = null;
        example = false;
        description = "Whether the server that is passed on to is told who asks; null for what `services.nginx.recommendedProxySettings` says.";
      };
      fastcgiParams = mkOption {
        type = types.attrsOf types.str;
        default = { };
        example = { SCRIPT_NAME = "/index.cgi"; };
        description = "Parameters of FastCGI.";
      };
      inherit (authentication) basicAuth basicAuthFile;
      extraConfig = lines "autoindex on;" "Further directives.";
      priority = mkOption {
        type = types.int;
        default = 1000;
        example = 500;
        description = "Where in the file the location is: the lower, the earlier.  Of those by regular expressions the first that fits counts.";
      };
    };
  };
in
{
  options = {
    serverName = mkOption {
      type = types.nullOr types.str;
      default = name;
      defaultText = literalExpression "the attribute's name";
      example = "example.org";
      description = "The host's name.";
    };
    serverAliases = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "www.example.org" ];
      description = "Further names of the host.";
    };
    default = flag "Whether requests for hosts that are not known are for this one.";
    listen = mkOption {
      type = types.listOf (types.submodule {
        options = {
          addr = mkOption { type = types.str; example = "192.0.2.7"; description = "The address; one of IPv6 in brackets, or `unix:PATH`."; };
          port = mkOption { type = types.nullOr types.port; default = null; example = 8080; description = "The port; null for the usual one."; };
          ssl = flag "Whether TLS is spoken there.";
          extraParameters = mkOption {
            type = types.listOf types.str;
            default = [ ];
            example = [ "reuseport" ];
            description = "Further parameters of the directive `listen`.";
          };
        };
      });
      default = [ ];
      example = [ { addr = "127.0.0.1"; port = 8080; } ];
      description = "Where the host listens; none for `listenAddresses` and the usual ports.";
    };
    listenAddresses = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "192.0.2.7" "[2001:db8::7]" ];
      description = "The addresses it listens at; none for `services.nginx.defaultListenAddresses`.";
    };
    root = mkOption { type = types.nullOr types.path; default = null; example = "/srv/www"; description = "The folder that is served."; };
    locations = mkOption {
      type = types.attrsOf (types.submodule location);
      default = { };
      example = { "/".proxyPass = "http://127.0.0.1:8080"; };
      description = "What is done with requests, by the beginnings of their addresses, or as nginx's directive `location` has it.";
    };
    globalRedirect = text "new.example.org" "The host that all requests are redirected to.";
    redirectCode = mkOption { type = types.ints.between 300 399; default = 301; example = 308; description = "The status of redirects."; };
    addSSL = flag "Whether the host speaks TLS beside plain HTTP.";
    onlySSL = flag "Whether the host speaks TLS only.";
    forceSSL = flag "Whether requests by plain HTTP are redirected to TLS.";
    http2 = mkOption { type = types.bool; default = true; example = false; description = "Whether HTTP/2 is spoken over TLS."; };
    sslCertificate = mkOption {
      type = types.nullOr types.path;
      default = null;
      example = "/var/lib/certificates/example.org.crt";
      description = "The file with the certificate, and those between it and the authority.";
    };
    sslCertificateKey = mkOption {
      type = types.nullOr types.path;
      default = null;
      example = "/var/lib/certificates/example.org.key";
      description = "The file with its key, outside of the store.";
    };
    sslTrustedCertificate = mkOption {
      type = types.nullOr types.path;
      default = null;
      example = "/var/lib/certificates/chain.crt";
      description = "The file with the authorities' certificates.";
    };
    inherit (authentication) basicAuth basicAuthFile;
    extraConfig = lines "error_page 404 /404.html;" "Further directives.";
  };
}
