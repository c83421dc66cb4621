/* One look at a drop directory that many users fill: who is taken first, what is set aside, and what goes. */
#include "test/unit/check.h"
#include "test/unit/folder.h"
#include "test/unit/turn.h"

#include "relay/drop_scan.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define OWNER 12345 /* the relay's user: root could read everything */

static struct folder folder;
static struct drop_waits waits;
static struct drop_scan scan;

static int set_up(void **state)
{
    (void)state;
    struct buffer fault;
    turn_start();
    folder_make(&folder);
    buffer_init(&fault, 4096);
    waits = (struct drop_waits){.count = 0};
    scan = (struct drop_scan){.directory = -1, .waits = &waits, .size_max = 1u << 20};
    scan.wall_ms = (int64_t)time(NULL) * 1000;
    if (geteuid() == 0)
        assert_int_equal(chown(folder.path, OWNER, OWNER) + setegid(OWNER) + seteuid(OWNER), 0);
    assert_int_equal(drop_files_open(folder.path, &scan.directory, &fault), ERR_NONE);
    buffer_free(&fault);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    close(scan.directory);
    if (getuid() == 0)
        assert_int_equal(seteuid(0) + setegid(0), 0);
    folder_remove(&folder);
    return 0;
}

/* As a user would, whom only root can play. */
static void put(const char *prefix, size_t count, uint32_t uid, mode_t mode)
{
    if (getuid() == 0)
        assert_int_equal(seteuid(0), 0);
    for (size_t i = 0; i < count; i++) {
        char name[DROP_NAME_LENGTH + 2];
        bool is_hidden = prefix[0] == '.';
        snprintf(name, sizeof name, "%s%0*zx", prefix, (int)(DROP_NAME_LENGTH + is_hidden - strlen(prefix)), i);
        int fd = openat(scan.directory, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
        assert_true(fd >= 0);
        assert_int_equal(fchmod(fd, mode), 0);
        if (getuid() == 0)
            assert_int_equal(fchown(fd, uid, mode == 0640 ? OWNER : uid), 0);
        close(fd);
    }
    if (getuid() == 0)
        assert_int_equal(seteuid(OWNER), 0);
}

static void run(void)
{
    assert_int_equal(drop_scan_run(&scan), ERR_NONE);
}

static size_t found_of(uint32_t uid, size_t first)
{
    size_t count = 0;
    for (size_t i = 0; i < scan.count && i < first; i++)
        count += scan.found[i].uid == uid;
    return count;
}

/* Nobody has to wait behind another's thousands. */
static void test_shares(void **state)
{
    (void)state;
    if (getuid() != 0)
        skip(); /* only root can play other users */
    put("0", 2000, 1001, 0640);
    put("1", 20, 1002, 0640);
    put("f", 3, 1003, 0640);
    run();
    check_number("found", scan.count, DROP_NAMES_MAX);
    check_true("more", scan.is_full);
    check_number("all of the second", found_of(1002, 60), 20);
    check_number("all of the third", found_of(1003, 9), 3);
    check_number("the rest", found_of(1001, DROP_NAMES_MAX), DROP_NAMES_MAX - 23);
    put("2", 1500, 1004, 0640);
    run();
    check_true("halves", found_of(1001, DROP_NAMES_MAX) >= 485 && found_of(1004, DROP_NAMES_MAX) >= 485);
    check_number("all of the second", found_of(1002, 100), 20);
}

static void test_what_cannot_be_read(void **state)
{
    (void)state;
    if (getuid() != 0)
        skip(); /* only root can play other users */
    put("0", 2000, 1001, 0);
    put("1", 3, 1002, 0640);
    put("2", 2, 1003, 0600);
    run();
    check_number("found", scan.count, 3);
    check_number("users", scan.user_count, 3);
    for (size_t i = 0; i < scan.user_count; i++) {
        const struct drop_user *user = &scan.users[i];
        check_number("aside", user->aside, user->uid == 1001 ? DROP_ASIDE_MAX : user->uid == 1003 ? 2 : 0);
        check_number("removed", user->removed, user->uid == 1001 ? 2000 - DROP_ASIDE_MAX : 0);
    }
    run();
    check_number("it is over", scan.users[0].aside + scan.users[0].removed, 0);
    put("3", 10, 1001, 0);
    run();
    check_number("no more of him is kept", scan.users[0].uid == 1001 ? scan.users[0].removed : scan.users[1].removed, 10);
    drop_scan_release(&scan);
    run();
    check_number("found", scan.count, 3);
}

/* Mail that was promised, in a directory that has the wrong group: all of it is kept. */
static void test_the_wrong_group(void **state)
{
    (void)state;
    if (getuid() != 0)
        skip(); /* only root can play other users */
    put("0", DROP_ASIDE_MAX + 50, 1001, 0440);
    run();
    check_number("aside", scan.users[0].aside, DROP_ASIDE_MAX + 50);
    check_number("removed", scan.users[0].removed, 0);
}

static void test_what_is_being_written(void **state)
{
    (void)state;
    put(".0", DROP_WRITING_MAX + 30, 1001, 0640);
    run();
    check_number("removed", scan.users[0].removed, 30);
    run();
    check_number("removed", scan.users[0].removed, 0);
    scan.wall_ms += (int64_t)25 * 3600 * 1000;
    run();
    check_number("nobody writes so long", scan.junk, DROP_WRITING_MAX);
    int fd = openat(scan.directory, ".f0000000000000000000000000000000", O_WRONLY | O_CREAT | O_EXCL, 0640);
    static char bytes[65536];
    for (int i = 0; i < 17; i++)
        assert_int_equal(write(fd, bytes, sizeof bytes), sizeof bytes);
    close(fd);
    scan.wall_ms = (int64_t)time(NULL) * 1000;
    run();
    check_number("more than a message may have", scan.users[0].removed, 1);
}

/* ---- waits ---- */

static struct drop_name name_of(unsigned number)
{
    struct drop_name name;
    snprintf(name.text, sizeof name.text, "%032x", number);
    return name;
}

static void test_waits_double(void **state)
{
    (void)state;
    struct drop_name name = name_of(1), other = name_of(2);
    int64_t now_ms = 1000, last_ms = 0;
    check_true("never met", !drop_wait_has(&waits, &name, now_ms));
    for (int i = 0; i < 20; i++) {
        int64_t wait_ms = drop_wait_add(&waits, &name, now_ms);
        check_true("longer", i == 0 ? wait_ms == DROP_WAIT_FIRST_MS : wait_ms == 2 * last_ms || wait_ms == DROP_WAIT_MAX_MS);
        check_true("waits", drop_wait_has(&waits, &name, now_ms + wait_ms - 1) && !drop_wait_has(&waits, &other, now_ms));
        now_ms += wait_ms;
        last_ms = wait_ms;
        check_true("its turn", !drop_wait_has(&waits, &name, now_ms));
    }
    check_number("the longest", last_ms, DROP_WAIT_MAX_MS);
    drop_wait_remove(&waits, &name);
    drop_wait_remove(&waits, &other);
    check_number("none", waits.count, 0);
    check_number("anew", drop_wait_add(&waits, &name, now_ms), DROP_WAIT_FIRST_MS);
}

static void test_more_waits_than_places(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3 * DROP_WAITS_MAX; i++) {
        struct drop_name name = name_of(i);
        (void)drop_wait_add(&waits, &name, 1000 + i);
        check_true("the last one waits", drop_wait_has(&waits, &name, 1000 + i));
    }
    check_number("places", waits.count, DROP_WAITS_MAX);
}

#define SCAN_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    folder_use_memory();
    const struct CMUnitTest tests[] = {
        SCAN_TEST(test_shares),
        SCAN_TEST(test_what_cannot_be_read),
        SCAN_TEST(test_the_wrong_group),
        SCAN_TEST(test_what_is_being_written),
        SCAN_TEST(test_waits_double),
        SCAN_TEST(test_more_waits_than_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
