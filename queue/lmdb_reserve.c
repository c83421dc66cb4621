#include "queue/lmdb_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define NAME "reserve"
/* A few transactions of bookkeeping; what they free in the data file serves those behind them. */
#define SIZE (4 << 20)

static bool disk_has_room(const struct queue *queue);

/* Called when a transaction has succeeded. Not while space is so short that the reserve itself would fill the disk. */
void lmdb_reserve_keep(struct queue *queue)
{
    struct stat status;
    if (fstatat(queue->directory, NAME, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_size == SIZE) {
        queue->is_reserve_spent = false;
        return;
    }
    queue->is_reserve_spent = true;
    if (!disk_has_room(queue)) {
        return;
    }
    int file = openat(queue->directory, NAME, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0) {
        return;
    }
    if (posix_fallocate(file, 0, SIZE) == 0) {
        queue->is_reserve_spent = false;
    } else {
        lmdb_reserve_release(queue);
    }
    close(file);
}

bool lmdb_reserve_release(struct queue *queue)
{
    struct stat status;
    bool is_there = fstatat(queue->directory, NAME, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_blocks > 0;
    queue->is_reserve_spent = true;
    return unlinkat(queue->directory, NAME, 0) == 0 && is_there;
}

static bool disk_has_room(const struct queue *queue)
{
    struct statvfs disk;
    return fstatvfs(queue->directory, &disk) == 0 &&
           (uint64_t)disk.f_bavail * disk.f_frsize > queue->options.free_min + 2 * (uint64_t)SIZE;
}
