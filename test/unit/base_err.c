#include "base/err.h"
#include "test/unit/check.h"

#include <errno.h>

static void test_every_error_has_its_text(void **state)
{
    (void)state;
    const char *texts[] = {
#define X(name, text) [ERR_##name] = text,
        ERR_LIST(X)
#undef X
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        assert_string_equal(err_text((enum err)i), texts[i]);
    assert_string_equal(err_text((enum err)COUNT_OF(texts)), "unknown error");
}

static void test_errno_is_translated(void **state)
{
    static const struct {
        const char *name;
        int number;
        enum err err;
    } cases[] = {
        {"none", 0, ERR_NONE},
        {"ENOMEM", ENOMEM, ERR_MEMORY},
        {"EMFILE", EMFILE, ERR_LIMIT},
        {"ENOENT", ENOENT, ERR_NOT_FOUND},
        {"EEXIST", EEXIST, ERR_EXISTS},
        {"EACCES", EACCES, ERR_PERMISSION},
        {"EROFS", EROFS, ERR_PERMISSION},
        {"EADDRINUSE", EADDRINUSE, ERR_IN_USE},
        {"ENOSPC", ENOSPC, ERR_FULL},
        {"EDQUOT", EDQUOT, ERR_FULL},
        {"EIO", EIO, ERR_IO},
        {"ETIMEDOUT", ETIMEDOUT, ERR_TIMEOUT},
        {"ECONNREFUSED", ECONNREFUSED, ERR_REFUSED},
        {"EHOSTUNREACH", EHOSTUNREACH, ERR_UNREACHABLE},
        {"ENETUNREACH", ENETUNREACH, ERR_UNREACHABLE},
        {"ECONNRESET", ECONNRESET, ERR_RESET},
        {"EPIPE", EPIPE, ERR_RESET},
        {"ECANCELED", ECANCELED, ERR_CANCELLED},
        {"ENOSYS", ENOSYS, ERR_UNSUPPORTED},
        {"EAFNOSUPPORT", EAFNOSUPPORT, ERR_UNSUPPORTED},
        {"an unknown one is an error too", 99999, ERR_IO},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_number(cases[i].name, err_from_errno(cases[i].number), cases[i].err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_error_has_its_text),
        cmocka_unit_test(test_errno_is_translated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
