/* What a server answers to our ClientHello, in pieces: nothing is ever proved by it, and no plaintext comes out. */
#include "tls/session.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tls_context *make_context(void)
{
    struct tls_context *context;
    struct buffer fault, warnings;
    buffer_init(&fault, 1 << 16);
    buffer_init(&warnings, 1 << 16);
    assert(tls_start() == ERR_NONE);
    assert(tls_context_new(&(struct tls_context_options){.minimum = TLS_1_2}, &context, &fault, &warnings) == ERR_NONE);
    buffer_free(&fault);
    buffer_free(&warnings);
    return context;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tls_context *context; /* costs too much to make each time */
    context = context == NULL ? make_context() : context;
    struct slice rest = slice_make(data, size);
    size_t step = size > 0 ? (size_t)data[0] * 8 + 1 : 1;
    struct tls_session *session = tls_session_client(context, TLS_ENCRYPT, SLICE("mx.example.com"), NULL);
    for (rest = slice_from(rest, 1); rest.length > 0; rest = slice_from(rest, step)) {
        tls_session_work(session);
        tls_session_feed(session, slice_to(slice_to(rest, step), tls_session_room(session)));
    }
    tls_session_end(session);
    tls_session_work(session);
    assert(tls_session_status(session) == TLS_FAILED && tls_session_plain(session).length == 0);
    assert(!tls_session_verdict(session)->verified && !tls_session_verdict(session)->secured);
    tls_session_free(&session);
    return 0;
}
