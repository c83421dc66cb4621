/* `queue export`: the content of one message, a chunk an answer. What we have signed is given in the form that was signed. */
#include "relay/control_internal.h"

#include "base/text.h"
#include "smtp/convert.h"

#include <string.h>

#define ENCODED_MAX (QUEUE_CHUNK_MAX * 2)
#define CONTENT_MAX (4u * QUEUE_CHUNK_MAX) /* of one chunk, each byte of which can become three, and breaks */

struct export {
    uint64_t id;
    uint32_t chunk_count, next;
    char form[SMTP_FORM_MAX];
    struct smtp_convert convert;
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
        struct slice form = slice_to(message.form, sizeof export->form);
        memcpy(export->form, form.data, form.length);
        export->chunk_count = message.chunk_count;
        smtp_convert_init(&export->convert, message.is_sealed ? SMTP_CONVERT_SEVEN_BIT : SMTP_CONVERT_NOTHING,
                          slice_make(export->form, form.length));
        control_go_on(session);
    }
}

/* In answers of a chunk at most: encoding makes more of it. */
static bool send_content(struct control_session *session, struct slice content)
{
    bool fits = true;
    while (content.length > 0 && fits) {
        struct slice part = slice_to(content, QUEUE_CHUNK_MAX);
        struct buffer encoded;
        buffer_init(&encoded, ENCODED_MAX);
        fits = text_base64_encode(part, &encoded) == ERR_NONE;
        struct json *answer = json_object_new();
        json_set_text(answer, "base64", buffer_slice(&encoded));
        control_answer(session, &answer);
        buffer_free(&encoded);
        content = slice_from(content, part.length);
    }
    return fits;
}

/* The next chunk as it was converted, the last one with all that was held back. */
static enum err read_chunk(struct control_session *session, struct buffer *out)
{
    struct export *export = session->own;
    struct buffer chunk;
    buffer_init(&chunk, QUEUE_CHUNK_MAX);
    enum err err = queue_chunk_get(session->relay->queue, export->id, export->next++, &chunk);
    if (err == ERR_NONE)
        smtp_convert_feed(&export->convert, buffer_slice(&chunk), out);
    if (err == ERR_NONE && export->next == export->chunk_count)
        smtp_convert_finish(&export->convert, out);
    buffer_free(&chunk);
    return err == ERR_NONE && buffer_failed(out) ? ERR_MEMORY : err;
}

/* The message may be delivered or deleted meanwhile: half of it is no success. */
static void step(struct control_session *session)
{
    struct export *export = session->own;
    struct buffer content;
    if (export->next == export->chunk_count) {
        control_done(session, CONTROL_DONE);
        return;
    }
    buffer_init(&content, CONTENT_MAX);
    enum err err = read_chunk(session, &content);
    if (err == ERR_NONE && !send_content(session, buffer_slice(&content)))
        err = ERR_MEMORY;
    buffer_free(&content);
    if (err == ERR_NONE)
        control_go_on(session);
    else if (err == ERR_NOT_FOUND)
        control_fail(session, CONTROL_NO, "the message left the queue while it was being exported");
    else
        control_fail(session, CONTROL_IO, "the message cannot be read: %s", err_text(err));
}
