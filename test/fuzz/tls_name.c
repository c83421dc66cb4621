/* "PATTERN\nHOST": the match agrees with a naive one that goes label by label, and is the same in capitals. */
#include "tls/verify.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool matches_naively(struct slice pattern, struct slice host)
{
    struct slice want, have;
    bool is_first = true, goes_on = slice_cut(&pattern, '.', &want);
    for (; goes_on; goes_on = slice_cut(&pattern, '.', &want)) {
        if (!slice_cut(&host, '.', &have))
            return false;
        bool is_star = is_first && slice_equal(want, SLICE("*")) && pattern.data != NULL;
        if (!is_star && !slice_equal_nocase(want, have))
            return false;
        is_first = false;
    }
    return host.data == NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice all = slice_make(data, size);
    struct slice pattern = slice_to(all, slice_find(all, '\n')), host = slice_from(all, pattern.length + 1);
    char capitals[512];
    bool matches = tls_name_matches(pattern, host);
    assert(matches == (tls_name_is_host(host) && matches_naively(pattern, host)));
    if (pattern.length <= sizeof capitals) {
        for (size_t i = 0; i < pattern.length; i++)
            capitals[i] = (char)(byte_is_alpha(pattern.data[i]) ? pattern.data[i] & ~32 : pattern.data[i]);
        assert(tls_name_matches(slice_make(capitals, pattern.length), host) == matches);
    }
    return 0;
}
