#include "relay/control_filter.h"

#include "base/text.h"
#include "relay/posting.h"
#include "relay/schedule.h"
#include "smtp/address.h"

#include <string.h>

static bool read_id(struct control_session *session, struct control_filter *filter);
static bool read_to(struct control_session *session, struct control_filter *filter);
static bool read_older(struct control_session *session, struct control_filter *filter);
static bool read_status(struct control_session *session, struct control_filter *filter);

static const char *const status_names[] = {
#define X(name, text) text,
    CONTROL_STATUS_LIST(X)
#undef X
};

const char *control_status_name(enum control_status status)
{
    return status_names[status];
}

/* Only destinations that are in memory have something in flight. */
enum control_status control_status_of(const struct relay *relay, const struct queue_entry *entry)
{
    struct map_node *node = map_get(&relay->schedule->destinations, entry->destination);
    if (node != NULL && destination_is_flying(LIST_OF(node, struct destination, node), entry->id, entry->number))
        return CONTROL_STATUS_ACTIVE;
    if (entry->held)
        return CONTROL_STATUS_HELD;
    return entry->attempts == 0 ? CONTROL_STATUS_WAITING : CONTROL_STATUS_DEFERRED;
}

bool control_filter_read(struct control_session *session, struct control_filter *filter)
{
    *filter = (struct control_filter){.domain = SLICE_EMPTY, .address = SLICE_EMPTY, .origin = SLICE_EMPTY};
    if (!session->sees_all && !arena_print(session->arena, &filter->origin, POSTING_ORIGIN, session->uid)) {
        control_fail(session, CONTROL_SOFTWARE, "out of memory");
        return false;
    }
    struct json *from = json_get(session->request, "from");
    filter->has_sender = from != NULL;
    filter->sender = control_text(session, "from");
    if (slice_equal(filter->sender, SLICE("<>")))
        filter->sender = SLICE_EMPTY;
    return read_id(session, filter) && read_to(session, filter) && read_older(session, filter) &&
           read_status(session, filter);
}

static bool read_id(struct control_session *session, struct control_filter *filter)
{
    struct slice text = control_text(session, "id");
    if (text.length == 0 || queue_id_parse(text, &filter->id))
        return true;
    control_fail(session, CONTROL_USAGE, "\"%.*s\" is no queue id (12 to 16 digits 0-9, A-F)",
                 SLICE_ARGS(slice_to(text, 64)));
    return false;
}

static bool read_to(struct control_session *session, struct control_filter *filter)
{
    struct slice text = control_text(session, "to");
    if (text.length == 0)
        return true;
    filter->domain = control_domain(session, text);
    if (slice_has(text, '@'))
        filter->address = text;
    if (filter->domain.length > 0)
        return true;
    control_fail(session, CONTROL_USAGE, "\"%.*s\" is no domain and no address", SLICE_ARGS(slice_to(text, 300)));
    return false;
}

static bool read_older(struct control_session *session, struct control_filter *filter)
{
    struct slice text = control_text(session, "older");
    int64_t age_ms;
    if (text.length == 0)
        return true;
    if (text_duration_parse(text, &age_ms) == ERR_NONE) {
        filter->arrived_before_ms = steady_now_ms(&session->relay->steady) - age_ms;
        return true;
    }
    control_fail(session, CONTROL_USAGE, "\"%.*s\" is no time such as 2h or 90m", SLICE_ARGS(slice_to(text, 64)));
    return false;
}

static bool read_outcome(struct control_session *session, struct control_filter *filter, struct slice text)
{
    for (enum queue_status status = QUEUE_DELIVERED; status <= QUEUE_DELETED; status++) {
        if (!slice_equal(text, slice_of(queue_status_name(status))))
            continue;
        filter->has_outcome = true;
        filter->outcome = status;
        return true;
    }
    control_fail(session, CONTROL_USAGE, "\"%.*s\" is no outcome: delivered, failed, expired or deleted; other statuses are of what waits",
                 SLICE_ARGS(slice_to(text, 64)));
    return false;
}

bool control_filter_read_limit(struct control_session *session, size_t *limit)
{
    struct slice text = control_text(session, "limit");
    uint64_t number = 0;
    if (text.length > 0 && (!slice_number(text, UINT32_MAX, &number) || number == 0)) {
        control_fail(session, CONTROL_USAGE, "\"%.*s\" is no number of messages", SLICE_ARGS(slice_to(text, 64)));
        return false;
    }
    *limit = (size_t)number;
    return true;
}

static bool read_status(struct control_session *session, struct control_filter *filter)
{
    struct slice text = control_text(session, "status");
    if (text.length == 0)
        return true;
    if (json_flag(session->request, "done", false))
        return read_outcome(session, filter, text);
    for (size_t i = 0; i < CONTROL_STATUS_COUNT; i++) {
        if (!slice_equal(text, slice_of(status_names[i])))
            continue;
        filter->has_status = true;
        filter->status = (enum control_status)i;
        return true;
    }
    control_fail(session, CONTROL_USAGE, "\"%.*s\" is no status: deferred, held, active or waiting",
                 SLICE_ARGS(slice_to(text, 64)));
    return false;
}

bool control_filter_is_empty(const struct control_filter *filter)
{
    return filter->id == 0 && filter->domain.length == 0 && !filter->has_sender && !filter->has_status &&
           !filter->has_outcome && filter->arrived_before_ms == 0;
}

bool control_filter_admits(const struct control_filter *filter, const struct relay *relay,
                           const struct queue_message *message, const struct queue_entry *entry)
{
    if (filter->id != 0 && message->id != filter->id)
        return false;
    if (filter->domain.length > 0 && !slice_equal(filter->domain, entry->destination))
        return false;
    if (filter->origin.length > 0 && !slice_equal(filter->origin, message->origin))
        return false;
    if (filter->has_sender && !slice_equal_nocase(filter->sender, message->sender))
        return false;
    if (filter->arrived_before_ms != 0 && message->arrival_ms > filter->arrived_before_ms)
        return false;
    if (filter->has_status && control_status_of(relay, entry) != filter->status)
        return false;
    if (filter->address.length == 0 && !filter->has_outcome)
        return true;
    for (size_t i = 0; i < entry->recipient_count; i++) {
        if (control_filter_admits_recipient(filter, &entry->recipients[i]))
            return true;
    }
    return false;
}

/* The domains are equal already: that of the entry is its destination. */
bool control_filter_admits_recipient(const struct control_filter *filter, const struct queue_recipient *recipient)
{
    if (filter->has_outcome && recipient->status != filter->outcome)
        return false;
    return filter->address.length == 0 ||
           slice_equal_nocase(smtp_address_local(filter->address), smtp_address_local(recipient->address));
}

struct queue_listing control_filter_listing(const struct control_filter *filter)
{
    struct queue_listing listing = {.after_id = filter->id == 0 ? 0 : filter->id - 1, .destination = SLICE_EMPTY};
    if (filter->id == 0)
        listing.destination = filter->domain;
    return listing;
}

bool control_filter_is_past(const struct control_filter *filter, const struct queue_message *message)
{
    return filter->id != 0 && message->id > filter->id;
}
