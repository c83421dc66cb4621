/* Paths and addresses. What passes has no byte that could end a line or a path, and passes again between brackets. The
 * first byte says what the rules are. */
#include <assert.h>

#include "base/buffer.h"
#include "smtp/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_address(struct slice address, struct smtp_path_rules rules)
{
    struct buffer again;
    struct slice parsed;
    buffer_init(&again, SMTP_ADDRESS_MAX + 2);
    buffer_print(&again, "<%.*s>", SLICE_ARGS(address));
    assert(!buffer_failed(&again));
    struct slice rest = buffer_slice(&again);
    assert(smtp_path_parse(&rest, rules, &parsed));
    assert(rest.length == 0 && slice_equal(parsed, address));
    for (size_t i = 0; i < address.length; i++) {
        uint8_t byte = (uint8_t)address.data[i];
        assert(byte >= 0x20 && byte != 0x7f && (byte < 0x80 || rules.utf8));
    }
    struct slice local = smtp_address_local(address), domain = smtp_address_domain(address);
    assert(local.length + domain.length + (domain.length > 0) == address.length);
    buffer_free(&again);
    char text[SMTP_ADDRESS_MAX + 1];
    struct slice repaired = address;
    if (domain.length == 0)
        return; /* a name, or the null path */
    assert(smtp_address_repair(&repaired, rules.utf8, text) && smtp_address_is_valid(repaired, rules.utf8));
    assert(repaired.data == text ? !smtp_address_is_valid(address, rules.utf8) : slice_equal(repaired, address));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct smtp_path_rules rules = {.null_allowed = size > 0 && (data[0] & 1), .utf8 = size > 0 && (data[0] & 2),
                                    .name_allowed = size > 0 && (data[0] & 4)};
    struct slice input = slice_from(slice_make(data, size), 1), rest = input, address;
    if (smtp_path_parse(&rest, rules, &address)) {
        assert(rest.length < input.length);
        check_address(address, rules);
    } else {
        assert(rest.data == input.data && rest.length == input.length);
    }
    if (smtp_address_is_valid(input, rules.utf8))
        check_address(input, rules);
    return 0;
}
