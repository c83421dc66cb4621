#include "relay/patience.h"

#define MINUTE_MS 60000
#define TRANSACTION_MS (30 * MINUTE_MS) /* and one more for each byte */
#define QUIT_MS 2000                    /* nothing depends on it */

static int64_t answer_ms(enum smtp_client_stage stage)
{
    switch (stage) {
        case SMTP_STAGE_DATA:
            return 2 * MINUTE_MS;
        case SMTP_STAGE_CONTENT: /* to take a block of it */
            return 3 * MINUTE_MS;
        case SMTP_STAGE_FINAL:
            return 10 * MINUTE_MS;
        case SMTP_STAGE_QUIT:
            return QUIT_MS;
        default:
            return 5 * MINUTE_MS;
    }
}

/* The answer to the final dot gets its time in full: who gives up on it sends the message twice. */
static bool is_bounded(enum smtp_client_stage stage)
{
    return stage == SMTP_STAGE_MAIL || stage == SMTP_STAGE_RCPT || stage == SMTP_STAGE_DATA ||
           stage == SMTP_STAGE_CONTENT;
}

int64_t patience_ms(const struct patience *patience)
{
    int64_t wait_ms = answer_ms(patience->stage);
    int64_t rest_ms = TRANSACTION_MS + (int64_t)patience->size - patience->elapsed_ms;
    if (!is_bounded(patience->stage) || rest_ms > wait_ms)
        return wait_ms;
    return rest_ms < 0 ? 0 : rest_ms;
}
