/* Passwords checked on the pool: who gets in, who has to wait, and what cancelling leaves. */
#include "relay/authenticator.h"

#include "relay/throttle.h"
#include "test/unit/loop.h"
#include "tls/context.h"

#define RESULTS_MAX 400

/* "ann" and "bob", both with the password "secret" and few iterations. */
static struct users *users;
static struct authenticator *authenticator;
static size_t done_count, idle_count;
static enum authentication_result results[RESULTS_MAX];
static int64_t waits_ms[RESULTS_MAX];

static void on_idle(void *owner)
{
    assert_ptr_equal(owner, &idle_count);
    idle_count++;
}

static void on_done(struct authentication *authentication, enum authentication_result result)
{
    assert_null(authentication->check);
    assert_true(done_count < RESULTS_MAX);
    waits_ms[done_count] = authentication->wait_ms;
    results[done_count++] = result;
}

static int start(void **state)
{
    struct tls_password stored = {.iterations = 10000, .salt_length = 16};
    struct buffer text, fault;
    (void)state;
    loop_open();
    assert_int_equal(tls_start(), ERR_NONE);
    buffer_init(&text, 65536);
    buffer_init(&fault, 65536);
    assert_int_equal(tls_password_make(&stored, SLICE("secret")), ERR_NONE);
    buffer_add(&text, SLICE("# users\n\nann:"));
    tls_password_print(&stored, &text);
    buffer_add(&text, SLICE("\r\nbob:"));
    tls_password_print(&stored, &text);
    assert_int_equal(users_parse(buffer_slice(&text), SLICE("users"), &users, &fault), ERR_NONE);
    assert_int_equal(users_count(users), 2);
    buffer_free(&text);
    buffer_free(&fault);
    done_count = idle_count = 0;
    authenticator = authenticator_new(on_idle, &idle_count);
    assert_non_null(authenticator);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    assert_true(authenticator_is_idle(authenticator));
    authenticator_free(&authenticator);
    users_free(&users);
    tls_stop();
    loop_close();
    return 0;
}

static void begin(struct authentication *authentication, const char *name, const char *password, const char *client)
{
    struct authentication_request request = {.users = users, .name = slice_of(name), .password = slice_of(password)};
    assert_true(client[0] == '\0' || ip_parse(slice_of(client), &request.client));
    *authentication = (struct authentication){.done = on_done};
    assert_int_equal(authentication_start(authenticator, authentication, &request), ERR_NONE);
}

static enum authentication_result ask(const char *name, const char *password, const char *client)
{
    struct authentication authentication;
    size_t before = done_count;
    begin(&authentication, name, password, client);
    assert_int_equal(done_count, before); /* never inside the call */
    loop_until(name, &done_count, before + 1);
    return results[before];
}

static void test_yes_and_no(void **state)
{
    (void)state;
    assert_int_equal(ask("ann", "secret", "192.0.2.1"), AUTHENTICATION_YES);
    assert_int_equal(ask("ann", "Secret", "192.0.2.1"), AUTHENTICATION_NO);
    assert_int_equal(ask("bob", "secret", "2001:db8::1"), AUTHENTICATION_YES);
    assert_int_equal(ask("Ann", "secret", "192.0.2.2"), AUTHENTICATION_NO);
    assert_int_equal(ask("nobody", "secret", ""), AUTHENTICATION_NO);
    assert_int_equal(ask("ann", "secret", ""), AUTHENTICATION_YES);
    assert_int_equal(ask("ann", "secret", ""), AUTHENTICATION_YES); /* known now */
    assert_int_equal(ask("ann", "secret2", ""), AUTHENTICATION_NO);
    assert_true(idle_count > 0);
    static const char *const known[] = {"192.0.2.1", "2001:db8::ffff"}, *const unknown[] = {"192.0.2.2", "2001:db8:0:1::1"};
    struct ip ip;
    for (size_t i = 0; i < 2; i++) {
        assert_true(ip_parse(slice_of(known[i]), &ip));
        check_true(known[i], authenticator_knows(authenticator, &ip));
        assert_true(ip_parse(slice_of(unknown[i]), &ip));
        check_true(unknown[i], !authenticator_knows(authenticator, &ip));
    }
}

/* Unknown users wait as known ones do; other addresses of the network and other names from the address too. */
static void test_by_address(void **state)
{
    (void)state;
    for (size_t i = 0; i < THROTTLE_FREE; i++) {
        char name[16];
        snprintf(name, sizeof name, "guess%zu", i);
        assert_int_equal(ask(name, "x", "2001:db8::1"), AUTHENTICATION_NO);
    }
    assert_int_equal(ask("other", "x", "2001:db8::1"), AUTHENTICATION_WAIT);
    assert_true(waits_ms[done_count - 1] > 0 && waits_ms[done_count - 1] <= 1000);
    assert_int_equal(ask("ann", "secret", "2001:db8::ffff"), AUTHENTICATION_WAIT);
    assert_int_equal(ask("ann", "secret", "2001:db8:0:1::1"), AUTHENTICATION_YES);
    loop_for(1000);
    assert_int_equal(ask("ann", "secret", "2001:db8::1"), AUTHENTICATION_YES);
}

/* One name from many places: its user is let in from anywhere, a little later; where it has been let in before, at once. */
static void test_by_name(void **state)
{
    (void)state;
    assert_int_equal(ask("ann", "secret", "192.0.2.100"), AUTHENTICATION_YES);
    int64_t guessed_ms = 0;
    for (size_t i = 0; i < THROTTLE_FREE; i++) {
        char client[16];
        snprintf(client, sizeof client, "192.0.2.%zu", i);
        guessed_ms = clock_monotonic_ms();
        assert_int_equal(ask("ann", "x", client), AUTHENTICATION_NO);
    }
    static struct authentication late;
    begin(&late, "ann", "secret", "192.0.2.50");
    assert_int_equal(ask("bob", "secret", "192.0.2.51"), AUTHENTICATION_YES);
    assert_int_equal(ask("ann", "secret", "192.0.2.100"), AUTHENTICATION_YES);
    while (late.check != NULL)
        loop_for(10);
    assert_int_equal(results[done_count - 1], AUTHENTICATION_YES);
    assert_true(clock_monotonic_ms() - guessed_ms >= 1000);
    assert_int_equal(ask("ann", "secret", "192.0.2.50"), AUTHENTICATION_YES);
}

/* The right password, however often and however much at once, from one place and from many. */
static void test_the_right_password_is_never_refused(void **state)
{
    static struct authentication pool[RESULTS_MAX / 4];
    (void)state;
    for (size_t i = 0; i < THROTTLE_FREE - 1; i++)
        assert_int_equal(ask("guess", "x", "192.0.2.1"), AUTHENTICATION_NO); /* somebody beside it is near the limit */
    done_count = 0;
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT_OF(pool); i++) {
            char client[16];
            snprintf(client, sizeof client, "192.0.2.%zu", i % 8);
            begin(&pool[i], i % 2 == 0 ? "ann" : "bob", "secret", client);
        }
        loop_until("all", &done_count, (round + 1) * COUNT_OF(pool));
    }
    for (size_t i = 0; i < done_count; i++)
        assert_int_equal(results[i], AUTHENTICATION_YES);
}

/* One wrong password in a pool of right ones costs only itself, whichever comes first. */
static void test_one_wrong_among_right_ones(void **state)
{
    static struct authentication pool[60];
    size_t counts[AUTHENTICATION_BUSY + 1] = {0};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(pool); i++)
        begin(&pool[i], "ann", i % 20 == 7 ? "x" : "secret", "192.0.2.1");
    loop_until("all", &done_count, COUNT_OF(pool));
    for (size_t i = 0; i < COUNT_OF(pool); i++)
        counts[results[i]]++;
    assert_int_equal(counts[AUTHENTICATION_NO], 3);
    assert_int_equal(counts[AUTHENTICATION_YES], COUNT_OF(pool) - 3);
}

/* Of several who ask the same each may turn away, also while it is computed, and when another is being told. */
static void test_askers_of_the_same(void **state)
{
    static struct authentication pool[6];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(pool); i++)
        begin(&pool[i], "ann", "secret", "192.0.2.1");
    authentication_cancel(&pool[0]);
    authentication_cancel(&pool[5]);
    loop_until("the others", &done_count, 4);
    begin(&pool[0], "bob", "x", "192.0.2.1");
    begin(&pool[1], "bob", "x", "192.0.2.1");
    authentication_cancel(&pool[1]);
    authentication_cancel(&pool[0]);
    begin(&pool[2], "ann", "y", "192.0.2.9");
    begin(&pool[3], "ann", "z", "192.0.2.9"); /* waits for its turn */
    authentication_cancel(&pool[3]);
    loop_until("the last", &done_count, 5);
    while (!authenticator_is_idle(authenticator))
        loop_for(10);
    assert_int_equal(done_count, 5);
}

/* An application that has a wrong password locks out itself, not the one beside it. */
static void test_known_beside_a_guesser(void **state)
{
    (void)state;
    assert_int_equal(ask("ann", "secret", "192.0.2.1"), AUTHENTICATION_YES);
    for (size_t i = 0; i < THROTTLE_FREE; i++)
        assert_int_equal(ask("bob", "x", "192.0.2.1"), AUTHENTICATION_NO);
    assert_int_equal(ask("bob", "secret", "192.0.2.1"), AUTHENTICATION_WAIT);
    assert_int_equal(ask("ann", "secret", "192.0.2.1"), AUTHENTICATION_YES);
    for (size_t i = 0; i < THROTTLE_FREE; i++)
        assert_int_equal(ask("ann", "x", "192.0.2.1"), AUTHENTICATION_NO);
    assert_int_equal(ask("ann", "secret", "192.0.2.1"), AUTHENTICATION_WAIT);
}

/* Many guesses at once are looked at one after the other, and only so many of them. */
static void test_many_at_once(void **state)
{
    static struct authentication many[RESULTS_MAX];
    static char passwords[RESULTS_MAX][16];
    size_t counts[AUTHENTICATION_BUSY + 1] = {0};
    (void)state;
    for (size_t i = 0; i < RESULTS_MAX; i++)
        snprintf(passwords[i], sizeof passwords[i], "guess%zu", i);
    for (size_t i = 0; i < RESULTS_MAX; i++)
        begin(&many[i], "ann", passwords[i], "192.0.2.1");
    loop_until("all", &done_count, RESULTS_MAX);
    for (size_t i = 0; i < RESULTS_MAX; i++)
        counts[results[i]]++;
    assert_int_equal(counts[AUTHENTICATION_NO], THROTTLE_FREE);
    assert_int_equal(counts[AUTHENTICATION_YES], 0);
    assert_int_equal(counts[AUTHENTICATION_WAIT] + counts[AUTHENTICATION_BUSY], RESULTS_MAX - THROTTLE_FREE);
    assert_true(counts[AUTHENTICATION_WAIT] > 0);
}

/* The queue is bounded; those who leave it were never there. */
static void test_busy_and_cancelled(void **state)
{
    static struct authentication many[RESULTS_MAX];
    (void)state;
    for (size_t i = 0; i < RESULTS_MAX; i++) {
        char name[16], client[16];
        snprintf(name, sizeof name, "name%zu", i);
        snprintf(client, sizeof client, "10.0.%zu.%zu", i / 200, i % 200);
        begin(&many[i], name, "x", client);
    }
    loop_until("the first who are turned away", &done_count, 1);
    assert_int_equal(results[0], AUTHENTICATION_BUSY);
    for (size_t i = 0; i < RESULTS_MAX; i++) {
        authentication_cancel(&many[i]);
        authentication_cancel(&many[i]);
    }
    size_t before = done_count;
    while (!authenticator_is_idle(authenticator))
        loop_for(10);
    assert_int_equal(done_count, before);
    assert_int_equal(ask("name199", "x", "10.0.0.199"), AUTHENTICATION_NO);
}

static void test_users_file(void **state)
{
#define HASH "pbkdf2-sha256$10000$c2FsdHNhbHRzYWx0c2FsdA==$MI+P8ArZxL807eVfmB/TB8eo+begDzCe812TLwaxnRY="
    static const struct {
        const char *text;
        enum err err;
        const char *fault;
    } cases[] = {
        {"", ERR_NONE, ""},
        {"# none\n\n  \n", ERR_NONE, ""},
        {"a b\xc3\xa9:" HASH, ERR_NONE, ""},
        {"a:" HASH "\nb:" HASH "\na:" HASH "\n", ERR_EXISTS,
         "users:3: the user \"a\" stands in an earlier line already; remove one of them"},
        {"a:secret\n", ERR_SYNTAX, "users:1: not NAME:HASH; make the line with `sternpost passwd NAME`"},
        {"\na\n", ERR_SYNTAX, "users:2: not NAME:HASH; make the line with `sternpost passwd NAME`"},
        {":" HASH, ERR_SYNTAX, "users:1: not NAME:HASH; make the line with `sternpost passwd NAME`"},
        {" a:" HASH, ERR_SYNTAX, "users:1: not NAME:HASH; make the line with `sternpost passwd NAME`"},
        {"a\tb:" HASH, ERR_SYNTAX, "users:1: not NAME:HASH; make the line with `sternpost passwd NAME`"},
        {"\xe9:" HASH, ERR_SYNTAX, "users:1: not NAME:HASH; make the line with `sternpost passwd NAME`"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct users *parsed;
        struct buffer fault;
        buffer_init(&fault, 65536);
        check_number(cases[i].text, users_parse(slice_of(cases[i].text), SLICE("users"), &parsed, &fault), cases[i].err);
        check_slice(cases[i].text, buffer_slice(&fault), slice_of(cases[i].fault));
        check_true(cases[i].text, (parsed != NULL) == (cases[i].err == ERR_NONE));
        users_free(&parsed);
        buffer_free(&fault);
    }
}

#define WITH_LOOP(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        WITH_LOOP(test_yes_and_no),   WITH_LOOP(test_by_address),         WITH_LOOP(test_by_name),
        WITH_LOOP(test_known_beside_a_guesser), WITH_LOOP(test_many_at_once),
        WITH_LOOP(test_the_right_password_is_never_refused), WITH_LOOP(test_one_wrong_among_right_ones),
        WITH_LOOP(test_askers_of_the_same), WITH_LOOP(test_busy_and_cancelled),
        WITH_LOOP(test_users_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
