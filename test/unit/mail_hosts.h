/* A scripted world for whoever looks for mail hosts: a row says what names stand for, which policy a domain has, and what each host
 * does that is connected to. Behind it is delivering.h; names, policy hosts and channels are here. */
#ifndef TEST_UNIT_MAIL_HOSTS_H
#define TEST_UNIT_MAIL_HOSTS_H

#include "test/unit/delivering.h"

#include "relay/channel.h"
#include "relay/fetch.h"

#define MX_MAX 4
#define PEERS_MAX 14
#define PORT_IMPLICIT 465

/* What a host does that is connected to. */
enum habit {
    TAKES,     /* over TLS, with a certificate that proves its name */
    UNPROVED,  /* the certificate proves nothing */
    PLAIN,     /* no STARTTLS */
    DEAD, VANISHED, /* refuses the connection; does not answer */
    REFUSES, BUSY, MUTE, CLOSES, RAMBLES, /* for a greeting: 554, 421, nothing, the end, no reply */
    EHLO_REFUSED, STARTTLS_REFUSED,
    TLS_FAILS, TLS_MUTE, TLS_CLOSES, /* the handshake */
    TLS_ONCE_MORE, TLS_TWICE_MORE,   /* so many fail that the next may go round */
    INJECTS,   /* something behind the reply to STARTTLS */
    AUTH, AUTH_UNKNOWN, AUTH_REFUSED, /* as TAKES; offers PLAIN, nothing we know, PLAIN and says 535 */
};
struct mx {
    const char *name;
    uint16_t preference;
};
struct peer {
    const char *name, *address;
    enum habit habit;
};
struct smart {
    const char *host;
    uint16_t port;
    enum config_tls tls;
    bool logs_in;
};
struct row {
    const char *name;
    enum resolve_status mx_status;
    struct mx mx[MX_MAX];
    struct peer peers[PEERS_MAX];
    const char *event, *tried; /* what becomes of it, and the addresses that are connected to */
    const char *policy;        /* its text; empty: its host fails; NULL: the domain has none */
    bool policy_is_unknown;    /* its record cannot be asked for */
    bool addresses_fail;       /* of hosts without any: nothing is known */
    enum config_tls tls;
    enum config_family family;
    const struct smart *route;
    const char *to;            /* NULL: good.example */
    const char *allowed;       /* a network */
    bool is_paused;            /* the route, for its credentials */
    bool is_exempt;
    enum sts_exempt_level level;
};

struct asked {
    struct timer timer;
    struct resolve *resolve;
    enum record_kind kind;
    char name[256];
};
enum happening { NOTHING, CONNECTED, READABLE, SECURED, ENDED };
struct connection {
    struct channel *channel;
    struct timer timer;
    struct tls_verdict verdict;
    const struct peer *peer;
    enum happening next;
    uint16_t port;
    bool is_secured, is_content;
    char input[1024], heard[65536]; /* from the host; by the host */
    size_t input_length, heard_length;
};
/* What one of the two did or said. */
struct course {
    char tried[256];
    bool goes, is_plain;
    char address[48]; /* where it goes */
};
static struct {
    const struct row *row;
    struct course course;
    size_t handshakes;
    struct fetch *fetch;
    struct timer fetched;
    struct ip_network allowed;
    struct config_listen listen;
    struct config_route route;
} world;

/* ---- names ---- */

static inline size_t find_mx(struct resolve_record *records)
{
    size_t count = 0;
    for (; count < MX_MAX && world.row->mx[count].name != NULL; count++)
        records[count] = (struct resolve_record){.name = slice_of(world.row->mx[count].name), .preference = world.row->mx[count].preference};
    return count;
}

static inline size_t find_addresses(const struct asked *asked, struct resolve_record *records)
{
    size_t count = 0;
    enum ip_family family = asked->kind == RECORD_A ? IP_V4 : IP_V6;
    for (size_t i = 0; i < PEERS_MAX && world.row->peers[i].name != NULL; i++) {
        struct ip ip;
        assert_true(ip_parse(slice_of(world.row->peers[i].address), &ip));
        if (strcmp(world.row->peers[i].name, asked->name) == 0 && ip.family == family)
            records[count++].ip = ip;
    }
    return count;
}

static inline struct resolve_answer find_policy_record(struct resolve_record *record)
{
    struct resolve_answer answer = {.status = RESOLVE_NODATA, .detail = SLICE_EMPTY};
    if (world.row->policy_is_unknown)
        return (struct resolve_answer){.status = RESOLVE_SERVFAIL, .detail = SLICE("SERVFAIL from 127.0.0.1")};
    if (world.row->policy == NULL)
        return answer;
    record->text = SLICE("v=STSv1; id=1;");
    return (struct resolve_answer){.status = RESOLVE_FOUND, .records = record, .count = 1, .detail = SLICE_EMPTY};
}

static inline void on_answer(struct timer *timer)
{
    struct asked *asked = LIST_OF(timer, struct asked, timer);
    struct resolve *resolve = asked->resolve;
    struct resolve_record records[PEERS_MAX] = {0};
    struct resolve_answer answer = {.records = records, .detail = SLICE_EMPTY, .canonical = SLICE_EMPTY};
    resolve->host = NULL;
    if (asked->kind == RECORD_TXT) {
        answer = find_policy_record(records);
    } else if (asked->kind == RECORD_MX) {
        answer.status = world.row->mx_status;
        answer.count = answer.status == RESOLVE_FOUND ? find_mx(records) : 0;
    } else {
        answer.count = find_addresses(asked, records);
        answer.status = answer.count > 0               ? RESOLVE_FOUND
                        : world.row->addresses_fail ? RESOLVE_SERVFAIL
                                                       : RESOLVE_NODATA;
    }
    free(asked);
    resolve->done(resolve, &answer);
}

void resolve_start(struct resolve *resolve, enum record_kind kind, struct slice name,
                   void (*done)(struct resolve *resolve, const struct resolve_answer *answer))
{
    struct asked *asked = calloc(1, sizeof *asked);
    assert_non_null(asked);
    asked->resolve = resolve;
    asked->kind = kind;
    text_print(asked->name, sizeof asked->name, "%.*s", SLICE_ARGS(name));
    resolve->done = done;
    resolve->host = asked;
    timer_start(&asked->timer, 0, on_answer);
}

void resolve_cancel(struct resolve *resolve)
{
    struct asked *asked = resolve->host;
    resolve->host = NULL;
    if (asked != NULL)
        timer_cancel(&asked->timer);
    free(asked);
}

const char *resolve_status_text(enum resolve_status status)
{
    return status == RESOLVE_SERVFAIL ? "SERVFAIL" : "no answer";
}

/* ---- the policy host ---- */

static inline void on_fetched(struct timer *timer)
{
    struct fetch *fetch = world.fetch;
    (void)timer;
    world.fetch = NULL;
    bool fails = world.row->policy[0] == '\0';
    fetch->done(fetch, slice_of(world.row->policy), fails ? SLICE("HTTP status 503") : SLICE_EMPTY);
}

void fetch_start(struct fetch *fetch, struct relay *relay, struct slice host,
                 void (*done)(struct fetch *fetch, struct slice body, struct slice failure))
{
    assert_null(world.fetch);
    assert_true(host.length > 0);
    *fetch = (struct fetch){.relay = relay, .done = done};
    world.fetch = fetch;
    timer_start(&world.fetched, 1, on_fetched);
}

void fetch_connect(struct fetch *fetch)
{
    (void)fetch;
    fail_msg("nothing waits for its turn here");
}

void fetch_cancel(struct fetch *fetch)
{
    assert_ptr_equal(fetch, world.fetch);
    timer_cancel(&world.fetched);
    world.fetch = NULL;
}

/* ---- mail hosts ---- */

static void on_happening(struct timer *timer);

static inline void happens(struct connection *connection, enum happening next)
{
    connection->next = next;
    timer_start(&connection->timer, 1, on_happening);
}

static inline void says(struct connection *connection, const char *text)
{
    size_t length = strlen(text);
    assert_true(connection->input_length + length < sizeof connection->input);
    memcpy(connection->input + connection->input_length, text, length);
    connection->input_length += length;
    happens(connection, READABLE);
}

static inline void greets(struct connection *connection)
{
    if (connection->port == PORT_IMPLICIT && !connection->is_secured)
        return;
    switch (connection->peer->habit) {
    case REFUSES:
        says(connection, "554 5.7.1 we know you\r\n");
        break;
    case BUSY:
        says(connection, "421 4.3.2 later\r\n");
        break;
    case RAMBLES:
        says(connection, "hello\r\n");
        break;
    case CLOSES:
        happens(connection, ENDED);
        break;
    case MUTE:
        break;
    default:
        says(connection, "220 mx ESMTP\r\n");
    }
}

static inline void on_happening(struct timer *timer)
{
    struct connection *connection = LIST_OF(timer, struct connection, timer);
    struct channel *channel = connection->channel;
    enum happening now = connection->next;
    connection->next = NOTHING;
    if (now == CONNECTED && connection->peer->habit == DEAD) {
        channel->connected(channel, ERR_REFUSED);
    } else if (now == CONNECTED) {
        greets(connection);
        channel->connected(channel, ERR_NONE);
    } else if (now == READABLE) {
        channel->readable(channel);
    } else if (now == SECURED) {
        connection->is_secured = connection->verdict.secured;
        if (connection->port == PORT_IMPLICIT && connection->is_secured)
            greets(connection);
        channel->secured(channel, &connection->verdict);
    } else {
        channel->ended(channel, ERR_END);
    }
}

static inline const struct peer *find_peer(const char *address)
{
    for (size_t i = 0; i < PEERS_MAX && world.row->peers[i].name != NULL; i++) {
        if (strcmp(world.row->peers[i].address, address) == 0)
            return &world.row->peers[i];
    }
    fail_msg("%s: nobody is at %s", world.row->name, address);
    return NULL;
}

/* Once more at the same address goes without saying: a handshake made again, or plaintext behind one that failed. */
static inline void note_tried(const char *address)
{
    char *tried = world.course.tried;
    size_t length = strlen(tried), last = strlen(address);
    if (length >= last && strcmp(tried + length - last, address) == 0)
        return;
    text_print(tried + length, sizeof world.course.tried - length, "%s%s", length > 0 ? " " : "", address);
}

enum err channel_connect(struct channel *channel, const struct endpoint *peer, const struct endpoint *source)
{
    char text[48];
    struct connection *connection = calloc(1, sizeof *connection);
    assert_non_null(connection);
    assert_null(source);
    ip_print(&peer->ip, text);
    note_tried(text);
    connection->channel = channel;
    connection->peer = find_peer(text);
    connection->port = peer->port;
    channel->state = (struct channel_state *)connection;
    if (connection->peer->habit != VANISHED)
        happens(connection, CONNECTED);
    return ERR_NONE;
}

static inline struct connection *connection_of(const struct channel *channel)
{
    assert_non_null(channel->state);
    return (struct connection *)channel->state;
}

enum err channel_accept(struct channel *channel, struct listener *listener)
{
    (void)channel;
    (void)listener;
    return ERR_PERMISSION; /* nobody comes in here */
}

static inline void shake_hands(struct connection *connection)
{
    enum habit habit = connection->peer->habit;
    size_t again = habit == TLS_ONCE_MORE ? 1 : habit == TLS_TWICE_MORE ? 2 : 0;
    connection->verdict = (struct tls_verdict){.secured = true, .verified = true, .version = "TLSv1.3"};
    if (habit == UNPROVED)
        connection->verdict.verified = false;
    if (habit == UNPROVED || habit == TLS_FAILS)
        connection->verdict.failure = TLS_FAILURE_NOT_TRUSTED;
    if (habit == TLS_FAILS || ++world.handshakes <= again)
        connection->verdict = (struct tls_verdict){.failure = TLS_FAILURE_NOT_TRUSTED, .retry_at_once = habit != TLS_FAILS};
    if (habit == TLS_MUTE)
        return;
    happens(connection, habit == TLS_CLOSES ? ENDED : SECURED);
}

bool channel_secure(struct channel *channel, struct tls_session **session)
{
    struct connection *connection = connection_of(channel);
    tls_session_free(session);
    if (connection->input_length > 0)
        return false;
    shake_hands(connection);
    return true;
}

void channel_secure_from_start(struct channel *channel, struct tls_session **session)
{
    (void)channel;
    (void)session;
    fail_msg("nobody comes in here");
}

bool channel_is_open(const struct channel *channel)
{
    return channel->state != NULL;
}

bool channel_is_secured(const struct channel *channel)
{
    return channel->state != NULL && connection_of(channel)->is_secured;
}

const struct tls_verdict *channel_verdict(const struct channel *channel)
{
    return channel_is_secured(channel) ? &connection_of(channel)->verdict : NULL;
}

struct slice channel_input(const struct channel *channel)
{
    struct connection *connection = connection_of(channel);
    return slice_make(connection->input, connection->input_length);
}

void channel_consume(struct channel *channel, size_t length)
{
    struct connection *connection = connection_of(channel);
    memmove(connection->input, connection->input + length, connection->input_length - length);
    connection->input_length -= length;
}

void channel_read(struct channel *channel, bool on)
{
    (void)channel;
    (void)on;
}

size_t channel_pending(const struct channel *channel)
{
    (void)channel;
    return 0;
}

struct endpoint channel_peer(const struct channel *channel)
{
    (void)channel;
    return (struct endpoint){0};
}

struct endpoint channel_local(const struct channel *channel)
{
    (void)channel;
    return (struct endpoint){0};
}

struct stream *channel_stream(struct channel *channel)
{
    (void)channel;
    return NULL;
}

void channel_close(struct channel *channel)
{
    if (channel->state == NULL)
        return;
    struct connection *connection = connection_of(channel);
    timer_cancel(&connection->timer);
    free(connection);
    channel->state = NULL;
}

void channel_abort(struct channel *channel)
{
    channel_close(channel);
}

static inline void answer_ehlo(struct connection *connection)
{
    enum habit habit = connection->peer->habit;
    if (habit == EHLO_REFUSED) {
        says(connection, "550 5.7.1 not you\r\n");
        return;
    }
    says(connection, "250-mx\r\n");
    if (habit != PLAIN && !connection->is_secured)
        says(connection, "250-STARTTLS\r\n");
    if (habit == AUTH || habit == AUTH_REFUSED)
        says(connection, "250-AUTH PLAIN\r\n");
    if (habit == AUTH_UNKNOWN)
        says(connection, "250-AUTH XOAUTH2\r\n");
    says(connection, "250 8BITMIME\r\n");
}

static inline void answer(struct connection *connection, struct slice line)
{
    enum habit habit = connection->peer->habit;
    if (slice_starts(line, SLICE("EHLO "))) {
        answer_ehlo(connection);
    } else if (slice_starts(line, SLICE("STARTTLS"))) {
        says(connection, habit == STARTTLS_REFUSED ? "454 4.7.0 not now\r\n" : habit == INJECTS ? "220 go\r\n250 yes\r\n" : "220 go\r\n");
    } else if (slice_starts(line, SLICE("AUTH "))) {
        says(connection, habit == AUTH_REFUSED ? "535 5.7.8 no\r\n" : "235 2.7.0 you are\r\n");
    } else if (slice_starts(line, SLICE("DATA"))) {
        connection->is_content = true;
        says(connection, "354 go on\r\n");
    } else if (!slice_starts(line, SLICE("QUIT"))) {
        says(connection, habit == EHLO_REFUSED ? "550 5.7.1 not you\r\n" : "250 2.0.0 so be it\r\n");
    }
}

static inline void take_mail(struct connection *connection)
{
    connection->is_content = false;
    connection->heard_length = 0;
    world.course.goes = true;
    world.course.is_plain = !connection->is_secured;
    text_print(world.course.address, sizeof world.course.address, "%s", connection->peer->address);
    says(connection, "250 2.0.0 taken\r\n");
}

void channel_write(struct channel *channel, struct slice bytes)
{
    struct connection *connection = connection_of(channel);
    assert_true(connection->heard_length + bytes.length <= sizeof connection->heard);
    memcpy(connection->heard + connection->heard_length, bytes.data, bytes.length);
    connection->heard_length += bytes.length;
    struct slice rest = slice_make(connection->heard, connection->heard_length), line;
    while (!connection->is_content && slice_find_slice(rest, SLICE("\n")) < rest.length && slice_cut(&rest, '\n', &line))
        answer(connection, line);
    if (rest.length > 0)
        memmove(connection->heard, rest.data, rest.length);
    connection->heard_length = rest.length;
    bool is_end = rest.length >= 5 && memcmp(connection->heard + rest.length - 5, "\r\n.\r\n", 5) == 0;
    if (connection->is_content && is_end)
        take_mail(connection);
}

#endif
