#include "queue/lmdb_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define NAME "reserve"
/* A few transactions of bookkeeping; what they free in the data file serves those behind them. */
#define SIZE (UINT64_C(4) << 20)

static int allocate(const struct queue *queue);
static bool disk_has_room(const struct queue *queue);

void lmdb_reserve_keep(struct queue *queue)
{
    if (queue->reserve != LMDB_RESERVE_SPENT) {
        return;
    }
    struct stat status;
    if (fstatat(queue->directory, NAME, &status, AT_SYMLINK_NOFOLLOW) == 0 && (uint64_t)status.st_size == SIZE) {
        queue->reserve = LMDB_RESERVE_KEPT; /* of an earlier run */
        return;
    }
    if (!disk_has_room(queue)) {
        return;
    }
    int error = allocate(queue);
    if (error == 0) {
        queue->reserve = LMDB_RESERVE_KEPT;
        return;
    }
    lmdb_reserve_release(queue);
    if (error != ENOSPC && error != EDQUOT) {
        queue->reserve = LMDB_RESERVE_IMPOSSIBLE;
    }
}

bool lmdb_reserve_release(struct queue *queue)
{
    struct stat status;
    bool is_there = fstatat(queue->directory, NAME, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_blocks > 0;
    queue->reserve = LMDB_RESERVE_SPENT;
    return unlinkat(queue->directory, NAME, 0) == 0 && is_there;
}

/* errno's value, or 0. */
static int allocate(const struct queue *queue)
{
    int file = openat(queue->directory, NAME, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0) {
        return errno;
    }
    int error = posix_fallocate(file, 0, (off_t)SIZE);
    close(file);
    return error;
}

/* Not while space is so short that the reserve itself would fill the disk. */
static bool disk_has_room(const struct queue *queue)
{
    struct statvfs disk;
    if (fstatvfs(queue->directory, &disk) != 0) {
        return false;
    }
    uint64_t free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    return free_bytes > 2 * SIZE && free_bytes - 2 * SIZE > queue->options.free_min;
}
