#include "relay/control_internal.h"
#include "relay/health.h"

#define METRICS_MAX (1u << 20)

static void start_health(struct control_session *session);
static void start_metrics(struct control_session *session);

const struct control_command control_health = {.name = "health", .start = start_health};
const struct control_command control_metrics = {.name = "metrics", .start = start_metrics};

/* Alive: that it answers is the answer. Ready: it can take mail and find out where it goes. */
static void start_health(struct control_session *session)
{
    struct buffer problem;
    buffer_init(&problem, 1024);
    if (!json_flag(session->request, "ready", false) || health_is_ready(session->relay->health, &problem))
        control_done(session, CONTROL_DONE);
    else
        control_fail(session, CONTROL_NO, "not ready: %.*s", SLICE_ARGS(buffer_slice(&problem)));
    buffer_free(&problem);
}

static void start_metrics(struct control_session *session)
{
    struct metrics_gauges gauges;
    struct buffer text;
    health_gauges(session->relay, &gauges);
    buffer_init(&text, METRICS_MAX);
    metrics_print(&session->relay->metrics, &gauges, METRICS_PROMETHEUS, &text);
    struct json *answer = json_object_new();
    json_set_text(answer, "text", buffer_slice(&text));
    buffer_free(&text);
    control_answer(session, &answer);
    control_done(session, CONTROL_DONE);
}
