/* The drop directory as files: what is done in it, apart from when. Mode 3733, of the relay's own user: anybody may put a file in and
 * nobody can see or touch those of others. So everything in it may be hostile, and may change while it is looked at.
 *
 *     HEX            a message, 32 hexadecimal digits: complete, and on disk
 *     .HEX           one that is being written, or was when its writer died
 *     held/HEX       one that cannot be taken as the configuration is now; for the relay only
 *
 * All of these may wait for a disk: they are for jobs. */
#ifndef RELAY_DROP_FILES_H
#define RELAY_DROP_FILES_H

#include "base/buffer.h"
#include "base/err.h"

#define DROP_MODE 03733
#define DROP_NAME_LENGTH 32

struct drop_name {
    char text[DROP_NAME_LENGTH + 1];
};
bool drop_name_is_valid(struct slice name);
void drop_name_print(const uint8_t bytes[DROP_NAME_LENGTH / 2], struct drop_name *name);

/* Opens the directory; *fd is -1 on error, and the sentence says what to do. It must be the process's own: in another one that it
 * may not remove files from, each would be delivered again and again. */
MUST_CHECK enum err drop_files_open(const char *path, int *fd, struct buffer *fault);
void drop_files_release_held(int directory); /* back to where they are looked at */

bool drop_files_is_held(const char *name); /* of the folder itself */
/* Into held/, without waiting for the disk: after a crash it is in one of both places. */
bool drop_file_set_aside(int directory, const char *name);
bool drop_file_remove_junk(int directory, const char *name); /* a file, a link, an empty folder */

enum drop_file_state {
    DROP_FILE_OPEN,
    DROP_FILE_GONE,
    DROP_FILE_FOREIGN,    /* no regular file, or with other names elsewhere: not to be read */
    DROP_FILE_UNREADABLE, /* by us */
    DROP_FILE_FAULTY,     /* the machine: of memory, of descriptors, the disk */
};
struct drop_file {
    int fd;        /* of OPEN: to be closed */
    uint32_t uid;  /* the owner's */
    uint64_t size;
};
enum drop_file_state drop_file_open(int directory, const struct drop_name *name, struct drop_file *file);
/* Up to length bytes from an offset, added to out. ERR_END: fewer are there. */
MUST_CHECK enum err drop_file_read(const struct drop_file *file, uint64_t offset, size_t length, struct buffer *out);
/* The file is gone for good when it returns ERR_NONE: also after a crash. */
MUST_CHECK enum err drop_file_remove(int directory, const struct drop_name *name);
/* ERR_EXISTS: another of that name is held already. */
MUST_CHECK enum err drop_file_hold(int directory, const struct drop_name *name);

#endif
