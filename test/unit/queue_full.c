/* The database when space runs out: new mail is refused, bookkeeping goes on, and a failing disk is told from a full
 * one. */
#include "queue/queue.h"
#include "test/unit/check.h"
#include "test/unit/folder.h"
#include "test/unit/mail.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SMALL_DISK "16M"
#define LARGE 450000 /* more than what earlier failures left free in the file */
#define MAILS_MAX 4000

int __real_fdatasync(int file);
int __wrap_fdatasync(int file);
ssize_t __real_pwrite(int file, const void *bytes, size_t length, off_t offset);
ssize_t __wrap_pwrite(int file, const void *bytes, size_t length, off_t offset);

static struct folder folder;
static int fdatasync_until_failure; /* calls; 0: none fails */
static bool last_page_finds_no_room;

/* In the place of the C library's: fails when told to. */
int __wrap_fdatasync(int file)
{
    if (fdatasync_until_failure > 0 && --fdatasync_until_failure == 0) {
        errno = EIO;
        return -1;
    }
    return __real_fdatasync(file);
}

/* Less than a page is what the library writes last of a transaction, and as its own repair of that. */
ssize_t __wrap_pwrite(int file, const void *bytes, size_t length, off_t offset)
{
    if (last_page_finds_no_room && length < 512) {
        last_page_finds_no_room = false;
        errno = ENOSPC;
        return -1;
    }
    return __real_pwrite(file, bytes, length, offset);
}

static struct queue *open_queue(uint64_t map_size, uint64_t free_min)
{
    struct queue *queue;
    struct buffer fault;
    struct queue_options options = {.path = slice_of(folder_path(&folder, "queue")),
                                    .map_size = map_size,
                                    .done_keep_ms = 1000,
                                    .free_min = free_min};
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

static void check_whole(void)
{
    uint64_t faults;
    struct queue *queue;
    check_number("check", queue_check(slice_of(folder_path(&folder, "queue")), print_fault, NULL, &faults), ERR_NONE);
    check_number("faults", faults, 0);
    queue = open_queue(32 << 20, 0);
    queue_close(&queue);
}

static int set_up(void **state)
{
    (void)state;
    folder_make(&folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    folder_remove(&folder);
    return 0;
}

/* Accepts until it is refused for want of space; how many there are. */
static uint64_t fill(struct queue *queue, uint32_t size)
{
    for (uint64_t id = 1; id <= MAILS_MAX; id++) {
        enum err err = mail_accept(queue, &(struct mail){.id = id, .size = size, .to = {"a.x", "b.x"}});
        if (err != ERR_NONE) {
            check_number("refused", err, ERR_FULL);
            check_true("not at once", id > 1);
            return id - 1;
        }
    }
    fail_msg("never full");
    return 0;
}

/* Each message through all that bookkeeping does. */
static void work_off(struct queue *queue, uint64_t count)
{
    for (uint64_t id = 1; id <= count; id++) {
        check_number("defer", mail_update(queue, id, 0, MAIL_DEFER, 500), ERR_NONE);
        check_number("hold", mail_update(queue, id, 1, MAIL_HOLD, 0), ERR_NONE);
    }
    struct queue_destination known = {.name = SLICE("a.x"), .not_before_ms = 9, .text = SLICE("no route to host")};
    struct queue_change destination = {.kind = QUEUE_CHANGE_DESTINATION, .destination = &known};
    check_number("destination", mail_apply(queue, &destination), ERR_NONE);
    for (uint64_t id = 1; id <= count; id++) {
        struct queue_change delete = {.kind = QUEUE_CHANGE_DELETE, .id = id, .now_ms = 5};
        check_number("deliver", mail_update(queue, id, 0, MAIL_DELIVER, 5), ERR_NONE);
        check_number("delete", mail_apply(queue, &delete), ERR_NONE);
    }
    struct queue_totals totals;
    check_number("totals", queue_totals(queue, &totals), ERR_NONE);
    check_number("empty", totals.messages, 0);
}

static void full_map_leaves_room_for_bookkeeping(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1500, 5000, 300000};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct queue *queue = open_queue(2 << 20, 0);
        struct queue_space space;
        uint64_t count = fill(queue, sizes[i]);
        check_number("space", queue_space(queue, &space), ERR_NONE);
        check_true("within the map", space.map_used <= space.map_size);
        work_off(queue, count);
        count = fill(queue, sizes[i]);
        work_off(queue, count);
        queue_close(&queue);
        check_whole();
    }
}

/* A report goes with the outcome that makes room: if it had none, neither had that, and nothing would ever end. */
static void reports_have_room_where_mail_has_none(void **state)
{
    (void)state;
    struct queue *queue = open_queue(16 << 20, 0);
    uint64_t count = fill(queue, 60000);
    const struct queue_change *batch[COUNT_OF(((struct mail_changes *)NULL)->changes)];
    for (int is_report = 0; is_report <= 1; is_report++) {
        struct mail_changes made;
        mail_make(&(struct mail){.id = count + 1000, .size = 60000}, &made);
        for (size_t i = 0; i < made.count; i++) {
            made.changes[i].is_report = is_report != 0;
            batch[i] = &made.changes[i];
        }
        enum err err = queue_apply(queue, batch, made.count);
        mail_free(&made);
        check_number(is_report ? "report" : "new mail", err, is_report ? ERR_NONE : ERR_FULL);
    }
    check_number("report delivered", mail_update(queue, count + 1000, 0, MAIL_DELIVER, 5), ERR_NONE);
    work_off(queue, count);
    queue_close(&queue);
    check_whole();
}

/* ---- a small disk of our own ---- */

static bool has_small_disk;

static int set_up_disk(void **state)
{
    set_up(state);
    has_small_disk = unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                     mount("tmpfs", folder.path, "tmpfs", 0, "size=" SMALL_DISK ",mode=0700") == 0;
    return 0;
}

static int tear_down_disk(void **state)
{
    if (has_small_disk) {
        umount(folder.path);
    }
    return tear_down(state);
}

static bool needs_disk(void)
{
    if (!has_small_disk) {
        print_message("needs root\n");
    }
    return !has_small_disk;
}

static uint64_t disk_free(void)
{
    struct statvfs disk;
    assert_int_equal(statvfs(folder.path, &disk), 0);
    return (uint64_t)disk.f_bavail * disk.f_frsize;
}

/* Somebody else takes all that is left. */
static void fill_disk(void)
{
    static const char page[65536];
    int file = open(folder_path(&folder, "filler"), O_CREAT | O_WRONLY, 0600);
    while (write(file, page, sizeof page) > 0) {
    }
    close(file);
}

static bool reserve_is_there(void)
{
    struct stat status;
    return stat(folder_path(&folder, "queue/reserve"), &status) == 0 && status.st_blocks > 0;
}

static void full_disk_is_worked_off(void **state)
{
    (void)state;
    if (needs_disk()) {
        skip();
    }
    struct queue *queue = open_queue(UINT64_C(1) << 30, 0);
    check_true("reserve", reserve_is_there());
    uint64_t count = fill(queue, 100000);
    fill_disk();
    check_number("nothing free", disk_free(), 0);
    check_number("new mail", mail_accept(queue, &(struct mail){.id = 5000, .size = LARGE}), ERR_FULL);
    work_off(queue, count);
    unlink(folder_path(&folder, "filler"));
    check_number("new mail", mail_accept(queue, &(struct mail){.id = 5002}), ERR_NONE);
    queue_close(&queue);
    check_whole();
}

/* The disk fills while every page of the file is in use: bookkeeping needs new ones, and has the reserve. */
static void reserve_is_spent_and_comes_back(void **state)
{
    (void)state;
    if (needs_disk()) {
        skip();
    }
    struct queue *queue = open_queue(UINT64_C(1) << 30, 0);
    for (uint64_t id = 1; id <= 300; id++) {
        check_number("accept", mail_accept(queue, &(struct mail){.id = id, .to = {"a.x", "b.x"}}), ERR_NONE);
    }
    fill_disk();
    check_number("nothing free", disk_free(), 0);
    bool was_spent = false;
    for (uint64_t id = 1; id <= 300; id++) {
        struct queue_destination known = {.name = SLICE("a.x")};
        char text[3000];
        memset(text, 'x', sizeof text);
        known.text = slice_make(text, sizeof text);
        char name[32];
        snprintf(name, sizeof name, "%llu.x", (unsigned long long)id);
        known.name = slice_of(name);
        struct queue_change destination = {.kind = QUEUE_CHANGE_DESTINATION, .destination = &known};
        check_number("destination", mail_apply(queue, &destination), ERR_NONE);
        was_spent = was_spent || !reserve_is_there();
    }
    check_true("was spent", was_spent);
    check_number("what it left is not for new mail", mail_accept(queue, &(struct mail){.id = 5000}), ERR_FULL);
    unlink(folder_path(&folder, "filler"));
    check_number("deliver", mail_update(queue, 1, 0, MAIL_DELIVER, 5), ERR_NONE);
    check_true("is back", reserve_is_there());
    queue_close(&queue);
    check_whole();
}

/* The file never shrinks. After an outage that filled a disk of the queue's own nothing is free but what lies inside the file:
 * it must do. */
static void room_in_the_file_is_room(void **state)
{
    (void)state;
    if (needs_disk()) {
        skip();
    }
    struct queue *queue = open_queue(UINT64_C(1) << 30, 0);
    uint64_t count = fill(queue, 100000);
    queue_close(&queue);
    fill_disk();
    unlink(folder_path(&folder, "queue/reserve"));
    fill_disk();
    check_number("nothing free", disk_free(), 0);
    queue = open_queue(UINT64_C(1) << 30, 0);
    check_number("new mail", mail_accept(queue, &(struct mail){.id = 5000}), ERR_FULL);
    work_off(queue, count);
    check_number("nothing free", disk_free(), 0);
    check_true("no reserve", !reserve_is_there());
    struct queue_space space;
    check_number("space", queue_space(queue, &space), ERR_NONE);
    check_true("room in the file", space.file_free > 5 << 20 && space.disk_free == 0);
    count = 0;
    while (mail_accept(queue, &(struct mail){.id = 6000 + count, .size = 20000, .to = {"a.x", "b.x"}}) == ERR_NONE) {
        count++;
    }
    check_true("new mail again", count > 50);
    check_number("space", queue_space(queue, &space), ERR_NONE);
    check_true("but not to the last page", space.file_free > 2 << 20);
    check_number("defer", mail_update(queue, 6000, 0, MAIL_DEFER, 500), ERR_NONE);
    queue_close(&queue);
    check_whole();
}

static void full_disk_does_not_stop_a_start(void **state)
{
    (void)state;
    if (needs_disk()) {
        skip();
    }
    struct queue *queue = open_queue(UINT64_C(1) << 30, 0);
    check_number("accept", mail_accept(queue, &(struct mail){.id = 1, .to = {"a.x", "b.x"}}), ERR_NONE);
    struct queue_change chunk = {.kind = QUEUE_CHANGE_CHUNK, .id = 2, .bytes = SLICE("pending")};
    check_number("pending", mail_apply(queue, &chunk), ERR_NONE);
    queue_close(&queue);
    unlink(folder_path(&folder, "queue/lock.mdb")); /* to be made again, on the full disk */
    fill_disk();
    check_number("nothing free", disk_free(), 0);
    queue = open_queue(UINT64_C(1) << 30, 0);
    work_off(queue, 1);
    queue_close(&queue);
    check_whole();
}

/* ---- a failing disk ---- */

/* A short write with room on the disk is a fault of the disk: LMDB says EIO, and nothing is trusted until the next
 * start. */
static void failed_write_breaks_the_queue(void **state)
{
    (void)state;
    struct queue *queue = open_queue(32 << 20, 0);
    check_number("accept", mail_accept(queue, &(struct mail){.id = 1}), ERR_NONE);
    struct stat status;
    struct rlimit before, limit;
    assert_int_equal(stat(folder_path(&folder, "queue/data.mdb"), &status), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = (rlim_t)status.st_size + 20000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    check_number("short", mail_accept(queue, &(struct mail){.id = 2, .size = 300000}), ERR_IO);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    check_number("stays broken", mail_accept(queue, &(struct mail){.id = 3}), ERR_IO);
    check_number("for bookkeeping too", mail_update(queue, 1, 0, MAIL_DEFER, 5), ERR_IO);
    struct queue_totals totals;
    check_number("can be read", queue_totals(queue, &totals), ERR_NONE);
    check_number("messages", totals.messages, 1);
    queue_close(&queue);
    check_whole();
    queue = open_queue(32 << 20, 0);
    check_number("works again", mail_accept(queue, &(struct mail){.id = 3}), ERR_NONE);
    queue_close(&queue);
}

static void failed_sync_breaks_the_queue(void **state)
{
    (void)state;
    struct queue *queue = open_queue(32 << 20, 0);
    check_number("accept", mail_accept(queue, &(struct mail){.id = 1}), ERR_NONE);
    fdatasync_until_failure = 1;
    check_number("sync", mail_accept(queue, &(struct mail){.id = 2}), ERR_IO);
    check_number("was asked", fdatasync_until_failure, 0);
    check_number("stays broken", mail_accept(queue, &(struct mail){.id = 3}), ERR_IO);
    queue_close(&queue);
    check_whole();
    queue = open_queue(32 << 20, 0);
    struct queue_totals totals;
    check_number("totals", queue_totals(queue, &totals), ERR_NONE);
    check_number("messages", totals.messages, 1);
    queue_close(&queue);
}

/* The same fault where less is free than the options ask for counts as a full disk. */
/* The library trusts its file no more then, so nobody may be told that room alone is missing. */
static void no_room_for_the_last_page_breaks_the_queue(void **state)
{
    (void)state;
    struct queue *queue = open_queue(32 << 20, 0);
    check_number("accept", mail_accept(queue, &(struct mail){.id = 1}), ERR_NONE);
    last_page_finds_no_room = true;
    check_number("last page", mail_accept(queue, &(struct mail){.id = 2}), ERR_IO);
    assert_false(last_page_finds_no_room);
    check_number("stays broken", mail_accept(queue, &(struct mail){.id = 3}), ERR_IO);
    queue_close(&queue);
    check_whole();
    queue = open_queue(32 << 20, 0);
    struct queue_totals totals;
    check_number("totals", queue_totals(queue, &totals), ERR_NONE);
    check_number("messages", totals.messages, 1);
    queue_close(&queue);
}

static void failed_sync_on_a_full_disk_is_not_fatal(void **state)
{
    (void)state;
    struct queue *queue = open_queue(32 << 20, 0);
    check_number("accept", mail_accept(queue, &(struct mail){.id = 1}), ERR_NONE);
    queue_close(&queue);
    queue = open_queue(32 << 20, UINT64_MAX);
    check_true("reserve of the run before", reserve_is_there());
    fdatasync_until_failure = 1;
    check_number("sync", mail_accept(queue, &(struct mail){.id = 2}), ERR_FULL);
    check_number("bookkeeping", mail_update(queue, 1, 0, MAIL_DEFER, 5), ERR_NONE);
    check_true("had room", reserve_is_there());
    fdatasync_until_failure = 1;
    check_number("bookkeeping, with the reserve", mail_update(queue, 1, 0, MAIL_DEFER, 6), ERR_NONE);
    check_number("was asked", fdatasync_until_failure, 0);
    check_true("is spent", !reserve_is_there());
    check_number("no new mail meanwhile", mail_accept(queue, &(struct mail){.id = 3}), ERR_FULL);
    fdatasync_until_failure = 1;
    check_number("nothing left to give up", mail_update(queue, 1, 0, MAIL_DEFER, 7), ERR_FULL);
    check_number("but goes on", mail_update(queue, 1, 0, MAIL_DEFER, 7), ERR_NONE);
    queue_close(&queue);
    check_whole();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(full_map_leaves_room_for_bookkeeping, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reports_have_room_where_mail_has_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failed_write_breaks_the_queue, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failed_sync_breaks_the_queue, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_room_for_the_last_page_breaks_the_queue, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failed_sync_on_a_full_disk_is_not_fatal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(full_disk_is_worked_off, set_up_disk, tear_down_disk),
        cmocka_unit_test_setup_teardown(reserve_is_spent_and_comes_back, set_up_disk, tear_down_disk),
        cmocka_unit_test_setup_teardown(room_in_the_file_is_room, set_up_disk, tear_down_disk),
        cmocka_unit_test_setup_teardown(full_disk_does_not_stop_a_start, set_up_disk, tear_down_disk),
    };
    folder_use_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
