#include "queue/lmdb_internal.h"

#include <assert.h>

/* The window is filled in rounds: first the earliest entry of each sender that has one due, then the second of each of
 * these, and so on. Every pick tells where its sender's next one is sought, so the answer itself is the only state. */
struct window {
    const struct queue_window_request *request;
    struct lmdb_cursor due, turn;
    struct queue_pick *picks;
    size_t count;
};

static enum err fill(struct lmdb_view *view, struct window *window);
static enum err start_of_turns(struct lmdb_view *view, const struct queue_window_request *request,
                               struct lmdb_key *start);
static enum err first_round(struct window *window, const struct lmdb_key *start);
static enum err take_turns(struct window *window, const struct lmdb_key *from, const struct lmdb_key *until);
static enum err further_rounds(struct window *window);
static enum err pick_from(struct window *window, uint64_t sender, const struct lmdb_key *from);

enum err queue_window(struct queue *queue, const struct queue_window_request *request, struct queue_pick *out,
                      size_t *count)
{
    *count = 0;
    struct lmdb_view view;
    struct window window = {.request = request, .picks = out};
    enum err err = lmdb_view_read(queue, &view);
    err = err == ERR_NONE ? lmdb_cursor_open(&view, LMDB_DUE, &window.due) : err;
    err = err == ERR_NONE ? lmdb_cursor_open(&view, LMDB_TURN, &window.turn) : err;
    err = err == ERR_NONE ? fill(&view, &window) : err;
    lmdb_cursor_close(&window.due);
    lmdb_cursor_close(&window.turn);
    lmdb_view_end(&view);
    *count = window.count;
    return err;
}

static enum err fill(struct lmdb_view *view, struct window *window)
{
    if (window->request->per_sender == 0) {
        return ERR_NONE;
    }
    struct lmdb_key start;
    enum err err = start_of_turns(view, window->request, &start);
    err = err == ERR_NONE ? first_round(window, &start) : err;
    return err == ERR_NONE ? further_rounds(window) : err;
}

/* The last key in turn that had its turn already. */
static enum err start_of_turns(struct lmdb_view *view, const struct queue_window_request *request,
                               struct lmdb_key *start)
{
    *start = lmdb_key_destination(request->destination);
    if (request->first_sender == 0) {
        return ERR_NONE;
    }
    int64_t due_ms = request->first_due_ms;
    if (due_ms == 0) {
        enum err err = lmdb_index_earliest(view, request->destination, request->first_sender, &due_ms);
        if (err != ERR_NONE) {
            return err == ERR_NOT_FOUND ? ERR_NONE : err;
        }
    }
    *start = lmdb_key_turn(request->destination, due_ms, request->first_sender);
    return ERR_NONE;
}

/* From the start to the last sender that has something due, then from the first one to the start. */
static enum err first_round(struct window *window, const struct lmdb_key *start)
{
    struct lmdb_key all = lmdb_key_destination(window->request->destination);
    enum err err = take_turns(window, start, NULL);
    return err == ERR_NONE && start->length > all.length ? take_turns(window, &all, start) : err;
}

/* One entry of each sender whose turn comes behind from, and not behind until. */
static enum err take_turns(struct window *window, const struct lmdb_key *from, const struct lmdb_key *until)
{
    const struct queue_window_request *request = window->request;
    struct lmdb_key all = lmdb_key_destination(request->destination);
    enum err err = lmdb_cursor_behind(&window->turn, from);
    while (err == ERR_NONE && window->count < request->limit && lmdb_key_begins(window->turn.key, &all)) {
        struct lmdb_slot turn;
        if (until != NULL && slice_compare(window->turn.key, slice_make(until->bytes, until->length)) > 0) {
            break;
        }
        if (lmdb_key_read_turn(window->turn.key, &turn)) {
            if (turn.due_ms > request->now_ms) {
                break;
            }
            struct lmdb_key sender = lmdb_key_sender(request->destination, turn.sender);
            err = pick_from(window, turn.sender, &sender);
        }
        err = err == ERR_NONE || err == ERR_END ? lmdb_cursor_next(&window->turn) : err;
    }
    return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

static enum err further_rounds(struct window *window)
{
    size_t at = 0, round_end = window->count;
    for (size_t round = 1; round < window->request->per_sender && at < round_end; round++) {
        for (; at < round_end && window->count < window->request->limit; at++) {
            struct queue_pick *last = &window->picks[at];
            struct lmdb_slot slot = {.destination = window->request->destination,
                                     .sender = last->sender_hash,
                                     .due_ms = last->due_ms,
                                     .id = last->id,
                                     .number = last->number};
            struct lmdb_key key = lmdb_key_due(&slot);
            enum err err = pick_from(window, last->sender_hash, &key);
            if (err != ERR_NONE && err != ERR_END) {
                return err;
            }
        }
        round_end = window->count;
    }
    return ERR_NONE;
}

/* Adds the first entry of the sender behind that key. ERR_END: it has none that is due and not passed over. */
static enum err pick_from(struct window *window, uint64_t sender, const struct lmdb_key *from)
{
    const struct queue_window_request *request = window->request;
    struct lmdb_key own = lmdb_key_sender(request->destination, sender);
    enum err err = lmdb_cursor_behind(&window->due, from);
    for (; err == ERR_NONE && lmdb_key_begins(window->due.key, &own); err = lmdb_cursor_next(&window->due)) {
        struct lmdb_slot slot;
        if (!lmdb_key_read_due(window->due.key, &slot)) {
            continue;
        }
        if (slot.due_ms > request->now_ms) {
            return ERR_END;
        }
        if (request->skip != NULL && request->skip(request->owner, slot.id, slot.number)) {
            continue;
        }
        window->picks[window->count++] =
            (struct queue_pick){.id = slot.id, .number = slot.number, .due_ms = slot.due_ms, .sender_hash = sender};
        return ERR_NONE;
    }
    return err == ERR_NONE || err == ERR_NOT_FOUND ? ERR_END : err;
}
