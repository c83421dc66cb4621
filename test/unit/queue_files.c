/* The database's own promises about its files: modes, locks, what it says when it cannot be opened, and damage to the
 * file. */
#include "queue/queue.h"
#include "test/unit/check.h"
#include "test/unit/folder.h"
#include "test/unit/mail.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAP_SIZE (UINT64_C(32) << 20)
/* Of the relay that works beside: while a check reads, no page is used again. */
#define HOLDER_MAP_SIZE (UINT64_C(1) << 30)
#define NOBODY 65534

static struct folder folder;

static enum err open_at(const char *name, uint64_t map_size, struct queue **queue, struct buffer *fault)
{
    char path[256];
    snprintf(path, sizeof path, "%s", folder_path(&folder, name));
    struct queue_options options = {.path = slice_of(path), .map_size = map_size, .done_keep_ms = 1000};
    return queue_open(&options, queue, fault);
}

static struct queue *open_queue(uint64_t map_size)
{
    struct queue *queue;
    struct buffer fault;
    buffer_init(&fault, 1024);
    enum err err = open_at("queue", map_size, &queue, &fault);
    check_slice("fault", buffer_slice(&fault), SLICE_EMPTY);
    check_number("open", err, ERR_NONE);
    buffer_free(&fault);
    return queue;
}

static void check_refused(const char *name, const char *path, enum err expected, const char *words)
{
    struct queue *queue;
    struct buffer fault;
    buffer_init(&fault, 1024);
    check_number(name, open_at(path, MAP_SIZE, &queue, &fault), expected);
    check_true(name, queue == NULL);
    check_true(name, slice_find_slice(buffer_slice(&fault), slice_of(words)) < buffer_length(&fault));
    buffer_free(&fault);
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

static void count_fault(void *owner, struct slice fault)
{
    print_error("check: %.*s\n", SLICE_ARGS(fault));
    (*(uint64_t *)owner)++;
}

/* Runs in a child, so that what it locks or gives up is its own. */
static int run_child(int (*run)(void))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(run());
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void files_are_the_owners(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        mode_t mode;
    } files[] = {{"queue", S_IFDIR | 0700},
                 {"queue/data.mdb", S_IFREG | 0600},
                 {"queue/lock.mdb", S_IFREG | 0600},
                 {"queue/lock", S_IFREG | 0600},
                 {"queue/reserve", S_IFREG | 0600}};
    mode_t mask = umask(0);
    struct queue *queue = open_queue(MAP_SIZE);
    umask(mask);
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        struct stat status;
        check_number(files[i].name, stat(folder_path(&folder, files[i].name), &status), 0);
        check_number(files[i].name, status.st_mode, files[i].mode);
    }
    queue_close(&queue);
}

static void what_cannot_be_opened_is_told(void **state)
{
    (void)state;
    int file = open(folder_path(&folder, "file"), O_CREAT | O_WRONLY, 0600);
    close(file);
    check_refused("no parent", "absent/queue", ERR_NOT_FOUND, "absent/queue cannot be created");
    check_refused("a file", "file", ERR_NOT_FOUND, "file cannot be opened");
}

static int open_as_nobody(void)
{
    if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0) {
        return 100;
    }
    struct queue *queue;
    struct buffer fault;
    buffer_init(&fault, 1024);
    enum err err = open_at("queue", MAP_SIZE, &queue, &fault);
    bool says_so = buffer_length(&fault) > 0;
    buffer_free(&fault);
    return says_so ? (int)err : 101;
}

static void other_peoples_folder_is_refused(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("needs root\n");
        skip();
    }
    chmod(folder.path, 0755);
    check_number("cannot be created", run_child(open_as_nobody), ERR_PERMISSION);
    mkdir(folder_path(&folder, "queue"), 0755);
    check_number("cannot be written", run_child(open_as_nobody), ERR_PERMISSION);
    struct queue *queue = open_queue(MAP_SIZE);
    queue_close(&queue);
    check_number("not its file", run_child(open_as_nobody), ERR_PERMISSION);
}

static void unreasonable_size_is_refused(void **state)
{
    (void)state;
    struct queue *queue;
    struct buffer fault;
    buffer_init(&fault, 1024);
    check_number("small", open_at("queue", QUEUE_MAP_MIN - 1, &queue, &fault), ERR_LIMIT);
    check_number("large", open_at("queue", UINT64_MAX, &queue, &fault), ERR_LIMIT);
    buffer_free(&fault);
    queue = open_queue(QUEUE_MAP_MIN + 1);
    check_number("accept", mail_accept(queue, &(struct mail){.id = 1}), ERR_NONE);
    queue_close(&queue);
}

static void unsafe_places_are_known(void **state)
{
    (void)state;
    struct queue *queue = open_queue(MAP_SIZE);
    const char *place = queue_unsafe_place(queue);
    bool is_memory = slice_starts(slice_of(folder.path), SLICE("/dev/shm"));
    check_true("tmpfs", !is_memory || (place != NULL && slice_equal(slice_of(place), SLICE("tmpfs"))));
    queue_close(&queue);
}

/* What a check by another user must not leave behind: a lock file that the relay cannot open. */
static void check_makes_no_file(void **state)
{
    (void)state;
    struct queue *queue = open_queue(MAP_SIZE);
    check_number("accept", mail_accept(queue, &(struct mail){.id = 1}), ERR_NONE);
    queue_close(&queue);
    unlink(folder_path(&folder, "queue/lock.mdb"));
    uint64_t faults, told = 0;
    enum err err = queue_check(slice_of(folder_path(&folder, "queue")), count_fault, &told, &faults);
    check_number("check", err, ERR_NONE);
    check_number("faults", faults, 0);
    check_number("no lock file", access(folder_path(&folder, "queue/lock.mdb"), F_OK), -1);
}

/* A relay in another process, until it is killed. */
static pid_t start_holder(void)
{
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct queue *queue = open_queue(HOLDER_MAP_SIZE);
        if (mail_accept(queue, &(struct mail){.id = 1}) != ERR_NONE || write(ready[1], "r", 1) != 1) {
            _exit(1);
        }
        for (uint64_t id = 2;; id++) {
            if (mail_accept(queue, &(struct mail){.id = id, .to = {"a.x", "b.x"}}) != ERR_NONE ||
                mail_update(queue, id, 1, MAIL_DELIVER, 5) != ERR_NONE ||
                (id % 2 == 0 && mail_update(queue, id, 0, MAIL_DELIVER, 5) != ERR_NONE)) {
                _exit(1);
            }
        }
    }
    char byte;
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return child;
}

static void stop_holder(pid_t child)
{
    int status;
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status)); /* it was still at work */
}

static void second_relay_names_the_first(void **state)
{
    (void)state;
    char words[64];
    pid_t child = start_holder();
    snprintf(words, sizeof words, "queue is in use by another relay (pid %ld)", (long)child);
    check_refused("held", "queue", ERR_IN_USE, words);
    stop_holder(child);
    struct queue *queue = open_queue(HOLDER_MAP_SIZE);
    struct queue_totals totals;
    check_number("totals", queue_totals(queue, &totals), ERR_NONE);
    check_true("is there", totals.messages > 0);
    queue_close(&queue);
}

static void check_reads_beside_a_relay(void **state)
{
    (void)state;
    pid_t child = start_holder();
    for (int i = 0; i < 20; i++) {
        uint64_t faults, told = 0;
        check_number("check", queue_check(slice_of(folder_path(&folder, "queue")), count_fault, &told, &faults),
                     ERR_NONE);
        check_number("faults", faults, 0);
        check_number("told", told, 0);
        usleep(5000);
    }
    stop_holder(child);
}

/* The library must say what it finds, not crash on it. */
static void foreign_files_are_refused(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 100, 8192, 65536};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        mkdir(folder_path(&folder, "queue"), 0700);
        int file = open(folder_path(&folder, "queue/data.mdb"), O_CREAT | O_TRUNC | O_WRONLY, 0600);
        char *bytes = malloc(sizes[i]);
        memset(bytes, 'x', sizes[i]);
        assert_int_equal(write(file, bytes, sizes[i]), (ssize_t)sizes[i]);
        close(file);
        free(bytes);
        check_refused("not a database", "queue", ERR_CORRUPT, "cannot be opened: ");
    }
}

static void unborn_files_are_made_anew(void **state)
{
    (void)state;
    static const off_t sizes[] = {0, 1, 4096, 8192};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        mkdir(folder_path(&folder, "queue"), 0700);
        int file = open(folder_path(&folder, "queue/data.mdb"), O_CREAT | O_TRUNC | O_WRONLY, 0600);
        assert_int_equal(ftruncate(file, sizes[i]), 0);
        close(file);
        struct queue *queue = open_queue(MAP_SIZE);
        check_number("accept", mail_accept(queue, &(struct mail){.id = 1}), ERR_NONE);
        queue_close(&queue);
    }
}

static void other_formats_are_refused(void **state)
{
    (void)state;
    struct queue *queue = open_queue(MAP_SIZE);
    queue_close(&queue);
    /* The key "\0format", then 1 and its check; a damaged check is damage, not another format. */
    int file = open(folder_path(&folder, "queue/data.mdb"), O_RDWR);
    struct stat status;
    assert_int_equal(fstat(file, &status), 0);
    char *bytes = malloc((size_t)status.st_size);
    assert_int_equal(pread(file, bytes, (size_t)status.st_size, 0), status.st_size);
    static const char key[] = "\0format\1";
    char *found = memmem(bytes, (size_t)status.st_size, key, sizeof key - 1);
    assert_non_null(found);
    off_t offset = found - bytes + (off_t)sizeof key - 2;
    static const unsigned char later[] = {2, 0xb3, 0x46, 0x23, 0xa6}; /* CRC-32C of 02 follows */
    static const unsigned char damaged[] = {9};
    free(bytes);
    assert_int_equal(pwrite(file, damaged, sizeof damaged, offset), (ssize_t)sizeof damaged);
    check_refused("damaged", "queue", ERR_CORRUPT, "cannot be opened: a stored record is damaged");
    assert_int_equal(pwrite(file, later, sizeof later, offset), (ssize_t)sizeof later);
    close(file);
    check_refused("later", "queue", ERR_UNSUPPORTED, "another version");
}

static void damaged_totals_are_made_again(void **state)
{
    (void)state;
    struct queue *queue = open_queue(MAP_SIZE);
    check_number("accept", mail_accept(queue, &(struct mail){.id = 1, .size = 0x1234}), ERR_NONE);
    check_number("accept", mail_accept(queue, &(struct mail){.id = 2, .to = {"a.x", "b.x"}}), ERR_NONE);
    queue_close(&queue);
    static const char marker[] = "\0\0\0\0\0\0\0\2\0\0\0\0\0\0\x12\x3e\0\0\0\0\0\0\0\3";
    assert_true(folder_damage(folder_path(&folder, "queue/data.mdb"), slice_make(marker, sizeof marker - 1)));
    uint64_t faults, told = 0;
    check_number("check", queue_check(slice_of(folder_path(&folder, "queue")), count_fault, &told, &faults), ERR_NONE);
    check_number("told", told, 1);
    queue = open_queue(MAP_SIZE);
    struct queue_totals totals;
    check_number("totals", queue_totals(queue, &totals), ERR_NONE);
    check_number("messages", totals.messages, 2);
    check_number("bytes", totals.bytes, 0x123e);
    check_number("entries", totals.entries, 3);
    queue_close(&queue);
    check_number("check", queue_check(slice_of(folder_path(&folder, "queue")), count_fault, &told, &faults), ERR_NONE);
    check_number("whole again", faults, 0);
}

/* The map of a queue that is larger than what the options allow now. */
static void smaller_map_still_empties(void **state)
{
    (void)state;
    struct queue *queue = open_queue(MAP_SIZE);
    for (uint64_t id = 1; id <= 40; id++) {
        check_number("accept", mail_accept(queue, &(struct mail){.id = id, .size = 200000}), ERR_NONE);
    }
    queue_close(&queue);
    queue = open_queue(2 << 20);
    struct queue_space space;
    check_number("space", queue_space(queue, &space), ERR_NONE);
    check_true("over the limit", space.map_size == 2 << 20 && space.map_used > 4 << 20);
    check_number("new mail", mail_accept(queue, &(struct mail){.id = 41}), ERR_FULL);
    for (uint64_t id = 1; id <= 40; id++) {
        check_number("defer", mail_update(queue, id, 0, MAIL_DEFER, 5), ERR_NONE);
        check_number("deliver", mail_update(queue, id, 0, MAIL_DELIVER, 5), ERR_NONE);
    }
    check_number("space", queue_space(queue, &space), ERR_NONE);
    check_true("empty", space.map_used < 1 << 20);
    check_number("new mail again", mail_accept(queue, &(struct mail){.id = 42}), ERR_NONE);
    queue_close(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(files_are_the_owners),         TEST(what_cannot_be_opened_is_told), TEST(other_peoples_folder_is_refused),
        TEST(unreasonable_size_is_refused), TEST(unsafe_places_are_known),       TEST(check_makes_no_file),
        TEST(second_relay_names_the_first), TEST(check_reads_beside_a_relay),    TEST(foreign_files_are_refused),
        TEST(unborn_files_are_made_anew),   TEST(other_formats_are_refused),     TEST(damaged_totals_are_made_again),
        TEST(smaller_map_still_empties),
    };
    folder_use_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
