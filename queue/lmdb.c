#include "queue/lmdb_internal.h"
#include "base/text.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FORMAT 1
/* The library's lock file is used through a map: a page of it that the disk has no room for would end the process. */
#define LOCK_FILE_SIZE 16384
/* A map must be able to grow behind what is stored already, for bookkeeping at least. */
#define GROWTH_MIN (UINT64_C(1) << 20)
#define PAGE_SIZE_MAX 65536 /* of all machines: a map is a multiple */

static struct queue *queue_new(const struct queue_options *options);
static enum err open_all(struct queue *queue, struct buffer *fault);
static enum err open_directory(struct queue *queue, struct buffer *fault);
static enum err sync_parent(int directory);
static enum err sync_directory(int directory);
static enum err take_lock(struct queue *queue, struct buffer *fault);
static void say_holder(const struct queue *queue, struct buffer *fault);
static unsigned reader_flags(const struct queue *queue);
static enum err make_lock_file(struct queue *queue);
static enum err remove_unborn(struct queue *queue);
static enum err open_environment(struct queue *queue, struct buffer *fault);
static enum err widen_map(struct queue *queue);
static enum err open_tables(struct queue *queue, struct buffer *fault);
static enum err open_each_table(struct lmdb_view *view);
static enum err check_format(struct lmdb_view *view, struct buffer *fault);
static enum err check_totals(struct lmdb_view *view);
static enum err say(const struct queue *queue, struct buffer *fault, const char *what, enum err err);

enum err queue_open(const struct queue_options *options, struct queue **queue, struct buffer *fault)
{
    *queue = NULL;
    struct queue *opened = queue_new(options);
    if (opened == NULL) {
        return ERR_MEMORY;
    }
    enum err err = open_all(opened, fault);
    if (err != ERR_NONE) {
        queue_close(&opened);
        return err;
    }
    *queue = opened;
    return ERR_NONE;
}

void queue_close(struct queue **queue)
{
    if (*queue == NULL) {
        return;
    }
    if ((*queue)->env != NULL) {
        mdb_env_close((*queue)->env);
    }
    if ((*queue)->lock >= 0) {
        close((*queue)->lock);
    }
    if ((*queue)->directory >= 0) {
        close((*queue)->directory);
    }
    free((*queue)->path);
    free(*queue);
    *queue = NULL;
}

enum err queue_space(struct queue *queue, struct queue_space *space)
{
    *space = (struct queue_space){.map_size = queue->options.map_size};
    struct statvfs disk;
    if (fstatvfs(queue->directory, &disk) != 0) {
        return err_from_errno(errno);
    }
    space->disk_free = (uint64_t)disk.f_bavail * disk.f_frsize;

    struct lmdb_view view;
    enum err err = lmdb_view_read(queue, &view);
    if (err == ERR_NONE) {
        err = lmdb_view_used(&view, &space->map_used);
        space->file_free = err == ERR_NONE ? lmdb_view_free(&view, space->map_used) : 0;
    }
    lmdb_view_end(&view);
    return err;
}

uint64_t lmdb_accept_limit(const struct queue *queue)
{
    uint64_t headroom = queue->options.map_size / LMDB_HEADROOM_SHARE;
    return queue->options.map_size - (headroom < LMDB_HEADROOM_MAX ? headroom : LMDB_HEADROOM_MAX);
}

/* ---- opening ---- */

static struct queue *queue_new(const struct queue_options *options)
{
    struct queue *queue = calloc(1, sizeof *queue);
    if (queue == NULL) {
        return NULL;
    }
    queue->options = *options;
    queue->directory = queue->lock = -1;
    queue->path = strndup(options->path.data, options->path.length);
    if (queue->path == NULL) {
        free(queue);
        return NULL;
    }
    queue->options.path = slice_of(queue->path);
    return queue;
}

static enum err open_all(struct queue *queue, struct buffer *fault)
{
    enum err err = open_directory(queue, fault);
    if (err == ERR_NONE && !queue->options.read_only) {
        err = take_lock(queue, fault);
    }
    if (err == ERR_NONE) {
        err = open_environment(queue, fault);
    }
    if (err == ERR_NONE) {
        err = open_tables(queue, fault);
    }
    if (err != ERR_NONE || queue->options.read_only) {
        return err;
    }
    err = lmdb_sweep(queue);
    if (err != ERR_NONE && err != ERR_FULL) { /* on a full disk they are swept next time */
        return say(queue, fault, "cannot be cleared of unfinished messages", err);
    }
    lmdb_reserve_keep(queue);
    return ERR_NONE;
}

static enum err open_directory(struct queue *queue, struct buffer *fault)
{
    bool is_new = !queue->options.read_only && mkdir(queue->path, 0700) == 0;
    if (!is_new && !queue->options.read_only && errno != EEXIST) {
        return say(queue, fault, "cannot be created", err_from_errno(errno));
    }
    queue->directory = open(queue->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (queue->directory < 0) {
        return say(queue, fault, "cannot be opened", err_from_errno(errno));
    }
    enum err err = is_new ? sync_parent(queue->directory) : ERR_NONE;
    return err == ERR_NONE ? ERR_NONE : say(queue, fault, "cannot be created", err);
}

static enum err sync_parent(int directory)
{
    int parent = openat(directory, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0) {
        return err_from_errno(errno);
    }
    enum err err = sync_directory(parent);
    close(parent);
    return err;
}

/* Some file systems cannot sync a directory and say EINVAL: then there is nothing to be had. */
static enum err sync_directory(int directory)
{
    return fsync(directory) == 0 || errno == EINVAL ? ERR_NONE : err_from_errno(errno);
}

static enum err take_lock(struct queue *queue, struct buffer *fault)
{
    queue->lock = openat(queue->directory, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (queue->lock < 0) {
        return say(queue, fault, "cannot be written", err_from_errno(errno));
    }
    if (flock(queue->lock, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) {
            return say(queue, fault, "cannot be locked", err_from_errno(errno));
        }
        say_holder(queue, fault);
        return ERR_IN_USE;
    }
    char text[24];
    struct slice pid = text_print(text, sizeof text, "%ld\n", (long)getpid());
    /* Only the next relay's error message misses it when the disk has no room for it. */
    if (ftruncate(queue->lock, 0) != 0 || pwrite(queue->lock, pid.data, pid.length, 0) < 0) {
        errno = 0;
    }
    return ERR_NONE;
}

static void say_holder(const struct queue *queue, struct buffer *fault)
{
    char text[24];
    ssize_t length = pread(queue->lock, text, sizeof text, 0);
    uint64_t pid;
    if (length > 0 && slice_number(slice_trim(slice_to(slice_make(text, (size_t)length),
                                                       slice_find(slice_make(text, (size_t)length), '\n'))),
                                   INT32_MAX, &pid)) {
        buffer_print(fault, "the queue %s is in use by another relay (pid %llu)", queue->path, (unsigned long long)pid);
    } else {
        buffer_print(fault, "the queue %s is in use by another relay", queue->path);
    }
}

static enum err open_environment(struct queue *queue, struct buffer *fault)
{
    const struct queue_options *options = &queue->options;
    if (!options->read_only && (options->map_size < QUEUE_MAP_MIN || options->map_size > SIZE_MAX / 2)) {
        return say(queue, fault, "cannot have that size", ERR_LIMIT);
    }
    enum err err = options->read_only ? ERR_NONE : make_lock_file(queue);
    err = err == ERR_NONE && !options->read_only ? remove_unborn(queue) : err;
    if (err != ERR_NONE) {
        return say(queue, fault, "cannot be written", err);
    }
    int code = mdb_env_create(&queue->env);
    if (code == MDB_SUCCESS) {
        code = mdb_env_set_maxdbs(queue->env, LMDB_TABLE_COUNT);
    }
    if (code == MDB_SUCCESS && !options->read_only) {
        code = mdb_env_set_mapsize(queue->env, (size_t)options->map_size & ~(size_t)(PAGE_SIZE_MAX - 1));
    }
    /* Every commit is synced: no flag that trades that for speed, and no map that a stray pointer can write to. With
     * readahead a cold queue is read 3 (random) to 15 times (in order) as fast as without. */
    if (code == MDB_SUCCESS) {
        code = mdb_env_open(queue->env, queue->path, MDB_NOTLS | reader_flags(queue), 0600);
    }
    if (code != MDB_SUCCESS) {
        buffer_print(fault, "the queue %s cannot be opened: %s", queue->path, mdb_strerror(code));
        return code > 0 ? err_from_errno(code) : ERR_CORRUPT;
    }
    if (options->read_only) {
        return ERR_NONE;
    }
    err = sync_directory(queue->directory);
    if (err == ERR_NONE) {
        err = widen_map(queue);
    }
    return err == ERR_NONE ? ERR_NONE : say(queue, fault, "cannot be opened", err);
}

/* Without its lock file no relay is running, and making one here could make it another user's. */
static unsigned reader_flags(const struct queue *queue)
{
    if (!queue->options.read_only) {
        return 0;
    }
    return faccessat(queue->directory, "lock.mdb", F_OK, 0) == 0 ? MDB_RDONLY : MDB_RDONLY | MDB_NOLOCK;
}

/* Before the library opens it: closing it later would drop the library's own locks. */
static enum err make_lock_file(struct queue *queue)
{
    int file = openat(queue->directory, "lock.mdb", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0) {
        return err_from_errno(errno);
    }
    int error = posix_fallocate(file, 0, LOCK_FILE_SIZE);
    if (error == ENOSPC && lmdb_reserve_release(queue)) {
        error = posix_fallocate(file, 0, LOCK_FILE_SIZE);
    }
    close(file);
    return error == EOPNOTSUPP || error == EINVAL ? ERR_NONE : err_from_errno(error);
}

/* What a power cut leaves of a queue that was just being made: the file, and none of its two first pages. LMDB takes it
 * for a foreign file, and would refuse it for ever. */
static enum err remove_unborn(struct queue *queue)
{
    int file = openat(queue->directory, "data.mdb", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0) {
        return errno == ENOENT ? ERR_NONE : err_from_errno(errno);
    }
    char bytes[4096];
    off_t size = 0, size_max = 2 * (off_t)sysconf(_SC_PAGESIZE);
    ssize_t length;
    bool is_empty = true;
    while (is_empty && size <= size_max && (length = read(file, bytes, sizeof bytes)) > 0) {
        size += length;
        is_empty = bytes[0] == 0 && memcmp(bytes, bytes + 1, (size_t)length - 1) == 0;
    }
    close(file);
    if (is_empty && size <= size_max && unlinkat(queue->directory, "data.mdb", 0) != 0) {
        return err_from_errno(errno);
    }
    return ERR_NONE;
}

/* The queue may hold more than the options allow by now; what is in it must still get out. */
static enum err widen_map(struct queue *queue)
{
    MDB_envinfo info;
    MDB_stat stat;
    if (mdb_env_info(queue->env, &info) != MDB_SUCCESS || mdb_env_stat(queue->env, &stat) != MDB_SUCCESS) {
        return ERR_IO;
    }
    uint64_t needed = (info.me_last_pgno + 1) * (uint64_t)stat.ms_psize + GROWTH_MIN;
    if (info.me_mapsize >= needed) {
        return ERR_NONE;
    }
    int code = mdb_env_set_mapsize(queue->env, needed);
    return code == MDB_SUCCESS ? ERR_NONE : ERR_IO;
}

static enum err open_tables(struct queue *queue, struct buffer *fault)
{
    int stale;
    struct lmdb_view view;
    enum err err = queue->options.read_only ? lmdb_view_read(queue, &view) : lmdb_view_write(queue, &view);
    if (err == ERR_NONE) {
        err = open_each_table(&view);
    }
    if (err != ERR_NONE) {
        lmdb_view_end(&view);
        return say(queue, fault, "cannot be read", err);
    }
    err = check_format(&view, fault);
    if (err == ERR_NONE && !queue->options.read_only) {
        err = check_totals(&view);
    }
    if (err == ERR_NONE) {
        err = lmdb_view_commit(&view);
    }
    lmdb_view_end(&view);
    if (err == ERR_NONE && mdb_reader_check(queue->env, &stale) != MDB_SUCCESS) {
        err = ERR_IO;
    }
    return err == ERR_NONE || buffer_length(fault) > 0 ? err : say(queue, fault, "cannot be opened", err);
}

static enum err open_each_table(struct lmdb_view *view)
{
    static const char *const names[] = {
#define X(name, text) text,
        LMDB_TABLE_LIST(X)
#undef X
    };
    unsigned flags = view->queue->options.read_only ? 0 : MDB_CREATE;
    for (size_t i = 0; i < LMDB_TABLE_COUNT; i++) {
        int code = mdb_dbi_open(view->txn, names[i], flags, &view->queue->tables[i]);
        if (code == MDB_NOTFOUND) {
            return ERR_NOT_FOUND;
        }
        if (code != MDB_SUCCESS) {
            return code == ENOSPC || code == EDQUOT || code == MDB_MAP_FULL ? ERR_FULL : ERR_IO;
        }
    }
    return ERR_NONE;
}

static enum err check_format(struct lmdb_view *view, struct buffer *fault)
{
    struct lmdb_key key = lmdb_key_own("format");
    struct slice value;
    enum err err = lmdb_get_checked(view, LMDB_META, &key, &value);
    if (err == ERR_NOT_FOUND && !view->queue->options.read_only) {
        static const char format[] = {FORMAT};
        return lmdb_put_checked(view, LMDB_META, &key, slice_make(format, sizeof format));
    }
    if (err != ERR_NONE) {
        return err;
    }
    if (value.length != 1 || value.data[0] != FORMAT) {
        buffer_print(fault, "the queue %s was written by another version of Sternpost", view->queue->path);
        return ERR_UNSUPPORTED;
    }
    return ERR_NONE;
}

/* A damaged record of the totals is the one that can be made again from the rest. */
static enum err check_totals(struct lmdb_view *view)
{
    struct queue_totals totals;
    enum err err = lmdb_totals_get(view, &totals);
    if (err != ERR_CORRUPT) {
        return err;
    }
    err = lmdb_totals_count(view, &totals);
    return err == ERR_NONE ? lmdb_totals_put(view, &totals) : err;
}

static enum err say(const struct queue *queue, struct buffer *fault, const char *what, enum err err)
{
    buffer_print(fault, "the queue %s %s: %s", queue->path, what, err_text(err));
    return err;
}
