#include "relay/gathering.h"

#include "base/text.h"
#include "relay/config.h"
#include "relay/host.h"
#include "relay/relay.h"

#include <assert.h>
#include <stdlib.h>

#define PIECES_MAX 512
#define PIECE_BYTES_MAX ((size_t)256 << 10)
#define BYTES_MAX ((size_t)8 << 20) /* of all pieces */
#define SCRATCH_MAX ((size_t)1 << 20)
#define KEY_LENGTH 16
#define RETRY_MS 1000

/* In its place, from the outcome that is recorded to the report that is queued. */
struct piece {
    char key[KEY_LENGTH];
    struct buffer bytes; /* none: the place is free */
    uint64_t id;
    size_t recipient_count;
    int64_t due_ms; /* monotonic */
    const struct gathering_outcome *writer, *reporter; /* on their way to the disk; NULL: none */
    bool is_stored;
};
struct gathering {
    struct relay *relay;
    struct piece pieces[PIECES_MAX];
    size_t used, bytes;    /* of the pieces: most of the time there are none */
    struct list under_way; /* struct gathering_outcome */
    uint64_t reporting_id; /* whose report is being written since its time had come: one at a time, since each has a message in memory */
    struct timer timer;
    bool is_stopping;
};

static enum err load(struct gathering *gathering);
static void wake(struct gathering *gathering);
static void on_timer(struct timer *timer);

/* ---- pieces ---- */

static bool is_free(const struct piece *piece)
{
    return buffer_length(&piece->bytes) == 0;
}

/* Of that message, and told by no report yet. */
static bool waits_for(const struct piece *piece, uint64_t id)
{
    return !is_free(piece) && piece->id == id && piece->reporter == NULL;
}

static void free_piece(struct gathering *gathering, struct piece *piece)
{
    gathering->used--;
    gathering->bytes -= buffer_length(&piece->bytes);
    buffer_free(&piece->bytes);
    buffer_init(&piece->bytes, PIECE_BYTES_MAX);
    piece->is_stored = false;
}

struct gathering *gathering_new(struct relay *relay)
{
    struct gathering *gathering = calloc(1, sizeof *gathering);
    if (gathering == NULL)
        return NULL;
    gathering->relay = relay;
    list_init(&gathering->under_way);
    for (size_t i = 0; i < PIECES_MAX; i++) {
        text_print(gathering->pieces[i].key, KEY_LENGTH, "owed/%zu", i);
        buffer_init(&gathering->pieces[i].bytes, PIECE_BYTES_MAX);
    }
    if (load(gathering) != ERR_NONE)
        gathering_free(&gathering);
    else
        wake(gathering);
    return gathering;
}

void gathering_free(struct gathering **gathering)
{
    if (*gathering == NULL)
        return;
    assert(list_is_empty(&(*gathering)->under_way));
    timer_cancel(&(*gathering)->timer);
    for (size_t i = 0; i < PIECES_MAX; i++)
        buffer_free(&(*gathering)->pieces[i].bytes);
    free(*gathering);
    *gathering = NULL;
}

void gathering_stop(struct gathering *gathering)
{
    gathering->is_stopping = true;
    timer_cancel(&gathering->timer);
}

/* ---- what earlier runs owe ---- */

static void log_lost(struct gathering *gathering, const struct piece *piece)
{
    struct log_line line;
    if (!log_open(&line, gathering->relay->log, LOG_ERROR, "report_lost"))
        return;
    log_string(&line, "record", piece->key);
    log_string(&line, "problem", "a report was owed to the sender of a message, and what it was to say cannot be read");
    log_string(&line, "advice", "its recipients were logged as bounced when they failed; check the disk of the queue");
    log_close(&line);
}

/* A clock that was set meanwhile makes no wait longer than a whole one. */
static void load_piece(struct gathering *gathering, struct piece *piece, const struct owed *owed)
{
    int64_t gather_ms = gathering->relay->config->report_gather_ms;
    int64_t left_ms = owed->since_ms + gather_ms - clock_wall_ms();
    left_ms = left_ms < 0 ? 0 : left_ms > gather_ms ? gather_ms : left_ms;
    piece->id = owed->message.id;
    piece->recipient_count = owed->recipient_count;
    piece->due_ms = clock_monotonic_ms() + left_ms;
    piece->is_stored = true;
    gathering->used++;
    gathering->bytes += buffer_length(&piece->bytes);
}

static enum err load_place(struct gathering *gathering, struct piece *piece, struct arena *arena)
{
    struct slice bytes;
    struct owed owed;
    enum err err = queue_meta_get(gathering->relay->queue, slice_of(piece->key), arena, &bytes);
    if (err == ERR_NONE)
        err = owed_decode(bytes, arena, &owed);
    if (err == ERR_NONE)
        buffer_add(&piece->bytes, bytes);
    if (err == ERR_NONE && buffer_failed(&piece->bytes))
        return ERR_MEMORY;
    if (err == ERR_NONE)
        load_piece(gathering, piece, &owed);
    if (err == ERR_CORRUPT)
        log_lost(gathering, piece);
    return err == ERR_NOT_FOUND || err == ERR_CORRUPT ? ERR_NONE : err;
}

static enum err load(struct gathering *gathering)
{
    struct arena *arena = arena_new(SCRATCH_MAX);
    enum err err = arena == NULL ? ERR_MEMORY : ERR_NONE;
    for (size_t i = 0; i < PIECES_MAX && err == ERR_NONE; i++) {
        arena_reset(arena);
        err = load_place(gathering, &gathering->pieces[i], arena);
    }
    arena_free(&arena);
    return err;
}

/* ---- who is pending ---- */

static bool is_finished_by(const struct gathering_outcome *outcome, uint64_t id, uint16_t number)
{
    bool found = false;
    for (size_t i = 0; i < outcome->finished_count && outcome->id == id && !found; i++)
        found = outcome->finished[i] == number;
    return found;
}

static bool is_finished(const struct gathering *gathering, const struct gathering_outcome *own, uint16_t number)
{
    bool found = is_finished_by(own, own->id, number);
    const struct list_node *node = list_first(&gathering->under_way);
    for (; node != NULL && !found; node = list_next(&gathering->under_way, node))
        found = is_finished_by(LIST_OF(node, struct gathering_outcome, node), own->id, number);
    return found;
}

/* From the entry behind its own, since those before have mostly ended: of a message with a thousand of them not all are read each time. */
enum err gathering_is_last(struct gathering *gathering, const struct queue_message *message,
                           const struct gathering_outcome *outcome, bool *is_last)
{
    struct arena *arena = arena_new(SCRATCH_MAX);
    enum err err = arena == NULL ? ERR_MEMORY : ERR_NONE;
    uint32_t first = outcome->finished_count > 0 ? outcome->finished[outcome->finished_count - 1] : 0;
    *is_last = true;
    for (uint32_t i = 0; i < message->entry_count && err == ERR_NONE && *is_last; i++) {
        uint16_t number = (uint16_t)((first + i) % message->entry_count);
        struct queue_entry entry;
        arena_reset(arena);
        enum err got = is_finished(gathering, outcome, number)
                           ? ERR_NOT_FOUND
                           : queue_entry_get(gathering->relay->queue, message->id, number, arena, &entry);
        *is_last = got == ERR_NOT_FOUND || (got == ERR_NONE && queue_entry_is_finished(&entry));
        err = got == ERR_MEMORY ? ERR_MEMORY : ERR_NONE;
    }
    arena_free(&arena);
    return err;
}

size_t gathering_count(const struct gathering *gathering, uint64_t id, int64_t *due_ms)
{
    size_t count = 0;
    int64_t first_ms = INT64_MAX;
    for (size_t i = 0; i < PIECES_MAX && gathering->used > 0; i++) {
        const struct piece *piece = &gathering->pieces[i];
        if (!waits_for(piece, id))
            continue;
        count += piece->recipient_count;
        first_ms = piece->due_ms < first_ms ? piece->due_ms : first_ms;
    }
    if (due_ms != NULL && count > 0)
        *due_ms = clock_wall_ms() + first_ms - clock_monotonic_ms();
    return count;
}

/* ---- kept and taken ---- */

static struct piece *find_place(struct gathering *gathering)
{
    for (size_t i = 0; i < PIECES_MAX; i++) {
        if (is_free(&gathering->pieces[i]))
            return &gathering->pieces[i];
    }
    return NULL;
}

/* When the report on that message comes: the first one began the wait. */
static int64_t due_of(const struct gathering *gathering, uint64_t id)
{
    int64_t due_ms = clock_monotonic_ms() + gathering->relay->config->report_gather_ms;
    for (size_t i = 0; i < PIECES_MAX; i++) {
        const struct piece *piece = &gathering->pieces[i];
        if (waits_for(piece, id) && piece->due_ms < due_ms)
            due_ms = piece->due_ms;
    }
    return due_ms;
}

enum err gathering_keep(struct gathering *gathering, struct gathering_outcome *outcome, const struct owed *owed,
                        struct queue_change *change)
{
    struct piece *piece = find_place(gathering);
    int64_t due_ms = due_of(gathering, owed->message.id);
    if (piece == NULL || gathering->bytes >= BYTES_MAX)
        return ERR_LIMIT;
    owed_encode(owed, &piece->bytes);
    if (buffer_failed(&piece->bytes)) {
        enum err err = buffer_err(&piece->bytes);
        buffer_free(&piece->bytes);
        buffer_init(&piece->bytes, PIECE_BYTES_MAX);
        return err;
    }
    gathering->used++;
    gathering->bytes += buffer_length(&piece->bytes);
    piece->id = owed->message.id;
    piece->recipient_count = owed->recipient_count;
    piece->due_ms = due_ms;
    piece->writer = outcome;
    outcome->keeps = true;
    *change = (struct queue_change){
        .kind = QUEUE_CHANGE_META, .key = slice_of(piece->key), .bytes = buffer_slice(&piece->bytes)};
    return ERR_NONE;
}

static enum err take_piece(struct piece *piece, struct arena *arena, struct owed *all)
{
    struct owed owed;
    enum err err = owed_decode(buffer_slice(&piece->bytes), arena, &owed);
    if (err != ERR_NONE)
        return err;
    all->message = owed.message;
    for (size_t i = 0; i < owed.recipient_count; i++)
        all->recipients[all->recipient_count++] = owed.recipients[i];
    return ERR_NONE;
}

enum err gathering_take(struct gathering *gathering, struct gathering_outcome *outcome, struct arena *arena, struct owed *owed)
{
    enum err err = ERR_NONE;
    for (size_t i = 0; i < PIECES_MAX && err == ERR_NONE; i++) {
        struct piece *piece = &gathering->pieces[i];
        bool has_room = owed->recipient_count + piece->recipient_count <= QUEUE_RECIPIENTS_MAX;
        if (!waits_for(piece, outcome->id) || !has_room)
            continue;
        err = take_piece(piece, arena, owed);
        piece->reporter = outcome;
        outcome->report_count++;
    }
    return err;
}

void gathering_forget(const struct gathering *gathering, const struct gathering_outcome *outcome, struct queue_change *changes)
{
    size_t count = 0;
    for (size_t i = 0; i < PIECES_MAX; i++) {
        const struct piece *piece = &gathering->pieces[i];
        if (piece->reporter == outcome)
            changes[count++] = (struct queue_change){.kind = QUEUE_CHANGE_META, .key = slice_of(piece->key)};
    }
    assert(count == outcome->report_count);
}

/* ---- the commit ---- */

void gathering_submitted(struct gathering *gathering, struct gathering_outcome *outcome)
{
    list_add_last(&gathering->under_way, &outcome->node);
}

/* A report's transaction is behind those of its pieces: when it ends, they have. */
static void settle_piece(struct gathering *gathering, struct piece *piece, const struct gathering_outcome *outcome, enum err err)
{
    if (piece->writer == outcome) {
        piece->writer = NULL;
        piece->is_stored = err == ERR_NONE;
    }
    if (piece->reporter == outcome) {
        piece->reporter = NULL;
        piece->is_stored = piece->is_stored && err != ERR_NONE;
    }
    if (!is_free(piece) && piece->writer == NULL && piece->reporter == NULL && !piece->is_stored)
        free_piece(gathering, piece);
}

void gathering_settle(struct gathering *gathering, struct gathering_outcome *outcome, enum err err)
{
    if (list_has(&outcome->node))
        list_remove(&gathering->under_way, &outcome->node);
    if (!outcome->keeps && outcome->report_count == 0)
        return;
    for (size_t i = 0; i < PIECES_MAX; i++)
        settle_piece(gathering, &gathering->pieces[i], outcome, err);
    if (gathering->reporting_id == outcome->id && outcome->report_count > 0)
        gathering->reporting_id = 0;
    wake(gathering);
}

/* ---- its time has come ---- */

static struct piece *find_first(struct gathering *gathering)
{
    struct piece *first = NULL;
    for (size_t i = 0; i < PIECES_MAX; i++) {
        struct piece *piece = &gathering->pieces[i];
        if (!is_free(piece) && piece->reporter == NULL && (first == NULL || piece->due_ms < first->due_ms))
            first = piece;
    }
    return first;
}

static void wake(struct gathering *gathering)
{
    const struct piece *first = gathering->is_stopping || gathering->reporting_id != 0 ? NULL : find_first(gathering);
    int64_t now_ms = clock_monotonic_ms();
    if (first == NULL)
        timer_cancel(&gathering->timer);
    else
        timer_start(&gathering->timer, first->due_ms > now_ms ? first->due_ms - now_ms : 0, on_timer);
}

/* An outcome that is not on the disk may never get there, and its recipients be tried again. */
static bool is_being_written(const struct gathering *gathering, uint64_t id)
{
    bool found = false;
    for (size_t i = 0; i < PIECES_MAX && !found; i++)
        found = waits_for(&gathering->pieces[i], id) && gathering->pieces[i].writer != NULL;
    return found;
}

static void put_off(struct gathering *gathering, uint64_t id)
{
    for (size_t i = 0; i < PIECES_MAX; i++) {
        if (waits_for(&gathering->pieces[i], id))
            gathering->pieces[i].due_ms = clock_monotonic_ms() + RETRY_MS;
    }
}

static void on_timer(struct timer *timer)
{
    struct gathering *gathering = LIST_OF(timer, struct gathering, timer);
    const struct piece *first = find_first(gathering);
    if (first != NULL && first->due_ms <= clock_monotonic_ms()) {
        uint64_t id = first->id;
        gathering->reporting_id = id;
        if (is_being_written(gathering, id) || record_gathered(gathering->relay, id) != ERR_NONE) {
            gathering->reporting_id = 0;
            put_off(gathering, id);
        }
    }
    wake(gathering);
}
