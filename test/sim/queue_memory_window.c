#include "test/sim/queue_memory_internal.h"

#include <assert.h>
#include <stdlib.h>

/* One sender of a destination: its entries in the table of due ones, and how far they were looked at. */
struct sender {
    uint64_t hash;
    int64_t earliest_ms;
    size_t at, end;
    bool was_passed; /* had its turn in the answer before */
};

static struct sender *find_senders(const struct memory_table *due, const struct queue_window_request *request,
                                   size_t *count);
static void mark_passed(struct sender *senders, size_t count, const struct queue_window_request *request);
static bool take(const struct memory_table *due, const struct queue_window_request *request, struct sender *sender,
                 struct queue_pick *pick);
static int turn_order(const void *a, const void *b);

enum err queue_window(struct queue *queue, const struct queue_window_request *request, struct queue_pick *out,
                      size_t *count)
{
    assert(!queue->is_dead);
    const struct memory_table *due = &queue->directory->state.tables[MEMORY_DUE];
    size_t sender_count;
    struct sender *senders = find_senders(due, request, &sender_count);
    *count = 0;
    if (senders == NULL) {
        return ERR_MEMORY;
    }
    mark_passed(senders, sender_count, request);
    qsort(senders, sender_count, sizeof *senders, turn_order);
    for (size_t round = 0; round < request->per_sender; round++) {
        for (size_t i = 0; i < sender_count && *count < request->limit; i++) {
            *count += take(due, request, &senders[i], &out[*count]) ? 1 : 0;
        }
    }
    free(senders);
    return ERR_NONE;
}

static struct sender *find_senders(const struct memory_table *due, const struct queue_window_request *request,
                                   size_t *count)
{
    struct sender *senders = calloc(due->count + 1, sizeof *senders);
    *count = 0;
    for (size_t i = 0; senders != NULL && i < due->count; i++) {
        struct memory_slot slot;
        memory_key_read_due(due->records[i]->key, &slot);
        if (!slice_equal(slot.destination, request->destination)) {
            continue;
        }
        if (*count == 0 || senders[*count - 1].hash != slot.sender) {
            senders[(*count)++] = (struct sender){.hash = slot.sender, .earliest_ms = slot.due_ms, .at = i};
        }
        senders[*count - 1].end = i + 1;
    }
    return senders;
}

/* Turns go by the earliest entry, then by hash. */
static void mark_passed(struct sender *senders, size_t count, const struct queue_window_request *request)
{
    bool is_known = request->first_sender != 0 && request->first_due_ms != 0;
    int64_t due_ms = request->first_due_ms;
    for (size_t i = 0; request->first_sender != 0 && !is_known && i < count; i++) {
        is_known = senders[i].hash == request->first_sender;
        due_ms = senders[i].earliest_ms;
    }
    for (size_t i = 0; is_known && i < count; i++) {
        senders[i].was_passed = senders[i].earliest_ms < due_ms ||
                                (senders[i].earliest_ms == due_ms && senders[i].hash <= request->first_sender);
    }
}

/* The sender's next entry that is due and not passed over. */
static bool take(const struct memory_table *due, const struct queue_window_request *request, struct sender *sender,
                 struct queue_pick *pick)
{
    while (sender->at < sender->end) {
        struct memory_slot slot;
        memory_key_read_due(due->records[sender->at]->key, &slot);
        if (slot.due_ms > request->now_ms) {
            return false;
        }
        sender->at++;
        if (request->skip == NULL || !request->skip(request->owner, slot.id, slot.number)) {
            *pick = (struct queue_pick){
                .id = slot.id, .number = slot.number, .due_ms = slot.due_ms, .sender_hash = sender->hash};
            return true;
        }
    }
    return false;
}

static int turn_order(const void *a, const void *b)
{
    const struct sender *left = a, *right = b;
    if (left->was_passed != right->was_passed) {
        return left->was_passed ? 1 : -1;
    }
    if (left->earliest_ms != right->earliest_ms) {
        return left->earliest_ms < right->earliest_ms ? -1 : 1;
    }
    return left->hash < right->hash ? -1 : left->hash > right->hash;
}
