#include "relay/intake_internal.h"

#include "base/text.h"
#include "relay/proxy.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define COMMAND_TIMEOUT_MS 300000
/* When most places are taken, whoever says nothing has less time. */
#define BUSY_TIMEOUT_MS 20000
#define HANDSHAKE_TIMEOUT_MS 30000
#define PROXY_TIMEOUT_MS 30000
/* Who may not relay by its address has so long to log in, however busily it talks. */
#define UNPROVEN_MS 300000
/* So long for any content, and a second more for each so many bytes of it: whoever dribbles is given up. */
#define CONTENT_MS (30 * 60 * 1000)
#define CONTENT_BYTES_PER_S 1000
#define ERRORS_MAX 20
#define ARENA_MAX (4u << 20)

static void on_connected(struct channel *channel, enum err err);
static void on_secured(struct channel *channel, const struct tls_verdict *verdict);
static void on_readable(struct channel *channel);
static void on_writable(struct channel *channel);
static void on_ended(struct channel *channel, enum err err);
static void on_timeout(struct timer *timer);
static bool find_peer(struct session *session);
static void take_client(struct session *session, const struct ip *ip);
static void begin(struct session *session);
static bool start_server(struct session *session);

/* ---- opening ---- */

enum err session_open(struct intake *intake, struct door *door)
{
    struct session *session = calloc(1, sizeof *session);
    struct arena *arena = arena_new(ARENA_MAX);
    if (session == NULL || arena == NULL) {
        free(session);
        arena_free(&arena);
        return ERR_MEMORY;
    }
    session->intake = intake;
    session->arena = arena;
    session->door = door->kind;
    session->opened_ms = session->progress_ms = clock_monotonic_ms();
    session->channel = (struct channel){
        .connected = on_connected,
        .secured = on_secured,
        .readable = on_readable,
        .writable = on_writable,
        .ended = on_ended,
    };
    enum err err = channel_accept(&session->channel, &door->listener);
    list_add_last(&intake->sessions, &session->node);
    if (err != ERR_NONE) {
        session_close(session);
        return err;
    }
    intake->relay->metrics.connections_in++;
    if (!find_peer(session)) {
        session_close(session); /* it has gone already: nobody can say who it was */
        return ERR_NONE;
    }
    session->awaits_proxy = config_networks_have(&intake->relay->config->proxy_networks, &session->peer.ip);
    if (session->awaits_proxy)
        timer_start(&session->timer, PROXY_TIMEOUT_MS, on_timeout);
    else
        begin(session);
    return ERR_NONE;
}

/* Nobody is taken for a process of this machine for want of an address. */
static bool find_peer(struct session *session)
{
    uint32_t uid;
    uint32_t gid;
    session->peer = channel_peer(&session->channel);
    if (session->peer.ip.family != IP_NONE) {
        struct ip ip = session->peer.ip;
        take_client(session, &ip);
        return true;
    }
    snprintf(session->client, sizeof session->client, "[unix]");
    session->is_near = session->is_trusted = stream_peer_uid(channel_stream(&session->channel), &uid, &gid);
    return session->is_near;
}

static void take_client(struct session *session, const struct ip *ip)
{
    char text[48];
    session->peer.ip = *ip;
    snprintf(session->client, sizeof session->client, "[%.*s]", SLICE_ARGS(ip_print(ip, text)));
    session->is_near = ip_is_loopback(ip);
    session->is_known = authenticator_knows(session->intake->authenticator, ip);
    session->is_by_address = true;
    session->is_trusted = config_networks_have(&session->intake->relay->config->access_networks, ip);
}

/* ---- the proxy ---- */

static void refuse_proxy(struct session *session)
{
    session->intake->relay->metrics.rejected++;
    session->intake->relay->metrics.refusals[METRICS_REFUSAL_proxy]++;
    session_log(session, "proxy_refused", "the connection does not begin with a PROXY header",
                "have the proxy send one (version 1 or 2), or take its address out of [listen] proxy-networks");
    session_close(session);
}

/* A proxy elsewhere that speaks for 127.0.0.1 means its own machine, and one that speaks for nobody means itself: neither may
 * relay for that. */
static void take_header(struct session *session, const struct proxy_header *header)
{
    struct ip proxy = session->peer.ip;
    take_client(session, header->has_source ? &header->source.ip : &proxy);
    bool is_foreign = session->is_near && !ip_is_loopback(&proxy);
    session->is_unnamed = !header->has_source;
    if (is_foreign || !header->has_source)
        session->is_near = session->is_trusted = session->is_by_address = false;
}

static void read_proxy(struct session *session)
{
    struct proxy_header header;
    size_t taken;
    switch (proxy_header_parse(channel_input(&session->channel), &header, &taken)) {
    case PROXY_MORE:
        return;
    case PROXY_MALFORMED:
        refuse_proxy(session);
        return;
    case PROXY_DONE:
        break;
    }
    channel_consume(&session->channel, taken);
    session->awaits_proxy = false;
    take_header(session, &header);
    begin(session);
}

/* ---- the server, and TLS from the first byte ---- */

static void begin(struct session *session)
{
    struct smtp_reply reply;
    bool is_secured = session->door == CONFIG_SUBMISSIONS;
    if (!start_server(session)) {
        session_close(session);
        return;
    }
    session_set_timeout(session);
    if (!is_secured) {
        session_drive(session);
        return;
    }
    /* Before a handshake is paid for; there is nothing in which to say no. */
    struct tls_session *tls =
        admission_greet(session, &reply) ? tls_session_server(session->intake->relay->tls) : NULL;
    if (tls == NULL) {
        session_close(session);
        return;
    }
    channel_secure_from_start(&session->channel, &tls);
    timer_start(&session->timer, HANDSHAKE_TIMEOUT_MS, on_timeout);
}

static bool start_server(struct session *session)
{
    const struct relay *relay = session->intake->relay;
    const struct config *config = relay->config;
    bool has_tls = tls_context_serves(relay->tls);
    snprintf(session->hostname, sizeof session->hostname, "%.*s", SLICE_ARGS(slice_to(config->hostname, 255)));
    struct smtp_server_options options = {
        .hostname = slice_of(session->hostname),
        .size_max = config->message_size_max,
        .recipients_max = config->recipients_max,
        .starttls = has_tls,
        .auth = has_tls && relay->users != NULL ? SMTP_SERVER_AUTH_OFFERED : SMTP_SERVER_AUTH_NONE,
        .secured = session->door == CONFIG_SUBMISSIONS,
        .dsn = true,
        .utf8 = true,
        .errors_max = ERRORS_MAX,
        .trusted = session->is_trusted,
        .refused = admission_refused,
        .is_lenient = session_is_lenient,
        .owner = session,
    };
    session->server = smtp_server_new(&options);
    return session->server != NULL;
}

void session_begin_tls(struct session *session)
{
    if (channel_verdict(&session->channel) != NULL)
        return; /* it has begun: this turn only says that the 220 has left */
    struct tls_session *tls = tls_session_server(session->intake->relay->tls);
    if (tls == NULL || !channel_secure(&session->channel, &tls)) {
        session_close(session);
        return;
    }
    timer_start(&session->timer, HANDSHAKE_TIMEOUT_MS, on_timeout);
}

/* ---- what the channel says ---- */

static struct session *session_of(struct channel *channel)
{
    return LIST_OF(channel, struct session, channel);
}

static void on_connected(struct channel *channel, enum err err)
{
    (void)channel;
    (void)err; /* of connections that we open */
}

static void on_secured(struct channel *channel, const struct tls_verdict *verdict)
{
    struct session *session = session_of(channel);
    if (!verdict->secured) {
        struct log_line line;
        session->intake->relay->metrics.refusals[METRICS_REFUSAL_tls]++;
        if (intake_log_open(session->intake, &line, LOG_INFO, "client_tls_failed")) {
            log_string(&line, "client", session->client);
            log_string(&line, "why", verdict->detail[0] != '\0' ? verdict->detail : tls_failure_text(verdict->failure));
            log_close(&line);
        }
        session_close(session);
        return;
    }
    if (smtp_server_is_securing(session->server))
        smtp_server_secured(session->server);
    session->progress_ms = clock_monotonic_ms();
    session_set_timeout(session);
    session_drive(session);
}

static void on_readable(struct channel *channel)
{
    struct session *session = session_of(channel);
    if (session->awaits_proxy)
        read_proxy(session);
    else if (!session->is_waiting)
        session_drive(session);
    else if (session->authentication.check != NULL)
        /* Nothing is taken now, but it is seen that the client did not wait for its answer. */
        (void)smtp_server_feed(session->server, channel_input(channel));
}

static void on_writable(struct channel *channel)
{
    struct session *session = session_of(channel);
    if (session->server != NULL && !session->is_waiting)
        session_drive(session);
}

static void on_ended(struct channel *channel, enum err err)
{
    (void)err; /* gone is gone */
    session_close(session_of(channel));
}

/* ---- time ---- */

bool session_is_proven(const struct session *session)
{
    return session->is_trusted || (session->server != NULL && smtp_server_is_authenticated(session->server));
}

/* By the configuration of this moment, and only for who may relay. An address that a proxy only vouches for (another machine's 127.0.0.1), or
 * none at all, is in no network. */
bool session_is_lenient(void *owner)
{
    const struct session *session = owner;
    const struct config *config = session->intake->relay->config;
    const struct config_client *client = session->is_by_address ? config_client_find(config, &session->peer.ip) : NULL;
    return client != NULL && client->lenient &&
           (smtp_server_is_authenticated(session->server) || config_networks_have(&config->access_networks, &session->peer.ip));
}

static bool is_busy(const struct intake *intake)
{
    return intake->sessions.count * 10 > (size_t)intake->relay->config->connections_max * 8;
}

/* At each step forward: a reply that was given, or bytes of content. The rest of a command dribbling in is none. */
void session_set_timeout(struct session *session)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t limit_ms = is_busy(session->intake) ? BUSY_TIMEOUT_MS : COMMAND_TIMEOUT_MS;
    int64_t rest_ms = limit_ms;
    if (session->content_ms > 0)
        rest_ms = session->content_ms + CONTENT_MS + (int64_t)(session->content_bytes / CONTENT_BYTES_PER_S) * 1000 - now_ms;
    else if (!session_is_proven(session))
        rest_ms = session->opened_ms + UNPROVEN_MS - now_ms;
    int64_t delay_ms = rest_ms < limit_ms ? rest_ms : limit_ms;
    timer_start(&session->timer, delay_ms < 0 ? 0 : delay_ms, on_timeout);
}

static void on_timeout(struct timer *timer)
{
    struct session *session = LIST_OF(timer, struct session, timer);
    struct refusal refusal = {.reason = METRICS_REFUSAL_time, .reply = smtp_reply_make(421, 4, 2, "you took too long; closing")};
    if (session->awaits_proxy)
        refuse_proxy(session);
    else
        session_end(session, &refusal);
}
