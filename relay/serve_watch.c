#include "relay/serve_watch.h"

#include "base/list.h"
#include "relay/users.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INTERVAL_MS 5000

static void on_timer(struct timer *timer);
static void check_tls(struct serve_watch *watch);
static void check_anchors(struct serve_watch *watch);
static void check_users(struct serve_watch *watch);

struct tls_context_options serve_tls_options(const struct config *config)
{
    return (struct tls_context_options){
        .ca_file = config->tls_ca_file,
        .certificate = config->tls_certificate,
        .key = config->tls_key,
        .minimum = config->tls_minimum_1_3 ? TLS_1_3 : TLS_1_2,
        .has_old_suites = config->tls_old_suites,
    };
}

/* A file that is not there is like one without content: links are followed to what they lead to now. */
static struct serve_stamp stamp_of(struct slice path)
{
    char name[4096];
    struct stat status;
    snprintf(name, sizeof name, "%.*s", SLICE_ARGS(path));
    if (path.length == 0 || stat(name, &status) != 0)
        return (struct serve_stamp){.size = 0};
    return (struct serve_stamp){
        .device = (uint64_t)status.st_dev,
        .inode = (uint64_t)status.st_ino,
        .size = (uint64_t)status.st_size,
        .changed_ns = (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec,
    };
}

static void take_stamps(struct serve_stamp stamps[2], struct slice first, struct slice second)
{
    stamps[0] = stamp_of(first);
    stamps[1] = stamp_of(second);
}

static bool are_equal(const struct serve_stamp a[2], const struct serve_stamp b[2])
{
    for (size_t i = 0; i < 2; i++) {
        if (a[i].device != b[i].device || a[i].inode != b[i].inode || a[i].size != b[i].size || a[i].changed_ns != b[i].changed_ns)
            return false;
    }
    return true;
}

void serve_watch_start(struct serve_watch *watch, struct relay *relay)
{
    const struct config *config = relay->config;
    watch->relay = relay;
    watch->tls = watch->anchors = watch->users = (struct serve_watched){.is_faulty = false};
    take_stamps(watch->tls.stamps, config->tls_certificate, config->tls_key);
    take_stamps(watch->anchors.stamps, tls_context_bundle(config->tls_ca_file), SLICE_EMPTY);
    take_stamps(watch->users.stamps, config->users_file, SLICE_EMPTY);
    timer_start(&watch->timer, INTERVAL_MS, on_timer);
}

void serve_watch_stop(struct serve_watch *watch)
{
    timer_cancel(&watch->timer);
}

static void check_readable(struct serve_watch *watch, struct slice path)
{
    char name[4096];
    struct log_line line;
    snprintf(name, sizeof name, "%.*s", SLICE_ARGS(path));
    if (path.length == 0 || access(name, R_OK) == 0 || !log_open(&line, watch->relay->log, LOG_WARNING, "not_readable"))
        return;
    log_string(&line, "file", name);
    log_string(&line, "problem", "it was read at the start, but the relay's user may not read it: its changes will not count");
    log_string(&line, "advice", "give it to the relay's group with mode 0640, and let that group into its directory");
    log_close(&line);
}

/* What root has read at the start may be closed to the user that it has become since: better to hear of it now than on the day
 * when the certificate is renewed. */
static void check_access(struct serve_watch *watch)
{
    const struct config *config = watch->relay->config;
    const struct slice paths[] = {config->tls_certificate, config->tls_key, tls_context_bundle(config->tls_ca_file), config->users_file};
    watch->has_looked = true;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        check_readable(watch, paths[i]);
    for (size_t i = 0; i < config->dkim_count; i++)
        check_readable(watch, config->dkims[i].key_file);
}

static void on_timer(struct timer *timer)
{
    struct serve_watch *watch = LIST_OF(timer, struct serve_watch, timer);
    if (!watch->has_looked)
        check_access(watch);
    check_tls(watch);
    check_anchors(watch);
    check_users(watch);
    timer_start(&watch->timer, INTERVAL_MS, on_timer);
}

/* ---- one of them ---- */

static void log_reloaded(struct serve_watch *watch, const char *event, struct slice path)
{
    struct log_line line;
    if (!log_open(&line, watch->relay->log, LOG_INFO, event))
        return;
    log_text(&line, "file", path);
    log_close(&line);
}

static void log_fault(struct serve_watch *watch, const char *event, const struct buffer *fault)
{
    struct log_line line;
    if (!log_open(&line, watch->relay->log, LOG_ERROR, event))
        return;
    log_text(&line, "problem", buffer_length(fault) > 0 ? buffer_slice(fault) : SLICE("out of memory"));
    log_string(&line, "advice", "the old one stays in force; fix the file, it is tried again every few seconds");
    log_close(&line);
}

/* Once for each state of the files: a certificate and its key are seldom changed in the same instant. */
static bool is_news(struct serve_watched *watched, const struct serve_stamp stamps[2])
{
    bool is_told = watched->is_faulty && are_equal(watched->told, stamps);
    watched->is_faulty = true;
    memcpy(watched->told, stamps, sizeof watched->told);
    return !is_told;
}

static void take_over(struct serve_watched *watched, const struct serve_stamp stamps[2])
{
    watched->is_faulty = false;
    memcpy(watched->stamps, stamps, sizeof watched->stamps);
}

static void check_tls(struct serve_watch *watch)
{
    const struct config *config = watch->relay->config;
    struct serve_stamp stamps[2];
    struct tls_context *tls;
    struct buffer fault, warnings;
    take_stamps(stamps, config->tls_certificate, config->tls_key);
    if (are_equal(stamps, watch->tls.stamps))
        return;
    struct tls_context_options options = serve_tls_options(config);
    options.anchors_of = watch->relay->tls;
    buffer_init(&fault, 65536);
    buffer_init(&warnings, 65536);
    if (tls_context_new(&options, &tls, &fault, &warnings) == ERR_NONE) {
        take_over(&watch->tls, stamps);
        relay_set_tls(watch->relay, tls);
        log_reloaded(watch, "certificate_reloaded", config->tls_certificate);
    } else if (is_news(&watch->tls, stamps)) {
        log_fault(watch, "certificate_reload_failed", &fault);
    }
    buffer_free(&fault);
    buffer_free(&warnings);
}

/* A system's bundle that is gone is no fault to the one who makes a context: it has no anchors then. Here it is one. */
static enum err make_with_new_anchors(struct serve_watch *watch, struct tls_context **tls, struct buffer *fault)
{
    struct buffer warnings;
    struct tls_context_options options = serve_tls_options(watch->relay->config);
    options.own_of = watch->relay->tls;
    buffer_init(&warnings, 65536);
    enum err err = tls_context_new(&options, tls, fault, &warnings);
    if (err == ERR_NONE && tls_context_anchor_count(*tls) == 0 && tls_context_anchor_count(watch->relay->tls) > 0) {
        struct slice first, all = buffer_slice(&warnings);
        (void)slice_cut(&all, '\n', &first);
        tls_context_free(tls);
        buffer_add(fault, first);
        err = ERR_NOT_FOUND;
    }
    buffer_free(&warnings);
    return err;
}

static void check_anchors(struct serve_watch *watch)
{
    struct slice path = tls_context_bundle(watch->relay->config->tls_ca_file);
    struct serve_stamp stamps[2];
    struct tls_context *tls;
    struct buffer fault;
    take_stamps(stamps, path, SLICE_EMPTY);
    if (are_equal(stamps, watch->anchors.stamps))
        return;
    buffer_init(&fault, 65536);
    if (make_with_new_anchors(watch, &tls, &fault) == ERR_NONE) {
        take_over(&watch->anchors, stamps);
        relay_set_tls(watch->relay, tls);
        log_reloaded(watch, "anchors_reloaded", path);
    } else if (is_news(&watch->anchors, stamps)) {
        log_fault(watch, "anchors_reload_failed", &fault);
    }
    buffer_free(&fault);
}

static void check_users(struct serve_watch *watch)
{
    const struct config *config = watch->relay->config;
    struct serve_stamp stamps[2];
    struct users *users;
    struct buffer fault;
    take_stamps(stamps, config->users_file, SLICE_EMPTY);
    if (are_equal(stamps, watch->users.stamps))
        return;
    buffer_init(&fault, 65536);
    if (users_load(config->users_file, &users, &fault) == ERR_NONE) {
        take_over(&watch->users, stamps);
        relay_set_users(watch->relay, users);
        log_reloaded(watch, "users_reloaded", config->users_file);
    } else if (is_news(&watch->users, stamps)) {
        log_fault(watch, "users_reload_failed", &fault);
    }
    buffer_free(&fault);
}
