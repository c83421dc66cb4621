/* The database when the power goes. The C library's writing calls are wrapped, so that there is an image of what the
 * disk has for certain, and a list of what was written since: only a sync makes that certain too. A power cut leaves
 * the image with any part of the list. Whatever it leaves, the next start must find all that was promised, and nothing
 * that does not fit. */
#include "queue/queue.h"
#include "test/unit/check.h"
#include "test/unit/folder.h"
#include "test/unit/mail.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define IMAGE_MAX ((size_t)8 << 20)
#define PAGE 4096
#define WRITES_MAX 4096
#define BATCHES 60
#define CUTS_PER_BATCH 3

ssize_t __real_pwrite(int file, const void *bytes, size_t length, off_t offset);
ssize_t __wrap_pwrite(int file, const void *bytes, size_t length, off_t offset);
ssize_t __real_writev(int file, const struct iovec *parts, int count);
ssize_t __wrap_writev(int file, const struct iovec *parts, int count);
int __real_fdatasync(int file);
int __wrap_fdatasync(int file);

/* A page, or less, that was written and not synced. */
struct unsynced {
    size_t offset, length;
    unsigned char bytes[PAGE];
};
static struct {
    bool is_on;
    dev_t device;
    ino_t inode; /* of data.mdb */
    unsigned char *image;
    size_t size;
    struct unsynced *writes;
    size_t write_count;
    size_t sync_count, synced_write_count;
    size_t writes_until_cut; /* 0: none comes within a batch */
    uint64_t random;
} disk;
static struct folder folder, after;
static uint64_t promised; /* ids from 1 to this were */

static void power_cut(void);

static uint64_t below(uint64_t bound)
{
    disk.random = disk.random * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (disk.random >> 33) % bound;
}

/* ---- what is wrapped ---- */

static bool is_data(int file)
{
    struct stat status;
    return disk.is_on && fstat(file, &status) == 0 && status.st_ino == disk.inode && status.st_dev == disk.device;
}

static void make_certain(size_t offset, const unsigned char *bytes, size_t length)
{
    assert_true(offset + length <= IMAGE_MAX);
    memcpy(disk.image + offset, bytes, length);
    disk.size = offset + length > disk.size ? offset + length : disk.size;
}

/* One page reaches the disk or does not: that much the disks promise. */
static void note_write(size_t offset, const unsigned char *bytes, size_t length)
{
    while (length > 0) {
        size_t part = PAGE - offset % PAGE < length ? PAGE - offset % PAGE : length;
        assert_true(disk.write_count < WRITES_MAX);
        struct unsynced *write = &disk.writes[disk.write_count++];
        *write = (struct unsynced){.offset = offset, .length = part};
        memcpy(write->bytes, bytes, part);
        offset += part;
        bytes += part;
        length -= part;
    }
}

static void count_down(void)
{
    if (disk.writes_until_cut > 0 && --disk.writes_until_cut == 0) {
        power_cut();
    }
}

ssize_t __wrap_pwrite(int file, const void *bytes, size_t length, off_t offset)
{
    ssize_t written = __real_pwrite(file, bytes, length, offset);
    if (written > 0 && is_data(file)) {
        note_write((size_t)offset, bytes, (size_t)written);
        count_down(); /* while even a synced write is under way */
        if ((fcntl(file, F_GETFL) & O_DSYNC) != 0) {
            make_certain((size_t)offset, bytes, (size_t)written);
            disk.write_count--; /* alone: LMDB writes its meta page, after a sync */
            disk.synced_write_count++;
        }
    }
    return written;
}

ssize_t __wrap_writev(int file, const struct iovec *parts, int count)
{
    off_t offset = lseek(file, 0, SEEK_CUR);
    ssize_t written = __real_writev(file, parts, count), left = written;
    for (int i = 0; i < count && left > 0 && is_data(file); i++) {
        size_t length = parts[i].iov_len < (size_t)left ? parts[i].iov_len : (size_t)left;
        note_write((size_t)offset, parts[i].iov_base, length);
        offset += (off_t)length;
        left -= (ssize_t)length;
    }
    count_down();
    return written;
}

int __wrap_fdatasync(int file)
{
    int result = __real_fdatasync(file);
    if (result == 0 && is_data(file)) {
        count_down();
        for (size_t i = 0; i < disk.write_count; i++) {
            make_certain(disk.writes[i].offset, disk.writes[i].bytes, disk.writes[i].length);
        }
        disk.write_count = 0;
        disk.sync_count++;
    }
    return result;
}

/* ---- the cut ---- */

static struct queue *open_queue(struct folder *in)
{
    struct queue *queue;
    struct buffer fault;
    struct queue_options options = {
        .path = slice_of(folder_path(in, "queue")), .map_size = IMAGE_MAX, .done_keep_ms = 1000};
    buffer_init(&fault, 1024);
    enum err err = queue_open(&options, &queue, &fault);
    check_slice("fault", buffer_slice(&fault), SLICE_EMPTY);
    check_number("open", err, ERR_NONE);
    buffer_free(&fault);
    return queue;
}

static void print_fault(void *owner, struct slice fault)
{
    (void)owner;
    print_error("check: %.*s\n", SLICE_ARGS(fault));
}

static void write_image(const char *path, const unsigned char *image, size_t size)
{
    int file = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    assert_true(file >= 0);
    assert_int_equal(write(file, image, size), (ssize_t)size);
    close(file);
}

/* Every third message was delivered after it was accepted, before the next came: of the last one that is not certain.
 */
static void check_promise(struct queue *queue, struct arena *arena, uint64_t id)
{
    struct queue_message message;
    struct buffer content;
    bool is_delivered = id % 3 == 0;
    enum err err = queue_message_get(queue, id, arena, &message);
    check_true("as promised", (is_delivered && id == promised && err == ERR_NOT_FOUND) ||
                                  err == (is_delivered && id < promised ? ERR_NOT_FOUND : ERR_NONE));
    buffer_init(&content, 1 << 20);
    for (uint32_t i = 0; err == ERR_NONE && i < message.chunk_count; i++) {
        check_number("content", queue_chunk_get(queue, id, i, &content), ERR_NONE);
    }
    check_true("whole", err != ERR_NONE || buffer_length(&content) == message.size);
    buffer_free(&content);
}

static void check_promises(struct queue *queue)
{
    struct arena *arena = arena_new((size_t)1 << 20);
    struct queue_totals totals;
    check_number("totals", queue_totals(queue, &totals), ERR_NONE);
    uint64_t expected = promised - promised / 3;
    check_true("no more than was begun", totals.messages >= expected && totals.messages <= expected + 1);
    for (uint64_t id = 1; id <= promised; id++) {
        arena_reset(arena);
        check_promise(queue, arena, id);
    }
    arena_free(&arena);
}

/* What is certain, and of the rest one page in so many, in the order of writing or not. */
static void power_cut(void)
{
    unsigned char *left = malloc(IMAGE_MAX);
    size_t size = disk.size;
    uint64_t one_in = 1 + below(4);
    bool was_on = disk.is_on;
    uint64_t faults;
    assert_non_null(left);
    memcpy(left, disk.image, disk.size);
    for (size_t i = 0; i < disk.write_count; i++) {
        const struct unsynced *write = &disk.writes[i];
        if (below(one_in) == 0) {
            if (write->offset > size) {
                memset(left + size, 0, write->offset - size);
            }
            memcpy(left + write->offset, write->bytes, write->length);
            size = write->offset + write->length > size ? write->offset + write->length : size;
        }
    }
    disk.is_on = false;
    folder_make(&after);
    mkdir(folder_path(&after, "queue"), 0700);
    write_image(folder_path(&after, "queue/data.mdb"), left, size);
    free(left);
    check_number("check", queue_check(slice_of(folder_path(&after, "queue")), print_fault, NULL, &faults), ERR_NONE);
    check_number("faults", faults, 0);
    struct queue *queue = open_queue(&after);
    check_promises(queue);
    queue_close(&queue);
    folder_remove(&after);
    disk.is_on = was_on;
}

static void watch_disk(void)
{
    struct stat status;
    int file = open(folder_path(&folder, "queue/data.mdb"), O_RDONLY);
    assert_int_equal(fstat(file, &status), 0);
    disk.image = calloc(1, IMAGE_MAX);
    disk.writes = calloc(WRITES_MAX, sizeof *disk.writes);
    assert_true(disk.image != NULL && disk.writes != NULL);
    assert_int_equal(read(file, disk.image, IMAGE_MAX), status.st_size);
    close(file);
    disk.size = (size_t)status.st_size;
    disk.device = status.st_dev;
    disk.inode = status.st_ino;
    disk.is_on = true;
    disk.random = (uint64_t)getpid();
    print_message("seed %llu\n", (unsigned long long)disk.random);
}

static void promises_survive_a_power_cut(void **state)
{
    (void)state;
    folder_make(&folder);
    struct queue *queue = open_queue(&folder);
    queue_close(&queue); /* LMDB's own locks forbid to open its file beside it */
    watch_disk();
    queue = open_queue(&folder);
    for (uint64_t id = 1; id <= BATCHES; id++) {
        uint32_t size = 1 + (uint32_t)below(below(4) == 0 ? 150000 : 5000);
        disk.writes_until_cut = below(6);
        check_number("accept", mail_accept(queue, &(struct mail){.id = id, .size = size}), ERR_NONE);
        promised = id;
        if (id % 3 == 0) {
            check_number("deliver", mail_update(queue, id, 0, MAIL_DELIVER, (int64_t)id), ERR_NONE);
        }
        for (int i = 0; i < CUTS_PER_BATCH; i++) {
            power_cut();
        }
    }
    check_true("synced before", disk.sync_count >= BATCHES);
    check_true("and after", disk.synced_write_count >= BATCHES);
    disk.is_on = false;
    queue_close(&queue);
    free(disk.image);
    free(disk.writes);
    folder_remove(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(promises_survive_a_power_cut)};
    folder_use_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
