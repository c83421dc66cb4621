/* A drop directory and a relay that takes from it, for tests. */
#ifndef TEST_UNIT_DROPPING_H
#define TEST_UNIT_DROPPING_H

#include "test/unit/running.h"

#include "relay/drop.h"
#include "relay/drop_files.h"
#include "relay/posting.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD(size, address) "{\"command\":\"submit\",\"version\":1,\"sender\":\"a@a.example\",\"size\":" #size ",\"recipients\":[{\"address\":\"" address "\"}]}\n"
#define MAIL HEAD(8, "b@b.example") "X: y\n\nz\n"
#define NAME "0123456789abcdef0123456789abcdef"
#define NAME_2 "1123456789abcdef0123456789abcdef"

static inline void make_drop(void)
{
    assert_int_equal(mkdir(running.drop, 0700), 0);
    assert_int_equal(chmod(running.drop, DROP_MODE), 0);
}

static inline void open_drop(void)
{
    struct buffer fault;
    buffer_init(&fault, 4096);
    assert_int_equal(drop_open(running.relay->drop, &fault), ERR_NONE);
    check_slice("fault", buffer_slice(&fault), SLICE_EMPTY);
    buffer_free(&fault);
}

static inline const char *path_of(const char *name)
{
    static char path[400];
    snprintf(path, sizeof path, "%s/%s", running.drop, name);
    return path;
}

static inline void put(const char *name, struct slice bytes)
{
    int fd = open(path_of(name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0640);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes.data, bytes.length), (ssize_t)bytes.length);
    assert_int_equal(close(fd), 0);
}

static inline bool is_there(const char *name)
{
    struct stat status;
    return lstat(path_of(name), &status) == 0;
}

/* Names in the directory, "held" aside. */
static inline size_t count_files(const char *folder)
{
    size_t count = 0;
    struct dirent *entry;
    DIR *list = opendir(path_of(folder));
    assert_non_null(list);
    while ((entry = readdir(list)) != NULL)
        count += entry->d_name[0] != '.' && strcmp(entry->d_name, "held") != 0;
    closedir(list);
    return count;
}

static inline bool is_resting(void *owner)
{
    (void)owner;
    return drop_is_idle(running.relay->drop);
}

static inline bool is_empty(void *owner)
{
    return count_files(owner == NULL ? "." : owner) == 0 && is_resting(NULL);
}

static inline void look(void)
{
    drop_look_again(running.relay->drop);
    loop_for(1);
    while (!is_resting(NULL))
        loop_for(1);
}

static inline size_t accepted(void)
{
    return (size_t)running.relay->metrics.accepted;
}

#endif
