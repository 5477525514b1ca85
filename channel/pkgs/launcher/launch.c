/* Runs a program where a farm is /usr: the interpreter of the launchers in a profile.
 *
 * A launcher is a file of a few lines: `#!` and this program; `farm` and the store path of what is to be /usr; `nix` and the folder that is
 * to be /nix, where the store is not there; `program` and what to run.  It is run as
 *
 *     launch LAUNCHER ARGUMENTS...
 *
 * which is what the kernel makes of the first line.  The view of the machine is the one that shells over a farm have
 * (src/nivalis/profile/namespace.py says what is seen where, and why): a mount namespace of its own, for an ordinary user in a user
 * namespace in which they stay who they are.  Then this process becomes the program, by exec: its number, its terminal, its working
 * directory, signals and exit status are nobody else's.
 *
 * It is linked statically against musl, and so refers to nothing in the store; it must not take longer than a program does to start.
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OLD "/.nivalis-old-root"
#define ETC "/.etc"

#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif

static const char *const merged[] = {"bin", "sbin", "lib", "lib32", "lib64", "libx32", NULL};
/* Of /etc: the machine's also where the farm has it; about the machine's own /usr, and so left out. */
static const char *const machines[] = {
    "passwd", "group", "shadow", "gshadow", "subuid", "subgid", "machine-id", "hostname", "fstab", "mtab", "timezone", "hosts", "host.conf",
    "resolv.conf", "nsswitch.conf", "gai.conf", "networks", "krb5.conf", "localtime", NULL};
static const char *const of_usr[] = {"alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ld.so.preload", NULL};
static const char *const certs[] = {"certs", NULL};
static const char *const followed[] = {"/etc/localtime", "/etc/resolv.conf", NULL};

static void fail(int status, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fputs("error", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(status);
}

static void fail_view(const char *what)
{
    fail(126,
         "[namespace-unavailable]: this machine does not let a program see its own /usr or /nix: %s\n  at %s\n"
         "  hint: allow user namespaces to ordinary users, or run it as root",
         strerror(errno), what);
}

static int is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (!strcmp(name, *names))
            return 1;
    return 0;
}

static char *join(char *into, const char *folder, const char *name)
{
    if (snprintf(into, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX) {
        errno = ENAMETOOLONG;
        fail_view(folder);
    }
    return into;
}

static int is_folder(const char *path)
{
    struct stat found;

    return !stat(path, &found) && S_ISDIR(found.st_mode);
}

static int is_same(const char *one, const char *other)
{
    struct stat first, second;

    return !stat(one, &first) && !stat(other, &second) && first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

static void write_text(const char *path, const char *text)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);

    if (file < 0 || write(file, text, strlen(text)) < 0)
        fail_view(path);
    close(file);
}

static void bind_at(const char *place, const char *inside)
{
    if (mount(place, inside, NULL, MS_BIND | MS_REC, NULL))
        fail_view(inside);
}

static void link_at(const char *target, const char *inside)
{
    if (symlink(target, inside))
        fail_view(inside);
}

static void make_folder(const char *path)
{
    if (mkdir(path, 0755))
        fail_view(path);
}

/* Whatever is at `place`, at `inside` too. */
static void show(const char *place, const char *inside)
{
    char target[PATH_MAX];
    struct stat found;
    ssize_t length;

    if (lstat(place, &found))
        return;
    if (S_ISLNK(found.st_mode)) {
        /* A bind mount would follow it. */
        length = readlink(place, target, sizeof target - 1);
        if (length < 0)
            fail_view(place);
        target[length] = 0;
        link_at(target, inside);
        return;
    }
    if (S_ISDIR(found.st_mode)) {
        make_folder(inside);
    } else {
        int file = open(inside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

        if (file < 0)
            fail_view(inside);
        close(file);
    }
    bind_at(place, inside);
}

static void enter_namespace(void)
{
    char text[64];
    unsigned user = geteuid(), group = getegid();

    if (!user && !unshare(CLONE_NEWNS))
        return;
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
        fail_view("unshare");
    write_text("/proc/self/setgroups", "deny");
    snprintf(text, sizeof text, "%u %u 1", user, user);
    write_text("/proc/self/uid_map", text);
    snprintf(text, sizeof text, "%u %u 1", group, group);
    write_text("/proc/self/gid_map", text);
}

/* A folder of links: to the machine's files (in `own`) of the names `first`, then to the farm's, then to the machine's others. */
static void merge(const char *folder, const char *own, const char *farm, const char *const *first)
{
    char here[PATH_MAX], there[PATH_MAX], target[PATH_MAX];
    struct dirent *entry;
    DIR *names;

    make_folder(folder);
    if ((names = opendir(farm))) {
        while ((entry = readdir(names))) {
            if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
                continue;
            if (is_one_of(entry->d_name, first) && !faccessat(AT_FDCWD, join(there, own, entry->d_name), F_OK, AT_SYMLINK_NOFOLLOW))
                continue;
            link_at(join(target, farm, entry->d_name), join(here, folder, entry->d_name));
        }
        closedir(names);
    }
    if ((names = opendir(own))) {
        while ((entry = readdir(names))) {
            if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") || is_one_of(entry->d_name, of_usr))
                continue;
            if (symlink(join(target, own, entry->d_name), join(here, folder, entry->d_name)) && errno != EEXIST)
                fail_view(here);
        }
        closedir(names);
    }
}

/* The machine's descriptions of terminals, which are more than a farm's, at a place where Debian's programs look. */
static void show_terminals(const char *place)
{
    DIR *names = opendir(place);
    int count = 0;

    if (!names)
        return;
    while (readdir(names))
        count++;
    closedir(names);
    if (count <= 2)
        return;
    unlink("/etc/terminfo");
    make_folder("/etc/terminfo");
    bind_at(place, "/etc/terminfo");
}

/* A locale that the farm has not becomes C.UTF-8: as C, programs would take no character for what it is. */
static void set_known_locales(void)
{
    char name[64], place[PATH_MAX], *value, *codeset, *modifier;
    size_t length;
    int i;

    for (i = 0; environ[i]; i++) {
        value = strchr(environ[i], '=');
        length = value ? (size_t)(value - environ[i]) : sizeof name;
        if (length >= sizeof name || (strncmp(environ[i], "LANG=", 5) && strncmp(environ[i], "LC_", 3)))
            continue;
        codeset = strchr(++value, '.');
        if (!codeset || (strncasecmp(codeset, ".utf-8", 6) && strncasecmp(codeset, ".utf8", 5)))
            continue;
        modifier = strchr(codeset, '@');
        snprintf(place, sizeof place, "/usr/lib/locale/%.*s.utf8%s", (int)(codeset - value), value, modifier ? modifier : "");
        if (is_folder(place))
            continue;
        snprintf(name, sizeof name, "%.*s", (int)length, environ[i]);
        setenv(name, "C.UTF-8", 1);
    }
}

static void show_farm(const char *farm)
{
    char place[PATH_MAX], inside[PATH_MAX], target[PATH_MAX];
    struct { uint64_t set, clear, propagation, userns; } flags = {1 /* MOUNT_ATTR_RDONLY */, 0, 0, 0};
    int i, is_nested = is_folder(OLD ETC);
    ssize_t length;

    make_folder("/usr");
    bind_at(join(place, farm, "usr"), "/usr");
    /* Root could change the store there; before Linux 5.12 only the store's own modes are against it. */
    syscall(SYS_mount_setattr, AT_FDCWD, "/usr", 0x8000 /* AT_RECURSIVE */, &flags, sizeof flags);
    for (i = 0; merged[i]; i++) {
        length = readlink(join(place, farm, merged[i]), target, sizeof target - 1);
        if (length > 0) {
            target[length] = 0;
            link_at(target, join(inside, "", merged[i]));
        }
    }
    make_folder(ETC);
    /* In a program that another one with a farm has started it is the machine's own, too. */
    bind_at(is_nested ? OLD ETC : OLD "/etc", ETC);
    merge("/etc", ETC, join(place, farm, "etc"), machines);
    if (!access(ETC "/ssl/certs/ca-certificates.crt", R_OK) && is_folder(join(place, farm, "etc/ssl"))) {
        unlink("/etc/ssl");
        merge("/etc/ssl", ETC "/ssl", place, certs);
    }
    show_terminals(is_nested ? OLD "/etc/terminfo" : OLD "/usr/share/terminfo");
}

static void make_view(const char *farm, const char *nix)
{
    char place[PATH_MAX], inside[PATH_MAX], *goals[2];
    struct dirent *entry;
    DIR *names;
    int i;

    /* Where these links lead may be out of sight then. */
    for (i = 0; followed[i]; i++)
        goals[i] = realpath(followed[i], NULL);
    enter_namespace();
    if (mount("none", "/", NULL, MS_SLAVE | MS_REC, NULL))
        fail_view("/");
    if (mount("nivalis", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, NULL))
        fail_view("/tmp");
    make_folder("/tmp" OLD);
    if (syscall(SYS_pivot_root, "/tmp", "/tmp" OLD) || chdir("/") || chmod("/", 0755))
        fail_view("/tmp");
    if (!(names = opendir(OLD)))
        fail_view("/");
    while ((entry = readdir(names))) {
        const char *name = entry->d_name;

        if (!strcmp(name, ".") || !strcmp(name, "..") || (nix && !strcmp(name, "nix")))
            continue;
        if (farm && (!strcmp(name, "usr") || !strcmp(name, "etc") || !strcmp(name, ETC + 1) || is_one_of(name, merged)))
            continue;
        show(join(place, OLD, name), join(inside, "", name));
    }
    closedir(names);
    if (nix) {
        make_folder("/nix");
        bind_at(join(place, OLD, nix + 1), "/nix");
    }
    if (farm)
        show_farm(farm);
    for (i = 0; followed[i]; i++)
        if (farm && goals[i] && access(followed[i], F_OK) && !access(join(place, OLD, goals[i] + 1), R_OK)) {
            unlink(followed[i]);
            show(place, followed[i]);
        }
    if (umount2(OLD, MNT_DETACH) || rmdir(OLD))
        fail_view("/");
    /* Whoever writes there hears that it does not last. */
    if (mount("none", "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL))
        fail_view("/");
}

/* The rest of the line that begins with `word`. */
static char *field(char *text, const char *word)
{
    size_t length = strlen(word);
    char *line, *end;

    for (line = text; line; line = end ? end + 1 : NULL) {
        end = strchr(line, '\n');
        if (!strncmp(line, word, length)) {
            line += length;
            return end ? strndup(line, end - line) : line;
        }
    }
    return NULL;
}

int main(int count, char **words)
{
    static char text[2 * PATH_MAX + 512];
    char place[PATH_MAX], *farm, *nix, *program, *folder;
    ssize_t length;
    int file;

    if (count < 2)
        fail(2, ": this runs launchers of a profile: `%s LAUNCHER ARGUMENTS...`", words[0] ? words[0] : "launch");
    file = open(words[1], O_RDONLY | O_CLOEXEC);
    length = file < 0 ? -1 : read(file, text, sizeof text - 1);
    if (length < 0)
        fail(126, ": launcher cannot be read: `%s`: %s", words[1], strerror(errno));
    close(file);
    text[length] = 0;
    farm = field(text, "farm ");
    nix = field(text, "nix /") ? field(text, "nix ") : NULL;
    program = field(text, "program ");
    if (!program)
        fail(126, ": this is no launcher: `%s`", words[1]);
    if (nix && !is_folder(nix))
        fail(126, ": store that a launcher needs is not there: `%s`", nix);
    if (nix && is_same(nix, "/nix"))
        nix = NULL;
    if (farm && !nix && !is_folder(join(place, farm, "usr")))
        fail(126, ": store path that a launcher needs is not there: `%s`", farm);
    /* A program in its own farm starts others of it like this. */
    if (farm && !nix && is_same(place, "/usr"))
        farm = NULL;
    if (farm || nix) {
        folder = getcwd(NULL, 0);
        make_view(farm, nix);
        if (!folder || chdir(folder))
            chdir("/");
        if (farm)
            set_known_locales();
    }
    /* With the launcher's own path as its name, by which Python finds the environment (PEP 405) that a link to the launcher is in. */
    execv(program, words + 1);
    fail(errno == ENOENT ? 127 : 126, ": cannot start `%s`: %s", program, strerror(errno));
}
