/* The heads of submissions, which anybody on the machine may write: what is taken is complete and valid, and says the same when it is
 * printed and read again. */
#include <assert.h>

#include "base/text.h"
#include "relay/submission.h"
#include "smtp/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct submission *submission)
{
    assert(submission->recipient_count > 0 && submission->size <= INT64_MAX);
    assert(submission->sender.length == 0 || text_is_utf8(submission->sender));
    for (size_t i = 0; i < submission->recipient_count; i++) {
        struct slice address = submission->recipients[i].address;
        assert(address.length > 0 && address.length <= SMTP_ADDRESS_MAX && !slice_has(address, '\n') && !slice_has(address, '\r'));
        assert(!slice_has(address, '@') || smtp_address_is_valid(address, true));
    }
}

static void check_again(const struct submission *first, struct arena *arena)
{
    struct buffer line;
    struct json *request = NULL;
    struct submission second;
    char fault[SUBMISSION_FAULT_MAX];
    buffer_init(&line, SUBMISSION_LINE_MAX);
    submission_print(first, &line);
    assert(!buffer_failed(&line));
    assert(json_parse(buffer_slice(&line), &request) == ERR_NONE);
    assert(submission_parse(request, arena, &second, fault) == ERR_NONE);
    assert(slice_equal(first->sender, second.sender) && first->size == second.size);
    assert(first->recipient_count == second.recipient_count);
    for (size_t i = 0; i < first->recipient_count; i++)
        assert(slice_equal(first->recipients[i].address, second.recipients[i].address));
    json_free(&request);
    buffer_free(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json *request = NULL;
    struct submission submission;
    char fault[SUBMISSION_FAULT_MAX];
    if (size > 65536 || json_parse(slice_make(data, size), &request) != ERR_NONE)
        return 0;
    struct arena *arena = arena_new(16u << 20);
    enum err err = submission_parse(request, arena, &submission, fault);
    assert(err == ERR_NONE || fault[0] != '\0');
    if (err == ERR_NONE) {
        check(&submission);
        check_again(&submission, arena);
    }
    json_free(&request);
    arena_free(&arena);
    return 0;
}
