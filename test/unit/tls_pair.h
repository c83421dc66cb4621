/* Two TLS sessions in memory, one talking to the other, cut as a test wants. */
#ifndef TEST_UNIT_TLS_PAIR_H
#define TEST_UNIT_TLS_PAIR_H

#include "test/unit/check.h"
#include "tls/session.h"

/* Moves at most limit bytes of one session's ciphertext to the other. Returns how many. */
static inline size_t pair_move(struct tls_session *from, struct tls_session *to, size_t limit)
{
    struct slice wire = slice_to(tls_session_wire(from), limit);
    wire = slice_to(wire, tls_session_room(to));
    if (wire.length == 0)
        return 0;
    /* Of its exact size, so that AddressSanitizer sees a read beyond it. */
    char *bytes = malloc(wire.length);
    assert_non_null(bytes);
    memcpy(bytes, wire.data, wire.length);
    tls_session_feed(to, slice_make(bytes, wire.length));
    free(bytes);
    tls_session_wired(from, wire.length);
    return wire.length;
}

/* Lets both work, with their ciphertext in pieces of at most step bytes, until neither has anything for the other. */
static inline void pair_settle(struct tls_session *a, struct tls_session *b, size_t step)
{
    size_t moved;
    do {
        tls_session_work(a);
        tls_session_work(b);
        moved = pair_move(a, b, step);
        moved += pair_move(b, a, step);
    } while (moved > 0);
}

static inline void pair_free(struct tls_session **a, struct tls_session **b)
{
    tls_session_free(a);
    tls_session_free(b);
}

#endif
