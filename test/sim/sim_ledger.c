#include "test/sim/sim_ledger.h"

#include "base/clock.h"
#include "base/text.h"
#include "test/sim/sim_compose.h"
#include "test/sim/sim_event.h"
#include "test/sim/sim_log.h"
#include "test/sim/sim_memory.h"
#include "test/sim/sim_report.h"
#include "test/sim/sim_seen.h"
#include "test/sim/world_crowd.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Attempts that began in the storm may hang for so long, and the next one waits. */
#define AFTERMATH_MS 5400000

struct store {
    struct list_node node;
    struct sim_message *message;
    struct sim_recipient *recipient;
    char host[WORLD_NAME_MAX];
    uint64_t link, answer_end;
    int64_t heard_ms;   /* when the relay had read the answer; -1: never */
    bool is_forgotten;  /* the relay may have lost its memory of it: another try is right */
};

static struct {
    struct sim_message messages[SIM_MESSAGES_MAX];
    size_t count;
    struct list stores;
    bool answers_may_lie;
} ledger;

static void check_second_store(const struct store *store);
static bool is_written_down(const struct store *store);
bool sim_ledger_is_settled(const struct sim_recipient *recipient)
{
    for (struct list_node *node = list_first(&ledger.stores); node != NULL; node = list_next(&ledger.stores, node)) {
        const struct store *store = LIST_OF(node, struct store, node);
        if (store->recipient == recipient && is_written_down(store) && !store->is_forgotten)
            return true;
    }
    return false;
}

static void check_content(const struct sim_message *message, struct slice content);
static void close_recipient(struct sim_message *message, struct sim_recipient *recipient);

void sim_ledger_start(void)
{
    ledger.count = 0;
    ledger.answers_may_lie = false;
    list_init(&ledger.stores);
}

void sim_ledger_end(void)
{
    struct list_node *node;
    while ((node = list_take_first(&ledger.stores)) != NULL)
        free(LIST_OF(node, struct store, node));
    for (size_t i = 0; i < ledger.count; i++)
        buffer_free(&ledger.messages[i].content);
    ledger.count = 0;
}

struct sim_message *sim_ledger_compose(void)
{
    if (ledger.count == SIM_MESSAGES_MAX)
        return NULL;
    struct sim_message *message = &ledger.messages[ledger.count++];
    *message = (struct sim_message){.number = ledger.count};
    sim_compose(message);
    return message;
}

void sim_ledger_begun(struct sim_message *message)
{
    message->arrival_ms = sim_now_ms();
}

void sim_ledger_handed(struct sim_message *message)
{
    message->is_handed = true;
}

void sim_ledger_promised(struct sim_message *message)
{
    message->is_promised = true;
    message->promised_ms = sim_now_ms();
    sim_log("message %zu was promised", message->number);
}

void sim_ledger_refused(struct sim_message *message)
{
    message->is_refused = true;
}

void sim_ledger_answers_may_lie(void)
{
    ledger.answers_may_lie = true;
}

size_t sim_ledger_count(void)
{
    return ledger.count;
}

size_t sim_ledger_promised_count(void)
{
    size_t count = 0;
    for (size_t i = 0; i < ledger.count; i++)
        count += ledger.messages[i].is_promised;
    return count;
}

/* ---- whose address ---- */

static bool take_number(struct slice *text, char letter, size_t *number)
{
    size_t length = 1;
    uint64_t value;
    if (text->length < 2 || text->data[0] != letter)
        return false;
    while (length < text->length && byte_is_digit(text->data[length]))
        length++;
    if (!slice_number(slice_make(text->data + 1, length - 1), SIM_MESSAGES_MAX, &value))
        return false;
    *number = (size_t)value;
    *text = slice_from(*text, length);
    return true;
}

struct sim_message *sim_ledger_find(struct slice address, struct sim_recipient **recipient)
{
    size_t number, index;
    bool is_sender = take_number(&address, 's', &number);
    if (!is_sender && !take_number(&address, 'm', &number))
        return NULL;
    if (number == 0 || number > ledger.count)
        return NULL;
    struct sim_message *message = &ledger.messages[number - 1];
    *recipient = &message->report;
    if (is_sender)
        return message;
    if (!take_number(&address, 'r', &index) || index >= message->recipient_count)
        return NULL;
    *recipient = &message->recipients[index];
    return message;
}

/* ---- stores ---- */

static void add_store(const struct sim_stored *stored, struct sim_message *message, struct sim_recipient *recipient)
{
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL)
        abort();
    store->message = message;
    store->recipient = recipient;
    store->link = stored->link->number;
    store->answer_end = stored->answer_end;
    store->heard_ms = -1;
    text_print(store->host, sizeof store->host, "%s", stored->host->name);
    if (recipient->store_count++ > 0) {
        sim_saw(SIM_SEEN_COPY);
        check_second_store(store);
    }
    list_add_last(&ledger.stores, &store->node);
}

void sim_ledger_stored(const struct sim_stored *stored)
{
    for (size_t i = stored->recipient_first; i < stored->recipient_count; i++) {
        struct sim_recipient *recipient;
        struct slice address = slice_of(stored->recipients[i]);
        struct sim_message *message = sim_ledger_find(address, &recipient);
        if (message == NULL || !message->is_handed) {
            sim_fail("%s was given mail for <%.*s>, which nobody sent", stored->host->name, SLICE_ARGS(address));
            return;
        }
        if (message->is_refused && !ledger.answers_may_lie)
            sim_fail("message %zu was refused at its end, and goes out all the same", message->number);
        sim_log("%s has stored mail for <%.*s>%s", stored->host->name, SLICE_ARGS(address),
                recipient == &message->report ? " (a report)" : "");
        if (recipient == &message->report) {
            sim_report_read(message, stored->sender, stored->content);
        } else {
            add_store(stored, message, recipient);
            if (world_crowd_is_late(recipient, message->promised_ms))
                sim_fail("<%s> got message %zu %lld s after it was promised, for the sake of others", recipient->address,
                         message->number, (long long)(sim_now_ms() - message->promised_ms) / 1000);
            check_content(message, stored->content);
        }
    }
}

/* Was the fault there when the answer was heard, or right after? */
static bool met_fault(const struct store *store, const struct world_fault *fault)
{
    return store->heard_ms < fault->to_ms && store->heard_ms + WORLD_WRITING_DOWN_MS >= fault->from_ms;
}

static bool may_lack_memory(const struct store *store)
{
    for (size_t i = 0; i < world.fault_count; i++) {
        if (world.faults[i].kind == WORLD_FAULT_MEMORY_SHORT && met_fault(store, &world.faults[i]))
            return true;
    }
    return false;
}

/* Without memory it may never be. */
static bool is_written_down(const struct store *store)
{
    return store->heard_ms >= 0 && !may_lack_memory(store) && sim_now_ms() > world_written_by_ms(store->heard_ms);
}

/* A second copy is right only where the first was not known to the relay: its answer was lost, or the relay's memory of it. */
static void check_second_store(const struct store *second)
{
    for (struct list_node *node = list_first(&ledger.stores); node != NULL; node = list_next(&ledger.stores, node)) {
        const struct store *first = LIST_OF(node, struct store, node);
        if (first->recipient != second->recipient || first->heard_ms < 0 || first->is_forgotten || may_lack_memory(first))
            continue;
        sim_fail("<%s> got message %zu twice: %s had stored it and the relay had heard so %lld ms ago, now %s has it too",
                 first->recipient->address, first->message->number, first->host,
                 (long long)(sim_now_ms() - first->heard_ms), second->host);
    }
}

static void check_content(const struct sim_message *message, struct slice content)
{
    struct slice original = buffer_slice(&message->content);
    if (!slice_ends(content, original)) {
        sim_fail("the content of message %zu was changed: %zu bytes became %zu", message->number, original.length,
                 content.length);
        return;
    }
    struct slice trace = slice_to(content, content.length - original.length);
    if (!slice_starts(trace, SLICE("Received: ")) || !slice_ends(trace, SLICE("\r\n")))
        sim_fail("message %zu has no trace header in front", message->number);
}

void sim_ledger_given(const struct sim_link *link)
{
    for (struct list_node *node = list_first(&ledger.stores); node != NULL; node = list_next(&ledger.stores, node)) {
        struct store *store = LIST_OF(node, struct store, node);
        if (store->link == link->number && store->heard_ms < 0 && link->given >= store->answer_end)
            store->heard_ms = sim_now_ms();
    }
}

void sim_ledger_lost_memory(void)
{
    for (struct list_node *node = list_first(&ledger.stores); node != NULL; node = list_next(&ledger.stores, node)) {
        struct store *store = LIST_OF(node, struct store, node);
        if (store->heard_ms >= 0 && !store->is_forgotten && !is_written_down(store))
            store->is_forgotten = true;
    }
}

/* ---- reasons ---- */

void sim_ledger_excuse(struct slice address)
{
    struct sim_recipient *recipient;
    if (sim_ledger_find(address, &recipient) != NULL)
        recipient->may_fail = true;
}

void sim_ledger_excuse_sender(struct slice sender)
{
    for (size_t i = 0; i < ledger.count; i++) {
        struct sim_message *message = &ledger.messages[i];
        for (size_t j = 0; slice_equal(slice_of(message->sender), sender) && j < message->recipient_count; j++)
            message->recipients[j].may_fail = true;
        if (sender.length == 0)
            message->report.may_fail = true; /* reports have none */
    }
}

void sim_ledger_excuse_domain(const struct world_domain *domain)
{
    for (size_t i = 0; i < ledger.count; i++) {
        struct sim_message *message = &ledger.messages[i];
        for (size_t j = 0; j < message->recipient_count; j++) {
            if (message->recipients[j].domain == domain->index)
                message->recipients[j].may_fail = true;
        }
        if (slice_ends(slice_of(message->sender), slice_of(domain->name)))
            message->report.may_fail = true;
    }
}

/* ---- the end ---- */

void sim_ledger_close(void)
{
    for (size_t i = 0; i < ledger.count; i++) {
        struct sim_message *message = &ledger.messages[i];
        for (size_t j = 0; message->is_promised && j < message->recipient_count; j++)
            close_recipient(message, &message->recipients[j]);
    }
}

/* Nobody can be told: the sender is null or does not exist, or the report itself was refused or had to expire. */
static bool is_untold(const struct sim_message *message)
{
    return message->sender[0] == '\0' || world_find_domain(slice_from(slice_of(message->sender),
                                                                      slice_find(slice_of(message->sender), '@') + 1)) == NULL ||
           message->report.may_fail || world.storm_ms + AFTERMATH_MS >= world.expire_ms;
}

static void close_recipient(struct sim_message *message, struct sim_recipient *recipient)
{
    bool has_reason = recipient->may_fail || sim_now_ms() - message->arrival_ms >= world.expire_ms;
    if (!recipient->is_accepted || recipient->store_count > 0 || recipient->bounce_id[0] != '\0')
        return;
    if (has_reason && is_untold(message))
        return;
    sim_fail("message %zu was promised, but <%s> never got it and <%s> was never told", message->number, recipient->address,
             message->sender);
}
