/* What the commands of the control server say, and how they read what was asked. */
#include "relay/control_internal.h"

#include "base/idna.h"
#include "base/text.h"
#include "smtp/address.h"

#include <stdarg.h>
#include <stdio.h>

#define LINE_MAX_BYTES (4u << 20)

static struct json *make_text(const char *key, const char *format, va_list arguments)
{
    char text[1024];
    struct json *object = json_object_new();
    int length = vsnprintf(text, sizeof text, format, arguments);
    json_set_string(object, key, length < 0 ? "" : text);
    return object;
}

static bool may_speak(const struct control_session *session)
{
    return session->state == CONTROL_RUNNING;
}

void control_answer(struct control_session *session, struct json **object)
{
    struct buffer line;
    buffer_init(&line, LINE_MAX_BYTES);
    enum err err = json_print(*object, &line);
    buffer_add_byte(&line, '\n');
    json_free(object);
    if (!may_speak(session)) {
        buffer_free(&line);
        return;
    }
    if (err == ERR_NONE && !buffer_failed(&line))
        stream_write(&session->stream, buffer_slice(&line));
    else
        stream_write(&session->stream, SLICE("{\"error\":\"an answer did not fit into memory\"}\n"));
    buffer_free(&line);
}

void control_end(struct control_session *session, struct json **last, enum control_exit status)
{
    json_set_flag(*last, "done", true);
    json_set_number(*last, "exit", status);
    bool speaks = may_speak(session);
    control_answer(session, last);
    if (speaks)
        session->state = CONTROL_ENDING;
    session->wants_step = false;
}

void control_done(struct control_session *session, enum control_exit status)
{
    struct json *last = json_object_new();
    control_end(session, &last, status);
}

void control_fail(struct control_session *session, enum control_exit status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    struct json *last = make_text("error", format, arguments);
    va_end(arguments);
    control_end(session, &last, status);
}

void control_note(struct control_session *session, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    struct json *note = make_text("note", format, arguments);
    va_end(arguments);
    control_answer(session, &note);
}

/* ---- values ---- */

struct slice control_text(const struct control_session *session, const char *key)
{
    return json_text(session->request, key);
}

struct slice control_domain(struct control_session *session, struct slice text)
{
    struct slice canonical;
    struct slice domain = slice_has(text, '@') ? smtp_address_domain(text) : text;
    if (smtp_domain_is_literal(domain))
        return domain;
    return idna_canonical(domain, session->arena, &canonical) == ERR_NONE ? canonical : SLICE_EMPTY;
}

void control_set_time(struct json *object, const char *key, int64_t wall_ms)
{
    char text[32];
    if (wall_ms != 0)
        json_set_text(object, key, text_date_iso(wall_ms, text));
}

void control_set_id(struct json *object, const char *key, uint64_t id)
{
    char text[QUEUE_ID_TEXT];
    json_set_text(object, key, queue_id_print(id, text));
}

bool control_log(struct control_session *session, struct log_line *line, const char *event)
{
    const struct log_share_line what = {.uid = session->uid, .level = LOG_INFO, .event = event};
    if (session->uid == UINT32_MAX || session->sees_all) {
        bool is_open = log_open(line, session->relay->log, LOG_INFO, event);
        if (is_open && session->uid != UINT32_MAX)
            log_number(line, "uid", session->uid);
        return is_open;
    }
    return log_share_open(&session->relay->log_share, session->relay->log, line, &what);
}
