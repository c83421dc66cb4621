#include "relay/fetch.h"

#include "base/list.h"
#include "base/text.h"
#include "relay/config.h"
#include "relay/relay.h"

#include <stdio.h>

#define TOTAL_MS 60000
#define PROGRESS_MS 10000

static void on_a(struct resolve *resolve, const struct resolve_answer *answer);
static void on_aaaa(struct resolve *resolve, const struct resolve_answer *answer);
static void on_connected(struct channel *channel, enum err err);
static void on_secured(struct channel *channel, const struct tls_verdict *verdict);
static void on_readable(struct channel *channel);
static void on_writable(struct channel *channel);
static void on_ended(struct channel *channel, enum err err);
static void on_timeout(struct timer *timer);
static void next_address(struct fetch *fetch);
static void finish(struct fetch *fetch, struct slice body, struct slice failure);
static void release(struct fetch *fetch);

static void set_failure(struct fetch *fetch, const char *what, struct slice why)
{
    char address[48] = "";
    if (fetch->address_index < fetch->addresses.count)
        ip_print(&fetch->addresses.items[fetch->address_index], address);
    snprintf(fetch->failure, sizeof fetch->failure, "%.*s%s%s%s: %s%s%.*s", SLICE_ARGS(slice_to(fetch->host, 255)),
             address[0] == '\0' ? "" : "[", address, address[0] == '\0' ? "" : "]", what, why.length > 0 ? ", " : "",
             SLICE_ARGS(slice_to(why, 255)));
}

/* Never to be taken for an answer of the policy host: mail would go as without a policy. */
static void note_starved(struct fetch *fetch, bool is_starved)
{
    fetch->is_starved = fetch->is_starved || is_starved;
}

static bool is_lack(enum err err)
{
    return err == ERR_MEMORY || err == ERR_LIMIT;
}

/* Each step forward gives it ten seconds more, within the minute. */
static void progress(struct fetch *fetch)
{
    int64_t rest_ms = fetch->deadline_ms - clock_monotonic_ms();
    timer_start(&fetch->timer, rest_ms < 0 ? 0 : rest_ms < PROGRESS_MS ? rest_ms : PROGRESS_MS, on_timeout);
}

void fetch_start(struct fetch *fetch, struct relay *relay, struct slice host,
                 void (*done)(struct fetch *fetch, struct slice body, struct slice failure))
{
    *fetch = (struct fetch){.done = done, .relay = relay, .host = host};
    fetch->addresses.items = fetch->address_items;
    fetch->addresses.capacity = FETCH_ADDRESSES_MAX;
    fetch->addresses.may_be_own = true;
    fetch->deadline_ms = clock_monotonic_ms() + TOTAL_MS;
    set_failure(fetch, "no address", SLICE_EMPTY);
    fetch->a_pending = relay->config->family != CONFIG_IPV6;
    fetch->aaaa_pending = relay->config->family != CONFIG_IPV4;
    timer_start(&fetch->timer, TOTAL_MS, on_timeout);
    if (fetch->a_pending)
        resolve_start(&fetch->a, RECORD_A, host, on_a);
    if (fetch->aaaa_pending)
        resolve_start(&fetch->aaaa, RECORD_AAAA, host, on_aaaa);
}

static struct endpoint peer_of(const struct fetch *fetch)
{
    return (struct endpoint){.ip = fetch->addresses.items[fetch->address_index], .port = fetch->relay->config->https_port};
}

static bool is_dead(const struct fetch *fetch, const struct ip *address)
{
    struct endpoint peer = {.ip = *address, .port = fetch->relay->config->https_port};
    return dead_hosts_rests(&fetch->relay->dead_hosts, &peer, clock_monotonic_ms());
}

static void put_dead_last(struct fetch *fetch)
{
    struct ip dead[FETCH_ADDRESSES_MAX];
    size_t dead_count = 0, count = 0;
    for (size_t i = 0; i < fetch->addresses.count; i++) {
        struct ip address = fetch->addresses.items[i];
        if (is_dead(fetch, &address))
            dead[dead_count++] = address;
        else
            fetch->addresses.items[count++] = address;
    }
    for (size_t i = 0; i < dead_count; i++)
        fetch->addresses.items[count++] = dead[i];
}

static void add_answer(struct fetch *fetch, const struct resolve_answer *answer)
{
    /* Room for both families: one must not crowd out the other. */
    size_t room = fetch->addresses.count + FETCH_ADDRESSES_MAX / 2;
    fetch->addresses.capacity = room < FETCH_ADDRESSES_MAX ? room : FETCH_ADDRESSES_MAX;
    route_add_addresses(&fetch->addresses, answer, fetch->relay->config, false);
    if (resolve_is_temporary(answer->status))
        set_failure(fetch, "address lookup failed", answer->detail.length > 0 ? answer->detail
                                                                               : slice_of(resolve_status_text(answer->status)));
    if (fetch->a_pending || fetch->aaaa_pending)
        return;
    char refused[48];
    if (fetch->addresses.count == 0 && fetch->addresses.refused > 0)
        set_failure(fetch, "its addresses are not on the open Internet (see [delivery] allow-networks)",
                    ip_print(&fetch->addresses.refused_first, refused));
    route_interleave(&fetch->addresses);
    put_dead_last(fetch);
    next_address(fetch);
}

static void on_a(struct resolve *resolve, const struct resolve_answer *answer)
{
    struct fetch *fetch = LIST_OF(resolve, struct fetch, a);
    fetch->a_pending = false;
    add_answer(fetch, answer);
}

static void on_aaaa(struct resolve *resolve, const struct resolve_answer *answer)
{
    struct fetch *fetch = LIST_OF(resolve, struct fetch, aaaa);
    fetch->aaaa_pending = false;
    add_answer(fetch, answer);
}

static bool pass_over(struct fetch *fetch)
{
    struct endpoint peer = peer_of(fetch);
    struct dead_host found;
    char age[64];
    if (!fetch->passes_dead || !dead_hosts_ask(&fetch->relay->dead_hosts, &peer, clock_monotonic_ms(), &found))
        return false;
    set_failure(fetch, "did not answer", text_print(age, sizeof age, "known since %lld s ago, so it was passed over",
                                                    (long long)(found.age_ms / 1000)));
    fetch->relay->metrics.passed_over++;
    return true;
}

static void next_address(struct fetch *fetch)
{
    while (fetch->address_index < fetch->addresses.count && pass_over(fetch))
        fetch->address_index++;
    if (fetch->address_index >= fetch->addresses.count) {
        finish(fetch, SLICE_EMPTY, slice_of(fetch->failure));
        return;
    }
    fetch->wants_ms = clock_monotonic_ms();
    if (fetch->wants == NULL) {
        fetch_connect(fetch);
        return;
    }
    timer_cancel(&fetch->timer);
    const struct ip *address = &fetch->addresses.items[fetch->address_index];
    fetch->wants(fetch, address, is_dead(fetch, address));
}

void fetch_connect(struct fetch *fetch)
{
    fetch->channel = (struct channel){
        .connected = on_connected,
        .secured = on_secured,
        .readable = on_readable,
        .writable = on_writable,
        .ended = on_ended,
    };
    struct endpoint peer = peer_of(fetch);
    struct endpoint source;
    fetch->is_connected = false;
    fetch->deadline_ms += clock_monotonic_ms() - fetch->wants_ms;
    progress(fetch);
    enum err err = channel_connect(&fetch->channel, &peer, route_source(fetch->relay->config, peer.ip.family, &source));
    if (err == ERR_NONE)
        return;
    note_starved(fetch, true);
    finish(fetch, SLICE_EMPTY, slice_of(err_text(err)));
}

static void try_next(struct fetch *fetch)
{
    channel_abort(&fetch->channel);
    sts_http_free(&fetch->http);
    fetch->address_index++;
    next_address(fetch);
}

/* Nobody answers there, whoever asks. */
static void note_dead(struct fetch *fetch)
{
    struct endpoint peer = peer_of(fetch);
    struct trouble_facts facts = {.trouble = TROUBLE_CONNECT, .detail = SLICE("timed out")};
    struct relay *relay = fetch->relay;
    char address[48];
    struct log_line line;
    if (fetch->wants == NULL ||
        !dead_hosts_failed(&relay->dead_hosts, &peer, &facts, &relay->config->retry, clock_monotonic_ms()) ||
        !log_open(&line, relay->log, LOG_INFO, "host_dead"))
        return;
    log_text(&line, "host", fetch->host);
    log_text(&line, "ip", ip_print(&peer.ip, address));
    log_number(&line, "port", peer.port);
    log_string(&line, "problem", "the policy host's address does not answer");
    log_close(&line);
}

static void on_connected(struct channel *channel, enum err err)
{
    struct fetch *fetch = LIST_OF(channel, struct fetch, channel);
    if (err == ERR_TIMEOUT)
        note_dead(fetch);
    note_starved(fetch, is_lack(err));
    if (err != ERR_NONE) {
        set_failure(fetch, "cannot be connected to", slice_of(err_text(err)));
        try_next(fetch);
        return;
    }
    struct endpoint peer = peer_of(fetch);
    fetch->is_connected = true;
    dead_hosts_answered(&fetch->relay->dead_hosts, &peer);
    struct tls_session *session = tls_session_client(fetch->relay->tls, TLS_VERIFY, fetch->host, "http/1.1");
    fetch->http = sts_http_new();
    if (session == NULL || fetch->http == NULL || !channel_secure(&fetch->channel, &session)) {
        note_starved(fetch, session == NULL || fetch->http == NULL);
        tls_session_free(&session);
        set_failure(fetch, "TLS could not be started", SLICE_EMPTY);
        try_next(fetch);
        return;
    }
    progress(fetch);
}

static void on_secured(struct channel *channel, const struct tls_verdict *verdict)
{
    struct fetch *fetch = LIST_OF(channel, struct fetch, channel);
    if (verdict->retry_at_once && !fetch->has_retried_tls) {
        fetch->has_retried_tls = true;
        channel_abort(&fetch->channel);
        sts_http_free(&fetch->http);
        fetch->wants_ms = clock_monotonic_ms();
        fetch_connect(fetch);
        return;
    }
    if (!verdict->verified) {
        char why[512];
        note_starved(fetch, verdict->failure == TLS_FAILURE_MEMORY);
        set_failure(fetch, "TLS failed", tls_verdict_print(verdict, why));
        try_next(fetch);
        return;
    }
    struct buffer request;
    buffer_init(&request, 4096);
    sts_http_request(&request, fetch->host);
    bool is_whole = !buffer_failed(&request);
    if (is_whole)
        channel_write(channel, buffer_slice(&request));
    buffer_free(&request);
    progress(fetch);
    if (is_whole)
        return;
    note_starved(fetch, true);
    set_failure(fetch, "was not asked", slice_of(err_text(ERR_MEMORY)));
    try_next(fetch);
}

static void after_http(struct fetch *fetch, enum sts_http_state state)
{
    switch (state) {
    case STS_HTTP_MORE:
        progress(fetch);
        break;
    case STS_HTTP_DONE:
        finish(fetch, sts_http_body(fetch->http), SLICE_EMPTY);
        break;
    case STS_HTTP_FAILED:
        note_starved(fetch, sts_http_is_starved(fetch->http));
        set_failure(fetch, "unusable response", sts_http_failure(fetch->http));
        finish(fetch, SLICE_EMPTY, slice_of(fetch->failure));
        break;
    }
}

static void on_readable(struct channel *channel)
{
    struct fetch *fetch = LIST_OF(channel, struct fetch, channel);
    struct slice input = channel_input(channel);
    if (input.length == 0 || fetch->http == NULL || !channel_is_secured(channel))
        return;
    enum sts_http_state state = sts_http_feed(fetch->http, input);
    channel_consume(channel, input.length);
    after_http(fetch, state);
}

static void on_writable(struct channel *channel)
{
    (void)channel;
}

static void on_ended(struct channel *channel, enum err err)
{
    struct fetch *fetch = LIST_OF(channel, struct fetch, channel);
    note_starved(fetch, is_lack(err));
    if (fetch->http == NULL || !channel_is_secured(channel)) {
        set_failure(fetch, "the connection ended", slice_of(err_text(err)));
        try_next(fetch);
        return;
    }
    enum sts_http_state state = sts_http_end(fetch->http, err == ERR_END);
    after_http(fetch, state == STS_HTTP_MORE ? STS_HTTP_FAILED : state);
}

static void on_timeout(struct timer *timer)
{
    struct fetch *fetch = LIST_OF(timer, struct fetch, timer);
    if (!fetch->is_connected && channel_is_open(&fetch->channel))
        note_dead(fetch);
    set_failure(fetch, "took too long", SLICE_EMPTY);
    if (clock_monotonic_ms() < fetch->deadline_ms && fetch->address_index + 1 < fetch->addresses.count)
        try_next(fetch);
    else
        finish(fetch, SLICE_EMPTY, slice_of(fetch->failure));
}

static void finish(struct fetch *fetch, struct slice body, struct slice failure)
{
    /* done() may free the owner: what body points to is released here first, by way of a copy of the machine. */
    struct sts_http *http = fetch->http;
    char kept[sizeof fetch->failure];
    struct slice why = text_print(kept, sizeof kept, "%.*s", SLICE_ARGS(failure));
    fetch->http = NULL;
    release(fetch);
    fetch->done(fetch, body, why);
    sts_http_free(&http);
}

static void release(struct fetch *fetch)
{
    timer_cancel(&fetch->timer);
    resolve_cancel(&fetch->a);
    resolve_cancel(&fetch->aaaa);
    channel_close(&fetch->channel);
    sts_http_free(&fetch->http);
}

void fetch_cancel(struct fetch *fetch)
{
    release(fetch);
}
