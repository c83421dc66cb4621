/* `queue list --summary`: how much waits, by destination, status and reason; or with done what has ended, by destination and outcome. The
 * whole queue is walked over, a step at a time, and only the groups are kept. */
#include "relay/control_filter.h"

#include "base/dice.h"
#include "base/list.h"
#include "base/map.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define ENTRIES_PER_STEP 64
#define GROUPS_MAX 10000 /* the rest is counted together */

struct group {
    struct map_node node;
    struct slice destination, reason, text;
    const char *status;
    uint64_t messages, recipients, bytes;
    int64_t oldest_ms;
};
struct summary {
    struct control_filter filter;
    struct queue_listing listing;
    bool is_done;
    size_t limit; /* of groups; 0: all */
    struct map groups;
    struct group rest; /* of those beyond GROUPS_MAX */
    /* The entry just read: why it waits may have to be asked of its destination. */
    bool has_entry, is_waiting;
    char destination[QUEUE_NAME_MAX], reason[64], text[512];
    size_t destination_length;
    struct group seen;
};

static void start_summary(struct control_session *session);
static void step_summary(struct control_session *session);
static void cancel_summary(struct control_session *session);
static bool visit(void *owner, const struct queue_message *message, const struct queue_entry *entry);
static void finish(struct control_session *session, struct summary *summary);

const struct control_command control_queue_summary = {.name = "queue summary",
                                                      .state_size = sizeof(struct summary),
                                                      .start = start_summary,
                                                      .step = step_summary,
                                                      .cancel = cancel_summary};

static void start_summary(struct control_session *session)
{
    struct summary *summary = session->own;
    uint64_t seed[2] = {dice_u64(), dice_u64()};
    map_init(&summary->groups, seed);
    summary->rest = (struct group){.destination = SLICE("(others)"), .reason = SLICE_EMPTY, .text = SLICE_EMPTY, .status = ""};
    if (!control_filter_read(session, &summary->filter) || !control_filter_read_limit(session, &summary->limit))
        return;
    summary->is_done = json_flag(session->request, "done", false);
    if (!summary->is_done)
        summary->listing = control_filter_listing(&summary->filter);
    control_go_on(session);
}

static void cancel_summary(struct control_session *session)
{
    struct summary *summary = session->own;
    map_free(&summary->groups);
}

/* ---- one entry after the other ---- */

static bool visit(void *owner, const struct queue_message *message, const struct queue_entry *entry)
{
    struct control_session *session = owner;
    struct summary *summary = session->own;
    struct group *seen = &summary->seen;
    if (control_filter_is_past(&summary->filter, message) ||
        !control_filter_admits(&summary->filter, session->relay, message, entry))
        return true;
    enum control_status status = control_status_of(session->relay, entry);
    *seen = (struct group){.messages = 1, .bytes = message->size, .oldest_ms = message->arrival_ms, .status = control_status_name(status)};
    for (size_t i = 0; i < entry->recipient_count; i++) {
        if (!control_filter_admits_recipient(&summary->filter, &entry->recipients[i]))
            continue;
        seen->recipients++;
        seen->status = summary->is_done ? queue_status_name(entry->recipients[i].status) : seen->status;
        struct slice text = slice_to(entry->recipients[i].text, sizeof summary->text - 1);
        seen->text = text_print(summary->text, sizeof summary->text, "%.*s", SLICE_ARGS(text));
    }
    seen->destination = text_print(summary->destination, sizeof summary->destination, "%.*s", SLICE_ARGS(entry->destination));
    seen->reason = text_print(summary->reason, sizeof summary->reason, "%.*s", SLICE_ARGS(entry->reason));
    summary->is_waiting = !summary->is_done && status == CONTROL_STATUS_WAITING;
    summary->has_entry = true;
    return true;
}

/* What was never tried waits for what its destination waits for. */
static void ask_destination(struct control_session *session, struct summary *summary)
{
    struct queue_destination known;
    if (!summary->is_waiting ||
        queue_destination_get(session->relay->queue, summary->seen.destination, session->scratch, &known) != ERR_NONE)
        return;
    summary->seen.reason = text_print(summary->reason, sizeof summary->reason, "%.*s", SLICE_ARGS(known.reason));
    summary->seen.text = text_print(summary->text, sizeof summary->text, "%.*s", SLICE_ARGS(known.text));
}

static struct group *group_of(struct control_session *session, struct summary *summary)
{
    const struct group *seen = &summary->seen;
    char text[QUEUE_NAME_MAX + 128];
    struct slice key = text_print(text, sizeof text, "%.*s\n%s\n%.*s", SLICE_ARGS(seen->destination), seen->status, SLICE_ARGS(seen->reason));
    struct map_node *node = map_get(&summary->groups, key);
    struct slice kept_key;
    if (node != NULL)
        return LIST_OF(node, struct group, node);
    struct group *group = summary->groups.count < GROUPS_MAX ? arena_alloc(session->arena, sizeof *group) : NULL;
    if (group == NULL || !arena_slice(session->arena, key, &kept_key) ||
        !arena_slice(session->arena, seen->destination, &group->destination) ||
        !arena_slice(session->arena, seen->reason, &group->reason) || !arena_slice(session->arena, seen->text, &group->text) ||
        map_add(&summary->groups, &group->node, kept_key) != ERR_NONE)
        return &summary->rest;
    group->status = seen->status;
    group->oldest_ms = seen->oldest_ms;
    return group;
}

static enum err add_one(struct control_session *session, struct summary *summary)
{
    arena_reset(session->scratch);
    summary->has_entry = false;
    summary->listing.limit = 1;
    summary->listing.arena = session->scratch;
    summary->listing.visit = visit;
    summary->listing.owner = session;
    struct queue *queue = session->relay->queue;
    enum err err = summary->is_done ? queue_list_done(queue, &summary->listing) : queue_list(queue, &summary->listing);
    if (!summary->has_entry)
        return err;
    ask_destination(session, summary);
    struct group *group = group_of(session, summary);
    group->messages++;
    group->recipients += summary->seen.recipients;
    group->bytes += summary->seen.bytes;
    if (group->oldest_ms == 0 || summary->seen.oldest_ms < group->oldest_ms)
        group->oldest_ms = summary->seen.oldest_ms;
    return err;
}

static void step_summary(struct control_session *session)
{
    struct summary *summary = session->own;
    enum err err = ERR_NONE;
    for (size_t i = 0; err == ERR_NONE && i < ENTRIES_PER_STEP; i++)
        err = add_one(session, summary);
    if (err == ERR_END) {
        finish(session, summary);
    } else if (err != ERR_NONE) {
        cancel_summary(session);
        control_fail(session, CONTROL_IO, "the queue cannot be read: %s", err_text(err));
    } else {
        control_go_on(session);
    }
}

/* ---- told ---- */

static int compare_groups(const void *a, const void *b)
{
    const struct group *first = *(const struct group *const *)a;
    const struct group *second = *(const struct group *const *)b;
    if (first->messages != second->messages)
        return first->messages > second->messages ? -1 : 1;
    return slice_compare(first->node.key, second->node.key);
}

static void tell(struct control_session *session, const struct group *group)
{
    struct json *answer = json_object_new();
    json_set_text(answer, "destination", group->destination);
    json_set_string(answer, "status", group->status);
    json_set_text(answer, "reason", group->reason);
    json_set_number(answer, "messages", (int64_t)group->messages);
    json_set_number(answer, "recipients", (int64_t)group->recipients);
    json_set_number(answer, "bytes", (int64_t)group->bytes);
    control_set_time(answer, "oldest", group->oldest_ms);
    json_set_text(answer, "text", group->text);
    control_answer(session, &answer);
}

static void finish(struct control_session *session, struct summary *summary)
{
    size_t count = 0, all = summary->groups.count;
    const struct group **groups = calloc(all + 1, sizeof *groups);
    if (groups == NULL) {
        cancel_summary(session);
        control_fail(session, CONTROL_SOFTWARE, "out of memory");
        return;
    }
    for (struct map_node *node = map_first(&summary->groups); node != NULL; node = map_after(&summary->groups, node))
        groups[count++] = LIST_OF(node, struct group, node);
    qsort(groups, count, sizeof *groups, compare_groups);
    if (summary->rest.messages > 0)
        groups[count++] = &summary->rest;
    size_t told = summary->limit > 0 && summary->limit < count ? summary->limit : count;
    for (size_t i = 0; i < told; i++)
        tell(session, groups[i]);
    if (told < count)
        control_note(session, "%zu more groups are not shown", count - told);
    if (summary->listing.damaged_count > 0)
        control_note(session, "%llu records cannot be read and were passed over; see sternpost queue check",
                     (unsigned long long)summary->listing.damaged_count);
    free(groups);
    cancel_summary(session);
    control_done(session, CONTROL_DONE);
}
