/* Address lists: every address found is valid, stands where it is said to stand, and is found again alone in the same form. */
#include <assert.h>

#include "smtp/address.h"
#include "smtp/mailbox.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_again(struct slice first, bool is_bare)
{
    struct smtp_mailbox_list list = smtp_mailbox_list_of(first);
    struct smtp_mailbox mailbox;
    struct buffer address;
    buffer_init(&address, 1000);
    enum smtp_mailbox_kind kind = smtp_mailbox_next(&list, &mailbox, &address);
    assert(kind == SMTP_MAILBOX_ADDRESS && slice_equal(buffer_slice(&address), first));
    assert(mailbox.is_bare == is_bare && smtp_mailbox_next(&list, &mailbox, &address) == SMTP_MAILBOX_END);
    buffer_free(&address);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_make(data, size);
    struct smtp_mailbox_list list = smtp_mailbox_list_of(text);
    struct smtp_mailbox mailbox;
    struct buffer address;
    enum smtp_mailbox_kind kind;
    const char *behind = text.data;
    buffer_init(&address, 1000);
    while ((kind = smtp_mailbox_next(&list, &mailbox, &address)) != SMTP_MAILBOX_END) {
        struct slice found = buffer_slice(&address);
        assert(mailbox.element.length > 0 && mailbox.element.data >= behind);
        behind = mailbox.element.data + mailbox.element.length;
        assert(behind <= text.data + text.length);
        if (kind == SMTP_MAILBOX_FAULT)
            continue;
        assert(mailbox.span.data >= mailbox.element.data && mailbox.span.data + mailbox.span.length <= behind);
        assert(mailbox.is_bare || smtp_address_is_valid(found, true));
        assert(!slice_has(found, '\n') && !slice_has(found, '\r') && !slice_has(found, '\0'));
        read_again(found, mailbox.is_bare);
    }
    buffer_free(&address);
    return 0;
}
