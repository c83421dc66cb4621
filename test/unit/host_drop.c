/* The drop directory: what is taken from it, exactly once, and what hostile users may put there. */
#include "test/unit/running.h"

#include "relay/drop.h"
#include "relay/drop_files.h"
#include "relay/posting.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD(size, address) "{\"command\":\"submit\",\"version\":1,\"sender\":\"a@a.example\",\"size\":" #size ",\"recipients\":[{\"address\":\"" address "\"}]}\n"
#define MAIL HEAD(8, "b@b.example") "X: y\n\nz\n"
#define NAME "0123456789abcdef0123456789abcdef"
#define NAME_2 "1123456789abcdef0123456789abcdef"

/* What the disk does to files of this size. */
#define SICK_SIZE 4242
ssize_t __real_pread64(int fd, void *bytes, size_t length, off_t offset);
ssize_t __wrap_pread64(int fd, void *bytes, size_t length, off_t offset);
static size_t sick_reads;

ssize_t __wrap_pread64(int fd, void *bytes, size_t length, off_t offset)
{
    struct stat status;
    if (fstat(fd, &status) != 0 || status.st_size != SICK_SIZE)
        return __real_pread64(fd, bytes, length, offset);
    sick_reads++;
    errno = EIO;
    return -1;
}

static void make_drop(void)
{
    assert_int_equal(mkdir(running.drop, 0700), 0);
    assert_int_equal(chmod(running.drop, DROP_MODE), 0);
}

static void open_drop(void)
{
    struct buffer fault;
    buffer_init(&fault, 4096);
    assert_int_equal(drop_open(running.relay->drop, &fault), ERR_NONE);
    check_slice("fault", buffer_slice(&fault), SLICE_EMPTY);
    buffer_free(&fault);
}

static const char *path_of(const char *name)
{
    static char path[400];
    snprintf(path, sizeof path, "%s/%s", running.drop, name);
    return path;
}

static void put(const char *name, struct slice bytes)
{
    int fd = open(path_of(name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0640);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes.data, bytes.length), (ssize_t)bytes.length);
    assert_int_equal(close(fd), 0);
}

static bool is_there(const char *name)
{
    struct stat status;
    return lstat(path_of(name), &status) == 0;
}

/* Names in the directory, "held" aside. */
static size_t count_files(const char *folder)
{
    size_t count = 0;
    struct dirent *entry;
    DIR *list = opendir(path_of(folder));
    assert_non_null(list);
    while ((entry = readdir(list)) != NULL)
        count += entry->d_name[0] != '.' && strcmp(entry->d_name, "held") != 0;
    closedir(list);
    return count;
}

static bool is_resting(void *owner)
{
    (void)owner;
    return drop_is_idle(running.relay->drop);
}

static bool is_empty(void *owner)
{
    return count_files(owner == NULL ? "." : owner) == 0 && is_resting(NULL);
}

static void look(void)
{
    drop_look_again(running.relay->drop);
    loop_for(1);
    while (!is_resting(NULL))
        loop_for(1);
}

static size_t accepted(void)
{
    return (size_t)running.relay->metrics.accepted;
}

static void test_taken_once(void **state)
{
    (void)state;
    make_drop();
    put(NAME, SLICE(MAIL));
    put(NAME_2, SLICE(MAIL));
    open_drop();
    running_until("taken", is_empty, NULL);
    check_number("accepted", accepted(), 2);
    look();
    check_number("accepted", accepted(), 2);
    put(NAME, SLICE(MAIL));
    look();
    running_until("a name may come again when its file is gone for good", is_empty, NULL);
    check_number("accepted", accepted(), 3);
}

/* A crash between the commit and the removal: the queue knows the name. */
static void test_crash(void **state)
{
    (void)state;
    make_drop();
    put(NAME, SLICE(MAIL));
    put(NAME_2, SLICE(MAIL));
    struct queue_change mark = {.kind = QUEUE_CHANGE_META, .key = SLICE("drop"), .bytes = SLICE(NAME)};
    const struct queue_change *changes[] = {&mark};
    assert_int_equal(queue_apply(running.relay->queue, changes, 1), ERR_NONE);
    open_drop();
    running_until("taken", is_empty, NULL);
    check_number("accepted", accepted(), 1);
}

/* Taken over the socket, but the answer was lost: the sender has left it here too. */
static void test_receipts(void **state)
{
    (void)state;
    make_drop();
    open_drop();
    for (size_t i = 0; i < RECEIPTS_MAX + 10; i++) {
        char request[400];
        struct asker asker = {0};
        snprintf(request, sizeof request, "{\"command\":\"submit\",\"version\":1,\"name\":\"%032zx\",\"size\":2,"
                 "\"recipients\":[{\"address\":\"b@b.example\"}]}\nx\n", i);
        asker_start_at(&asker, running.submit, slice_of(request));
        loop_until("answer", &asker.ended, 1);
        asker_close(&asker);
    }
    check_number("accepted", accepted(), RECEIPTS_MAX + 10);
    struct receipts *receipts = drop_receipts(running.relay->drop);
    struct receipts loaded;
    assert_int_equal(receipts_load(&loaded, running.relay->queue), ERR_NONE);
    check_number("next", loaded.next, receipts->next);
    for (size_t i = 0; i < RECEIPTS_MAX + 10; i++) {
        struct receipt_file file = {.uid = geteuid()}, other = {.uid = geteuid() + 1};
        snprintf(file.name.text, sizeof file.name.text, "%032zx", i);
        other.name = file.name;
        check_number(file.name.text, receipts_have(receipts, &file), i >= 10);
        check_number(file.name.text, receipts_have(&loaded, &file), i >= 10);
        check_true("no receipt for others", !receipts_have(receipts, &other) && !receipts_have(&loaded, &other));
    }
    put("00000000000000000000000000000020", SLICE(MAIL));
    put("00000000000000000000000000000200", SLICE(MAIL));
    look();
    running_until("looked at", is_empty, NULL);
    check_number("only the one without a receipt is taken", accepted(), RECEIPTS_MAX + 11);
}

/* Stored before users were noted; and what no version has stored. */
static void test_receipts_of_old(void **state)
{
    static const struct {
        const char *value;
        bool has_own, has_others;
    } rows[] = {
        {NAME " 256", true, true},
        {NAME " 256 7", true, false},
        {NAME " 256 8", false, true},
        {NAME " 255 7", false, false},
        {NAME " 256 7x", false, false},
        {NAME, false, false},
        {"x 256 7", false, false},
    };
    const struct receipt_file own = {.name = {NAME}, .uid = 7}, others = {.name = {NAME}, .uid = 8};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct receipts receipts;
        struct queue_change change = {.kind = QUEUE_CHANGE_META, .key = SLICE("receipt/0"), .bytes = slice_of(rows[i].value)};
        const struct queue_change *changes[] = {&change};
        assert_int_equal(queue_apply(running.relay->queue, changes, 1), ERR_NONE);
        assert_int_equal(receipts_load(&receipts, running.relay->queue), ERR_NONE);
        check_number(rows[i].value, receipts_have(&receipts, &own), rows[i].has_own);
        check_number(rows[i].value, receipts_have(&receipts, &others), rows[i].has_others);
    }
}

/* Who has read the name of another's file in the log hands in a message of that name. */
static void test_a_receipt_for_anothers_file(void **state)
{
    struct asker asker = {0};
    (void)state;
    if (geteuid() != 0)
        skip(); /* only root can play another user */
    make_drop();
    open_drop();
    look();
    put(NAME, SLICE(MAIL));
    assert_int_equal(chown(path_of(NAME), 12345, 12345), 0);
    asker_start_at(&asker, running.submit, SLICE("{\"command\":\"submit\",\"version\":1,\"name\":\"" NAME "\",\"size\":2,"
                                                 "\"recipients\":[{\"address\":\"b@b.example\"}]}\nx\n"));
    loop_until("answer", &asker.ended, 1);
    asker_close(&asker);
    look();
    running_until("taken", is_empty, NULL);
    check_number("both", accepted(), 2);
}

/* Every place where the relay can stop: what is there is taken once by the next one. */
static void test_stop_anywhere(void **state)
{
    (void)state;
    for (int turns = 0; turns < 40; turns++) {
        struct queue_totals totals;
        running_start();
        make_drop();
        for (int i = 0; i < 3; i++) {
            char name[DROP_NAME_LENGTH + 1];
            snprintf(name, sizeof name, "%032x", i);
            put(name, SLICE(MAIL));
        }
        open_drop();
        for (int i = 0; i < turns && count_files(".") > 0; i++)
            uv_run(host_loop(), UV_RUN_NOWAIT);
        relay_stop(running.relay, 0);
        loop_until("the relay's end", &running.stopped, 1);
        size_t left = count_files(".");
        assert_int_equal(queue_totals(running.relay->queue, &totals), ERR_NONE);
        check_number("one place each", totals.messages + left, 3);
        relay_free(&running.relay);
        resolver_close();
        tls_stop();
        loop_close();
        buffer_free(&running.told);
        folder_remove(&running.folder);
    }
}

static void test_hostile_files(void **state)
{
    static const struct {
        const char *name;
        struct slice content;
    } cases[] = {
        {"empty", SLICE_INIT("")},
        {"garbage", SLICE_INIT("\x7f\x45LF\0\0\0\n\n\n")},
        {"no newline", SLICE_INIT("{\"command\":\"submit\"")},
        {"no text", SLICE_INIT(HEAD(8, "b@b.example"))},
        {"truncated", SLICE_INIT(HEAD(8, "b@b.example") "X: y\n\nz")},
        {"too long", SLICE_INIT(HEAD(8, "b@b.example") "X: y\n\nz\n\n")},
        {"another command", SLICE_INIT("{\"command\":\"queue delete\",\"all\":true}\n")},
        {"a command in an address", SLICE_INIT(HEAD(8, "b@b.example>\\r\\nRCPT TO:<c@c.example") "X: y\n\nz\n")},
        {"a size over all", SLICE_INIT(HEAD(9223372036854775807, "b@b.example") "X: y\n\nz\n")},
        {"deep", SLICE_INIT("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n")},
    };
    (void)state;
    make_drop();
    open_drop();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        put(NAME, cases[i].content);
        look();
        check_true(cases[i].name, !is_there(NAME));
        check_number(cases[i].name, accepted(), 0);
    }
    check_number("held", count_files("held"), 0);
}

/* A file of 1 TB without a byte in it, and a head that does not end. */
static void test_huge_files(void **state)
{
    (void)state;
    make_drop();
    open_drop();
    put(NAME, SLICE(HEAD(8, "b@b.example")));
    if (truncate(path_of(NAME), INT64_C(1) << 40) != 0)
        assert_int_equal(truncate(path_of(NAME), INT64_C(1) << 30), 0); /* some file systems have smaller files */
    look();
    check_true("gone", !is_there(NAME));
    struct buffer head;
    buffer_init(&head, 4u << 20);
    buffer_add(&head, SLICE("{\"command\":\""));
    while (buffer_length(&head) < (2u << 20))
        buffer_add(&head, SLICE("submit"));
    put(NAME, buffer_slice(&head));
    look();
    check_true("gone", !is_there(NAME));
    check_number("accepted", accepted(), 0);
    buffer_free(&head);
}

static void test_no_files(void **state)
{
    char outside[300];
    (void)state;
    make_drop();
    snprintf(outside, sizeof outside, "%s/outside", running.folder.path);
    FILE *file = fopen(outside, "w");
    assert_non_null(file);
    fputs(MAIL, file);
    fclose(file);
    open_drop();
    look();
    assert_int_equal(symlink(outside, path_of(NAME)), 0);
    assert_int_equal(mkfifo(path_of(NAME_2), 0666), 0);
    assert_int_equal(mkdir(path_of("2123456789abcdef0123456789abcdef"), 0777), 0);
    assert_int_equal(link(outside, path_of("3123456789abcdef0123456789abcdef")), 0);
    assert_int_equal(symlink("/", path_of("link")), 0);
    assert_int_equal(mkdir(path_of("folder"), 0777), 0);
    look();
    running_until("all are gone", is_empty, NULL);
    check_number("accepted", accepted(), 0);
    struct stat status;
    assert_int_equal(stat(outside, &status), 0);
    check_number("what a link means stays", status.st_size, sizeof MAIL - 1);
}

/* What cannot be removed harms nobody, and what is being written is left alone. */
static void test_junk(void **state)
{
    (void)state;
    make_drop();
    put("." NAME, SLICE("half a mes"));
    put("junk", SLICE("x"));
    put(".junk", SLICE("x"));
    put("0123456789ABCDEF0123456789ABCDEF", SLICE(MAIL));
    assert_int_equal(mkdir(path_of(NAME), 0777), 0);
    put(NAME "/inside", SLICE("x"));
    put(NAME_2, SLICE(MAIL));
    open_drop();
    while (accepted() == 0 || !is_resting(NULL))
        loop_for(1);
    check_number("accepted", accepted(), 1);
    check_true("being written", is_there("." NAME));
    check_true("not empty", is_there(NAME));
    check_true("junk", !is_there("junk") && !is_there(".junk") && !is_there("0123456789ABCDEF0123456789ABCDEF"));
}

/* A folder with the name of a message cannot be removed while something is in it: first, last and in between. */
static void test_full_folders(void **state)
{
    (void)state;
    make_drop();
    for (int i = 0; i < 9; i++) {
        char name[80];
        snprintf(name, sizeof name, "%032x", i);
        if (i % 2 == 1) {
            put(name, SLICE(MAIL));
            continue;
        }
        assert_int_equal(mkdir(path_of(name), 0777), 0);
        snprintf(name, sizeof name, "%032x/inside", i);
        put(name, SLICE("x"));
    }
    open_drop();
    loop_for(1);
    for (int i = 0; i < 5000 && (accepted() < 4 || !is_resting(NULL)); i++)
        loop_for(1);
    check_number("all mail was taken", accepted(), 4);
    check_number("the folders stay", count_files("."), 5);
    put(NAME, SLICE(MAIL));
    look();
    check_number("and what comes after", accepted(), 5);
}

/* Before the first start anybody may have been there. */
static void test_a_held_of_others(void **state)
{
    (void)state;
    struct stat status;
    make_drop();
    assert_int_equal(symlink("/", path_of("held")), 0);
    open_drop();
    running_until("started", is_resting, NULL);
    assert_int_equal(lstat(path_of("held"), &status), 0);
    check_true("a folder", S_ISDIR(status.st_mode));
    check_number("of ours alone", status.st_mode & 0777, 0700);
}

/* One that is not empty cannot be removed. */
static void test_a_full_held_of_others(void **state)
{
    struct stat status;
    (void)state;
    if (geteuid() != 0)
        skip(); /* only root can play another user */
    make_drop();
    assert_int_equal(mkdir(path_of("held"), 0755), 0);
    put("held/x", SLICE("x"));
    assert_int_equal(chown(path_of("held"), 12345, 12345), 0);
    put(NAME, SLICE(MAIL));
    open_drop();
    while (accepted() == 0 || !is_resting(NULL))
        loop_for(1);
    assert_int_equal(lstat(path_of("held"), &status), 0);
    check_number("ours", status.st_uid, 0);
    check_number("of ours alone", status.st_mode & 0777, 0700);
    check_number("theirs stays, under another name", count_files("."), 1);
}

static void set_aliases(const char *text)
{
    char path[300];
    struct buffer warnings;
    struct config config = *running.relay->config;
    snprintf(path, sizeof path, "%s/aliases", running.folder.path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    config.aliases_file = slice_of(path);
    locals_free(&running.relay->locals);
    buffer_init(&warnings, 4096);
    assert_int_equal(locals_load(&config, &running.relay->locals, &warnings), ERR_NONE);
    buffer_free(&warnings);
}

/* What was promised is not thrown away because of a key. */
static void test_held_back(void **state)
{
    (void)state;
    make_drop();
    put(NAME, SLICE(HEAD(8, "root") "X: y\n\nz\n"));
    put(NAME_2, SLICE(HEAD(100000000, "b@b.example")));
    assert_int_equal(truncate(path_of(NAME_2), 100000000 + (off_t)strlen(HEAD(100000000, "b@b.example"))), 0);
    put("2123456789abcdef0123456789abcdef", SLICE("{\"command\":\"submit\",\"version\":2}\n"));
    open_drop();
    running_until("looked at", is_empty, NULL);
    check_number("held", count_files("held"), 3);
    check_number("accepted", accepted(), 0);
    set_aliases("root: admin@b.example\n");
    look();
    running_until("looked at again", is_empty, NULL);
    check_number("held", count_files("held"), 2);
    check_number("accepted", accepted(), 1);
}

static void fill(struct buffer *file, const char *address, const char *header, const char *item, size_t count)
{
    struct buffer text;
    buffer_init(&text, 1u << 20);
    buffer_print(&text, "%s", header);
    for (size_t i = 0; i < count; i++)
        buffer_print(&text, "%s", item);
    buffer_print(&text, "\n\ntext\n");
    buffer_print(file, "{\"command\":\"submit\",\"version\":1,\"sender\":\"a@a.example\",\"size\":%zu,"
                       "\"recipients\":[{\"address\":\"%s\"}]}\n%.*s", buffer_length(&text), address, SLICE_ARGS(buffer_slice(&text)));
    buffer_free(&text);
}

/* Whatever is wrong with one message for good: it is put aside, and told; those behind it are taken in the same look. */
static void test_messages_that_never_will(void **state)
{
    static const struct {
        const char *name, *address, *header, *item;
        size_t count;
    } cases[] = {
        {"addresses that outgrow the header when they are completed", "b@b.example", "To: a", ",a", 60000},
        {"a header that is too long", "b@b.example", "X-1: a", "\nX-2: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", 10000},
        {"a loop", "b@b.example", "X-1: a", "\nReceived: from a by b; Tue, 14 Nov 2023 22:13:20 +0000", 60},
        {"aliases that go round", "ring", "X-1: a", "", 0},
        {"nobody here", "nobody", "X-1: a", "", 0},
    };
    (void)state;
    make_drop();
    set_aliases("ring: ring\n");
    open_drop();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer file;
        buffer_init(&file, 2u << 20);
        fill(&file, cases[i].address, cases[i].header, cases[i].item, cases[i].count);
        size_t before = running.lines[LOG_ERROR];
        put("00000000000000000000000000000001", buffer_slice(&file));
        put("ffffffffffffffffffffffffffffffff", SLICE(MAIL));
        look();
        check_number(cases[i].name, count_files("."), 0);
        check_number(cases[i].name, count_files("held"), 1);
        check_number(cases[i].name, accepted(), i + 1);
        check_number(cases[i].name, running.lines[LOG_ERROR] - before, 1);
        assert_int_equal(unlink(path_of("held/00000000000000000000000000000001")), 0);
        buffer_free(&file);
    }
}

/* What is wrong with one file now: it waits by itself, and all others are taken, in the same look and in the next ones. */
static void test_a_file_that_waits(void **state)
{
    static char bytes[SICK_SIZE];
    (void)state;
    make_drop();
    put("00000000000000000000000000000001", slice_make(bytes, sizeof bytes));
    put("00000000000000000000000000000002", slice_make(bytes, sizeof bytes));
    put(NAME, SLICE(MAIL));
    open_drop();
    while (accepted() == 0 || !is_resting(NULL))
        loop_for(1);
    check_number("each was tried", sick_reads, 2);
    put(NAME_2, SLICE(MAIL));
    look();
    check_number("accepted", accepted(), 2);
    check_number("they are left alone", sick_reads, 2);
    check_number("they stay", count_files("."), 2);
}

/* As many as anybody likes to make: a few of one user are tried in a look, and all that others leave there is taken. */
static void test_many_files_that_wait(void **state)
{
    static char bytes[SICK_SIZE];
    char name[40];
    (void)state;
    if (geteuid() != 0)
        skip(); /* only root can play another user */
    sick_reads = 0;
    make_drop();
    for (int i = 0; i < 30; i++) {
        snprintf(name, sizeof name, "%032x", i);
        put(name, slice_make(bytes, sizeof bytes));
        assert_int_equal(chown(path_of(name), 12345, 12345), 0);
        snprintf(name, sizeof name, "1%031x", i);
        put(name, SLICE(MAIL));
    }
    open_drop();
    for (int i = 0; i < 5000 && (accepted() < 30 || !is_resting(NULL)); i++)
        loop_for(1);
    check_number("accepted", accepted(), 30);
    check_number("a few were tried", sick_reads, 5);
    check_number("all stay", count_files("."), 30);
}

/* Whatever its owner puts in its place while a file is read, moved or removed. */
static void test_replaced_by_a_folder(void **state)
{
    int directory = -1;
    struct drop_name name = {.text = NAME};
    struct buffer fault;
    (void)state;
    make_drop();
    buffer_init(&fault, 4096);
    assert_int_equal(drop_files_open(running.drop, &directory, &fault), ERR_NONE);
    assert_int_equal(mkdir(path_of(NAME), 0777), 0);
    put(NAME "/inside", SLICE("x"));
    check_number("the file is gone", drop_file_remove(directory, &name), ERR_NONE);
    check_true("the folder is not", is_there(NAME));
    snprintf(name.text, sizeof name.text, "%s", NAME_2);
    check_number("gone before it is held", drop_file_hold(directory, &name), ERR_NONE);
    put(NAME_2, SLICE("first"));
    check_number("held", drop_file_hold(directory, &name), ERR_NONE);
    put(NAME_2, SLICE("second"));
    check_number("what is held stays", drop_file_hold(directory, &name), ERR_EXISTS);
    check_true("nor is it set aside", !drop_file_set_aside(directory, NAME_2));
    struct stat status;
    assert_int_equal(lstat(path_of("held/" NAME_2), &status), 0);
    check_number("the first", status.st_size, 5);
    close(directory);
    buffer_free(&fault);
}

static void test_directories_that_will_not_do(void **state)
{
    struct buffer fault;
    (void)state;
    buffer_init(&fault, 4096);
    check_number("not there", drop_open(running.relay->drop, &fault), ERR_NOT_FOUND);
    buffer_clear(&fault);
    assert_int_equal(symlink("/tmp", running.drop), 0);
    assert_int_not_equal(drop_open(running.relay->drop, &fault), ERR_NONE);
    assert_int_equal(unlink(running.drop), 0);
    make_drop();
    if (geteuid() == 0) {
        assert_int_equal(chown(running.drop, 12345, 12345), 0);
        buffer_clear(&fault);
        check_number("of another user", drop_open(running.relay->drop, &fault), ERR_PERMISSION);
        check_true("says what to do", slice_find_slice(buffer_slice(&fault), SLICE("chown")) < buffer_length(&fault));
        assert_int_equal(chown(running.drop, 0, 0), 0);
    }
    assert_int_equal(chmod(running.drop, 0700), 0);
    open_drop();
    struct stat status;
    assert_int_equal(stat(running.drop, &status), 0);
    check_number("the mode is mended", status.st_mode & 07777, DROP_MODE);
    buffer_free(&fault);
}

static void test_names(void **state)
{
    static const char *const bad[] = {"", ".", "0123456789abcdef0123456789abcde", NAME "0", "0123456789abcdef0123456789abcdeF",
                                      "../3456789abcdef0123456789abcdef0"};
    (void)state;
    assert_true(drop_name_is_valid(SLICE(NAME)));
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        check_true(bad[i], !drop_name_is_valid(slice_of(bad[i])));
    uint8_t bytes[DROP_NAME_LENGTH / 2];
    struct drop_name name;
    dice_fill(bytes, sizeof bytes);
    drop_name_print(bytes, &name);
    assert_true(drop_name_is_valid(slice_of(name.text)));
}

int main(void)
{
    folder_use_memory();
    const struct CMUnitTest tests[] = {
        RUNNING_TEST(test_taken_once),
        RUNNING_TEST(test_crash),
        RUNNING_TEST(test_receipts),
        RUNNING_TEST(test_receipts_of_old),
        RUNNING_TEST(test_a_receipt_for_anothers_file),
        cmocka_unit_test(test_stop_anywhere),
        RUNNING_TEST(test_hostile_files),
        RUNNING_TEST(test_huge_files),
        RUNNING_TEST(test_no_files),
        RUNNING_TEST(test_junk),
        RUNNING_TEST(test_full_folders),
        RUNNING_TEST(test_a_held_of_others),
        RUNNING_TEST(test_a_full_held_of_others),
        RUNNING_TEST(test_held_back),
        RUNNING_TEST(test_messages_that_never_will),
        RUNNING_TEST(test_a_file_that_waits),
        RUNNING_TEST(test_many_files_that_wait),
        RUNNING_TEST(test_replaced_by_a_folder),
        RUNNING_TEST(test_directories_that_will_not_do),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
