#include "relay/serve_system.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_FD 3

/* ---- identity ---- */

static void find_groups(struct slice user, struct system_identity *identity)
{
    struct group *entry;
    FILE *file = fopen("/etc/group", "re");
    while (file != NULL && identity->group_count < SYSTEM_GROUPS_MAX && (entry = fgetgrent(file)) != NULL) {
        bool is_member = false;
        for (char **member = entry->gr_mem; *member != NULL; member++)
            is_member = is_member || slice_equal(slice_of(*member), user);
        if (is_member && entry->gr_gid != 0)
            identity->groups[identity->group_count++] = entry->gr_gid;
    }
    if (file != NULL)
        fclose(file);
}

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
    if (identity->changes)
        find_groups(user, identity);
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

enum err system_forbid_privileges(void)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? ERR_NONE : ERR_PERMISSION;
}

enum err system_identity_drop(const struct system_identity *identity)
{
    if (!identity->changes)
        return ERR_NONE;
    if (setgroups(identity->group_count, identity->groups) != 0 || setresgid(identity->gid, identity->gid, identity->gid) != 0 ||
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

/* ---- the service manager ---- */

/* A name that begins with '@' is one of the abstract namespace. */
static socklen_t notify_address(struct sockaddr_un *address)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t length = path == NULL ? 0 : strlen(path);
    if (length < 2 || length >= sizeof address->sun_path || (path[0] != '/' && path[0] != '@'))
        return 0;
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path, path, length);
    if (path[0] == '@')
        address->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

void system_notify(const char *state)
{
    struct sockaddr_un address;
    socklen_t length = notify_address(&address);
    int fd = length == 0 ? -1 : socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    /* One that does not listen finds out by itself, when it waits for READY in vain. */
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address, length);
    close(fd);
}

int64_t system_watchdog_ms(void)
{
    const char *pid_text = getenv("WATCHDOG_PID");
    const char *usec_text = getenv("WATCHDOG_USEC");
    uint64_t pid = (uint64_t)getpid();
    uint64_t usec;
    if (usec_text == NULL || !slice_number(slice_of(usec_text), INT64_MAX, &usec) || usec < 2000 ||
        (pid_text != NULL && (!slice_number(slice_of(pid_text), INT32_MAX, &pid) || (pid_t)pid != getpid())))
        return 0;
    return (int64_t)(usec / 2000);
}

bool system_is_journal(void)
{
    struct stat status;
    uint64_t device, inode;
    struct slice name;
    const char *text = getenv("JOURNAL_STREAM");
    struct slice rest = slice_of(text == NULL ? "" : text);
    return slice_cut(&rest, ':', &name) && slice_number(name, UINT64_MAX, &device) && slice_number(rest, UINT64_MAX, &inode) &&
           fstat(STDERR_FILENO, &status) == 0 && (uint64_t)status.st_dev == device && (uint64_t)status.st_ino == inode;
}
