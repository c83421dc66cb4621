#include "relay/serve_resolver.h"

#include "relay/host_uv.h"
#include "relay/serve_say.h"

static void on_told(void *owner, const struct resolver_event *event);
static void log_event(struct log *log, const struct resolver_event *event);

enum err serve_resolver_open(struct serve_resolver *resolver, const struct config *config)
{
    struct resolver_options options = {
        .servers = config->dns_servers.items,
        .server_count = config->dns_servers.count,
        .told = on_told,
        .owner = resolver,
    };
    enum err err = resolver_open(&options);
    if (err != ERR_NONE)
        return err;
    if (resolver_server_count() == 0)
        serve_warn(resolver->log, "resolver", "no resolver is configured", "name one in [dns] servers; mail is accepted and waits");
    else if (!resolver_is_local())
        serve_warn(resolver->log, "resolver", "the resolver is on another host: answers can be forged on the way",
             "run a validating resolver such as unbound on this host");
    return ERR_NONE;
}

static void on_told(void *owner, const struct resolver_event *event)
{
    const struct serve_resolver *resolver = owner;
    if (resolver->metrics != NULL && event->news == RESOLVER_MISMATCHES)
        resolver->metrics->dns_mismatched++;
    if (event->is_change)
        log_event(resolver->log, event);
}

static void log_event(struct log *log, const struct resolver_event *event)
{
    static const struct {
        enum log_level level;
        const char *event, *problem, *advice;
    } texts[] = {
        [RESOLVER_CASE_LOST] = {LOG_WARNING, "resolver_case_lost",
                                "it changes the letters of names in its answers, so that forged ones are harder to tell",
                                "run a resolver on this host that keeps them, such as unbound"},
        [RESOLVER_CASE_KEPT] = {LOG_INFO, "resolver_case_kept", NULL, NULL},
        [RESOLVER_MISMATCHES] = {LOG_WARNING, "resolver_mismatches",
                                 "answers with its address did not match what was asked: somebody may be forging them; "
                                 "such questions are asked over TCP",
                                 "run a validating resolver such as unbound on this host"},
    };
    struct log_line line;
    char server[128];
    if (!log_open(&line, log, texts[event->news].level, texts[event->news].event))
        return;
    log_text(&line, "server", endpoint_print(event->server, server));
    if (texts[event->news].problem != NULL) {
        log_string(&line, "problem", texts[event->news].problem);
        log_string(&line, "advice", texts[event->news].advice);
    }
    log_close(&line);
}
