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
static void connect_next(struct fetch *fetch);
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
    connect_next(fetch);
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

static void connect_next(struct fetch *fetch)
{
    if (fetch->address_index >= fetch->addresses.count) {
        finish(fetch, SLICE_EMPTY, slice_of(fetch->failure));
        return;
    }
    fetch->channel = (struct channel){
        .connected = on_connected,
        .secured = on_secured,
        .readable = on_readable,
        .writable = on_writable,
        .ended = on_ended,
    };
    struct endpoint peer = {.ip = fetch->addresses.items[fetch->address_index], .port = fetch->relay->config->https_port};
    progress(fetch);
    if (channel_connect(&fetch->channel, &peer, NULL) != ERR_NONE)
        finish(fetch, SLICE_EMPTY, SLICE("out of memory"));
}

static void try_next(struct fetch *fetch)
{
    channel_abort(&fetch->channel);
    sts_http_free(&fetch->http);
    fetch->address_index++;
    connect_next(fetch);
}

static void on_connected(struct channel *channel, enum err err)
{
    struct fetch *fetch = LIST_OF(channel, struct fetch, channel);
    if (err != ERR_NONE) {
        set_failure(fetch, "cannot be connected to", slice_of(err_text(err)));
        try_next(fetch);
        return;
    }
    struct tls_session *session = tls_session_client(fetch->relay->tls, TLS_VERIFY, fetch->host, "http/1.1");
    fetch->http = sts_http_new();
    if (session == NULL || fetch->http == NULL || !channel_secure(&fetch->channel, &session)) {
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
        connect_next(fetch);
        return;
    }
    if (!verdict->verified) {
        char why[512];
        set_failure(fetch, "TLS failed", tls_verdict_print(verdict, why));
        try_next(fetch);
        return;
    }
    struct buffer request;
    buffer_init(&request, 4096);
    sts_http_request(&request, fetch->host);
    channel_write(channel, buffer_slice(&request));
    buffer_free(&request);
    progress(fetch);
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
