/* The TXT record; NUL bytes cut the input into the records of one name. */
#include <assert.h>
#include <string.h>

#include "sts/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = slice_make(data, size), texts[8];
    size_t count = 0, candidates = 0;
    while (count < 8 && slice_cut(&input, '\0', &texts[count]))
        candidates += sts_record_is_candidate(texts[count++]);
    struct sts_record record, alone;
    const char *why = NULL;
    if (!sts_record_choose(texts, count, &record, &why)) {
        assert(why != NULL);
        return 0;
    }
    assert(candidates == 1 && strlen(record.id) >= 1 && strlen(record.id) <= STS_ID_MAX);
    for (size_t i = 0; i < count; i++)
        if (sts_record_parse(texts[i], &alone, &why))
            assert(strcmp(alone.id, record.id) == 0 && alone.warnings == record.warnings);
    return 0;
}
