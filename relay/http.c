#include "relay/http.h"

#include "base/list.h"
#include "relay/config.h"
#include "relay/health.h"
#include "relay/host.h"
#include "relay/http_request.h"
#include "relay/metrics.h"
#include "relay/relay.h"

#include <stdlib.h>

#define BODY_MAX (1u << 20)
#define ANSWER_MAX (BODY_MAX + 1024u)

struct http {
    struct relay *relay;
    struct list doors, sessions;
};
struct http_door {
    struct http *http;
    struct list_node node;
    struct listener listener;
    struct endpoint endpoint; /* as configured */
};
struct http_session {
    struct http *http;
    struct list_node node; /* in the order of arrival */
    struct stream stream;
    struct http_request *request;
    struct timer deadline;
    bool is_answered;
};
struct http_answer {
    unsigned status;
    const char *type;
    struct buffer body;
};

static enum err open_door(struct http *http, const struct endpoint *endpoint);
static void close_door(struct http_door *door);
static bool is_open(const struct http *http, const struct endpoint *endpoint);
static bool is_listed(const struct http_door *door);
static void print_fault(const struct endpoint *endpoint, enum err err, struct buffer *fault);
static void on_incoming(struct listener *listener);
static void on_connected(struct stream *stream, enum err err);
static void on_received(struct stream *stream, struct slice bytes);
static void on_drained(struct stream *stream);
static void on_ended(struct stream *stream, enum err err);
static void on_deadline(struct timer *timer);
static void answer(struct http_session *session);
static void drop(struct http_session *session);

struct http *http_new(struct relay *relay)
{
    struct http *http = calloc(1, sizeof *http);
    if (http == NULL)
        return NULL;
    http->relay = relay;
    list_init(&http->doors);
    list_init(&http->sessions);
    return http;
}

void http_free(struct http **http)
{
    if (*http == NULL)
        return;
    while (!list_is_empty(&(*http)->doors))
        close_door(LIST_OF(list_first(&(*http)->doors), struct http_door, node));
    while (!list_is_empty(&(*http)->sessions))
        drop(LIST_OF(list_first(&(*http)->sessions), struct http_session, node));
    free(*http);
    *http = NULL;
}

/* ---- listeners ---- */

enum err http_open(struct http *http, struct buffer *fault)
{
    const struct config_endpoints *endpoints = &http->relay->config->http_listen;
    enum err first = ERR_NONE;
    for (size_t i = 0; i < endpoints->count; i++) {
        enum err err = is_open(http, &endpoints->items[i]) ? ERR_NONE : open_door(http, &endpoints->items[i]);
        if (err != ERR_NONE)
            print_fault(&endpoints->items[i], err, fault);
        first = first == ERR_NONE ? err : first;
    }
    struct list_node *node = list_first(&http->doors);
    while (first == ERR_NONE && node != NULL) {
        struct http_door *door = LIST_OF(node, struct http_door, node);
        node = list_next(&http->doors, node);
        if (!is_listed(door))
            close_door(door);
    }
    return first;
}

/* Doors that are not wanted any more and are in the way of this one, as 0.0.0.0 is in the way of 127.0.0.1. */
static bool make_way(struct http *http, const struct endpoint *endpoint)
{
    struct list_node *node = list_first(&http->doors);
    bool has_closed = false;
    while (node != NULL) {
        struct http_door *door = LIST_OF(node, struct http_door, node);
        node = list_next(&http->doors, node);
        if (is_listed(door) || !endpoint_excludes(&door->endpoint, endpoint))
            continue;
        close_door(door);
        has_closed = true;
    }
    return has_closed;
}

static enum err open_door(struct http *http, const struct endpoint *endpoint)
{
    struct http_door *door = calloc(1, sizeof *door);
    if (door == NULL)
        return ERR_MEMORY;
    door->http = http;
    door->endpoint = *endpoint;
    door->listener.incoming = on_incoming;
    struct listener_options options = {.endpoint = *endpoint, .fd = -1, .mode = 0666};
    enum err err = listener_open(&door->listener, &options);
    if (err == ERR_IN_USE && make_way(http, endpoint))
        err = listener_open(&door->listener, &options);
    if (err != ERR_NONE) {
        free(door);
        return err;
    }
    list_add_last(&http->doors, &door->node);
    return ERR_NONE;
}

static void close_door(struct http_door *door)
{
    listener_close(&door->listener);
    list_remove(&door->http->doors, &door->node);
    free(door);
}

static bool is_open(const struct http *http, const struct endpoint *endpoint)
{
    struct list_node *node = list_first(&http->doors);
    for (; node != NULL; node = list_next(&http->doors, node)) {
        if (endpoint_equal(&LIST_OF(node, struct http_door, node)->endpoint, endpoint))
            return true;
    }
    return false;
}

static bool is_listed(const struct http_door *door)
{
    const struct config_endpoints *endpoints = &door->http->relay->config->http_listen;
    for (size_t i = 0; i < endpoints->count; i++) {
        if (endpoint_equal(&door->endpoint, &endpoints->items[i]))
            return true;
    }
    return false;
}

static void print_fault(const struct endpoint *endpoint, enum err err, struct buffer *fault)
{
    char text[128];
    const char *cure = err == ERR_IN_USE       ? "; stop the other program or choose another port"
                       : err == ERR_PERMISSION ? "; choose a port over 1023"
                                               : "";
    buffer_print(fault, "[http] listen: %.*s: %s%s\n", SLICE_ARGS(endpoint_print(endpoint, text)), err_text(err), cure);
}

/* ---- a connection ---- */

static struct http_session *session_new(struct http *http)
{
    struct http_session *session = calloc(1, sizeof *session);
    if (session == NULL)
        return NULL;
    session->http = http;
    session->request = http_request_new();
    session->stream =
        (struct stream){.connected = on_connected, .received = on_received, .drained = on_drained, .ended = on_ended};
    if (session->request == NULL) {
        free(session);
        return NULL;
    }
    list_add_last(&http->sessions, &session->node);
    return session;
}

static void on_incoming(struct listener *listener)
{
    struct http *http = LIST_OF(listener, struct http_door, listener)->http;
    if (http->sessions.count >= HTTP_SESSIONS_MAX)
        drop(LIST_OF(list_first(&http->sessions), struct http_session, node));
    struct http_session *session = session_new(http);
    if (session != NULL && stream_accept(listener, &session->stream) != ERR_NONE) {
        drop(session);
    } else if (session != NULL) {
        timer_start(&session->deadline, HTTP_DEADLINE_MS, on_deadline);
        stream_read(&session->stream, true);
    }
    listener_resume(listener);
}

static void on_connected(struct stream *stream, enum err err)
{
    (void)stream;
    (void)err; /* of stream_connect() only */
}

/* What comes behind the request is taken and thrown away: bytes that lie unread when the stream is closed make a reset,
 * which may overtake the answer. */
static void on_received(struct stream *stream, struct slice bytes)
{
    struct http_session *session = LIST_OF(stream, struct http_session, stream);
    if (!session->is_answered && http_request_feed(session->request, bytes) != HTTP_REQUEST_MORE)
        answer(session);
}

static void on_drained(struct stream *stream)
{
    struct http_session *session = LIST_OF(stream, struct http_session, stream);
    stream_close(&session->stream);
    drop(session);
}

/* A client that shuts its side may still read. */
static void on_ended(struct stream *stream, enum err err)
{
    struct http_session *session = LIST_OF(stream, struct http_session, stream);
    if (err != ERR_END || !session->is_answered)
        drop(session);
}

static void on_deadline(struct timer *timer)
{
    drop(LIST_OF(timer, struct http_session, deadline));
}

static void drop(struct http_session *session)
{
    timer_cancel(&session->deadline);
    stream_abort(&session->stream);
    http_request_free(&session->request);
    list_remove(&session->http->sessions, &session->node);
    free(session);
}

/* ---- answers ---- */

static const char *status_text(unsigned status)
{
    static const struct {
        unsigned status;
        const char *text;
    } texts[] = {
        {200, "OK"},
        {400, "Bad Request"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {431, "Request Header Fields Too Large"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i].status == status)
            return texts[i].text;
    }
    return "";
}

static void say_ready(struct relay *relay, struct http_answer *answer)
{
    struct buffer problem;
    buffer_init(&problem, 1024);
    bool ready = health_is_ready(relay->health, &problem);
    answer->status = ready ? 200 : 503;
    if (ready)
        health_remark(relay, &problem);
    buffer_print(&answer->body, "%s%s%.*s\n", ready ? "ready" : "not ready", buffer_length(&problem) > 0 ? ": " : "",
                 SLICE_ARGS(buffer_slice(&problem)));
    buffer_free(&problem);
}

static void say_metrics(struct relay *relay, struct http_answer *answer, bool openmetrics)
{
    struct metrics_gauges gauges;
    health_gauges(relay, &gauges);
    answer->type = openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                               : "text/plain; version=0.0.4; charset=utf-8";
    metrics_print(&relay->metrics, &gauges, openmetrics ? METRICS_OPENMETRICS : METRICS_PROMETHEUS, &answer->body);
}

static void choose(const struct http_session *session, struct http_answer *answer)
{
    struct relay *relay = session->http->relay;
    struct slice path = http_request_path(session->request);
    answer->status = http_request_fault(session->request) == 0 ? 200 : http_request_fault(session->request);
    if (answer->status != 200) {
        buffer_print(&answer->body, "%s\n", status_text(answer->status));
    } else if (slice_equal(path, SLICE("/healthz"))) {
        buffer_print(&answer->body, "ok\n");
    } else if (slice_equal(path, SLICE("/readyz"))) {
        say_ready(relay, answer);
    } else if (slice_equal(path, SLICE("/metrics"))) {
        say_metrics(relay, answer, http_request_takes_openmetrics(session->request));
    } else {
        answer->status = 404;
        buffer_print(&answer->body, "there are /healthz, /readyz and /metrics\n");
    }
    if (buffer_failed(&answer->body)) {
        buffer_clear(&answer->body);
        answer->status = 503;
    }
}

static void answer(struct http_session *session)
{
    struct http_answer answer = {.type = "text/plain; charset=utf-8"};
    struct buffer bytes;
    buffer_init(&answer.body, BODY_MAX);
    buffer_init(&bytes, ANSWER_MAX);
    choose(session, &answer);
    buffer_print(&bytes, "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s", answer.status,
                 status_text(answer.status), answer.type, buffer_length(&answer.body),
                 answer.status == 405 ? "Allow: GET, HEAD\r\n" : "");
    buffer_print(&bytes, "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n");
    if (!http_request_is_head(session->request))
        buffer_add(&bytes, buffer_slice(&answer.body));
    session->is_answered = true;
    if (buffer_failed(&bytes))
        drop(session);
    else
        stream_write(&session->stream, buffer_slice(&bytes));
    buffer_free(&answer.body);
    buffer_free(&bytes);
}
