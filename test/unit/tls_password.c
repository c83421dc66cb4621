/* Stored passwords: made, printed, read again, checked; digests as another implementation makes them. */
#include "tls/password.h"

#include "test/unit/check.h"
#include "tls/context.h"

/* Python: hashlib.pbkdf2_hmac("sha256", b"secret", b"saltsaltsaltsalt", 100000) */
#define KNOWN "pbkdf2-sha256$100000$c2FsdHNhbHRzYWx0c2FsdA==$MI+P8ArZxL807eVfmB/TB8eo+begDzCe812TLwaxnRY="

static int start(void **state)
{
    (void)state;
    return tls_start() == ERR_NONE ? 0 : 1;
}

static int stop(void **state)
{
    (void)state;
    tls_stop();
    return 0;
}

static bool is_password(const char *text, const char *password, uint32_t iterations)
{
    struct tls_password stored;
    bool matches = false;
    check_number(text, tls_password_parse(&stored, slice_of(text)), ERR_NONE);
    assert_int_equal(tls_password_check(&stored, slice_of(password), iterations, &matches), ERR_NONE);
    return matches;
}

static void test_known(void **state)
{
    (void)state;
    assert_true(is_password(KNOWN, "secret", 0));
    assert_true(is_password(KNOWN, "secret", 150000)); /* those on top change nothing */
    assert_false(is_password(KNOWN, "Secret", 0));
    assert_false(is_password(KNOWN, "secret ", 0));
    assert_false(is_password(KNOWN, "", 0));
}

static void test_made(void **state)
{
    /* The last is longer than a block of SHA-256, and is hashed to become a key. */
    static const char *const passwords[] = {
        "x",
        "with blanks and \xc3\xa9",
        "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
    };
    struct tls_password stored, again, other;
    struct buffer text;
    bool matches;
    (void)state;
    buffer_init(&text, 1024);
    for (size_t i = 0; i < COUNT_OF(passwords); i++) {
        buffer_clear(&text);
        assert_int_equal(tls_password_make(&stored, slice_of(passwords[i])), ERR_NONE);
        tls_password_print(&stored, &text);
        assert_false(buffer_failed(&text));
        assert_true(buffer_length(&text) <= TLS_PASSWORD_TEXT_MAX);
        check_number(passwords[i], tls_password_parse(&again, buffer_slice(&text)), ERR_NONE);
        assert_memory_equal(&stored, &again, sizeof stored);
        assert_int_equal(tls_password_check(&again, slice_of(passwords[i]), 0, &matches), ERR_NONE);
        check_true(passwords[i], matches);
    }
    assert_int_equal(tls_password_make(&other, slice_of(passwords[0])), ERR_NONE);
    assert_int_equal(tls_password_make(&stored, slice_of(passwords[0])), ERR_NONE);
    assert_memory_not_equal(other.salt, stored.salt, other.salt_length);
    buffer_free(&text);
}

static void test_faults(void **state)
{
    static const char *const texts[] = {
        "",
        "secret",
        "$2y$10$abcdefghijklmnopqrstuv",
        "pbkdf2-sha256",
        "pbkdf2-sha256$100000$c2FsdHNhbHRzYWx0c2FsdA==",
        KNOWN "$",
        "pbkdf2-sha1$100000$c2FsdHNhbHRzYWx0c2FsdA==$MI+P8ArZxL807eVfmB/TB8eo+begDzCe812TLwaxnRY=",
        "pbkdf2-sha256$0$c2FsdHNhbHRzYWx0c2FsdA==$MI+P8ArZxL807eVfmB/TB8eo+begDzCe812TLwaxnRY=",
        "pbkdf2-sha256$9999$c2FsdHNhbHRzYWx0c2FsdA==$MI+P8ArZxL807eVfmB/TB8eo+begDzCe812TLwaxnRY=",
        "pbkdf2-sha256$10000001$c2FsdHNhbHRzYWx0c2FsdA==$MI+P8ArZxL807eVfmB/TB8eo+begDzCe812TLwaxnRY=",
        "pbkdf2-sha256$100000$c2FsdA==$MI+P8ArZxL807eVfmB/TB8eo+begDzCe812TLwaxnRY=",
        "pbkdf2-sha256$100000$c2FsdHNhbHRzYWx0c2FsdA==$MI+P8ArZxL807eVfmB/TB8eo+begDzCe812TLwaxnQ==",
        "pbkdf2-sha256$100000$c2FsdHNhbHRzYWx0c2FsdA$MI+P8ArZxL807eVfmB/TB8eo+begDzCe812TLwaxnRY=",
        "pbkdf2-sha256$100000$c2FsdHNhbHRzYWx0c2FsdA==$MI+P8ArZxL807eVfmB/TB8eo+begDzCe812TLwaxnRYA",
    };
    struct tls_password stored;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        check_number(texts[i], tls_password_parse(&stored, slice_of(texts[i])), ERR_SYNTAX);
}

/* Not even the password whose digest would be all zeros, if it were known. */
static void test_nobody(void **state)
{
    struct tls_password nobody = tls_password_nobody(10000);
    bool matches = true;
    (void)state;
    assert_int_equal(nobody.iterations, 10000);
    assert_int_equal(tls_password_nobody(0).iterations, TLS_PASSWORD_ITERATIONS);
    assert_int_equal(tls_password_check(&nobody, SLICE("secret"), 0, &matches), ERR_NONE);
    assert_false(matches);
}

static void test_marks(void **state)
{
    static const uint8_t key[32] = {1}, other_key[32] = {2};
    struct tls_password stored, changed;
    struct tls_password_mark mark, again, other;
    (void)state;
    assert_int_equal(tls_password_parse(&stored, SLICE(KNOWN)), ERR_NONE);
    changed = stored;
    changed.salt[0] ^= 1;
    assert_int_equal(tls_password_mark(key, &stored, SLICE("secret"), &mark), ERR_NONE);
    assert_int_equal(tls_password_mark(key, &stored, SLICE("secret"), &again), ERR_NONE);
    assert_true(tls_password_mark_equal(&mark, &again));
    assert_int_equal(tls_password_mark(key, &stored, SLICE("secres"), &other), ERR_NONE);
    assert_false(tls_password_mark_equal(&mark, &other));
    assert_int_equal(tls_password_mark(other_key, &stored, SLICE("secret"), &other), ERR_NONE);
    assert_false(tls_password_mark_equal(&mark, &other));
    assert_int_equal(tls_password_mark(key, &changed, SLICE("secret"), &other), ERR_NONE);
    assert_false(tls_password_mark_equal(&mark, &other));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),  cmocka_unit_test(test_made),  cmocka_unit_test(test_faults),
        cmocka_unit_test(test_nobody), cmocka_unit_test(test_marks),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
