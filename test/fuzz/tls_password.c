/* A stored password that is read prints as one that is read as the same. */
#include "tls/password.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tls_password stored, again;
    struct buffer text;
    if (tls_password_parse(&stored, slice_make(data, size)) != ERR_NONE)
        return 0;
    assert(stored.iterations >= 10000 && stored.salt_length >= 8 && stored.salt_length <= sizeof stored.salt);
    buffer_init(&text, TLS_PASSWORD_TEXT_MAX);
    tls_password_print(&stored, &text);
    assert(!buffer_failed(&text));
    assert(tls_password_parse(&again, buffer_slice(&text)) == ERR_NONE);
    assert(memcmp(&stored, &again, sizeof stored) == 0);
    buffer_free(&text);
    return 0;
}
