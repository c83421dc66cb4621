#include "relay/drop_files.h"

#include "base/dice.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HELD "held"


bool drop_name_is_valid(struct slice name)
{
    if (name.length != DROP_NAME_LENGTH)
        return false;
    for (size_t i = 0; i < name.length; i++) {
        if (!slice_has(SLICE("0123456789abcdef"), name.data[i]))
            return false;
    }
    return true;
}

void drop_name_print(const uint8_t bytes[DROP_NAME_LENGTH / 2], struct drop_name *name)
{
    struct slice hex = text_hex(bytes, DROP_NAME_LENGTH / 2, name->text, sizeof name->text);
    name->text[hex.length] = '\0';
}

/* ---- the directory ---- */

static enum err complain(struct buffer *fault, const char *path, enum err err, const char *problem)
{
    buffer_print(fault, "%s %s", path, problem);
    return err;
}

/* Before the first start anybody may have made something of that name. */
static int open_held(int directory)
{
    struct stat status;
    int held = openat(directory, HELD, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (held < 0)
        return -1;
    if (fstat(held, &status) == 0 && status.st_uid == geteuid() && fchmod(held, 0700) == 0)
        return held;
    close(held);
    errno = EPERM;
    return -1;
}

/* Another user's folder with something in it cannot be removed, but it gives its name up: as junk it harms nobody. root's may hold
 * mail of a relay that ran as root. */
static bool move_away(int directory)
{
    uint8_t bytes[DROP_NAME_LENGTH / 2];
    struct drop_name name;
    struct stat status;
    char junk[DROP_NAME_LENGTH + 8];
    if (fstatat(directory, HELD, &status, AT_SYMLINK_NOFOLLOW) != 0 || status.st_uid == 0 || status.st_uid == geteuid())
        return false;
    dice_fill(bytes, sizeof bytes);
    drop_name_print(bytes, &name);
    text_print(junk, sizeof junk, "junk-%s", name.text);
    return renameat(directory, HELD, directory, junk) == 0;
}

static bool make_held(int directory)
{
    int held = open_held(directory);
    bool is_free = held < 0 && (errno == ENOENT || drop_file_remove_junk(directory, HELD) || move_away(directory));
    if (is_free && mkdirat(directory, HELD, 0700) == 0)
        held = open_held(directory);
    if (held < 0)
        return false;
    close(held);
    return true;
}

bool drop_files_is_held(const char *name)
{
    return strcmp(name, HELD) == 0;
}

enum err drop_files_open(const char *path, int *fd, struct buffer *fault)
{
    struct stat status;
    *fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*fd < 0) {
        enum err err = err_from_errno(errno);
        return complain(fault, path, err, err == ERR_NOT_FOUND ? "is not there" : err_text(err));
    }
    enum err err = ERR_NONE;
    if (fstat(*fd, &status) != 0)
        err = complain(fault, path, err_from_errno(errno), "cannot be looked at");
    else if (status.st_uid != geteuid())
        err = complain(fault, path, ERR_PERMISSION, "belongs to another user: chown it to the relay's, or what is taken would stay there");
    else if ((status.st_mode & 07777) != DROP_MODE && fchmod(*fd, DROP_MODE) != 0)
        err = complain(fault, path, err_from_errno(errno), "cannot be given the mode 3733");
    else if (!make_held(*fd))
        err = complain(fault, path, err_from_errno(errno), "cannot have its folder \"" HELD "\": chown that to the relay's user, or remove it");
    if (err != ERR_NONE) {
        close(*fd);
        *fd = -1;
    }
    return err;
}

void drop_files_release_held(int directory)
{
    int held = open_held(directory);
    DIR *list = held < 0 ? NULL : fdopendir(held);
    struct dirent *entry;
    if (list == NULL) {
        if (held >= 0)
            close(held);
        return;
    }
    while ((entry = readdir(list)) != NULL) {
        if (drop_name_is_valid(slice_of(entry->d_name)))
            (void)renameat(held, entry->d_name, directory, entry->d_name); /* else it stays, for the next time */
    }
    closedir(list);
}

/* A folder that is not empty stays: it harms nobody. */
bool drop_file_remove_junk(int directory, const char *name)
{
    if (unlinkat(directory, name, 0) == 0 || errno == ENOENT)
        return true;
    return errno == EISDIR && unlinkat(directory, name, AT_REMOVEDIR) == 0;
}

/* ---- one file ---- */

/* A link is not followed, a fifo or a device not waited for. A second name elsewhere would let one user hand in another's file. */
enum drop_file_state drop_file_open(int directory, const struct drop_name *name, struct drop_file *file)
{
    struct stat status;
    file->fd = openat(directory, name->text, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (file->fd < 0)
        return errno == ENOENT                                       ? DROP_FILE_GONE
               : errno == ELOOP || errno == ENXIO || errno == ENODEV ? DROP_FILE_FOREIGN
               : errno == EACCES || errno == EPERM                   ? DROP_FILE_UNREADABLE
                                                                     : DROP_FILE_FAULTY;
    if (fstat(file->fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 1) {
        file->uid = status.st_uid;
        file->size = (uint64_t)status.st_size;
        return DROP_FILE_OPEN;
    }
    close(file->fd);
    file->fd = -1;
    return DROP_FILE_FOREIGN;
}

enum err drop_file_read(const struct drop_file *file, uint64_t offset, size_t length, struct buffer *out)
{
    char *space = buffer_space(out, length);
    size_t done = 0;
    if (space == NULL)
        return ERR_MEMORY;
    while (done < length) {
        ssize_t count = pread(file->fd, space + done, length - done, (off_t)(offset + done));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return ERR_IO;
        if (count == 0)
            break;
        done += (size_t)count;
    }
    buffer_added(out, done);
    return done == length ? ERR_NONE : ERR_END;
}

/* Its owner may have put a full folder in its place, which cannot be removed: the file is gone all the same. */
enum err drop_file_remove(int directory, const struct drop_name *name)
{
    if (unlinkat(directory, name->text, 0) != 0 && errno != ENOENT) {
        if (errno != EISDIR)
            return err_from_errno(errno);
        (void)unlinkat(directory, name->text, AT_REMOVEDIR);
    }
    return fsync(directory) == 0 ? ERR_NONE : ERR_IO;
}

/* What is in held already is somebody's mail. Nobody else moves anything there. */
static bool move_to_held(int directory, int held, const char *name)
{
    struct stat status;
    if (fstatat(held, name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return false;
    }
    return renameat(directory, name, held, name) == 0;
}

enum err drop_file_hold(int directory, const struct drop_name *name)
{
    int held = open_held(directory);
    if (held < 0)
        return err_from_errno(errno);
    bool is_moved = move_to_held(directory, held, name->text);
    bool is_gone = !is_moved && errno == ENOENT;
    enum err err = (is_moved || is_gone) && fsync(held) == 0 && fsync(directory) == 0 ? ERR_NONE : err_from_errno(errno);
    close(held);
    return err;
}

bool drop_file_set_aside(int directory, const char *name)
{
    int held = open_held(directory);
    bool is_done = held >= 0 && move_to_held(directory, held, name);
    if (held >= 0)
        close(held);
    return is_done;
}
