#include "relay/intake.h"

#include "relay/intake_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void on_incoming(struct listener *listener);
static enum err open_door(struct intake *intake, const struct config_listen *listen, const struct intake_fds *fds,
                          struct buffer *fault);
static void close_door(struct door *door);
static struct door *find_door(struct intake *intake, const struct config_listen *listen);

struct intake *intake_new(struct relay *relay)
{
    struct intake *intake = calloc(1, sizeof *intake);
    if (intake == NULL)
        return NULL;
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
    free(*intake);
    *intake = NULL;
}

/* ---- listeners ---- */

enum err intake_open(struct intake *intake, const struct intake_fds *fds, struct buffer *fault)
{
    const struct config *config = intake->relay->config;
    for (size_t i = 0; i < config->listen_count; i++) {
        if (find_door(intake, &config->listen[i]) != NULL)
            continue;
        enum err err = open_door(intake, &config->listen[i], fds, fault);
        if (err != ERR_NONE)
            return err;
    }
    return ERR_NONE;
}

/* What the new configuration still has stays open; its own faults leave the old doors as they are. */
enum err intake_reload(struct intake *intake, struct buffer *fault)
{
    const struct config *config = intake->relay->config;
    struct list_node *node = list_first(&intake->doors);
    for (; node != NULL; node = list_next(&intake->doors, node))
        LIST_OF(node, struct door, node)->is_kept = false;
    struct intake_fds none = {0};
    enum err err = intake_open(intake, &none, fault);
    for (size_t i = 0; i < config->listen_count; i++) {
        struct door *door = find_door(intake, &config->listen[i]);
        if (door != NULL)
            door->is_kept = true;
    }
    node = list_first(&intake->doors);
    while (node != NULL) {
        struct door *door = LIST_OF(node, struct door, node);
        node = list_next(&intake->doors, node);
        if (!door->is_kept)
            close_door(door);
    }
    return err;
}

static struct door *find_door(struct intake *intake, const struct config_listen *listen)
{
    struct list_node *node = list_first(&intake->doors);
    for (; node != NULL; node = list_next(&intake->doors, node)) {
        struct door *door = LIST_OF(node, struct door, node);
        bool same = listen->fd_name.length > 0 ? slice_equal(listen->fd_name, slice_of(door->fd_name))
                                               : door->fd_name[0] == '\0' && endpoint_equal(&door->endpoint, &listen->endpoint);
        if (same && door->kind == listen->door)
            return door;
    }
    return NULL;
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
}

static int take_fd(const struct intake_fds *fds, struct slice name)
{
    for (size_t i = 0; fds != NULL && i < fds->count; i++) {
        if (slice_equal(fds->names[i], name))
            return fds->fds[i];
    }
    return -1;
}

static enum err open_door(struct intake *intake, const struct config_listen *listen, const struct intake_fds *fds,
                          struct buffer *fault)
{
    struct door *door = calloc(1, sizeof *door);
    if (door == NULL)
        return ERR_MEMORY;
    door->intake = intake;
    door->kind = listen->door;
    door->endpoint = listen->endpoint;
    door->listener.incoming = on_incoming;
    struct listener_options options = {.endpoint = listen->endpoint, .fd = -1, .mode = 0666};
    enum err err = ERR_NONE;
    if (listen->fd_name.length > 0) {
        struct slice name = slice_to(listen->fd_name, sizeof door->fd_name - 1);
        memcpy(door->fd_name, name.data, name.length);
        options.fd = take_fd(fds, listen->fd_name);
        err = options.fd < 0 ? ERR_NOT_FOUND : ERR_NONE;
    }
    if (err == ERR_NONE)
        err = listener_open(&door->listener, &options);
    if (err != ERR_NONE) {
        print_fault(listen, err, fault);
        free(door);
        return err;
    }
    list_add_last(&intake->doors, &door->node);
    return ERR_NONE;
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

bool intake_is_idle(const struct intake *intake)
{
    return list_is_empty(&intake->sessions);
}

size_t intake_session_count(const struct intake *intake)
{
    return intake->sessions.count;
}

/* ---- no open relay ---- */

static bool is_open_to_all(const struct ip_network *network)
{
    return network->prefix_bits == 0;
}

static bool is_off_loopback(const struct config_listen *listen)
{
    return listen->fd_name.length == 0 && listen->endpoint.path[0] == '\0' && !ip_is_loopback(&listen->endpoint.ip);
}

enum err intake_check(const struct config *config, struct buffer *fault)
{
    char text[128];
    for (size_t i = 0; i < config->access_networks.count; i++) {
        if (!is_open_to_all(&config->access_networks.items[i]))
            continue;
        buffer_print(fault, "[access] networks: %.*s would let anybody relay; list the networks of your applications",
                     SLICE_ARGS(ip_network_print(&config->access_networks.items[i], text)));
        return ERR_PERMISSION;
    }
    bool has_users = config->users_file.length > 0 && config->tls_certificate.length > 0;
    for (size_t i = 0; i < config->listen_count; i++) {
        const struct config_listen *listen = &config->listen[i];
        if (!is_off_loopback(listen) || has_users || config->access_networks_given)
            continue;
        buffer_print(fault,
                     "[listen] %.*s is reachable from elsewhere: say who may relay in [access] networks, or configure [tls] "
                     "certificate and [access] users-file",
                     SLICE_ARGS(endpoint_print(&listen->endpoint, text)));
        return ERR_PERMISSION;
    }
    return ERR_NONE;
}
