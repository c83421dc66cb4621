#include "relay/drop_scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* No writer takes so long. */
#define WRITING_MAX_MS (24ll * 3600 * 1000)

static void note_entry(struct drop_scan *scan, const char *name);
static void note_message(struct drop_scan *scan, const char *name, const struct stat *status);
static void note_writing(struct drop_scan *scan, const char *name, const struct stat *status);
static bool is_closed(const struct drop_scan *scan, const char *name, const struct stat *status);
static void set_aside(struct drop_scan *scan, const char *name, const struct stat *status);
static void put_in_order(struct drop_scan *scan);

enum err drop_scan_run(struct drop_scan *scan)
{
    struct dirent *entry;
    int fd = openat(scan->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    scan->count = scan->junk = scan->stuck = scan->user_count = 0;
    scan->is_full = false;
    if (list == NULL) {
        enum err err = err_from_errno(errno);
        if (fd >= 0)
            close(fd);
        return err;
    }
    errno = 0;
    while ((entry = readdir(list)) != NULL) {
        note_entry(scan, entry->d_name);
        errno = 0;
    }
    enum err err = errno == 0 ? ERR_NONE : err_from_errno(errno);
    closedir(list);
    put_in_order(scan);
    return err;
}

void drop_scan_release(struct drop_scan *scan)
{
    scan->aside_count = 0;
    drop_files_release_held(scan->directory);
}

/* ---- users ---- */

struct drop_user *drop_scan_user(struct drop_scan *scan, uint32_t uid)
{
    for (size_t i = 0; i < scan->user_count; i++) {
        if (scan->users[i].uid == uid)
            return &scan->users[i];
    }
    if (scan->user_count == DROP_USERS_MAX)
        return &scan->users[DROP_USERS_MAX - 1];
    scan->users[scan->user_count] = (struct drop_user){.uid = uid};
    return &scan->users[scan->user_count++];
}

static unsigned *aside_of(struct drop_scan *scan, uint32_t uid)
{
    for (size_t i = 0; i < scan->aside_count; i++) {
        if (scan->aside[i].uid == uid)
            return &scan->aside[i].count;
    }
    if (scan->aside_count < DROP_USERS_MAX)
        scan->aside[scan->aside_count++] = (struct drop_aside){.uid = uid};
    return &scan->aside[scan->aside_count - 1].count;
}

/* ---- what there is ---- */

static void remove_junk(struct drop_scan *scan, const char *name)
{
    *(drop_file_remove_junk(scan->directory, name) ? &scan->junk : &scan->stuck) += 1;
}

static void note_entry(struct drop_scan *scan, const char *name)
{
    struct slice text = slice_of(name);
    struct stat status;
    bool is_writing = text.data[0] == '.' && drop_name_is_valid(slice_from(text, 1));
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || drop_files_is_held(name))
        return;
    if (!is_writing && !drop_name_is_valid(text))
        remove_junk(scan, name);
    else if (fstatat(scan->directory, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return; /* gone meanwhile */
    else if (!S_ISREG(status.st_mode))
        remove_junk(scan, name);
    else if (is_writing)
        note_writing(scan, name, &status);
    else if (is_closed(scan, name, &status))
        set_aside(scan, name, &status);
    else
        note_message(scan, name, &status);
}

/* Its age by the kernel's time of its last change: all others are its owner's to set. */
static void note_writing(struct drop_scan *scan, const char *name, const struct stat *status)
{
    struct drop_user *user = drop_scan_user(scan, status->st_uid);
    uint64_t size = (uint64_t)status->st_blocks * 512;
    bool is_stale = scan->wall_ms - (int64_t)status->st_ctim.tv_sec * 1000 > WRITING_MAX_MS;
    user->writing++;
    user->writing_bytes += size;
    bool is_much = size > scan->size_max || user->writing > DROP_WRITING_MAX || user->writing_bytes > DROP_WRITING_BYTES_MAX;
    if (is_stale) {
        remove_junk(scan, name);
    } else if (is_much && drop_file_remove_junk(scan->directory, name)) {
        user->removed++;
        user->writing_bytes -= size;
    }
}

/* Only what has no mode of sendmail's, or not our group, is tried out: an access list may let us in. */
static bool is_closed(const struct drop_scan *scan, const char *name, const struct stat *status)
{
    bool is_usual = status->st_gid == getegid() && (status->st_mode & S_IRGRP) != 0;
    if (is_usual)
        return false;
    int fd = openat(scan->directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd < 0 && errno == EACCES;
}

/* One that at least its group may read is perhaps mail that was promised. */
static void set_aside(struct drop_scan *scan, const char *name, const struct stat *status)
{
    struct drop_user *user = drop_scan_user(scan, status->st_uid);
    unsigned *aside = aside_of(scan, status->st_uid);
    bool is_mail = (status->st_mode & S_IRGRP) != 0;
    if (!is_mail && *aside >= DROP_ASIDE_MAX) {
        user->removed += drop_file_remove_junk(scan->directory, name);
    } else if (drop_file_set_aside(scan->directory, name)) {
        user->aside++;
        *aside += !is_mail;
    }
}

/* ---- which are taken ---- */

static struct drop_user *richest(struct drop_scan *scan)
{
    struct drop_user *best = &scan->users[0];
    for (size_t i = 1; i < scan->user_count; i++)
        best = scan->users[i].names > best->names ? &scan->users[i] : best;
    return best;
}

/* A place, taken from whoever has the most when there is none; NULL: this user has as many as any. */
static struct drop_found *find_place(struct drop_scan *scan, const struct drop_user *user)
{
    if (scan->count < DROP_NAMES_MAX)
        return &scan->found[scan->count++];
    struct drop_user *other = richest(scan);
    scan->is_full = true;
    for (size_t i = DROP_NAMES_MAX; i > 0 && other->names > user->names + 1; i--) {
        if (drop_scan_user(scan, scan->found[i - 1].uid) == other) {
            other->names--;
            return &scan->found[i - 1];
        }
    }
    return NULL;
}

static void note_message(struct drop_scan *scan, const char *name, const struct stat *status)
{
    struct drop_found found = {.uid = status->st_uid};
    memcpy(found.name.text, name, DROP_NAME_LENGTH);
    if (drop_wait_has(scan->waits, &found.name, scan->now_ms))
        return;
    struct drop_user *user = drop_scan_user(scan, status->st_uid);
    struct drop_found *place = find_place(scan, user);
    if (place == NULL)
        return;
    *place = found;
    user->names++;
}

static int compare(const void *a, const void *b)
{
    const struct drop_found *first = a, *second = b;
    return first->turn != second->turn ? (first->turn < second->turn ? -1 : 1) : memcmp(&first->name, &second->name, sizeof first->name);
}

/* The first file of each user, then the second of each. */
static void put_in_order(struct drop_scan *scan)
{
    for (size_t i = 0; i < scan->user_count; i++)
        scan->users[i].names = 0;
    for (size_t i = 0; i < scan->count; i++)
        scan->found[i].turn = drop_scan_user(scan, scan->found[i].uid)->names++;
    qsort(scan->found, scan->count, sizeof scan->found[0], compare);
}
