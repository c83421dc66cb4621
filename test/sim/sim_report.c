#include "test/sim/sim_report.h"

#include "base/text.h"
#include "test/sim/sim_event.h"
#include "test/sim/sim_ledger.h"
#include "test/sim/sim_log.h"
#include "test/sim/sim_seen.h"

#include <string.h>

static void take_failed(struct sim_message *message, struct sim_recipient *recipient, const char *id);
static void take_delayed(struct sim_message *message, struct sim_recipient *recipient, const char *id);

static bool field(struct slice line, const char *name, struct slice *value)
{
    struct slice prefix = slice_of(name);
    if (!slice_starts_nocase(line, prefix))
        return false;
    *value = slice_trim(slice_from(line, prefix.length));
    if (slice_ends(*value, SLICE("\r")))
        *value = slice_to(*value, value->length - 1);
    return true;
}

static void take(struct sim_message *message, struct slice address, struct slice action, const char *id)
{
    struct sim_recipient *recipient;
    if (sim_ledger_find(address, &recipient) != message || recipient == &message->report) {
        sim_fail("a report to <%s> is about <%.*s>, which is none of its message", message->sender, SLICE_ARGS(address));
        return;
    }
    if (slice_equal_nocase(action, SLICE("failed")))
        take_failed(message, recipient, id);
    else if (slice_equal_nocase(action, SLICE("delayed")))
        take_delayed(message, recipient, id);
    else
        sim_fail("a report says \"%.*s\" of <%.*s>", SLICE_ARGS(action), SLICE_ARGS(address));
}

void sim_report_read(struct sim_message *message, struct slice reverse_path, struct slice content)
{
    struct slice line, value;
    struct slice address = SLICE_EMPTY;
    char id[128] = "";
    size_t count = 0;
    if (reverse_path.length > 0 || message->sender[0] == '\0') {
        sim_fail("a report about message %zu came from <%.*s>, its sender is <%s>", message->number,
                 SLICE_ARGS(reverse_path), message->sender);
        return;
    }
    while (slice_cut(&content, '\n', &line)) {
        if (id[0] == '\0' && field(line, "Message-ID:", &value))
            text_print(id, sizeof id, "%.*s", SLICE_ARGS(value));
        if (field(line, "Final-Recipient:", &value))
            address = slice_trim(slice_from(value, slice_find(value, ';') + 1));
        if (field(line, "Action:", &value) && address.length > 0) {
            take(message, address, value, id);
            address = SLICE_EMPTY;
            count++;
        }
    }
    if (count == 0 || id[0] == '\0')
        sim_fail("a report about message %zu names no recipient or has no Message-ID", message->number);
}

/* How many reports a message draws, and whether they gather. A copy of one is none of its own. */
static void measure(const struct sim_message *message, const struct sim_recipient *recipient, const char *id)
{
    bool is_first = true, is_new = true, is_gathered = false;
    for (size_t i = 0; i < message->recipient_count; i++) {
        const struct sim_recipient *other = &message->recipients[i];
        is_first = is_first && other->bounce_id[0] == '\0';
        if (strcmp(other->bounce_id, id) != 0)
            continue;
        is_new = false;
        is_gathered = is_gathered || other->domain != recipient->domain;
    }
    if (is_first)
        sim_saw(SIM_SEEN_REPORTED);
    if (is_new)
        sim_saw(SIM_SEEN_REPORT);
    if (is_gathered)
        sim_saw(SIM_SEEN_GATHERED);
}

static void take_failed(struct sim_message *message, struct sim_recipient *recipient, const char *id)
{
    if (recipient->bounce_id[0] == '\0')
        measure(message, recipient, id);
    if (recipient->bounce_id[0] != '\0' && strcmp(recipient->bounce_id, id) != 0)
        sim_fail("<%s> was reported as failed twice: %s and %s", recipient->address, recipient->bounce_id, id);
    if (recipient->bounce_id[0] == '\0')
        text_print(recipient->bounce_id, sizeof recipient->bounce_id, "%s", id);
    sim_saw(SIM_SEEN_BOUNCED);
    bool is_over = sim_now_ms() - message->arrival_ms >= world.expire_ms;
    if (sim_ledger_is_settled(recipient))
        sim_fail("<%s> was reported as failed although it has the message", recipient->address);
    if (!recipient->may_fail && !is_over)
        sim_fail("<%s> was reported as failed without a reason", recipient->address);
    if (!message->is_handed)
        sim_fail("message %zu was reported on before it was sent", message->number);
}

static void take_delayed(struct sim_message *message, struct sim_recipient *recipient, const char *id)
{
    if (recipient->notice_id[0] != '\0' && strcmp(recipient->notice_id, id) != 0)
        sim_fail("<%s> was reported as delayed twice: %s and %s", recipient->address, recipient->notice_id, id);
    text_print(recipient->notice_id, sizeof recipient->notice_id, "%s", id);
    sim_saw(SIM_SEEN_DELAYED);
    (void)message;
}
