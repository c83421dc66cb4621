/* The drop directory: what is taken from it, exactly once. */
#include "test/unit/dropping.h"

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
        RUNNING_TEST(test_held_back),
        RUNNING_TEST(test_messages_that_never_will),
        RUNNING_TEST(test_directories_that_will_not_do),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
