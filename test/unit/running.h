/* A whole relay in the loop of the test, with a queue in a folder and no listener but its control socket, and clients of that. The
 * only name server refuses every question, so that nothing leaves the machine. */
#ifndef TEST_UNIT_RUNNING_H
#define TEST_UNIT_RUNNING_H

#include "base/json.h"
#include "relay/control.h"
#include "relay/journal.h"
#include "relay/locals.h"
#include "relay/relay.h"
#include "relay/schedule.h"
#include "test/unit/folder.h"
#include "test/unit/loop.h"
#include "test/unit/mail.h"

#define RUNNING_ANSWERS_MAX (16u << 20)
#define HOUR_MS INT64_C(3600000)

struct running {
    struct folder folder;
    struct log log;
    struct relay *relay;
    size_t stopped;
    char socket[160], submit[160], drop[160];
    size_t lines[8]; /* of the log, by level */
    struct buffer told; /* the first of its lines */
    struct slice more[2]; /* settings that the next configuration has beside the usual ones */
};
static struct running running;

static inline void running_write(struct log *log, struct slice line)
{
    (void)log;
    running.lines[LOG_ERROR] += slice_find_slice(line, SLICE("level=error")) < line.length;
    if (line.length < buffer_room(&running.told))
        buffer_print(&running.told, "%.*s\n", SLICE_ARGS(line));
    running.lines[LOG_INFO] += slice_find_slice(line, SLICE("level=info")) < line.length;
    running.lines[LOG_WARNING] += slice_find_slice(line, SLICE("level=warning")) < line.length;
}

static inline void running_stopped(struct relay *relay)
{
    (void)relay;
    running.stopped++;
}

static inline struct config *running_config(void)
{
    char queue[200], socket_path[200], submit_path[200], drop_path[200];
    struct buffer faults, warnings;
    struct config *config = NULL;
    snprintf(queue, sizeof queue, "queue.path=%s/queue", running.folder.path);
    snprintf(socket_path, sizeof socket_path, "control.socket=%s", running.socket);
    snprintf(submit_path, sizeof submit_path, "submit.socket=%s", running.submit);
    snprintf(drop_path, sizeof drop_path, "submit.drop=%s", running.drop);
    struct slice sets[] = {slice_of(queue), slice_of(socket_path), slice_of(submit_path), slice_of(drop_path), SLICE("hostname=relay.example"),
                           SLICE("delivery.stop-timeout=1s"), SLICE("local.aliases-file=/nonexistent"),
                           SLICE("local.domains=relay.example"), SLICE("bounce.postmaster=postmaster@relay.example"),
                           running.more[0].length > 0 ? running.more[0] : SLICE("hostname=relay.example"),
                           running.more[1].length > 0 ? running.more[1] : SLICE("hostname=relay.example")};
    struct config_source source = {.file = SLICE("/dev/null"), .sets = sets, .set_count = COUNT_OF(sets)};
    buffer_init(&faults, 65536);
    buffer_init(&warnings, 65536);
    enum err err = config_load(&source, &config, &faults, &warnings);
    check_slice("configuration", buffer_slice(&faults), SLICE_EMPTY);
    assert_int_equal(err, ERR_NONE);
    buffer_free(&faults);
    buffer_free(&warnings);
    return config;
}

/* A turn of the loop at a time, until it holds. */
static inline void running_until(const char *name, bool (*holds)(void *owner), void *owner)
{
    int64_t end_ms = clock_monotonic_ms() + LOOP_WAIT_MS;
    while (!holds(owner) && clock_monotonic_ms() < end_ms)
        loop_for(1);
    check_true(name, holds(owner));
}

/* Tests write to the queue themselves, as the journal does on its thread: what a start writes must be on the disk before. */
static inline bool running_is_settled(void *owner)
{
    return journal_is_idle(owner);
}

static inline void running_start(void)
{
    struct endpoint nobody = {.port = 1};
    struct resolver_options resolver = {
        .servers = &nobody, .server_count = 1, .attempt_timeout_ms = 20, .total_timeout_ms = 60};
    struct relay_options options = {.log = &running.log, .stopped = running_stopped};
    struct buffer text;
    running.log = (struct log){.level = LOG_INFO, .write = running_write};
    running.stopped = 0;
    buffer_init(&running.told, 1u << 20);
    folder_make(&running.folder);
    snprintf(running.socket, sizeof running.socket, "%s/control", running.folder.path);
    snprintf(running.submit, sizeof running.submit, "%s/submit", running.folder.path);
    snprintf(running.drop, sizeof running.drop, "%s/drop", running.folder.path);
    loop_open();
    buffer_init(&text, 65536);
    assert_true(ip_parse(SLICE("127.0.0.1"), &nobody.ip));
    assert_int_equal(resolver_open(&resolver), ERR_NONE);
    assert_int_equal(tls_start(), ERR_NONE);
    options.config = running_config();
    struct queue_options queue = {.path = options.config->queue_path, .map_size = 1u << 30, .done_keep_ms = HOUR_MS};
    struct tls_context_options tls = {.ca_file = SLICE_EMPTY};
    assert_int_equal(queue_open(&queue, &options.queue, &text), ERR_NONE);
    assert_int_equal(tls_context_new(&tls, &options.tls, &text, &text), ERR_NONE);
    assert_int_equal(locals_load(options.config, &options.locals, &text), ERR_NONE);
    running.relay = relay_new(&options);
    assert_non_null(running.relay);
    buffer_clear(&text);
    assert_int_equal(control_open(running.relay->control, &text), ERR_NONE);
    assert_int_equal(control_open_submit(running.relay->control, &text), ERR_NONE);
    running_until("what a start writes", running_is_settled, running.relay->journal);
    buffer_free(&text);
}

/* What SIGHUP does: all that was loaded is loaded again, and the old is gone. */
static inline void running_reload(void)
{
    struct relay_options options = {.config = running_config()};
    struct tls_context_options tls = {.ca_file = SLICE_EMPTY};
    struct buffer text;
    buffer_init(&text, 65536);
    assert_int_equal(tls_context_new(&tls, &options.tls, &text, &text), ERR_NONE);
    assert_int_equal(locals_load(options.config, &options.locals, &text), ERR_NONE);
    relay_reload(running.relay, &options);
    buffer_free(&text);
}

static inline void running_stop(void)
{
    relay_stop(running.relay, 0);
    loop_until("the relay's end", &running.stopped, 1);
    relay_free(&running.relay);
    resolver_close();
    tls_stop();
    loop_close();
    buffer_free(&running.told);
    folder_remove(&running.folder);
}

static inline int running_setup(void **state)
{
    (void)state;
    running_start();
    return 0;
}

static inline int running_teardown(void **state)
{
    (void)state;
    running_stop();
    return 0;
}

#define RUNNING_TEST(test) cmocka_unit_test_setup_teardown(test, running_setup, running_teardown)

/* ---- a client ---- */

struct asker {
    struct stream stream;
    struct buffer request, answers;
    bool is_slow; /* does not read until asker_read() */
    size_t connected, ended;
};

static inline void asker_connected(struct stream *stream, enum err err)
{
    struct asker *asker = LIST_OF(stream, struct asker, stream);
    assert_int_equal(err, ERR_NONE);
    asker->connected++;
    stream_write(stream, buffer_slice(&asker->request));
    stream_read(stream, !asker->is_slow);
}

static inline void asker_received(struct stream *stream, struct slice bytes)
{
    struct asker *asker = LIST_OF(stream, struct asker, stream);
    buffer_add(&asker->answers, bytes);
}

static inline void asker_drained(struct stream *stream)
{
    (void)stream;
}

static inline void asker_ended(struct stream *stream, enum err err)
{
    (void)err;
    LIST_OF(stream, struct asker, stream)->ended++;
}

static inline void asker_start_at(struct asker *asker, const char *path, struct slice request)
{
    struct endpoint relay = {0};
    assert_true(strlen(path) < sizeof relay.path);
    memcpy(relay.path, path, strlen(path));
    asker->stream = (struct stream){
        .connected = asker_connected, .received = asker_received, .drained = asker_drained, .ended = asker_ended};
    buffer_init(&asker->request, 8u << 20);
    buffer_init(&asker->answers, RUNNING_ANSWERS_MAX);
    buffer_add(&asker->request, request);
    stream_connect(&asker->stream, &relay, NULL);
}

static inline void asker_start(struct asker *asker, struct slice request)
{
    asker_start_at(asker, running.socket, request);
}

static inline void asker_close(struct asker *asker)
{
    stream_abort(&asker->stream);
    buffer_free(&asker->request);
    buffer_free(&asker->answers);
}

/* ---- request and answers ---- */

struct answers {
    struct json *lines[4096];
    size_t count; /* without the last */
    struct json *last;
    int status;
};

static inline void answers_free(struct answers *answers)
{
    for (size_t i = 0; i < answers->count; i++)
        json_free(&answers->lines[i]);
    json_free(&answers->last);
    answers->count = 0;
}

/* The last answer is the one that says done; behind it there is nothing. */
static inline void answers_read(const char *name, struct answers *answers, struct slice text)
{
    struct slice line;
    *answers = (struct answers){.status = -1};
    while (text.length > 0 && slice_cut(&text, '\n', &line)) {
        struct json *answer = NULL;
        check_true(name, answers->last == NULL);
        check_number(name, json_parse(line, &answer), ERR_NONE);
        if (json_flag(answer, "done", false)) {
            answers->last = answer;
            answers->status = (int)json_number(answer, "exit", -1);
        } else {
            assert_true(answers->count < COUNT_OF(answers->lines));
            answers->lines[answers->count++] = answer;
        }
    }
    check_true(name, answers->last != NULL);
}

static inline void ask(const char *request, struct answers *answers)
{
    struct asker asker = {0};
    struct buffer line;
    buffer_init(&line, 1u << 20);
    buffer_print(&line, "%s\n", request);
    asker_start(&asker, buffer_slice(&line));
    loop_until(request, &asker.ended, 1);
    answers_read(request, answers, buffer_slice(&asker.answers));
    asker_close(&asker);
    buffer_free(&line);
}

/* Only the status counts. */
static inline int ask_status(const char *request)
{
    static struct answers answers;
    ask(request, &answers);
    int status = answers.status;
    answers_free(&answers);
    return status;
}

/* ---- mail in its queue ---- */

static inline void running_mail(uint64_t id, const char *from, const char *to, const char *to_too)
{
    struct mail mail = {.id = id, .from = from, .to = {to, to_too}, .due_ms = clock_wall_ms() + HOUR_MS, .size = 200};
    assert_int_equal(mail_accept(running.relay->queue, &mail), ERR_NONE);
}

#endif
