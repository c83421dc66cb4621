/* The policy. One that is valid stays so, and says the same, when it is written out from what was read. */
#include <assert.h>

#include "base/buffer.h"
#include "sts/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct sts_policy *policy, struct arena *arena)
{
    struct sts_policy again;
    struct sts_fault fault;
    struct buffer body;
    buffer_init(&body, 4 * STS_POLICY_SIZE_MAX);
    buffer_print(&body, "version: STSv1\nmode: %s\nmax_age: %u\n", sts_mode_name(policy->mode), policy->max_age_s);
    for (size_t i = 0; i < policy->mx_count; i++)
        buffer_print(&body, "mx: %.*s\n", SLICE_ARGS(policy->mx[i]));
    if (buffer_length(&body) <= STS_POLICY_SIZE_MAX) {
        assert(sts_policy_parse(buffer_slice(&body), arena, &again, &fault));
        assert(again.mode == policy->mode && again.max_age_s == policy->max_age_s);
        assert(again.mx_count == policy->mx_count);
        for (size_t i = 0; i < again.mx_count; i++)
            assert(slice_equal(again.mx[i], policy->mx[i]));
    }
    buffer_free(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(8 * STS_POLICY_SIZE_MAX);
    struct sts_policy policy;
    struct sts_fault fault;
    if (sts_policy_parse(slice_make(data, size), arena, &policy, &fault))
        check(&policy, arena);
    else
        assert(fault.why != NULL && !fault.out_of_memory);
    arena_free(&arena);
    return 0;
}
