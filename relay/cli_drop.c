/* A file in the drop directory, for the time when no relay can be reached. Nobody may list that directory, so that the name, 128 random
 * bits, is known to nobody else; it appears complete, and when it has appeared it is on disk. */
#include "relay/cli_sendmail.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FIRST_START_ROUNDS 20 /* of a tenth of a second */

struct dropping {
    struct handover *handover;
    char path[4096];
    int directory, fd;
    char hidden[DROP_NAME_LENGTH + 2]; /* while it is written */
};

static int fail(const struct dropping *dropping, const char *what, int number);
static int open_directory(struct dropping *dropping);
static int open_file(struct dropping *dropping);
static int write_file(const struct dropping *dropping, struct slice head);
static bool write_all(int fd, struct slice bytes);

int sendmail_drop(struct handover *handover, struct slice head)
{
    struct dropping dropping = {.handover = handover, .directory = -1, .fd = -1};
    struct slice path = handover->sendmail->config->drop_path;
    text_print(dropping.path, sizeof dropping.path, "%.*s", SLICE_ARGS(slice_to(path, sizeof dropping.path - 1)));
    int status = open_directory(&dropping);
    if (status == SENDMAIL_DONE)
        status = open_file(&dropping);
    if (status == SENDMAIL_DONE)
        status = write_file(&dropping, head);
    if (dropping.fd >= 0)
        close(dropping.fd);
    if (dropping.directory >= 0)
        close(dropping.directory);
    if (status == SENDMAIL_DONE && handover->sendmail->options.is_verbose)
        cli_say("no relay can be reached: kept in %s", dropping.path);
    return status;
}

static int fail(const struct dropping *dropping, const char *what, int number)
{
    char text[600];
    text_print(text, sizeof text, "no relay can be reached, and %s %s: %s; nothing is stored, try again", what,
               slice_to(slice_of(dropping->path), 300).data, strerrordesc_np(number));
    if (dropping->handover->fault != NULL)
        buffer_print(dropping->handover->fault, "%s", text);
    else
        cli_say("%s", text);
    return SENDMAIL_TEMPORARY;
}

/* At its first start the relay makes the directory before anything else, but mail may come that moment sooner. */
static int wait_for_directory(const char *path)
{
    const struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};
    for (int rounds = 0;; rounds++) {
        int directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (directory >= 0 || errno != ENOENT || rounds == FIRST_START_ROUNDS)
            return directory;
        (void)nanosleep(&pause, NULL);
    }
}

/* It cannot be read by us, so it is opened as a place only. One where others could rename our file is none. */
static int open_directory(struct dropping *dropping)
{
    struct stat status;
    dropping->directory = wait_for_directory(dropping->path);
    if (dropping->directory < 0 || fstat(dropping->directory, &status) != 0)
        return fail(dropping, "the directory", errno);
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (status.st_mode & S_ISVTX) == 0)
        return fail(dropping, "files of others are not safe (mode 3733 is wanted) in", EPERM);
    return SENDMAIL_DONE;
}

static int open_file(struct dropping *dropping)
{
    snprintf(dropping->hidden, sizeof dropping->hidden, ".%s", dropping->handover->name.text);
    dropping->fd = openat(dropping->directory, dropping->hidden, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (dropping->fd < 0)
        return fail(dropping, "no file can be made in", errno);
    if (fchmod(dropping->fd, 0640) == 0)
        return SENDMAIL_DONE;
    int number = errno;
    (void)unlinkat(dropping->directory, dropping->hidden, 0);
    return fail(dropping, "no file can be made in", number);
}

static bool write_all(int fd, struct slice bytes)
{
    while (bytes.length > 0) {
        ssize_t written = write(fd, bytes.data, bytes.length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return false;
        bytes = slice_from(bytes, (size_t)written);
    }
    return true;
}

/* syncfs() is for the name: the directory itself cannot be opened by us to be synced. */
static int write_file(const struct dropping *dropping, struct slice head)
{
    const struct handover *handover = dropping->handover;
    bool is_written = write_all(dropping->fd, head);
    const char *last = dropping->hidden;
    for (size_t i = 0; i < handover->content_count && is_written; i++)
        is_written = write_all(dropping->fd, handover->content[i]);
    if (is_written && fsync(dropping->fd) == 0 &&
        renameat(dropping->directory, dropping->hidden, dropping->directory, handover->name.text) == 0) {
        last = handover->name.text;
        if (syncfs(dropping->fd) == 0)
            return SENDMAIL_DONE;
    }
    int number = errno;
    /* When even this fails the relay finds half a message, which it throws away, or a whole one, which arrives. */
    (void)unlinkat(dropping->directory, last, 0);
    return fail(dropping, "the message cannot be written into", number);
}
