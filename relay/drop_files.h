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
#define DROP_NAMES_MAX 1000 /* of one scan */

struct drop_name {
    char text[DROP_NAME_LENGTH + 1];
};
bool drop_name_is_valid(struct slice name);
void drop_name_print(const uint8_t bytes[DROP_NAME_LENGTH / 2], struct drop_name *name);

/* Opens the directory; *fd is -1 on error, and the sentence says what to do. It must be the process's own: in another one that it
 * may not remove files from, each would be delivered again and again. */
MUST_CHECK enum err drop_files_open(const char *path, int *fd, struct buffer *fault);
void drop_files_release_held(int directory); /* back to where they are looked at */

struct drop_scan {
    struct drop_name names[DROP_NAMES_MAX];
    size_t count;
    bool is_full;  /* there may be more */
    size_t junk;   /* files that no sendmail has left there, and that were removed */
    size_t stuck;  /* such that could not be removed */
};
/* Also removes what nobody writes any more. now_ms: wall clock. */
MUST_CHECK enum err drop_files_scan(int directory, int64_t now_ms, struct drop_scan *scan);

enum drop_file_state {
    DROP_FILE_OPEN,
    DROP_FILE_GONE,
    DROP_FILE_FOREIGN, /* no regular file, or with other names elsewhere: not to be read */
    DROP_FILE_UNREADABLE,
};
struct drop_file {
    int fd;        /* of OPEN: to be closed */
    uint32_t uid;  /* the owner's */
    uint64_t size;
};
enum drop_file_state drop_file_open(int directory, const struct drop_name *name, struct drop_file *file);
/* Up to length bytes from an offset, added to out. ERR_END: fewer are there. */
MUST_CHECK enum err drop_file_read(const struct drop_file *file, uint64_t offset, size_t length, struct buffer *out);
/* Gone for good when it returns ERR_NONE: also after a crash. */
MUST_CHECK enum err drop_file_remove(int directory, const struct drop_name *name);
MUST_CHECK enum err drop_file_hold(int directory, const struct drop_name *name);

#endif
