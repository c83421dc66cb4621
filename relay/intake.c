#include "relay/intake.h"

#include "base/text.h"
#include "relay/intake_internal.h"
#include "relay/open_relay.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

static void on_incoming(struct listener *listener);
static void on_authenticator_idle(void *owner);
static enum err open_listen(struct intake *intake, const struct config_listen *listen, const struct intake_fds *fds,
                            struct buffer *fault);
static enum err open_door(struct intake *intake, const struct config_listen *listen, int fd, struct buffer *fault);
static void close_door(struct door *door);
static void tell_places(struct intake *intake);
static bool is_open(const struct intake *intake, const struct config_listen *listen);
static bool is_listed(const struct door *door, const struct config *config);
static bool change_kind(struct intake *intake, const struct config_listen *listen);
static bool is_exposed(const struct config *config, const struct endpoint *endpoint);
static void print_exposed(struct slice where, struct buffer *fault);

struct intake *intake_new(struct relay *relay)
{
    struct intake *intake = calloc(1, sizeof *intake);
    if (intake == NULL)
        return NULL;
    intake->authenticator = authenticator_new(on_authenticator_idle, intake);
    if (intake->authenticator == NULL) {
        free(intake);
        return NULL;
    }
    intake->relay = relay;
    list_init(&intake->doors);
    list_init(&intake->sessions);
    return intake;
}

void intake_free(struct intake **intake)
{
    if (*intake == NULL)
        return;
    assert(list_is_empty(&(*intake)->sessions));
    while (!list_is_empty(&(*intake)->doors))
        close_door(LIST_OF(list_first(&(*intake)->doors), struct door, node));
    authenticator_free(&(*intake)->authenticator);
    free(*intake);
    *intake = NULL;
}

static void on_authenticator_idle(void *owner)
{
    struct intake *intake = owner;
    if (intake->is_stopping)
        relay_part_ended(intake->relay);
}

/* ---- listeners ---- */

enum err intake_open(struct intake *intake, const struct intake_fds *fds, struct buffer *fault)
{
    const struct config *config = intake->relay->config;
    for (size_t i = 0; i < config->listen_count; i++) {
        if (is_open(intake, &config->listen[i]) || change_kind(intake, &config->listen[i]))
            continue;
        enum err err = open_listen(intake, &config->listen[i], fds, fault);
        if (err != ERR_NONE)
            return err;
    }
    tell_places(intake);
    return ERR_NONE;
}

/* What the new configuration still has stays open. With a fault in it nothing is closed but what is in the way of what it has: better
 * one door too many than none. */
enum err intake_reload(struct intake *intake, struct buffer *fault)
{
    struct intake_fds none = {0};
    enum err err = intake_open(intake, &none, fault);
    struct list_node *node = list_first(&intake->doors);
    while (err == ERR_NONE && node != NULL) {
        struct door *door = LIST_OF(node, struct door, node);
        node = list_next(&intake->doors, node);
        if (!is_listed(door, intake->relay->config))
            close_door(door);
    }
    return err;
}

static bool is_at(const struct door *door, const struct config_listen *listen)
{
    return listen->fd_name.length > 0 ? slice_equal(listen->fd_name, slice_of(door->fd_name))
                                      : door->fd_name[0] == '\0' && endpoint_equal(&door->endpoint, &listen->endpoint);
}

static bool is_of(const struct door *door, const struct config_listen *listen)
{
    return is_at(door, listen) && door->kind == listen->door;
}

static bool is_open(const struct intake *intake, const struct config_listen *listen)
{
    struct list_node *node = list_first(&intake->doors);
    for (; node != NULL; node = list_next(&intake->doors, node)) {
        if (is_of(LIST_OF(node, struct door, node), listen))
            return true;
    }
    return false;
}

static bool is_listed(const struct door *door, const struct config *config)
{
    for (size_t i = 0; i < config->listen_count; i++) {
        if (is_of(door, &config->listen[i]))
            return true;
    }
    return false;
}

/* Of what is open there already, such as a port that asks for logins from now on; all sockets of a name have one kind. */
static bool change_kind(struct intake *intake, const struct config_listen *listen)
{
    struct list_node *node = list_first(&intake->doors);
    bool has_changed = false;
    for (; node != NULL; node = list_next(&intake->doors, node)) {
        struct door *door = LIST_OF(node, struct door, node);
        if (!is_at(door, listen) || is_listed(door, intake->relay->config))
            continue;
        door->kind = listen->door;
        has_changed = true;
    }
    return has_changed;
}

/* Doors that are not wanted any more and are in the way of this one, as 0.0.0.0 is in the way of 127.0.0.1. */
static bool make_way(struct intake *intake, const struct endpoint *endpoint)
{
    struct list_node *node = list_first(&intake->doors);
    bool has_closed = false;
    while (node != NULL) {
        struct door *door = LIST_OF(node, struct door, node);
        node = list_next(&intake->doors, node);
        bool is_in_the_way = door->fd_name[0] == '\0' && endpoint_excludes(&door->endpoint, endpoint);
        if (!is_in_the_way || is_listed(door, intake->relay->config))
            continue;
        close_door(door);
        has_closed = true;
    }
    return has_closed;
}

static void print_fault(const struct config_listen *listen, enum err err, struct buffer *fault)
{
    char text[128];
    struct slice where =
        listen->fd_name.length > 0 ? listen->fd_name : endpoint_print(&listen->endpoint, text);
    buffer_print(fault, "[listen] %.*s: ", SLICE_ARGS(where));
    if (err == ERR_IN_USE)
        buffer_print(fault, "the address is in use by another program; stop it or listen elsewhere");
    else if (err == ERR_PERMISSION)
        buffer_print(fault, "not permitted; listen on a port over 1023 such as 2525, or use socket activation (fd:NAME)");
    else if (err == ERR_NOT_FOUND)
        buffer_print(fault, "the service manager handed over no socket of this name");
    else
        buffer_print(fault, "%s", err_text(err));
    buffer_add_byte(fault, '\n');
}

/* The service manager gives one name to all sockets of a unit: [listen] fd:NAME means every one of them. */
static enum err open_listen(struct intake *intake, const struct config_listen *listen, const struct intake_fds *fds,
                            struct buffer *fault)
{
    enum err err = ERR_NOT_FOUND;
    if (listen->fd_name.length == 0)
        return open_door(intake, listen, -1, fault);
    for (size_t i = 0; i < fds->count; i++) {
        if (!slice_equal(fds->names[i], listen->fd_name))
            continue;
        err = open_door(intake, listen, fds->fds[i], fault);
        if (err != ERR_NONE)
            return err;
    }
    if (err == ERR_NOT_FOUND)
        print_fault(listen, err, fault);
    return err;
}

static enum err open_door(struct intake *intake, const struct config_listen *listen, int fd, struct buffer *fault)
{
    struct door *door = calloc(1, sizeof *door);
    if (door == NULL)
        return ERR_MEMORY;
    door->intake = intake;
    door->kind = listen->door;
    door->endpoint = listen->endpoint;
    door->listener.incoming = on_incoming;
    snprintf(door->fd_name, sizeof door->fd_name, "%.*s", SLICE_ARGS(listen->fd_name));
    struct listener_options options = {.endpoint = listen->endpoint, .fd = fd, .mode = 0666};
    enum err err = listener_open(&door->listener, &options);
    if (err == ERR_IN_USE && fd < 0 && make_way(intake, &listen->endpoint))
        err = listener_open(&door->listener, &options);
    if (err != ERR_NONE) {
        print_fault(listen, err, fault);
        free(door);
        return err;
    }
    list_add_last(&intake->doors, &door->node);
    struct endpoint local = listener_local(&door->listener);
    if (fd < 0 || !is_exposed(intake->relay->config, &local))
        return ERR_NONE;
    print_exposed(listen->fd_name, fault);
    close_door(door);
    return ERR_SYNTAX;
}

static void close_door(struct door *door)
{
    listener_close(&door->listener);
    list_remove(&door->intake->doors, &door->node);
    free(door);
}

static void on_incoming(struct listener *listener)
{
    struct door *door = LIST_OF(listener, struct door, listener);
    enum err err = session_open(door->intake, door);
    struct log_line line;
    if (err != ERR_NONE && log_open(&line, door->intake->relay->log, LOG_ERROR, "accept_failed")) {
        log_string(&line, "error", err_text(err));
        log_close(&line);
    }
    listener_resume(listener);
}

/* ---- the end ---- */

static void each_session(struct intake *intake, void (*act)(struct session *session))
{
    struct list_node *node = list_first(&intake->sessions);
    while (node != NULL) {
        struct session *session = LIST_OF(node, struct session, node);
        node = list_next(&intake->sessions, node);
        act(session);
    }
}

void intake_stop(struct intake *intake)
{
    intake->is_stopping = true;
    while (!list_is_empty(&intake->doors))
        close_door(LIST_OF(list_first(&intake->doors), struct door, node));
    each_session(intake, session_stop);
}

void intake_abort(struct intake *intake)
{
    each_session(intake, session_abort);
}

void intake_drop(struct intake *intake)
{
    each_session(intake, session_drop);
}

bool intake_is_idle(const struct intake *intake)
{
    return list_is_empty(&intake->sessions) && authenticator_is_idle(intake->authenticator);
}

size_t intake_session_count(const struct intake *intake)
{
    return intake->sessions.count;
}

/* What one message may hold on its way to the disk: what was read, a header section, three chunks, and what TLS has of it. */
#define RECEIVING_BYTES (640u << 10)

size_t intake_set_memory(struct intake *intake, uint64_t bytes)
{
    uint64_t count = bytes / RECEIVING_BYTES;
    intake->receiving_max = count < 1 ? 1 : count > SIZE_MAX ? SIZE_MAX : (size_t)count;
    return intake->receiving_max;
}

/* ---- lines about clients ---- */

#define LOG_LINES_PER_S 200
#define SECOND_MS 1000

static void tell_left_out(struct intake *intake, uint64_t count)
{
    struct log_line line;
    if (!log_open(&line, intake->relay->log, LOG_WARNING, "lines_left_out"))
        return;
    log_number(&line, "lines", (int64_t)count);
    log_string(&line, "problem", "more clients were turned away in a second than are worth a line each");
    log_close(&line);
}

bool intake_log_open(struct intake *intake, struct log_line *line, enum log_level level, const char *event)
{
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms - intake->log_ms >= SECOND_MS) {
        if (intake->log_count > LOG_LINES_PER_S)
            tell_left_out(intake, intake->log_count - LOG_LINES_PER_S);
        intake->log_ms = now_ms;
        intake->log_count = 0;
    }
    return ++intake->log_count <= LOG_LINES_PER_S && log_open(line, intake->relay->log, level, event);
}

/* ---- room ---- */

/* For how long one must not have come a step further to give way. */
#define STRANGER_MS 2000
#define SILENT_MS 20000

/* Connections of other kinds: the control socket's, and to name servers. */
#define OTHER_CONNECTIONS 64

/* Clients must never take the descriptors of all, or the next could not even be looked at. What delivers has its own, up to half. */
size_t intake_places(const struct intake *intake)
{
    const struct config *config = intake->relay->config;
    size_t all = host_connection_max();
    size_t others = config->delivery_connections_max + OTHER_CONNECTIONS;
    size_t places = all - (others < all / 2 ? others : all / 2);
    return places < config->connections_max ? places : config->connections_max;
}

static void tell_places(struct intake *intake)
{
    struct log_line line;
    char problem[160];
    size_t places = intake_places(intake), wanted = intake->relay->config->connections_max;
    if (places == wanted || !log_open(&line, intake->relay->log, LOG_WARNING, "connections_limited"))
        return;
    text_print(problem, sizeof problem, "[listen] connections-max is %zu, but the limit of open files leaves room for %zu clients", wanted,
               places);
    log_string(&line, "problem", problem);
    log_string(&line, "advice", "raise the limit (LimitNOFILE= of the unit, ulimit -n), or lower the number");
    log_close(&line);
}

/* Who may relay, or comes from where somebody was let in before. */
static bool is_welcome(const struct session *session)
{
    return session->is_known || session_is_proven(session);
}

static int64_t waits_since_ms(const struct session *session)
{
    return is_welcome(session) ? session->progress_ms : session->opened_ms;
}

/* A stranger has some time before another stranger takes his place, and none when one comes who is welcome. */
static int64_t patience_ms(const struct session *session, const struct session *newcomer)
{
    return is_welcome(session) ? SILENT_MS : is_welcome(newcomer) ? 0 : STRANGER_MS;
}

/* Strangers before those who are welcome; of each the one that waits longest. */
static bool gives_way_before(const struct session *session, const struct session *best)
{
    if (best == NULL)
        return true;
    if (is_welcome(session) != is_welcome(best))
        return !is_welcome(session);
    return waits_since_ms(session) < waits_since_ms(best);
}

bool intake_make_room(struct intake *intake, const struct session *newcomer)
{
    struct refusal refusal = {.reason = METRICS_REFUSAL_room,
                              .reply = smtp_reply_make(421, 3, 2, "all places are taken, and yours is needed; try again later")};
    int64_t now_ms = clock_monotonic_ms();
    struct session *best = NULL;
    struct list_node *node = list_first(&intake->sessions);
    for (; node != NULL; node = list_next(&intake->sessions, node)) {
        struct session *session = LIST_OF(node, struct session, node);
        if (session == newcomer || session->is_waiting || session->is_ended ||
            now_ms - waits_since_ms(session) < patience_ms(session, newcomer))
            continue;
        if (gives_way_before(session, best))
            best = session;
    }
    if (best == NULL)
        return false;
    intake->relay->metrics.sessions_ended_for_room++;
    session_end(best, &refusal);
    return true;
}

/* ---- no open relay ---- */

/* Reachable from elsewhere, although nothing says who may relay. */
static bool is_exposed(const struct config *config, const struct endpoint *endpoint)
{
    bool has_users = config->users_file.length > 0 && config->tls_certificate.length > 0;
    bool is_local = endpoint->path[0] != '\0' || endpoint->ip.family == IP_NONE || ip_is_loopback(&endpoint->ip);
    return !is_local && !has_users && !config->access_networks_given;
}

static void print_exposed(struct slice where, struct buffer *fault)
{
    buffer_print(fault,
                 "[listen] %.*s is reachable from elsewhere: say who may relay in [access] networks, or configure [tls] "
                 "certificate and [access] users-file\n",
                 SLICE_ARGS(where));
}

static void print_open(const struct config *config, enum ip_family family, struct buffer *fault)
{
    const struct config_networks *networks = &config->access_networks;
    char text[56];
    config_place_print(config, SLICE("access"), SLICE("networks"), fault);
    for (size_t i = 0; i < networks->count; i++) {
        if (networks->items[i].prefix_bits != 0)
            continue;
        buffer_print(fault, ": %.*s would let anybody relay; list the networks of your applications\n",
                     SLICE_ARGS(ip_network_print(&networks->items[i], text)));
        return;
    }
    buffer_print(fault,
                 ": these would let anybody relay: together they hold half of all %s addresses or more; list the networks of your "
                 "applications\n",
                 family == IP_V4 ? "IPv4" : "IPv6");
}

enum err intake_check(const struct config *config, struct buffer *fault)
{
    char text[128];
    enum ip_family family = open_relay_family(config->access_networks.items, config->access_networks.count);
    if (family != IP_NONE) {
        print_open(config, family, fault);
        return ERR_PERMISSION;
    }
    /* Of sockets that are handed over the address is not known yet. */
    for (size_t i = 0; i < config->listen_count; i++) {
        const struct config_listen *listen = &config->listen[i];
        if (listen->fd_name.length > 0 || !is_exposed(config, &listen->endpoint))
            continue;
        print_exposed(endpoint_print(&listen->endpoint, text), fault);
        return ERR_PERMISSION;
    }
    return ERR_NONE;
}
