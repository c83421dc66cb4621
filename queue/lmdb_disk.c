#include "queue/lmdb_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define RESERVE "reserve"

/* Less than this is no room, whatever the options say. */
#define FREE_MIN (UINT64_C(1) << 20)
#define PROBE_SIZE 65536

/* Not in every version of linux/magic.h. */
#define MAGIC_CIFS 0xFF534D42
#define MAGIC_SMB2 0xFE534D42
#define MAGIC_FUSE 0x65735546

static bool probe_finds_room(int directory);
static int allocate(const struct queue *queue);
static bool disk_has_room(const struct queue *queue);

/* Network file systems lack locks or maps that agree between machines, or say synced what is not; the others are gone
 * with the power or the container. */
const char *queue_unsafe_place(struct queue *queue)
{
    static const struct {
        unsigned long magic;
        const char *name;
    } places[] = {
        {NFS_SUPER_MAGIC, "NFS"},
        {MAGIC_CIFS, "SMB"},
        {MAGIC_SMB2, "SMB"},
        {SMB_SUPER_MAGIC, "SMB"},
        {V9FS_MAGIC, "9p"},
        {CEPH_SUPER_MAGIC, "Ceph"},
        {AFS_SUPER_MAGIC, "AFS"},
        {MAGIC_FUSE, "FUSE"},
        {TMPFS_MAGIC, "tmpfs"},
        {RAMFS_MAGIC, "ramfs"},
        {OVERLAYFS_SUPER_MAGIC, "the layer of a container"},
    };
    struct statfs disk;
    if (fstatfs(queue->directory, &disk) != 0) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (((unsigned long)disk.f_type & 0xFFFFFFFF) == places[i].magic) {
            return places[i].name;
        }
    }
    return NULL;
}

/* Asked right after the failure: what the failed write left behind still fills the disk. A quota of the user does not
 * show in the free space, so a small write is tried too. */
bool lmdb_disk_is_full(const struct queue *queue)
{
    struct statvfs disk;
    if (fstatvfs(queue->directory, &disk) != 0) {
        return false;
    }
    uint64_t needed = queue->options.free_min > FREE_MIN ? queue->options.free_min : FREE_MIN;
    return (uint64_t)disk.f_bavail * disk.f_frsize < needed || !probe_finds_room(queue->directory);
}

static bool probe_finds_room(int directory)
{
    static const char page[PROBE_SIZE];
    int probe = openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (probe < 0) {
        return errno != ENOSPC && errno != EDQUOT;
    }
    ssize_t written = write(probe, page, sizeof page);
    bool is_full = written < 0 ? errno == ENOSPC || errno == EDQUOT : (size_t)written < sizeof page;
    close(probe);
    return !is_full;
}

void lmdb_reserve_keep(struct queue *queue)
{
    if (queue->reserve != LMDB_RESERVE_SPENT) {
        return;
    }
    struct stat status;
    if (fstatat(queue->directory, RESERVE, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        (uint64_t)status.st_size == LMDB_RESERVE_SIZE) {
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
    bool is_there = fstatat(queue->directory, RESERVE, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_blocks > 0;
    queue->reserve = LMDB_RESERVE_SPENT;
    return unlinkat(queue->directory, RESERVE, 0) == 0 && is_there;
}

/* errno's value, or 0. */
static int allocate(const struct queue *queue)
{
    int file = openat(queue->directory, RESERVE, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0) {
        return errno;
    }
    int error = posix_fallocate(file, 0, (off_t)LMDB_RESERVE_SIZE);
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
    return free_bytes > 2 * LMDB_RESERVE_SIZE && free_bytes - 2 * LMDB_RESERVE_SIZE > queue->options.free_min;
}
