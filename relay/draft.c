#include "relay/draft_internal.h"

#include "base/text.h"
#include "relay/relay.h"
#include "relay/schedule.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ENVELOPE_MAX (4u << 20) /* bytes of recipients and sender that one message may carry */
#define CHUNKS_UNDER_WAY_MAX 2

struct address_node {
    struct map_node node;
};

static bool make_entries(struct draft *draft, int64_t due_ms);
static void go_on(struct draft *draft);
static void submit_last(struct draft *draft);
static void last_written(struct journal_write *write, enum err err);
static void discard_chunks(struct relay *relay, uint64_t id);

struct draft *draft_new(struct relay *relay, const struct draft_options *options)
{
    struct draft *draft = calloc(1, sizeof *draft);
    struct arena *arena = arena_new(ENVELOPE_MAX);
    if (draft == NULL || arena == NULL) {
        free(draft);
        arena_free(&arena);
        return NULL;
    }
    uint64_t seed[2] = {dice_u64(), dice_u64()};
    map_init(&draft->addresses, seed);
    draft->relay = relay;
    draft->owner = options->owner;
    draft->ready = options->ready;
    draft->finished = options->finished;
    draft->arena = arena;
    draft->message.id = options->id != 0 ? options->id : relay_next_id(relay);
    draft->message.arrival_ms = steady_now_ms(&relay->steady);
    draft->message.utf8 = options->utf8;
    draft->message.ret = options->ret;
    draft->is_report = options->is_report;
    draft_content_init(draft);
    if (!arena_slice(arena, options->sender, &draft->message.sender) ||
        !arena_slice(arena, options->origin, &draft->message.origin) ||
        !arena_slice(arena, options->envid, &draft->message.envid) ||
        !arena_slice(arena, options->mark_key, &draft->mark_key) || !arena_slice(arena, options->mark, &draft->mark))
        draft->err = ERR_MEMORY;
    return draft;
}

/* Chunks under way are the journal's until it answers; their order before the discard is kept by it. */
void draft_free(struct draft **draft_place)
{
    struct draft *draft = *draft_place;
    if (draft == NULL)
        return;
    *draft_place = NULL;
    assert(!draft->is_finishing);
    if (draft->chunks_under_way > 0) {
        draft->is_given_up = true;
        return;
    }
    if (draft->has_stored_chunks && !draft->is_stored)
        discard_chunks(draft->relay, draft->message.id);
    map_free(&draft->addresses);
    draft_content_free(draft);
    free(draft->destinations);
    arena_free(&draft->arena);
    free(draft);
}

void *draft_owner(const struct draft *draft)
{
    return draft->owner;
}

uint64_t draft_id(const struct draft *draft)
{
    return draft->message.id;
}

struct slice draft_sender(const struct draft *draft)
{
    return draft->message.sender;
}

uint64_t draft_size(const struct draft *draft)
{
    return draft->message.size;
}

size_t draft_recipient_count(const struct draft *draft)
{
    return draft->recipient_count;
}

/* ---- recipients ---- */

static struct draft_destination *destination_of(struct draft *draft, struct slice name)
{
    /* The last ones first: recipients of one domain mostly stand together. */
    for (size_t i = draft->destination_count; i > 0; i--) {
        struct draft_destination *known = &draft->destinations[i - 1];
        if (known->count < QUEUE_RECIPIENTS_MAX && slice_equal(known->name, name))
            return known;
    }
    if (draft->destination_count == draft->destination_capacity) {
        size_t capacity = draft->destination_capacity * 2 + 4;
        struct draft_destination *grown = realloc(draft->destinations, capacity * sizeof *grown);
        if (grown == NULL)
            return NULL;
        draft->destinations = grown;
        draft->destination_capacity = capacity;
    }
    struct draft_destination *fresh = &draft->destinations[draft->destination_count];
    *fresh = (struct draft_destination){0};
    if (!arena_slice(draft->arena, name, &fresh->name))
        return NULL;
    draft->destination_count++;
    return fresh;
}

static void append(struct draft_destination *destination, struct draft_recipient_node *node)
{
    if (destination->first == NULL)
        destination->first = node;
    else
        *destination->last = node;
    destination->last = &node->next;
    destination->count++;
}

enum err draft_add_recipient(struct draft *draft, const struct draft_recipient *recipient)
{
    assert(!draft->is_finishing);
    if (map_get(&draft->addresses, recipient->address) != NULL)
        return ERR_NONE;
    struct draft_recipient_node *node = arena_alloc(draft->arena, sizeof *node);
    struct address_node *address = arena_alloc(draft->arena, sizeof *address);
    if (node == NULL || address == NULL || !arena_slice(draft->arena, recipient->address, &node->recipient.address) ||
        !arena_slice(draft->arena, recipient->orcpt, &node->recipient.orcpt))
        return ERR_LIMIT;
    enum err err = map_add(&draft->addresses, &address->node, node->recipient.address);
    if (err != ERR_NONE)
        return err;
    struct draft_destination *destination = destination_of(draft, recipient->domain); /* the last that can fail: none stays empty */
    if (destination == NULL) {
        map_remove(&draft->addresses, &address->node);
        return ERR_LIMIT;
    }
    node->recipient.notify = recipient->notify;
    append(destination, node);
    draft->recipient_count++;
    return ERR_NONE;
}

/* ---- chunks ---- */

void draft_fail(struct draft *draft)
{
    draft_fail_for(draft, ERR_MEMORY);
}

void draft_fail_for(struct draft *draft, enum err err)
{
    if (draft->err == ERR_NONE)
        draft->err = err;
}

bool draft_is_busy(const struct draft *draft)
{
    return draft->chunks_under_way >= CHUNKS_UNDER_WAY_MAX ||
           (draft->chunks_under_way > 0 && journal_is_pressed(draft->relay->journal));
}

void draft_chunk_done(struct draft *draft, enum err err)
{
    draft->chunks_under_way--;
    if (err != ERR_NONE && draft->err == ERR_NONE)
        draft->err = err;
    if (draft->is_given_up) {
        if (draft->chunks_under_way == 0)
            draft_free(&draft);
    } else if (draft->is_finishing) {
        if (draft->chunks_under_way == 0)
            go_on(draft);
    } else if (draft->ready != NULL && !draft_is_busy(draft)) {
        draft->ready(draft);
    }
}

/* ---- the end ---- */

void draft_finish(struct draft *draft, int64_t due_ms)
{
    assert(!draft->is_finishing && draft->recipient_count > 0);
    enum draft_fault fault = draft_end(draft);
    assert(fault == DRAFT_FINE);
    draft->is_finishing = true;
    if (!make_entries(draft, due_ms) && draft->err == ERR_NONE)
        draft->err = ERR_MEMORY;
    if (draft->chunks_under_way == 0)
        go_on(draft);
}

/* All chunks that were on their way are stored. */
static void go_on(struct draft *draft)
{
    if (draft->err != ERR_NONE || !draft_sign(draft))
        submit_last(draft);
}

void draft_signed(struct draft *draft)
{
    submit_last(draft);
}

static bool fill_entry(struct draft *draft, const struct draft_destination *destination, struct queue_entry *entry)
{
    entry->recipients = arena_array(draft->arena, destination->count, sizeof *entry->recipients);
    if (entry->recipients == NULL)
        return false;
    for (const struct draft_recipient_node *node = destination->first; node != NULL; node = node->next) {
        entry->recipients[entry->recipient_count++] = (struct queue_recipient){
            .address = node->recipient.address,
            .orcpt = node->recipient.orcpt,
            .notify = node->recipient.notify,
            .text = SLICE_EMPTY,
            .host = SLICE_EMPTY,
        };
    }
    return true;
}

static bool make_entries(struct draft *draft, int64_t due_ms)
{
    draft->entries = arena_array(draft->arena, draft->destination_count, sizeof *draft->entries);
    if (draft->entries == NULL)
        return false;
    for (size_t i = 0; i < draft->destination_count; i++) {
        struct queue_entry *entry = &draft->entries[i];
        entry->id = draft->message.id;
        entry->number = (uint16_t)i;
        entry->destination = draft->destinations[i].name;
        entry->due_ms = due_ms;
        entry->reason = entry->why = SLICE_EMPTY;
        if (!fill_entry(draft, &draft->destinations[i], entry))
            return false;
    }
    draft->message.entry_count = (uint32_t)draft->destination_count;
    return true;
}

static struct queue_change accept_change(const struct draft *draft)
{
    return (struct queue_change){
        .kind = QUEUE_CHANGE_ACCEPT,
        .id = draft->message.id,
        .message = &draft->message,
        .entries = draft->entries,
        .entry_count = draft->destination_count,
        .is_report = draft->is_report,
    };
}

/* The last chunk, mostly the only one, the envelope, and the mark, in one transaction. */
static void submit_last(struct draft *draft)
{
    size_t count = 0;
    draft->changes = arena_array(draft->arena, draft_chunks_max(draft) + 2, sizeof *draft->changes);
    if (draft->changes == NULL)
        draft_fail(draft);
    else
        count = draft_add_chunks(draft, draft->changes);
    if (draft->err != ERR_NONE) {
        draft->is_finishing = false;
        draft->finished(draft, draft->err);
        return;
    }
    draft->changes[count++] = accept_change(draft);
    if (draft->mark_key.length > 0)
        draft->changes[count++] =
            (struct queue_change){.kind = QUEUE_CHANGE_META, .key = draft->mark_key, .bytes = draft->mark};
    draft->write = (struct journal_write){
        .changes = draft->changes, .change_count = count, .is_new_mail = true, .done = last_written};
    journal_submit(draft->relay->journal, &draft->write);
}

static void last_written(struct journal_write *write, enum err err)
{
    struct draft *draft = LIST_OF(write, struct draft, write);
    draft->is_finishing = false;
    draft->is_stored = err == ERR_NONE;
    if (draft->is_stored)
        draft_wake(draft);
    draft->finished(draft, err);
}

void draft_wake(struct draft *draft)
{
    for (size_t i = 0; i < draft->destination_count; i++)
        schedule_arrived(draft->relay->schedule, draft->destinations[i].name);
}

struct slice draft_destination_name(const struct draft *draft, size_t index)
{
    return index < draft->destination_count ? draft->destinations[index].name : SLICE_EMPTY;
}

/* ---- reports ---- */

enum err draft_changes(struct draft *draft, int64_t due_ms, const struct queue_change **changes, size_t *count)
{
    assert(draft->is_report && draft->recipient_count > 0);
    (void)draft_end(draft); /* of what is wrong with mail from elsewhere nothing can be wrong with our own */
    draft->changes = arena_array(draft->arena, draft_chunks_max(draft) + 1, sizeof *draft->changes);
    if (draft->changes == NULL || !make_entries(draft, due_ms))
        draft_fail(draft);
    else
        *count = draft_add_chunks(draft, draft->changes);
    if (draft->err != ERR_NONE)
        return draft->err;
    draft->changes[(*count)++] = accept_change(draft);
    *changes = draft->changes;
    draft->is_stored = true; /* by the caller's transaction, or not at all */
    return ERR_NONE;
}

/* ---- discarding ---- */

struct discard {
    struct journal_write write;
    struct queue_change change;
};

static void discarded(struct journal_write *write, enum err err)
{
    (void)err; /* what is left over is swept when the queue is opened next */
    free(LIST_OF(write, struct discard, write));
}

static void discard_chunks(struct relay *relay, uint64_t id)
{
    struct discard *discard = calloc(1, sizeof *discard);
    if (discard == NULL)
        return; /* swept when the queue is opened next */
    discard->change = (struct queue_change){.kind = QUEUE_CHANGE_DISCARD, .id = id};
    discard->write = (struct journal_write){.changes = &discard->change, .change_count = 1, .done = discarded};
    journal_submit(relay->journal, &discard->write);
}
