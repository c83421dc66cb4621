#include "relay/draft.h"

#include "base/text.h"
#include "relay/relay.h"
#include "relay/schedule.h"
#include "smtp/message.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ENVELOPE_MAX (4u << 20) /* bytes of recipients and sender that one message may carry */
#define CHUNKS_UNDER_WAY_MAX 2
#define REPORT_MAX (1u << 20)
#define HOPS_MAX 50

/* One chunk on its way to the disk; outlives a draft that is given up. */
struct chunk_write {
    struct journal_write write;
    struct queue_change change;
    struct buffer bytes;
    struct draft *draft;
};
struct draft_recipient_node {
    struct draft_recipient recipient;
    struct draft_recipient_node *next;
};
struct draft_destination {
    struct slice name;
    struct draft_recipient_node *first, **last;
    size_t count;
};

struct draft {
    struct relay *relay;
    void *owner;
    void (*ready)(struct draft *draft);
    void (*finished)(struct draft *draft, enum err err);
    struct arena *arena;
    struct queue_message message;
    struct map addresses;               /* every recipient once */
    struct draft_destination *destinations;
    size_t destination_count, destination_capacity, recipient_count;
    struct smtp_header_scan scan;
    struct buffer chunk;                /* the one being filled */
    size_t chunks_under_way;
    enum err err;                       /* the first that a chunk met, or memory */
    bool has_stored_chunks, is_finishing, is_stored, was_busy;
    bool is_report;                     /* keeps its chunks for the caller's transaction */
    struct slice mark_key, mark;        /* stored beside it */
    bool is_given_up;                   /* freed by its owner; lives until its chunks are written */
    struct queue_entry *entries;
    struct queue_change *changes;
    struct journal_write write;
};
struct address_node {
    struct map_node node;
};

static void store_chunk(struct draft *draft);
static bool make_entries(struct draft *draft, int64_t due_ms);
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
    draft->message.arrival_ms = clock_wall_ms();
    draft->message.utf8 = options->utf8;
    draft->message.ret = options->ret;
    draft->is_report = options->is_report;
    buffer_init(&draft->chunk, draft->is_report ? REPORT_MAX : QUEUE_CHUNK_MAX);
    smtp_header_scan_init(&draft->scan);
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
    buffer_free(&draft->chunk);
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

bool draft_has_chunks_under_way(const struct draft *draft)
{
    return draft->chunks_under_way > 0;
}

uint64_t draft_size(const struct draft *draft)
{
    return draft->message.size;
}

size_t draft_recipient_count(const struct draft *draft)
{
    return draft->recipient_count;
}

const struct smtp_header_scan *draft_scan(const struct draft *draft)
{
    return &draft->scan;
}

bool draft_is_in_a_loop(const struct draft *draft)
{
    return draft->scan.received_count > HOPS_MAX;
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

/* ---- content ---- */

static bool has_high_byte(struct slice bytes)
{
    for (size_t i = 0; i < bytes.length; i++) {
        if ((unsigned char)bytes.data[i] > 0x7f)
            return true;
    }
    return false;
}

void draft_add_content(struct draft *draft, struct slice content)
{
    assert(!draft->is_finishing);
    bool in_header = !draft->scan.done;
    smtp_header_scan_feed(&draft->scan, content);
    if (in_header && draft->scan.length <= UINT32_MAX)
        draft->message.header_length = (uint32_t)draft->scan.length;
    draft->message.size += content.length;
    draft->message.eight_bit = draft->message.eight_bit || has_high_byte(content);
    while (content.length > 0 && draft->err == ERR_NONE) {
        struct slice part = draft->is_report ? content : slice_to(content, buffer_room(&draft->chunk));
        buffer_add(&draft->chunk, part);
        content = slice_from(content, part.length);
        if (buffer_failed(&draft->chunk))
            draft->err = ERR_MEMORY;
        else if (!draft->is_report && buffer_room(&draft->chunk) == 0)
            store_chunk(draft);
    }
}

void draft_fail(struct draft *draft)
{
    if (draft->err == ERR_NONE)
        draft->err = ERR_MEMORY;
}

bool draft_is_busy(const struct draft *draft)
{
    return draft->chunks_under_way >= CHUNKS_UNDER_WAY_MAX;
}

static void chunk_written(struct journal_write *write, enum err err)
{
    struct chunk_write *chunk = LIST_OF(write, struct chunk_write, write);
    struct draft *draft = chunk->draft;
    buffer_free(&chunk->bytes);
    free(chunk);
    draft->chunks_under_way--;
    if (err != ERR_NONE && draft->err == ERR_NONE)
        draft->err = err;
    if (draft->is_given_up) {
        if (draft->chunks_under_way == 0)
            draft_free(&draft);
    } else if (draft->is_finishing) {
        if (draft->chunks_under_way == 0)
            submit_last(draft);
    } else if (draft->was_busy && !draft_is_busy(draft)) {
        draft->was_busy = false;
        if (draft->ready != NULL)
            draft->ready(draft);
    }
}

/* A full chunk of mail leaves for the disk at once; a report keeps all for the transaction that it belongs to. */
static void store_chunk(struct draft *draft)
{
    struct chunk_write *chunk = calloc(1, sizeof *chunk);
    if (chunk == NULL) {
        draft->err = ERR_MEMORY;
        return;
    }
    chunk->draft = draft;
    chunk->bytes = draft->chunk;
    buffer_init(&draft->chunk, QUEUE_CHUNK_MAX);
    chunk->change = (struct queue_change){
        .kind = QUEUE_CHANGE_CHUNK,
        .id = draft->message.id,
        .number = draft->message.chunk_count++,
        .bytes = buffer_slice(&chunk->bytes),
    };
    chunk->write = (struct journal_write){
        .changes = &chunk->change, .change_count = 1, .is_new_mail = true, .done = chunk_written};
    draft->has_stored_chunks = true;
    draft->chunks_under_way++;
    draft->was_busy = draft->was_busy || draft_is_busy(draft);
    journal_submit(draft->relay->journal, &chunk->write);
}

/* ---- the end ---- */

void draft_finish(struct draft *draft, int64_t due_ms)
{
    assert(!draft->is_finishing && draft->recipient_count > 0);
    draft->is_finishing = true;
    if (!make_entries(draft, due_ms) && draft->err == ERR_NONE)
        draft->err = ERR_MEMORY;
    if (draft->chunks_under_way == 0)
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
    draft->message.is_signed = draft->scan.has_dkim_signature;
    return true;
}

static struct queue_change chunk_change(const struct draft *draft, uint32_t number, struct slice bytes)
{
    return (struct queue_change){
        .kind = QUEUE_CHANGE_CHUNK,
        .id = draft->message.id,
        .number = number,
        .bytes = bytes,
        .is_report = draft->is_report,
    };
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
    draft->changes = arena_array(draft->arena, 3, sizeof *draft->changes);
    if (draft->changes == NULL && draft->err == ERR_NONE)
        draft->err = ERR_MEMORY;
    if (draft->err != ERR_NONE) {
        draft->is_finishing = false;
        draft->finished(draft, draft->err);
        return;
    }
    if (buffer_length(&draft->chunk) > 0)
        draft->changes[count++] = chunk_change(draft, draft->message.chunk_count++, buffer_slice(&draft->chunk));
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
        schedule_wake(draft->relay->schedule, draft->destinations[i].name);
}

/* ---- reports ---- */

enum err draft_changes(struct draft *draft, int64_t due_ms, const struct queue_change **changes, size_t *count)
{
    struct slice rest = buffer_slice(&draft->chunk);
    assert(draft->is_report && draft->recipient_count > 0);
    size_t chunk_count = (rest.length + QUEUE_CHUNK_MAX - 1) / QUEUE_CHUNK_MAX;
    draft->changes = arena_array(draft->arena, chunk_count + 1, sizeof *draft->changes);
    if (draft->err != ERR_NONE || draft->changes == NULL || !make_entries(draft, due_ms))
        return draft->err != ERR_NONE ? draft->err : ERR_MEMORY;
    for (size_t i = 0; i < chunk_count; i++) {
        struct slice part = slice_to(rest, QUEUE_CHUNK_MAX);
        draft->changes[i] = chunk_change(draft, draft->message.chunk_count++, part);
        rest = slice_from(rest, part.length);
    }
    draft->changes[chunk_count] = accept_change(draft);
    *changes = draft->changes;
    *count = chunk_count + 1;
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
