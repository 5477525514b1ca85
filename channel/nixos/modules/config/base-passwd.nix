/**
  Debian's own users and groups, with the numbers that they have on every Debian system: the masters of its package base-passwd.
*/
{
  groups = {
    root = 0; daemon = 1; bin = 2; sys = 3; adm = 4; tty = 5; disk = 6; lp = 7; mail = 8; news = 9; uucp = 10; man = 12; proxy = 13; kmem = 15;
    dialout = 20; fax = 21; voice = 22; cdrom = 24; floppy = 25; tape = 26; sudo = 27; audio = 29; dip = 30; www-data = 33; backup = 34;
    operator = 37; list = 38; irc = 39; src = 40; shadow = 42; utmp = 43; video = 44; sasl = 45; plugdev = 46; staff = 50; games = 60;
    users = 100; nogroup = 65534;
  };

  # root is where it is declared.
  users = {
    daemon = { uid = 1; group = "daemon"; home = "/usr/sbin"; description = "daemon"; };
    bin = { uid = 2; group = "bin"; home = "/bin"; description = "bin"; };
    sys = { uid = 3; group = "sys"; home = "/dev"; description = "sys"; };
    sync = { uid = 4; group = "nogroup"; home = "/bin"; description = "sync"; shell = "/bin/sync"; };
    games = { uid = 5; group = "games"; home = "/usr/games"; description = "games"; };
    man = { uid = 6; group = "man"; home = "/var/cache/man"; description = "man"; };
    lp = { uid = 7; group = "lp"; home = "/var/spool/lpd"; description = "lp"; };
    mail = { uid = 8; group = "mail"; home = "/var/mail"; description = "mail"; };
    news = { uid = 9; group = "news"; home = "/var/spool/news"; description = "news"; };
    uucp = { uid = 10; group = "uucp"; home = "/var/spool/uucp"; description = "uucp"; };
    proxy = { uid = 13; group = "proxy"; home = "/bin"; description = "proxy"; };
    www-data = { uid = 33; group = "www-data"; home = "/var/www"; description = "www-data"; };
    backup = { uid = 34; group = "backup"; home = "/var/backups"; description = "backup"; };
    list = { uid = 38; group = "list"; home = "/var/list"; description = "Mailing List Manager"; };
    irc = { uid = 39; group = "irc"; home = "/run/ircd"; description = "ircd"; };
    _apt = { uid = 42; group = "nogroup"; home = "/nonexistent"; description = ""; };
    nobody = { uid = 65534; group = "nogroup"; home = "/nonexistent"; description = "nobody"; };
  };
}
