/* The stored entry. The input lacks the checksum, which would hold the fuzzer up. What decodes encodes the same; what was stored in the
 * form before this one encodes to the form of today, which decodes to the same. */
#include <assert.h>

#include "base/text.h"
#include "sts/cache.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_form(struct slice stored, struct slice encoded, struct arena *arena)
{
    struct sts_entry entry;
    struct buffer again;
    buffer_init(&again, 4 * STS_POLICY_SIZE_MAX);
    assert(sts_entry_decode(encoded, arena, &entry) == ERR_NONE);
    sts_entry_encode(&entry, &again);
    assert(slice_equal(encoded, buffer_slice(&again)));
    assert(stored.data[0] != encoded.data[0] || slice_equal(stored, encoded));
    buffer_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(16 * STS_POLICY_SIZE_MAX);
    struct buffer stored, again;
    struct sts_entry entry;
    buffer_init(&stored, 4 * STS_POLICY_SIZE_MAX);
    buffer_init(&again, 4 * STS_POLICY_SIZE_MAX);
    buffer_add(&stored, slice_make(data, size));
    buffer_add_u32(&stored, text_crc32c(slice_make(data, size)));
    if (!buffer_failed(&stored) && sts_entry_decode(buffer_slice(&stored), arena, &entry) == ERR_NONE) {
        sts_entry_encode(&entry, &again);
        check_form(buffer_slice(&stored), buffer_slice(&again), arena);
        int64_t next_ms = sts_entry_next_refresh_ms(&entry, entry.fetched_ms, (uint32_t)size);
        assert(next_ms == 0 || next_ms < sts_entry_expires_ms(&entry));
        assert(!sts_entry_is_overdue(&entry, entry.used_ms) || sts_entry_is_live(&entry, entry.used_ms));
        assert(!sts_entry_has_lapsed(&entry, entry.used_ms) || !sts_entry_is_live(&entry, entry.used_ms));
        sts_entry_may_fetch(&entry, SLICE("a"), entry.used_ms);
    }
    buffer_free(&stored);
    buffer_free(&again);
    arena_free(&arena);
    return 0;
}
