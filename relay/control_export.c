/* `queue export`: the content of one message, a chunk an answer. */
#include "relay/control_internal.h"

#include "base/text.h"

#define ENCODED_MAX (QUEUE_CHUNK_MAX * 2)

struct export {
    uint64_t id;
    uint32_t chunk_count, next;
};

static void start(struct control_session *session);
static void step(struct control_session *session);

const struct control_command control_queue_export = {
    .name = "queue export", .state_size = sizeof(struct export), .start = start, .step = step};

static void start(struct control_session *session)
{
    struct export *export = session->own;
    struct slice text = control_text(session, "id");
    struct queue_message message;
    if (!queue_id_parse(text, &export->id)) {
        control_fail(session, CONTROL_USAGE, "\"%.*s\" is no queue id", SLICE_ARGS(slice_to(text, 64)));
        return;
    }
    enum err err = queue_message_get(session->relay->queue, export->id, session->scratch, &message);
    if (err == ERR_NOT_FOUND) {
        control_fail(session, CONTROL_NO, "%.*s is not in the queue", SLICE_ARGS(text));
    } else if (err != ERR_NONE) {
        control_fail(session, CONTROL_IO, "%.*s cannot be read: %s", SLICE_ARGS(text), err_text(err));
    } else {
        export->chunk_count = message.chunk_count;
        control_go_on(session);
    }
}

static bool send_chunk(struct control_session *session, struct slice content)
{
    struct buffer encoded;
    buffer_init(&encoded, ENCODED_MAX);
    bool fits = text_base64_encode(content, &encoded) == ERR_NONE;
    struct json *answer = json_object_new();
    json_set_text(answer, "base64", buffer_slice(&encoded));
    control_answer(session, &answer);
    buffer_free(&encoded);
    return fits;
}

/* The message may be delivered or deleted meanwhile: half of it is no success. */
static void step(struct control_session *session)
{
    struct export *export = session->own;
    struct buffer chunk;
    if (export->next == export->chunk_count) {
        control_done(session, CONTROL_DONE);
        return;
    }
    buffer_init(&chunk, QUEUE_CHUNK_MAX);
    enum err err = queue_chunk_get(session->relay->queue, export->id, export->next++, &chunk);
    if (err == ERR_NONE && !send_chunk(session, buffer_slice(&chunk)))
        err = ERR_MEMORY;
    buffer_free(&chunk);
    if (err == ERR_NONE)
        control_go_on(session);
    else if (err == ERR_NOT_FOUND)
        control_fail(session, CONTROL_NO, "the message left the queue while it was being exported");
    else
        control_fail(session, CONTROL_IO, "the message cannot be read: %s", err_text(err));
}
