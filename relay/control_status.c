/* `status`: what the relay is doing, in one answer. `reload`: as SIGHUP, but with its faults and warnings for whoever asks. */
#include "relay/control_internal.h"

#include "relay/health.h"
#include "relay/upstream.h"
#include "sts/policy.h"

#include <unistd.h>

#define SAID_MAX (1u << 20)

static void start_status(struct control_session *session);
static void start_reload(struct control_session *session);

const struct control_command control_status = {.name = "status", .start = start_status};
const struct control_command control_reload = {.name = "reload", .start = start_reload};

/* ---- status ---- */

static void add_doors(struct json *answer, const struct config *config)
{
    struct json *doors = json_array_new();
    for (size_t i = 0; i < config->listen_count; i++) {
        const struct config_listen *listen = &config->listen[i];
        char text[128];
        json_append_text(doors, listen->fd_name.length > 0 ? listen->fd_name : endpoint_print(&listen->endpoint, text));
    }
    json_set(answer, "listen", &doors);
}

/* Routes whose upstream refuses our credentials. */
static void add_pauses(struct json *answer, struct relay *relay)
{
    struct json *paused = json_array_new();
    for (size_t i = 0; i < relay->config->route_count; i++) {
        const struct config_route *route = &relay->config->routes[i];
        struct upstream_key key = {.host = route->host, .port = route->port, .username = route->username, .password = route->password};
        struct upstream_pause pause = upstream_look(relay, &key);
        if (pause.wait_ms == 0)
            continue;
        struct json *object = json_object_new();
        json_set_text(object, "route", route->pattern);
        json_set_text(object, "host", route->host);
        json_set_number(object, "wait_ms", pause.wait_ms);
        json_set_text(object, "reason", pause.reason);
        json_append(paused, &object);
    }
    json_set(answer, "paused_routes", &paused);
}

static void add_gauges(struct json *answer, const struct metrics_gauges *gauges)
{
    json_set_number(answer, "messages", (int64_t)gauges->queue_messages);
    json_set_number(answer, "bytes", (int64_t)gauges->queue_bytes);
    json_set_number(answer, "oldest_age_ms", gauges->oldest_age_ms);
    json_set_number(answer, "sessions", (int64_t)gauges->connections_in);
    json_set_number(answer, "deliveries", (int64_t)gauges->connections_out);
    json_set_number(answer, "policies_enforce", (int64_t)gauges->policies[STS_MODE_ENFORCE]);
    json_set_number(answer, "policies_testing", (int64_t)gauges->policies[STS_MODE_TESTING]);
    json_set_number(answer, "policies_failing", (int64_t)gauges->policies_failing);
}

static void start_status(struct control_session *session)
{
    struct relay *relay = session->relay;
    struct metrics_gauges gauges;
    struct buffer problem;
    buffer_init(&problem, 1024);
    health_gauges(relay, &gauges);
    bool is_ready = health_is_ready(relay->health, &problem);
    struct json *answer = json_object_new();
    json_set_string(answer, "version", STERNPOST_VERSION);
    json_set_number(answer, "pid", getpid());
    json_set_text(answer, "hostname", relay->config->hostname);
    control_set_time(answer, "started", relay->started_ms);
    control_set_time(answer, "configured", relay->configured_ms);
    json_set_flag(answer, "ready", is_ready);
    json_set_flag(answer, "stopping", relay->is_stopping);
    if (!is_ready)
        json_set_text(answer, "problem", buffer_slice(&problem));
    buffer_free(&problem);
    add_gauges(answer, &gauges);
    add_doors(answer, relay->config);
    add_pauses(answer, relay);
    control_answer(session, &answer);
    control_done(session, is_ready ? CONTROL_DONE : CONTROL_NO);
}

/* ---- reload ---- */

static void start_reload(struct control_session *session)
{
    struct relay *relay = session->relay;
    struct buffer said;
    struct slice line;
    if (relay->reload == NULL) {
        control_fail(session, CONTROL_UNAVAILABLE, "this relay cannot reload");
        return;
    }
    buffer_init(&said, SAID_MAX);
    bool is_done = relay->reload(relay, &said);
    struct slice rest = buffer_slice(&said);
    while (slice_cut(&rest, '\n', &line)) {
        if (line.length > 0)
            control_note(session, "%.*s", SLICE_ARGS(line));
    }
    buffer_free(&said);
    if (is_done)
        control_done(session, CONTROL_DONE);
    else
        control_fail(session, CONTROL_CONFIG, "nothing was changed: the old configuration stays in force");
}
