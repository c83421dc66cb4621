/* The drop directory: what hostile users may put there, and what a sick disk does. Nobody else waits for it. */
#include "test/unit/dropping.h"

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

int main(void)
{
    folder_use_memory();
    const struct CMUnitTest tests[] = {
        RUNNING_TEST(test_hostile_files),
        RUNNING_TEST(test_huge_files),
        RUNNING_TEST(test_no_files),
        RUNNING_TEST(test_junk),
        RUNNING_TEST(test_full_folders),
        RUNNING_TEST(test_a_held_of_others),
        RUNNING_TEST(test_a_full_held_of_others),
        RUNNING_TEST(test_a_file_that_waits),
        RUNNING_TEST(test_many_files_that_wait),
        RUNNING_TEST(test_replaced_by_a_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
