#include "relay/drop.h"

#include "base/list.h"
#include "base/text.h"
#include "relay/drop_scan.h"
#include "relay/posting.h"
#include "relay/relay.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOK_INTERVAL_MS 5000
#define TROUBLE_INTERVAL_MS 60000 /* when nothing could be done with what is there */
#define READ_MAX 65536
#define ARENA_MAX (16u << 20)
#define MARK_KEY "drop"
#define FAULT_MAX 8192
/* So many users in turn whose files cannot be taken, each for a reason that is said to be its own: that is the machine's, and all wait. */
#define FAILURES_MAX 5
/* Of one user's files in one look: the rest of his is left for the next. Whoever makes files that fail holds up no other. */
#define FAILURES_OF_USER_MAX 5

enum drop_state {
    DROP_CLOSED,   /* nothing is taken */
    DROP_RESTING,  /* until the timer */
    DROP_SCANNING, /* of this and the next three a job is under way */
    DROP_OPENING,
    DROP_READING,
    DROP_PUTTING,  /* the file away: removed, or held back */
    DROP_WAITING,  /* for the journal to take more */
    DROP_STORING,  /* the message is complete */
};

struct drop {
    struct relay *relay;
    enum drop_state state;
    bool is_stopping, releases_held;
    int directory; /* -1: not open */
    struct timer timer;
    struct drop_scan scan;
    size_t next; /* of its names */
    bool has_taken; /* one of them */
    size_t stuck_told;
    unsigned failures;      /* of users, without a file between them that was taken */
    uint32_t failed_uid;    /* of the last of them */
    struct drop_waits waits;
    struct receipts receipts;
    struct drop_name mark;  /* the name taken last; empty: none */
    bool mark_may_be_there; /* as a file: it must go before anything else is taken */

    /* The file under way. */
    const struct drop_found *found;
    struct drop_file file;
    struct buffer bytes; /* read and not used yet */
    uint64_t offset;     /* of what is read next */
    struct arena *arena;
    struct json *request;
    struct posting posting;
    bool is_held_back; /* PUTTING: else it is removed */

    /* For the jobs: what they found. */
    struct job job;
    enum drop_file_state file_state;
    enum err err;
};

static void rest(struct drop *drop, int64_t delay_ms);
static void on_timer(struct timer *timer);
static void start_job(struct drop *drop, enum drop_state state, void (*work)(struct job *job), void (*done)(struct job *job));
static bool job_ended(struct drop *drop);
static void work_scan(struct job *job);
static void scanned(struct job *job);
static void next_file(struct drop *drop);
static void work_open(struct job *job);
static void opened(struct job *job);
static void begin_message(struct drop *drop);
static void read_on(struct drop *drop);
static void work_read(struct job *job);
static void was_read(struct job *job);
static void on_ready(struct posting *posting);
static void on_finished(struct posting *posting);
static void put_away(struct drop *drop, bool is_held_back);
static void work_put(struct job *job);
static void put(struct job *job);
static void leave_file(struct drop *drop);
static void put_off(struct drop *drop, const char *why);
static void hold_back(struct drop *drop, const char *why);

struct drop *drop_new(struct relay *relay)
{
    struct drop *drop = calloc(1, sizeof *drop);
    if (drop == NULL)
        return NULL;
    drop->relay = relay;
    drop->directory = drop->file.fd = -1;
    drop->scan.waits = &drop->waits;
    return drop;
}

void drop_free(struct drop **drop)
{
    if (*drop == NULL)
        return;
    assert(drop_is_idle(*drop));
    timer_cancel(&(*drop)->timer);
    if ((*drop)->directory >= 0)
        close((*drop)->directory);
    free(*drop);
    *drop = NULL;
}

static enum err load_mark(struct drop *drop)
{
    struct slice mark = SLICE_EMPTY;
    struct arena *arena = arena_new(4096);
    enum err err = arena == NULL ? ERR_MEMORY : queue_meta_get(drop->relay->queue, SLICE(MARK_KEY), arena, &mark);
    text_print(drop->mark.text, sizeof drop->mark.text, "%.*s", SLICE_ARGS(err == ERR_NONE ? mark : SLICE_EMPTY));
    drop->mark_may_be_there = drop_name_is_valid(slice_of(drop->mark.text));
    arena_free(&arena);
    err = err == ERR_NOT_FOUND ? ERR_NONE : err;
    return err == ERR_NONE ? receipts_load(&drop->receipts, drop->relay->queue) : err;
}

struct receipts *drop_receipts(struct drop *drop)
{
    return drop->directory < 0 ? NULL : &drop->receipts;
}

enum err drop_open(struct drop *drop, struct buffer *fault)
{
    char path[4096];
    struct slice configured = drop->relay->config->drop_path;
    assert(drop->state == DROP_CLOSED);
    if (configured.length >= sizeof path) {
        buffer_add(fault, SLICE("the path is too long"));
        return ERR_LIMIT;
    }
    text_print(path, sizeof path, "%.*s", SLICE_ARGS(configured));
    enum err err = load_mark(drop);
    if (err != ERR_NONE)
        buffer_print(fault, "%s: which file was taken last cannot be read from the queue: %s", path, err_text(err));
    else
        err = drop_files_open(path, &drop->directory, fault);
    if (err == ERR_NONE) {
        drop->releases_held = true;
        rest(drop, 0);
    }
    return err;
}

void drop_look_again(struct drop *drop)
{
    drop->releases_held = true;
    if (drop->state == DROP_RESTING && !drop->is_stopping)
        rest(drop, 0);
}

void drop_stop(struct drop *drop)
{
    drop->is_stopping = true;
    if (drop->state == DROP_RESTING) {
        timer_cancel(&drop->timer);
        drop->state = DROP_CLOSED;
    } else if (drop->state == DROP_WAITING) {
        leave_file(drop);
    }
}

bool drop_is_idle(const struct drop *drop)
{
    return drop->state == DROP_CLOSED || drop->state == DROP_RESTING;
}

static void rest(struct drop *drop, int64_t delay_ms)
{
    drop->state = drop->is_stopping ? DROP_CLOSED : DROP_RESTING;
    if (drop->is_stopping)
        relay_part_ended(drop->relay);
    else
        timer_start(&drop->timer, delay_ms, on_timer);
}

/* What is about a file counts against its owner's share of the log. */
static bool open_line(const struct drop *drop, struct log_line *line, enum log_level level, const char *event)
{
    if (drop->found == NULL)
        return log_open(line, drop->relay->log, level, event);
    const struct log_share_line what = {.uid = drop->found->uid, .level = level, .event = event};
    if (!log_share_open(&drop->relay->log_share, drop->relay->log, line, &what))
        return false;
    log_string(line, "file", drop->found->name.text);
    return true;
}

static void log_problem(const struct drop *drop, enum log_level level, const char *event, const char *text)
{
    struct log_line line;
    if (!open_line(drop, &line, level, event))
        return;
    log_text(&line, "directory", drop->relay->config->drop_path);
    log_string(&line, "problem", text);
    log_close(&line);
}

/* ---- jobs ---- */

static void start_job(struct drop *drop, enum drop_state state, void (*work)(struct job *job), void (*done)(struct job *job))
{
    drop->state = state;
    job_start(&drop->job, work, done);
}

/* True: go on. With a stop the file under way is left as it is. */
static bool job_ended(struct drop *drop)
{
    if (!drop->is_stopping)
        return true;
    leave_file(drop);
    return false;
}

/* ---- scanning ---- */

static void on_timer(struct timer *timer)
{
    struct drop *drop = LIST_OF(timer, struct drop, timer);
    drop->scan.directory = drop->directory;
    drop->scan.wall_ms = clock_wall_ms();
    drop->scan.now_ms = clock_monotonic_ms();
    drop->scan.size_max = drop->relay->config->message_size_max + SUBMISSION_LINE_MAX;
    start_job(drop, DROP_SCANNING, work_scan, scanned);
}

/* The queue has the message of the mark: what was lost, at most, is the removal of its file. */
static void work_scan(struct job *job)
{
    struct drop *drop = LIST_OF(job, struct drop, job);
    drop->scan.junk = drop->scan.stuck = drop->scan.count = drop->scan.user_count = 0;
    drop->err = drop->mark_may_be_there ? drop_file_remove(drop->directory, &drop->mark) : ERR_NONE;
    if (drop->err != ERR_NONE)
        return;
    drop->mark_may_be_there = false;
    if (drop->releases_held)
        drop_scan_release(&drop->scan);
    drop->err = drop_scan_run(&drop->scan);
}

/* One line for each user, however many files he has put there. */
static void log_user(const struct drop *drop, const struct drop_user *user)
{
    struct log_line line;
    if (user->aside + user->removed == 0 || !log_open(&line, drop->relay->log, LOG_ERROR, "held"))
        return;
    log_text(&line, "directory", drop->relay->config->drop_path);
    log_number(&line, "uid", user->uid);
    log_number(&line, "files", user->aside);
    log_number(&line, "removed", user->removed);
    log_string(&line, "problem", user->aside > 0 ? "files that the relay may not read were set aside in the folder held"
                                                 : "more files that are no complete mail than one user may have there were removed");
    log_string(&line, "advice",
               "if this user's mail is missing: give the directory the relay's group and the mode 3733, and the files in held that group");
    log_close(&line);
}

static void scanned(struct job *job)
{
    struct drop *drop = LIST_OF(job, struct drop, job);
    drop->found = NULL;
    drop->next = drop->failures = 0;
    drop->has_taken = false;
    drop->releases_held = drop->releases_held && drop->err != ERR_NONE;
    if (drop->scan.junk > 0)
        log_problem(drop, LOG_WARNING, "rejected", "files that are no mail were in the drop directory, and are removed");
    if (drop->scan.stuck > drop->stuck_told)
        log_problem(drop, LOG_WARNING, "drop_junk", "folders in the drop directory cannot be removed: they are not empty");
    drop->stuck_told = drop->scan.stuck;
    for (size_t i = 0; i < drop->scan.user_count; i++)
        log_user(drop, &drop->scan.users[i]);
    if (drop->err != ERR_NONE) {
        log_problem(drop, LOG_ERROR, "drop_failed", err_text(drop->err));
        rest(drop, TROUBLE_INTERVAL_MS);
    } else if (job_ended(drop)) {
        next_file(drop);
    }
}

static const struct drop_found *take_next(struct drop *drop)
{
    while (drop->next < drop->scan.count) {
        const struct drop_found *found = &drop->scan.found[drop->next++];
        if (drop_scan_user(&drop->scan, found->uid)->failures < FAILURES_OF_USER_MAX)
            return found;
    }
    return NULL;
}

static void next_file(struct drop *drop)
{
    drop->found = drop->is_stopping ? NULL : take_next(drop);
    if (drop->found == NULL) {
        rest(drop, drop->scan.is_full && drop->has_taken ? 0 : LOOK_INTERVAL_MS);
        return;
    }
    if (receipts_have(&drop->receipts, &(struct receipt_file){.name = drop->found->name, .uid = drop->found->uid})) {
        put_away(drop, false);
        return;
    }
    buffer_init(&drop->bytes, SUBMISSION_LINE_MAX + READ_MAX);
    drop->offset = 0;
    start_job(drop, DROP_OPENING, work_open, opened);
}

/* Ends the work on a file, whatever becomes of it. */
static void close_file(struct drop *drop)
{
    if (drop->file.fd >= 0)
        close(drop->file.fd);
    drop->file.fd = -1;
    if (drop->posting.relay != NULL)
        posting_cancel(&drop->posting);
    drop->posting = (struct posting){.relay = NULL};
    buffer_free(&drop->bytes);
    json_free(&drop->request);
    arena_free(&drop->arena);
}

/* It stays where it is, and so do all others for a while: the reason is nothing of its own. */
static void leave_file(struct drop *drop)
{
    close_file(drop);
    rest(drop, TROUBLE_INTERVAL_MS);
}

/* It stays where it is, and waits by itself; those behind it are taken. */
static void put_off(struct drop *drop, const char *why)
{
    struct log_line line;
    int64_t wait_ms = drop_wait_add(&drop->waits, &drop->found->name, clock_monotonic_ms());
    if (open_line(drop, &line, LOG_WARNING, "drop_waits")) {
        log_string(&line, "problem", why);
        log_duration(&line, "again_in", wait_ms);
        log_close(&line);
    }
    drop_scan_user(&drop->scan, drop->found->uid)->failures++;
    drop->failures += drop->failures == 0 || drop->failed_uid != drop->found->uid;
    drop->failed_uid = drop->found->uid;
    if (drop->failures >= FAILURES_MAX) {
        leave_file(drop);
        return;
    }
    close_file(drop);
    next_file(drop);
}

static void reject(struct drop *drop, const char *why)
{
    drop->relay->metrics.rejected++;
    log_problem(drop, LOG_WARNING, "rejected", why);
    put_away(drop, false);
}

/* ---- a file: its head ---- */

static void work_open(struct job *job)
{
    struct drop *drop = LIST_OF(job, struct drop, job);
    drop->file = (struct drop_file){.fd = -1};
    drop->file_state = drop_file_open(drop->directory, &drop->found->name, &drop->file);
    if (drop->file_state != DROP_FILE_OPEN)
        return;
    size_t length = drop->file.size < READ_MAX ? (size_t)drop->file.size : READ_MAX;
    drop->err = drop_file_read(&drop->file, 0, length, &drop->bytes);
    while (drop->err == ERR_NONE && !slice_has(buffer_slice(&drop->bytes), '\n') && buffer_length(&drop->bytes) < drop->file.size) {
        uint64_t offset = buffer_length(&drop->bytes);
        uint64_t more = drop->file.size - offset;
        if (offset >= SUBMISSION_LINE_MAX)
            break;
        drop->err = drop_file_read(&drop->file, offset, more < READ_MAX ? (size_t)more : READ_MAX, &drop->bytes);
    }
    drop->offset = buffer_length(&drop->bytes);
}

static void opened(struct job *job)
{
    struct drop *drop = LIST_OF(job, struct drop, job);
    if (!job_ended(drop))
        return;
    switch (drop->file_state) {
    case DROP_FILE_GONE:
        close_file(drop);
        next_file(drop);
        break;
    case DROP_FILE_FOREIGN:
        reject(drop, "no regular file with this one name");
        break;
    case DROP_FILE_UNREADABLE:
        hold_back(drop, "the file cannot be read: give the directory the relay's group and the mode 3733, and this file that group");
        break;
    case DROP_FILE_FAULTY:
        put_off(drop, "the file cannot be opened");
        break;
    case DROP_FILE_OPEN:
        begin_message(drop);
        break;
    }
}

/* Read or not, it stays until it can be taken. */
static void hold_back(struct drop *drop, const char *why)
{
    log_problem(drop, LOG_ERROR, "held", why);
    put_away(drop, true);
}

static void judge(struct drop *drop)
{
    struct posting *posting = &drop->posting;
    bool is_never = posting->exit != POSTING_TEMPORARY && posting->exit != POSTING_SOFTWARE;
    if (is_never)
        hold_back(drop, posting->text);
    else if (posting->is_for_all)
        leave_file(drop);
    else
        put_off(drop, posting->text);
}

/* One of a sendmail may have been made under another limit: it is kept until that is back. */
static bool is_submission(struct slice line)
{
    return slice_starts(line, SLICE("{\"command\":\"" SUBMISSION_COMMAND "\","));
}

/* The submission with its newline; the rest of the file must be the text, to the byte. */
static enum err read_head(struct drop *drop, struct submission *submission, char fault[SUBMISSION_FAULT_MAX])
{
    struct slice all = buffer_slice(&drop->bytes);
    size_t end = slice_find(all, '\n');
    text_print(fault, SUBMISSION_FAULT_MAX, "no submission");
    struct json_bounds bounds = submission_bounds(drop->relay->config->recipients_max);
    enum err err = end == all.length ? ERR_SYNTAX : json_parse_bounded(slice_to(all, end), &bounds, &drop->request);
    if (err == ERR_LIMIT && is_submission(slice_to(all, end))) {
        text_print(fault, SUBMISSION_FAULT_MAX, "more recipients than [listen] recipients-max allows, which is %u",
                   drop->relay->config->recipients_max);
        return ERR_UNSUPPORTED;
    }
    if (err != ERR_NONE)
        return ERR_SYNTAX;
    err = submission_parse(drop->request, drop->arena, submission, fault);
    if (err == ERR_NONE && drop->file.size - (end + 1) != submission->size) {
        text_print(fault, SUBMISSION_FAULT_MAX, "its size is not what it says");
        err = ERR_SYNTAX;
    }
    buffer_consume(&drop->bytes, end + 1);
    return err;
}

static void begin_message(struct drop *drop)
{
    struct submission submission;
    char fault[SUBMISSION_FAULT_MAX];
    drop->arena = arena_new(ARENA_MAX);
    enum err err = drop->err != ERR_NONE ? drop->err : drop->arena == NULL ? ERR_MEMORY : read_head(drop, &submission, fault);
    if (err == ERR_MEMORY || err == ERR_IO) {
        put_off(drop, err_text(err));
        return;
    }
    if (err == ERR_UNSUPPORTED) {
        hold_back(drop, fault);
        return;
    }
    if (err != ERR_NONE) {
        reject(drop, err == ERR_SYNTAX ? fault : "it was changed while it was read");
        return;
    }
    drop->posting = (struct posting){.relay = drop->relay,
                                     .uid = drop->file.uid,
                                     .way = "drop",
                                     .mark_key = SLICE(MARK_KEY),
                                     .mark = slice_of(drop->found->name.text),
                                     .ready = on_ready,
                                     .finished = on_finished};
    if (posting_start(&drop->posting, &submission))
        read_on(drop);
    else
        judge(drop);
}

/* ---- its text ---- */

static void read_on(struct drop *drop)
{
    struct posting *posting = &drop->posting;
    size_t taken = posting_add(posting, buffer_slice(&drop->bytes));
    buffer_consume(&drop->bytes, taken);
    if (posting_is_complete(posting)) {
        drop->state = DROP_STORING;
        posting_finish(posting);
    } else if (posting_is_busy(posting)) {
        drop->state = DROP_WAITING;
    } else {
        start_job(drop, DROP_READING, work_read, was_read);
    }
}

static void work_read(struct job *job)
{
    struct drop *drop = LIST_OF(job, struct drop, job);
    uint64_t more = drop->file.size - drop->offset;
    size_t length = more < READ_MAX ? (size_t)more : READ_MAX;
    drop->err = drop_file_read(&drop->file, drop->offset, length, &drop->bytes);
    drop->offset += length;
}

static void was_read(struct job *job)
{
    struct drop *drop = LIST_OF(job, struct drop, job);
    if (!job_ended(drop))
        return;
    if (drop->err == ERR_END) {
        reject(drop, "it was changed while it was read");
    } else if (drop->err != ERR_NONE) {
        put_off(drop, err_text(drop->err));
    } else {
        read_on(drop);
    }
}

static void on_ready(struct posting *posting)
{
    struct drop *drop = LIST_OF(posting, struct drop, posting);
    if (drop->state == DROP_WAITING)
        read_on(drop);
}

static void on_finished(struct posting *posting)
{
    struct drop *drop = LIST_OF(posting, struct drop, posting);
    if (posting->exit != POSTING_STORED) {
        judge(drop);
        return;
    }
    drop->failures = 0;
    drop->has_taken = true;
    drop->mark = drop->found->name;
    drop->mark_may_be_there = true;
    put_away(drop, false);
}

/* ---- its end ---- */

static void put_away(struct drop *drop, bool is_held_back)
{
    drop->is_held_back = is_held_back;
    start_job(drop, DROP_PUTTING, work_put, put);
}

static void work_put(struct job *job)
{
    struct drop *drop = LIST_OF(job, struct drop, job);
    const struct drop_name *name = &drop->found->name;
    drop->err = drop->is_held_back ? drop_file_hold(drop->directory, name) : drop_file_remove(drop->directory, name);
}

/* As long as a file that was taken is there, no other one may take its place as the mark. One that was not taken holds up no other. */
static void put(struct job *job)
{
    struct drop *drop = LIST_OF(job, struct drop, job);
    if (drop->err != ERR_NONE && drop->is_held_back && !drop->is_stopping) {
        put_off(drop, "it cannot be put into the folder held");
        return;
    }
    close_file(drop);
    if (drop->err != ERR_NONE) {
        log_problem(drop, LOG_ERROR, "drop_failed", "a file cannot be put away; until it can, nothing is taken from here");
        rest(drop, TROUBLE_INTERVAL_MS);
        return;
    }
    drop->mark_may_be_there = false;
    drop_wait_remove(&drop->waits, &drop->found->name);
    next_file(drop);
}
