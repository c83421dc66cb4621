/* Whose domain it is, as far as shares go. */
#include "test/unit/check.h"

#include "relay/registrable.h"

static void test_owners(void **state)
{
    static const struct {
        const char *domain, *owner;
    } cases[] = {
        {"example.com", "example.com"},
        {"a.example.com", "example.com"},
        {"a.b.c.example.com", "example.com"},
        {"example.co.uk", "example.co.uk"},
        {"a.example.co.uk", "example.co.uk"},
        {"co.uk", "co.uk"},
        {"a.b.example.com.au", "example.com.au"},
        {"a.abc.io", "abc.io"}, /* three letters below a country's code are for sale */
        {"a.co.example", "co.example"},
        {"com", "com"},
        {"", ""},
        {"[192.0.2.1]", "[192.0.2.1]"},
        {"a.EXAMPLE.CO.UK", "EXAMPLE.CO.UK"},
        {".com", ".com"},
        {"..com", ".com"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_true(cases[i].domain, slice_equal(registrable_of(slice_of(cases[i].domain)), slice_of(cases[i].owner)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_owners)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
