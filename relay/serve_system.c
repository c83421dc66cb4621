#include "relay/serve_system.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define FIRST_FD 3
#define MAGIC_TMPFS 0x01021994
#define MAGIC_RAMFS 0x858458f6
#define MAGIC_OVERLAY 0x794c7630

/* ---- identity ---- */

void system_identity_find(struct slice user, struct system_identity *identity)
{
    struct passwd *entry;
    *identity = (struct system_identity){.is_root = geteuid() == 0, .uid = geteuid(), .gid = getegid()};
    FILE *file = identity->is_root && user.length > 0 ? fopen("/etc/passwd", "re") : NULL;
    while (file != NULL && !identity->changes && (entry = fgetpwent(file)) != NULL) {
        if (!slice_equal(slice_of(entry->pw_name), user) || entry->pw_uid == 0)
            continue;
        identity->changes = true;
        identity->uid = entry->pw_uid;
        identity->gid = entry->pw_gid;
    }
    if (file != NULL)
        fclose(file);
}

enum err system_identity_borrow(const struct system_identity *identity)
{
    if (!identity->changes)
        return ERR_NONE;
    if (setegid(identity->gid) != 0 || seteuid(identity->uid) != 0)
        return ERR_PERMISSION;
    return ERR_NONE;
}

enum err system_identity_return(const struct system_identity *identity)
{
    if (!identity->changes)
        return ERR_NONE;
    if (seteuid(0) != 0 || setegid(0) != 0)
        return ERR_PERMISSION;
    return ERR_NONE;
}

enum err system_identity_drop(const struct system_identity *identity)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return ERR_PERMISSION;
    if (!identity->changes)
        return ERR_NONE;
    if (setgroups(0, NULL) != 0 || setresgid(identity->gid, identity->gid, identity->gid) != 0 ||
        setresuid(identity->uid, identity->uid, identity->uid) != 0)
        return ERR_PERMISSION;
    bool regained = setuid(0) == 0 || seteuid(0) == 0 || geteuid() != identity->uid || getegid() != identity->gid;
    return regained ? ERR_PERMISSION : ERR_NONE;
}

/* ---- directories ---- */

void system_make_directory(struct slice path, mode_t mode, const struct system_identity *identity)
{
    char name[4096];
    snprintf(name, sizeof name, "%.*s", SLICE_ARGS(path));
    /* Failure shows where the directory is used, with the reason of that use. */
    if (mkdir(name, mode) != 0 || !identity->changes)
        return;
    int directory = open(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (directory >= 0) {
        if (fchown(directory, identity->uid, identity->gid) != 0)
            (void)rmdir(name);
        close(directory);
    }
}

void system_make_parent(struct slice path, mode_t mode, const struct system_identity *identity)
{
    size_t slash = slice_find_last(path, '/');
    if (slash > 0 && slash < path.length)
        system_make_directory(slice_to(path, slash), mode, identity);
}

/* ---- sockets of the service manager ---- */

void system_take_sockets(struct system_sockets *sockets)
{
    const char *pid = getenv("LISTEN_PID");
    const char *count_text = getenv("LISTEN_FDS");
    const char *names_text = getenv("LISTEN_FDNAMES");
    uint64_t number;
    uint64_t count;
    *sockets = (struct system_sockets){.list = {.count = 0}};
    sockets->list.names = sockets->names;
    sockets->list.fds = sockets->fds;
    if (pid == NULL || count_text == NULL || !slice_number(slice_of(pid), INT32_MAX, &number) ||
        (pid_t)number != getpid() || !slice_number(slice_of(count_text), SYSTEM_FDS_MAX, &count))
        return;
    struct slice rest = slice_of(names_text == NULL ? "" : names_text);
    for (size_t i = 0; i < count; i++) {
        struct slice name;
        if (!slice_cut(&rest, ':', &name))
            name = SLICE("unknown");
        sockets->names[i] = name;
        sockets->fds[i] = FIRST_FD + (int)i;
        (void)fcntl(sockets->fds[i], F_SETFD, FD_CLOEXEC);
    }
    sockets->list.count = count;
}

/* ---- disks that vanish ---- */

const char *system_is_ephemeral(struct slice path)
{
    char name[4096];
    struct statfs status;
    snprintf(name, sizeof name, "%.*s", SLICE_ARGS(path));
    if (statfs(name, &status) != 0)
        return NULL;
    switch ((unsigned long)status.f_type) {
    case MAGIC_TMPFS:
        return "tmpfs";
    case MAGIC_RAMFS:
        return "ramfs";
    case MAGIC_OVERLAY:
        return "an overlay of a container";
    default:
        return NULL;
    }
}
