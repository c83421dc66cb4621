/* What the system gives `serve` and what it gives up: sockets of the service manager, directories, privileges. */
#ifndef RELAY_SERVE_SYSTEM_H
#define RELAY_SERVE_SYSTEM_H

#include "relay/intake.h"

#include <sys/types.h>

#define SYSTEM_FDS_MAX 32
#define SYSTEM_GROUPS_MAX 64

struct system_identity {
    bool is_root;  /* started as root */
    bool changes;  /* and there is a user to become */
    uid_t uid;
    gid_t gid;
    gid_t groups[SYSTEM_GROUPS_MAX]; /* the user's other ones, such as ssl-cert: a service manager gives them too */
    size_t group_count;
};
/* Looks the configured user up in /etc/passwd and /etc/group (read directly: a static program has no name service). */
void system_identity_find(struct slice user, struct system_identity *identity);
/* Effective for a while: files made meanwhile are the user's. Nothing without a user to become. */
MUST_CHECK enum err system_identity_borrow(const struct system_identity *identity);
MUST_CHECK enum err system_identity_return(const struct system_identity *identity);
/* No program that the process ever starts gains privileges (NO_NEW_PRIVS), for good. Of the calling thread and those it makes. */
MUST_CHECK enum err system_forbid_privileges(void);
/* For good; verified that there is no way back. */
MUST_CHECK enum err system_identity_drop(const struct system_identity *identity);

/* Makes the directory of a path (or the path itself) for the identity where it does not exist; its parent must. */
void system_make_directory(struct slice path, mode_t mode, const struct system_identity *identity);
void system_make_parent(struct slice path, mode_t mode, const struct system_identity *identity);

/* LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES (sd_listen_fds(3)). The names are views into the environment. */
struct system_sockets {
    struct slice names[SYSTEM_FDS_MAX];
    int fds[SYSTEM_FDS_MAX];
    struct intake_fds list;
};
void system_take_sockets(struct system_sockets *sockets);

/* Tells the service manager a state, such as "READY=1" (sd_notify(3)); nothing without one. */
void system_notify(const char *state);
/* Is standard error read by systemd's journal (JOURNAL_STREAM names this very stream)? */
bool system_is_journal(void);
/* How often it wants to hear "WATCHDOG=1"; 0: never. */
int64_t system_watchdog_ms(void);

#endif
