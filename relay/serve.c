#include "relay/serve.h"

#include "base/text.h"
#include "relay/control.h"
#include "relay/health.h"
#include "relay/host_uv.h"
#include "relay/http.h"
#include "relay/intake.h"
#include "relay/locals.h"
#include "relay/relay.h"
#include "relay/schedule.h"
#include "relay/serve_log.h"
#include "relay/serve_memory.h"
#include "relay/serve_resolver.h"
#include "relay/serve_say.h"
#include "relay/serve_submit.h"
#include "relay/serve_system.h"
#include "relay/serve_watch.h"
#include "relay/signers.h"
#include "relay/users.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum exit_status {
    EXIT_DONE = 0,
    EXIT_UNAVAILABLE = 69,
    EXIT_SOFTWARE = 70,
    EXIT_CANNOT_CREATE = 73,
    EXIT_DISK = 74,
    EXIT_HELD = 75,
    EXIT_NOT_PERMITTED = 77,
    EXIT_CONFIG = 78,
};

/* All that lives as long as the process serves. */
struct serving {
    const struct config_source *source;
    struct log log;
    struct serve_log lines;
    struct system_identity identity;
    struct system_sockets sockets;
    struct relay *relay;
    struct http *http;
    struct serve_resolver resolver;
    struct timer watchdog;
    struct serve_watch watch;
    int status;
};
/* What a start or a reload makes new. */
struct parts {
    struct config *config;
    struct tls_context *tls;
    struct locals *locals;
    struct users *users;
    struct signers *signers;
};

static int load_parts(struct serving *serving, struct parts *parts);
static void free_parts(struct parts *parts);
static int open_queue(struct serving *serving, const struct config *config, struct queue **queue);
static int start(struct serving *serving, struct parts *parts);
static int open_doors(struct serving *serving);
static void warn_unused_sockets(struct serving *serving);
static void run_loop(struct serving *serving);
static void on_signal(void *owner, int number);
static void on_watchdog(struct timer *timer);
static void on_stopped(struct relay *relay);
static bool reload(struct serving *serving);
static bool on_reload(struct relay *relay, struct buffer *said);

int serve_run(const struct config_source *source)
{
    struct serving serving = {.source = source, .log = {.level = LOG_INFO, .format = LOG_HUMAN}};
    serving.log.has_priority = system_is_journal();
    serve_log_open(&serving.lines, &serving.log);
    struct parts parts = {0};
    system_take_sockets(&serving.sockets);
    if (host_open() != ERR_NONE) {
        serve_say(&serving.log, "the event loop cannot be started");
        serve_log_close(&serving.lines);
        return EXIT_SOFTWARE;
    }
    serving.status = load_parts(&serving, &parts);
    if (serving.status == EXIT_DONE)
        serving.status = start(&serving, &parts);
    if (serving.status == EXIT_DONE)
        run_loop(&serving);
    else
        free_parts(&parts);
    tls_stop();
    serve_log_close(&serving.lines);
    (void)host_close();
    /* It has drained: whoever is impatient now must not make a failure of that. */
    (void)signal(SIGTERM, SIG_IGN);
    return serving.status;
}

static void run_loop(struct serving *serving)
{
    serve_log_gather(&serving->lines, true);
    host_run();
    serve_log_gather(&serving->lines, false);
}

/* ---- parts ---- */

static int load_config(struct serving *serving, struct config **config)
{
    struct buffer faults;
    struct buffer warnings;
    buffer_init(&faults, 1u << 20);
    buffer_init(&warnings, 1u << 20);
    enum err err = config_load(serving->source, config, &faults, &warnings);
    if (err == ERR_NONE)
        err = intake_check(*config, &faults);
    serve_say_lines(&serving->log, &faults);
    if (err == ERR_NONE) {
        serving->log.level = (*config)->log_level;
        serving->log.format = (*config)->log_format_given ? (*config)->log_format
                              : isatty(STDERR_FILENO)     ? LOG_HUMAN
                                                          : LOG_LOGFMT;
        serve_warn_lines(&serving->log, "configuration", &warnings);
    } else {
        config_free(config);
    }
    buffer_free(&faults);
    buffer_free(&warnings);
    return err == ERR_NONE ? EXIT_DONE : err == ERR_MEMORY ? EXIT_SOFTWARE : EXIT_CONFIG;
}

/* By a reload while the system's bundle is gone or damaged: mail that needs a proof would stand still for it. */
static bool has_lost_anchors(const struct serving *serving, const struct parts *parts)
{
    return serving->relay != NULL && tls_context_anchor_count(parts->tls) == 0 &&
           tls_context_anchor_count(serving->relay->tls) > 0;
}

static int load_tls(struct serving *serving, struct parts *parts)
{
    struct buffer fault;
    struct buffer warnings;
    buffer_init(&fault, 65536);
    buffer_init(&warnings, 65536);
    struct tls_context_options options = serve_tls_options(parts->config);
    enum err err = tls_context_new(&options, &parts->tls, &fault, &warnings);
    if (err != ERR_NONE)
        serve_say(&serving->log, "[tls] %.*s", SLICE_ARGS(buffer_slice(&fault)));
    serve_warn_lines(&serving->log, "tls", &warnings);
    if (err == ERR_NONE && has_lost_anchors(serving, parts)) {
        serve_say(&serving->log, "[tls] there are no trust anchors any more: those that are in force stay");
        tls_context_free(&parts->tls);
        options.anchors_of = serving->relay->tls;
        err = tls_context_new(&options, &parts->tls, &fault, &warnings);
    }
    buffer_free(&fault);
    buffer_free(&warnings);
    return err == ERR_NONE ? EXIT_DONE : err == ERR_MEMORY ? EXIT_SOFTWARE : EXIT_CONFIG;
}

static int load_locals(struct serving *serving, struct parts *parts)
{
    struct buffer warnings;
    buffer_init(&warnings, 1u << 20);
    enum err err = locals_load(parts->config, &parts->locals, &warnings);
    serve_warn_lines(&serving->log, "aliases", &warnings);
    buffer_free(&warnings);
    return err == ERR_NONE ? EXIT_DONE : EXIT_SOFTWARE;
}

static int load_users(struct serving *serving, struct parts *parts)
{
    struct buffer fault;
    if (parts->config->users_file.length == 0)
        return EXIT_DONE;
    buffer_init(&fault, 65536);
    enum err err = users_load(parts->config->users_file, &parts->users, &fault);
    if (err != ERR_NONE)
        serve_say(&serving->log, "[access] users-file: %.*s", SLICE_ARGS(buffer_slice(&fault)));
    buffer_free(&fault);
    return err == ERR_NONE ? EXIT_DONE : err == ERR_MEMORY ? EXIT_SOFTWARE : EXIT_CONFIG;
}

static int load_signers(struct serving *serving, struct parts *parts)
{
    struct buffer fault;
    struct buffer warnings;
    buffer_init(&fault, 65536);
    buffer_init(&warnings, 65536);
    enum err err = signers_load(parts->config, &parts->signers, &fault, &warnings);
    if (err != ERR_NONE)
        serve_say(&serving->log, "%.*s", SLICE_ARGS(buffer_slice(&fault)));
    serve_warn_lines(&serving->log, "dkim", &warnings);
    buffer_free(&fault);
    buffer_free(&warnings);
    return err == ERR_NONE ? EXIT_DONE : err == ERR_MEMORY ? EXIT_SOFTWARE : EXIT_CONFIG;
}

static int load_parts(struct serving *serving, struct parts *parts)
{
    int status = load_config(serving, &parts->config);
    if (status == EXIT_DONE && serving->relay == NULL && tls_start() != ERR_NONE) {
        serve_say(&serving->log, "TLS cannot be started: no source of randomness");
        status = EXIT_SOFTWARE;
    }
    if (status == EXIT_DONE)
        status = load_tls(serving, parts);
    if (status == EXIT_DONE)
        status = load_locals(serving, parts);
    if (status == EXIT_DONE)
        status = load_users(serving, parts);
    if (status == EXIT_DONE)
        status = load_signers(serving, parts);
    if (status != EXIT_DONE)
        free_parts(parts);
    return status;
}

static void free_parts(struct parts *parts)
{
    signers_free(&parts->signers);
    users_free(&parts->users);
    locals_free(&parts->locals);
    tls_context_free(&parts->tls);
    config_free(&parts->config);
}

/* ---- the start ---- */

static int queue_status(enum err err)
{
    switch (err) {
    case ERR_NONE:
        return EXIT_DONE;
    case ERR_IN_USE:
        return EXIT_HELD;
    case ERR_IO:
    case ERR_CORRUPT:
        return EXIT_DISK;
    case ERR_MEMORY:
        return EXIT_SOFTWARE;
    default:
        return EXIT_CANNOT_CREATE;
    }
}

static int open_queue(struct serving *serving, const struct config *config, struct queue **queue)
{
    struct buffer fault;
    struct queue_options options = {
        .path = config->queue_path,
        .map_size = config->queue_size_max,
        .free_min = config->queue_free_min,
        .done_keep_ms = 3ll * 24 * 3600 * 1000,
    };
    buffer_init(&fault, 65536);
    system_make_directory(config->queue_path, 0700, &serving->identity);
    enum err err = system_identity_borrow(&serving->identity);
    if (err == ERR_NONE)
        err = queue_open(&options, queue, &fault);
    if (system_identity_return(&serving->identity) != ERR_NONE)
        err = ERR_PERMISSION;
    if (err != ERR_NONE)
        serve_say(&serving->log, "[queue] path: %.*s", SLICE_ARGS(buffer_slice(&fault)));
    buffer_free(&fault);
    return queue_status(err);
}

/* A queue that is gone after the next start would keep no promise. */
static void warn_place(struct serving *serving)
{
    char problem[512];
    struct slice path = serving->relay->config->queue_path;
    const char *place = queue_unsafe_place(serving->relay->queue);
    if (place == NULL)
        return;
    text_print(problem, sizeof problem, "the queue %.*s is on %s: mail in it may be lost", SLICE_ARGS(path), place);
    serve_warn(&serving->log, "queue_unsafe", problem, "put [queue] path on a local disk; in a container, on a volume");
}

static void warn_root(struct serving *serving)
{
    char problem[300];
    struct slice user = serving->relay->config->user;
    if (!serving->identity.is_root || serving->identity.changes)
        return;
    bool is_meant = slice_equal(user, SLICE("root"));
    text_print(problem, sizeof problem, "running as root, since there is no user %.*s", SLICE_ARGS(user));
    serve_warn(&serving->log, "user", is_meant ? "running as root, as `user` says" : problem,
         is_meant ? "name a user without privileges in `user`" : "create the user sternpost, or name one in `user`");
}

static void log_started(struct serving *serving)
{
    const struct config *config = serving->relay->config;
    struct log_line line;
    warn_place(serving);
    warn_root(serving);
    if (!log_open(&line, &serving->log, LOG_INFO, "started"))
        return;
    log_string(&line, "version", STERNPOST_VERSION);
    log_text(&line, "hostname", config->hostname);
    log_text(&line, "queue", config->queue_path);
    struct buffer doors;
    char text[128];
    buffer_init(&doors, 4096);
    for (size_t i = 0; i < config->listen_count; i++) {
        const struct config_listen *listen = &config->listen[i];
        buffer_add(&doors, i > 0 ? SLICE(" ") : SLICE_EMPTY);
        buffer_add(&doors, listen->fd_name.length > 0 ? listen->fd_name : endpoint_print(&listen->endpoint, text));
    }
    log_text(&line, "listen", buffer_slice(&doors));
    buffer_clear(&doors);
    for (size_t i = 0; i < config->http_listen.count; i++)
        buffer_print(&doors, "%s%.*s", i > 0 ? " " : "", SLICE_ARGS(endpoint_print(&config->http_listen.items[i], text)));
    log_text(&line, "http", buffer_slice(&doors));
    buffer_free(&doors);
    log_close(&line);
}

static int start(struct serving *serving, struct parts *parts)
{
    struct queue *queue = NULL;
    system_identity_find(parts->config->user, &serving->identity);
    serve_submit_prepare(parts->config, &serving->identity); /* early: whoever sends mail meanwhile leaves it there */
    if (system_forbid_privileges() != ERR_NONE) { /* before there is a thread: each has the bit of the one that made it */
        fprintf(stderr, "sternpost: gaining privileges cannot be forbidden (no_new_privs)\n");
        return EXIT_NOT_PERMITTED;
    }
    int status = open_queue(serving, parts->config, &queue);
    if (status != EXIT_DONE)
        return status;
    struct relay_options options = {
        .config = parts->config,
        .log = &serving->log,
        .queue = queue,
        .tls = parts->tls,
        .locals = parts->locals,
        .users = parts->users,
        .signers = parts->signers,
        .stopped = on_stopped,
    };
    serving->resolver.log = &serving->log;
    if (serve_resolver_open(&serving->resolver, parts->config) == ERR_NONE)
        serving->relay = relay_new(&options);
    if (serving->relay == NULL) {
        queue_close(&queue);
        serve_say(&serving->log, "out of memory at the start");
        return EXIT_SOFTWARE;
    }
    *parts = (struct parts){0}; /* they are the relay's now */
    serving->resolver.metrics = &serving->relay->metrics;
    serve_watch_start(&serving->watch, serving->relay);
    status = open_doors(serving);
    int const signals[] = {SIGTERM, SIGINT, SIGHUP};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0] && status == EXIT_DONE; i++) {
        if (host_signal(signals[i], on_signal, serving) != ERR_NONE)
            status = EXIT_SOFTWARE;
    }
    if (status != EXIT_DONE) {
        /* What was opened ends in order, before anybody was served. */
        relay_stop(serving->relay, status);
        host_run();
        return serving->status;
    }
    serving->relay->reload = on_reload;
    log_started(serving);
    serve_memory_apply(serving->relay);
    serving->relay->health = health_new(serving->relay);
    system_notify("READY=1");
    on_watchdog(&serving->watchdog);
    return EXIT_DONE;
}

static int door_status(enum err err)
{
    switch (err) {
    case ERR_NONE:
        return EXIT_DONE;
    case ERR_IN_USE:
        return EXIT_UNAVAILABLE;
    case ERR_PERMISSION:
        return EXIT_NOT_PERMITTED;
    case ERR_NOT_FOUND:
    case ERR_SYNTAX:
        return EXIT_CONFIG;
    case ERR_MEMORY:
        return EXIT_SOFTWARE;
    default:
        return EXIT_CANNOT_CREATE;
    }
}

static int open_control(struct serving *serving)
{
    struct buffer fault;
    int status = EXIT_DONE;
    buffer_init(&fault, 65536);
    if (control_open(serving->relay->control, &fault) != ERR_NONE) {
        bool configured = serving->relay->config->control_given;
        if (configured)
            serve_say(&serving->log, "[control] socket: %.*s", SLICE_ARGS(buffer_slice(&fault)));
        buffer_add_byte(&fault, '\0');
        if (!configured)
            serve_warn(&serving->log, "control", buffer_slice(&fault).data, "set [control] socket to a path that can be written");
        status = configured ? EXIT_CANNOT_CREATE : EXIT_DONE;
    }
    buffer_free(&fault);
    return status;
}

/* A client of such a socket would wait for a greeting for ever. */
static void warn_unused_sockets(struct serving *serving)
{
    const struct config *config = serving->relay->config;
    for (size_t i = 0; i < serving->sockets.list.count; i++) {
        struct slice name = serving->sockets.names[i];
        bool is_used = false;
        for (size_t j = 0; j < config->listen_count; j++)
            is_used = is_used || slice_equal(config->listen[j].fd_name, name);
        struct log_line line;
        if (is_used || !log_open(&line, &serving->log, LOG_WARNING, "socket_unused"))
            continue;
        log_text(&line, "name", name);
        log_string(&line, "advice", "name it in [listen], such as smtp = fd:NAME, or do not have it handed over");
        log_close(&line);
    }
}

static int open_http(struct serving *serving, struct buffer *fault)
{
    serving->http = http_new(serving->relay);
    return serving->http == NULL ? EXIT_SOFTWARE : door_status(http_open(serving->http, fault));
}

/* Doors below port 1024 need the privileges that are given up right behind them. */
static int open_doors(struct serving *serving)
{
    struct buffer fault;
    warn_unused_sockets(serving); /* one of them may be why an address is in use */
    buffer_init(&fault, 65536);
    system_make_parent(serving->relay->config->control_socket, 0755, &serving->identity);
    int status = door_status(intake_open(serving->relay->intake, &serving->sockets.list, &fault));
    if (status == EXIT_DONE)
        status = open_http(serving, &fault);
    if (status != EXIT_DONE)
        serve_say_lines(&serving->log, &fault);
    buffer_free(&fault);
    if (status == EXIT_DONE && system_identity_drop(&serving->identity) != ERR_NONE) {
        serve_say(&serving->log, "the privileges of root cannot be given up");
        status = EXIT_NOT_PERMITTED;
    }
    if (status == EXIT_DONE)
        status = open_control(serving);
    return status == EXIT_DONE ? serve_submit_open(serving->relay) : status;
}

/* That the loop turns is what the service manager wants to hear. */
static void on_watchdog(struct timer *timer)
{
    int64_t interval_ms = system_watchdog_ms();
    if (interval_ms == 0)
        return;
    system_notify("WATCHDOG=1");
    timer_start(timer, interval_ms, on_watchdog);
}

/* ---- signals ---- */

static void on_signal(void *owner, int number)
{
    struct serving *serving = owner;
    if (serving->relay == NULL)
        return; /* it has ended already */
    if (number == SIGHUP) {
        (void)on_reload(serving->relay, NULL); /* its faults are in the log */
    } else {
        system_notify("STOPPING=1");
        relay_stop(serving->relay, EXIT_DONE);
    }
}

/* What stays as it was, because the running relay stands on it. */
static void warn_unchanged(struct serving *serving, const struct config *new)
{
    const struct config *old = serving->relay->config;
    char sizes[2][24];
    const struct {
        const char *key;
        struct slice before, after;
    } keys[] = {
        {"user", old->user, new->user},
        {"[queue] path", old->queue_path, new->queue_path},
        {"[queue] size-max", text_print(sizes[0], sizeof sizes[0], "%llu", (unsigned long long)old->queue_size_max),
         text_print(sizes[1], sizeof sizes[1], "%llu", (unsigned long long)new->queue_size_max)},
        {"[control] socket", old->control_socket, new->control_socket},
        {"[submit] socket", old->submit_socket, new->submit_socket},
        {"[submit] drop", old->drop_path, new->drop_path},
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        struct log_line line;
        if (slice_equal(keys[i].before, keys[i].after))
            continue;
        serve_mention(&serving->log, "warning: %s keeps its value until the relay is restarted", keys[i].key);
        if (!log_open(&line, &serving->log, LOG_WARNING, "restart_needed"))
            continue;
        log_string(&line, "key", keys[i].key);
        log_text(&line, "value", keys[i].before);
        log_string(&line, "advice", "it has its old value until the relay is restarted");
        log_close(&line);
    }
}

static bool on_reload(struct relay *relay, struct buffer *said)
{
    struct serving *serving = LIST_OF(relay->log, struct serving, log);
    system_notify("RELOADING=1");
    serve_hear(&serving->log, said);
    bool is_done = reload(serving);
    serve_hear(&serving->log, NULL);
    system_notify("READY=1");
    return is_done;
}

/* A configuration with faults changes nothing. */
static bool reload(struct serving *serving)
{
    struct parts parts = {0};
    struct buffer fault;
    struct log_line line;
    if (serving->relay->is_stopping || load_parts(serving, &parts) != EXIT_DONE) {
        serve_warn(&serving->log, "reload_failed", "the new configuration has faults (see the lines before)",
                   "fix them and reload again; the old one stays in force");
        return false;
    }
    struct relay_options options = {
        .config = parts.config, .tls = parts.tls, .locals = parts.locals, .users = parts.users,
        .signers = parts.signers};
    warn_unchanged(serving, parts.config);
    relay_reload(serving->relay, &options);
    serve_watch_start(&serving->watch, serving->relay);
    buffer_init(&fault, 65536);
    enum err smtp = intake_reload(serving->relay->intake, &fault);
    enum err http = http_open(serving->http, &fault);
    if (smtp != ERR_NONE || http != ERR_NONE)
        serve_warn_lines(&serving->log, "listen", &fault);
    buffer_free(&fault);
    if (serve_resolver_open(&serving->resolver, serving->relay->config) != ERR_NONE)
        serve_warn(&serving->log, "resolver", "out of memory", "the old resolvers stay");
    if (log_open(&line, &serving->log, LOG_INFO, "reloaded"))
        log_close(&line);
    return true;
}

static void on_stopped(struct relay *relay)
{
    struct serving *serving = LIST_OF(relay->log, struct serving, log);
    struct log_line line;
    serving->status = relay->exit_status;
    if (log_open(&line, &serving->log, LOG_INFO, "stopped")) {
        log_number(&line, "status", relay->exit_status);
        log_close(&line);
    }
    timer_cancel(&serving->watchdog);
    http_free(&serving->http);
    serve_watch_stop(&serving->watch);
    health_free(&serving->relay->health);
    serving->resolver.metrics = NULL;
    relay_free(&serving->relay);
    resolver_close();
    serve_log_gather(&serving->lines, false); /* what waits for a reader must not keep the loop going */
    host_stop();
}
