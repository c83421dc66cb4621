/* A canonical name is short enough, lower-case ASCII, and its own canonical form. */
#include "base/idna.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(16384);
    struct slice canonical, again;
    assert(arena != NULL);
    enum err err = idna_canonical(slice_make(data, size), arena, &canonical);
    assert(err == ERR_NONE || err == ERR_SYNTAX);
    if (err == ERR_NONE) {
        assert(canonical.length > 0 && canonical.length <= 253);
        for (size_t i = 0; i < canonical.length; i++) {
            char c = canonical.data[i];
            assert((byte_is_alnum(c) && byte_lower(c) == c) || c == '.' || c == '-' || c == '_');
        }
        assert(idna_canonical(canonical, arena, &again) == ERR_NONE);
        assert(slice_equal(canonical, again));
    }
    arena_free(&arena);
    return 0;
}
