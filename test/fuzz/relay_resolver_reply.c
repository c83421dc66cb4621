/* Whatever a name server sends: no byte beyond the packet is read, counts are bounded, and a name handed on is one that
 * may be written into a log line. The first byte chooses the kind; the question is always for "test". */
#include "relay/resolver_wire.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct resolver_question question = {.kind = size > 0 ? (enum record_kind)(data[0] % 5) : RECORD_A};
    struct resolver_name again;
    struct resolver_reply reply;
    struct slice canonical;
    struct arena *arena = arena_new((size_t)1 << 20);
    assert(arena != NULL && resolver_name_parse(SLICE("test"), &question.name));
    resolver_reply_parse(slice_from(slice_make(data, size), 1), &question, arena, &reply);
    assert((reply.finding == RESOLVER_RECORDS) == (reply.count > 0) || reply.finding == RESOLVER_MALFORMED);
    assert(reply.finding != RESOLVER_UNUSABLE || reply.dropped > 0);
    assert(reply.count <= RESOLVER_RECORDS_MAX);
    assert(reply.canonical.length > 0 && reply.canonical.length <= RESOLVER_NAME_MAX);
    assert(resolver_name_print(&reply.canonical, arena, &canonical));
    for (size_t i = 0; i < canonical.length; i++) {
        assert(byte_is_print(canonical.data[i]));
    }
    for (size_t i = 0; reply.finding == RESOLVER_RECORDS && i < reply.count; i++) {
        assert(question.kind != RECORD_MX || resolver_name_parse(reply.records[i].name, &again));
        assert(question.kind > RECORD_AAAA || reply.records[i].ip.family != IP_NONE);
    }
    arena_free(&arena);
    return 0;
}
