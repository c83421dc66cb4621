/* The first lookup of a domain's policy, in which each allocation fails in turn, and from each on all fail: the result is right, or it
 * says that memory ran out, so that mail waits. It never is that the domain has no policy to be had, for then mail goes as without one.
 * Finder, fetch, channel and the machines of sts/ are real; the network, TLS, DNS and the disk are the test's, and need no memory. */
#include "test/unit/check.h"
#include "test/unit/turn.h"

#include "relay/config.h"
#include "relay/finder.h"
#include "relay/journal.h"
#include "relay/policy_waits.h"
#include "relay/relay.h"
#include "tls/session.h"

#define RESPONSE                                                                                                       \
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\nServer: x\r\n\r\n"                   \
    "1e\r\nversion: STSv1\nmode: enforce\nm\r\n30\r\nx: mx.a.example\nmx: *.b.example\nmax_age: 604800\n\r\n0\r\n\r\n"

/* ---- memory ---- */

static struct {
    bool is_counting;
    size_t count, failing_from, failing_to;
} scarce;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);

static bool fails(void)
{
    if (!scarce.is_counting)
        return false;
    scarce.count++;
    return scarce.count >= scarce.failing_from && scarce.count < scarce.failing_to;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *block, size_t size)
{
    return fails() ? NULL : __real_realloc(block, size);
}

/* The world's own memory is not scarce. */
void __real_timer_start(struct timer *timer, int64_t delay_ms, void (*done)(struct timer *timer));
void __wrap_timer_start(struct timer *timer, int64_t delay_ms, void (*done)(struct timer *timer));
void __real_job_start(struct job *job, void (*work)(struct job *job), void (*done)(struct job *job));
void __wrap_job_start(struct job *job, void (*work)(struct job *job), void (*done)(struct job *job));

void __wrap_timer_start(struct timer *timer, int64_t delay_ms, void (*done)(struct timer *timer))
{
    bool was_counting = scarce.is_counting;
    scarce.is_counting = false;
    __real_timer_start(timer, delay_ms, done);
    scarce.is_counting = was_counting;
}

void __wrap_job_start(struct job *job, void (*work)(struct job *job), void (*done)(struct job *job))
{
    bool was_counting = scarce.is_counting;
    scarce.is_counting = false;
    __real_job_start(job, work, done);
    scarce.is_counting = was_counting;
}

/* ---- the world ---- */

/* What goes wrong without any lack of our memory's blocks: where our own means ran out, and where not. */
enum own_trouble {
    TROUBLED_NOT,
    CONNECT_MEMORY,
    CONNECT_DESCRIPTORS,
    CONNECT_REFUSED,
    SESSION_MEMORY,
    HANDSHAKE_MEMORY,
    HANDSHAKE_EXPIRED,
    RECORD_MEMORY,
    PEER_GONE,
};
static struct {
    struct relay relay;
    struct config config;
    struct log log;
    enum own_trouble trouble;
    struct finder_request request;
    size_t answered;
    struct sts_lookup_result result;
    struct stream *stream;
    struct resolve *resolves[3];
    enum record_kind kinds[3];
    size_t resolve_count;
    struct journal_write *write;
    struct timer dns, network, disk;
    struct tls_session *session;
    bool is_sent; /* the response */
} world;

static void on_dns(struct timer *timer)
{
    (void)timer;
    while (world.resolve_count > 0) {
        struct resolve *resolve = world.resolves[--world.resolve_count];
        bool is_txt = world.kinds[world.resolve_count] == RECORD_TXT;
        struct resolve_record record = {.text = SLICE("v=STSv1; id=1;")};
        if (!is_txt)
            record.ip = ip_v4((const uint8_t[4]){20, 1, 1, 1});
        struct resolve_answer answer = {.status = RESOLVE_FOUND, .records = &record, .count = 1, .detail = SLICE_EMPTY};
        resolve->host = NULL;
        resolve->done(resolve, &answer);
    }
}

void resolve_start(struct resolve *resolve, enum record_kind kind, struct slice name,
                   void (*done)(struct resolve *resolve, const struct resolve_answer *answer))
{
    (void)name;
    resolve->done = done;
    resolve->host = resolve;
    world.kinds[world.resolve_count] = kind;
    world.resolves[world.resolve_count++] = resolve;
    timer_start(&world.dns, 0, on_dns);
}

void resolve_cancel(struct resolve *resolve)
{
    for (size_t i = 0; resolve->host != NULL && i < world.resolve_count; i++) {
        if (world.resolves[i] == resolve)
            world.resolves[i] = world.resolves[--world.resolve_count];
    }
    resolve->host = NULL;
}

const char *resolve_status_text(enum resolve_status status)
{
    return status == RESOLVE_FOUND ? "found" : "failed";
}

bool resolve_is_temporary(enum resolve_status status)
{
    return status != RESOLVE_FOUND;
}

/* Answers the connection, then the hello and the request. */
static void on_network(struct timer *timer)
{
    (void)timer;
    struct stream *stream = world.stream;
    enum err err = world.trouble == CONNECT_MEMORY        ? ERR_MEMORY
                   : world.trouble == CONNECT_DESCRIPTORS ? ERR_LIMIT
                   : world.trouble == CONNECT_REFUSED     ? ERR_REFUSED
                                                          : ERR_NONE;
    if (world.session == NULL)
        stream->connected(stream, err);
    else if (world.trouble == PEER_GONE)
        stream->ended(stream, ERR_RESET);
    else
        stream->received(stream, slice_of(RESPONSE));
}

void stream_connect(struct stream *stream, const struct endpoint *peer, const struct endpoint *source)
{
    (void)peer;
    (void)source;
    stream->host = stream;
    world.stream = stream;
    timer_start(&world.network, 1, on_network);
}

void stream_read(struct stream *stream, bool on)
{
    (void)stream;
    (void)on;
}

void stream_write(struct stream *stream, struct slice bytes)
{
    (void)stream;
    if (!world.is_sent && slice_starts(bytes, SLICE("GET ")))
        timer_start(&world.network, 1, on_network);
    world.is_sent = world.is_sent || slice_starts(bytes, SLICE("GET "));
}

size_t stream_pending(const struct stream *stream)
{
    (void)stream;
    return 0;
}

void stream_acknowledge(struct stream *stream)
{
    (void)stream;
}

void stream_close(struct stream *stream)
{
    stream->host = NULL;
    timer_cancel(&world.network);
}

void stream_abort(struct stream *stream)
{
    stream_close(stream);
}

enum err stream_accept(struct listener *listener, struct stream *stream)
{
    (void)listener;
    (void)stream;
    return ERR_CANCELLED;
}

struct endpoint stream_peer(const struct stream *stream)
{
    (void)stream;
    return (struct endpoint){0};
}

struct endpoint stream_local(const struct stream *stream)
{
    return stream_peer(stream);
}

/* TLS that shows its bytes as they are. */
struct tls_session {
    enum tls_status status;
    struct tls_verdict verdict;
    char plain[1024], wire[1024];
    size_t plain_length, wire_length;
    bool is_ended;
};
static struct tls_session the_session;

struct tls_session *tls_session_client(struct tls_context *context, enum tls_demand demand, struct slice name, const char *alpn)
{
    (void)context;
    (void)name;
    (void)alpn;
    assert_int_equal(demand, TLS_VERIFY);
    the_session = (struct tls_session){.status = TLS_HANDSHAKING};
    world.session = world.trouble == SESSION_MEMORY ? NULL : &the_session;
    return world.session;
}

void tls_session_free(struct tls_session **session)
{
    *session = NULL;
}

size_t tls_session_room(const struct tls_session *session)
{
    return sizeof session->plain - session->plain_length;
}

void tls_session_feed(struct tls_session *session, struct slice ciphertext)
{
    memcpy(session->plain + session->plain_length, ciphertext.data, ciphertext.length);
    session->plain_length += ciphertext.length;
    if (world.trouble == RECORD_MEMORY && ciphertext.length > 0) {
        session->plain_length = 0;
        session->status = TLS_FAILED;
        session->verdict.failure = TLS_FAILURE_MEMORY;
    }
}

void tls_session_end(struct tls_session *session)
{
    if (session->status == TLS_OPEN)
        session->status = TLS_TRUNCATED;
}

void tls_session_work(struct tls_session *session)
{
    if (session->status != TLS_HANDSHAKING)
        return;
    session->verdict.failure = world.trouble == HANDSHAKE_MEMORY    ? TLS_FAILURE_MEMORY
                               : world.trouble == HANDSHAKE_EXPIRED ? TLS_FAILURE_EXPIRED
                                                                    : TLS_FAILURE_NONE;
    session->verdict.secured = session->verdict.verified = session->verdict.failure == TLS_FAILURE_NONE;
    session->status = session->verdict.verified ? TLS_OPEN : TLS_FAILED;
}

struct slice tls_session_wire(const struct tls_session *session)
{
    return slice_make(session->wire, session->wire_length);
}

void tls_session_wired(struct tls_session *session, size_t length)
{
    session->wire_length -= length;
}

struct slice tls_session_plain(const struct tls_session *session)
{
    return slice_make(session->plain, session->plain_length);
}

void tls_session_consume(struct tls_session *session, size_t length)
{
    assert_int_equal(length, session->plain_length);
    session->plain_length = 0;
}

size_t tls_session_write(struct tls_session *session, struct slice plaintext)
{
    if (session->status != TLS_OPEN)
        return 0;
    assert_true(session->wire_length + plaintext.length <= sizeof session->wire);
    if (plaintext.length > 0)
        memcpy(session->wire + session->wire_length, plaintext.data, plaintext.length);
    session->wire_length += plaintext.length;
    return plaintext.length;
}

void tls_session_close(struct tls_session *session)
{
    session->status = TLS_CLOSED;
}

enum tls_status tls_session_status(const struct tls_session *session)
{
    return session->status;
}

const struct tls_verdict *tls_session_verdict(const struct tls_session *session)
{
    return &session->verdict;
}

bool tls_session_is_costly(const struct tls_session *session)
{
    return session->status == TLS_HANDSHAKING;
}

/* The disk knows nothing, and takes what is written. */
static void on_disk(struct timer *timer)
{
    (void)timer;
    world.write->done(world.write, ERR_NONE);
}

void journal_submit(struct journal *journal, struct journal_write *write)
{
    (void)journal;
    world.write = write;
    timer_start(&world.disk, 0, on_disk);
}

enum err queue_policy_get(struct queue *queue, struct slice domain, struct arena *arena, struct slice *bytes)
{
    (void)queue;
    (void)domain;
    (void)arena;
    (void)bytes;
    return ERR_NOT_FOUND;
}

enum err queue_list_policies(struct queue *queue, struct buffer *after, size_t limit,
                             bool (*visit)(void *owner, struct slice domain, struct slice bytes), void *owner)
{
    (void)queue;
    (void)after;
    (void)limit;
    (void)visit;
    (void)owner;
    return ERR_END;
}

enum err queue_list(struct queue *queue, struct queue_listing *listing)
{
    (void)queue;
    (void)listing;
    return ERR_END;
}

void policy_waits_learned(struct relay *relay, struct slice domain, const struct sts_entry *before,
                          const struct sts_lookup_result *result)
{
    (void)relay;
    (void)domain;
    (void)before;
    (void)result;
}

void relay_part_ended(struct relay *relay)
{
    (void)relay;
}

static void no_line(struct log *log, struct slice line)
{
    (void)log;
    (void)line;
}

/* ---- a lookup ---- */

static void on_found(struct finder_request *request, const struct finding *finding)
{
    (void)request;
    world.answered++;
    world.result = finding->result;
    if (finding->result.has_policy)
        check_number("patterns", finding->result.entry.policy.mx_count, 2);
}

static void look(enum own_trouble trouble, size_t from, size_t to)
{
    turn_start();
    memset(&world, 0, sizeof world);
    world.trouble = trouble;
    world.log = (struct log){.level = LOG_INFO, .write = no_line};
    world.config = (struct config){.sts_enabled = true, .sts_cache_max = 64u << 20, .https_port = 443, .family = CONFIG_IPV4};
    world.relay.log = &world.log;
    world.relay.config = &world.config;
    struct steady_reading clocks;
    steady_read(&clocks);
    steady_open(&world.relay.steady, NULL, &clocks);
    world.relay.finder = finder_new(&world.relay);
    assert_non_null(world.relay.finder);
    world.request.done = on_found;
    scarce.count = 0;
    scarce.failing_from = from;
    scarce.failing_to = to;
    scarce.is_counting = true;
    finder_start(world.relay.finder, &world.request, SLICE("a.example"), STS_LOOKUP_DELIVERY);
    turn_for(50000);
    scarce.is_counting = false;
    check_number("answered", world.answered, 1);
    finder_stop(world.relay.finder);
    turn_settle();
    finder_free(&world.relay.finder);
    check_number("nothing is left", turn_running(), 0);
}

static void test_each_allocation(void **state)
{
    (void)state;
    look(TROUBLED_NOT, 0, 0);
    check_number("when all goes well", world.result.source, STS_SOURCE_FRESH);
    size_t total = scarce.count;
    check_true("it needs memory", total > 10);
    size_t starved = 0;
    for (size_t i = 1; i <= total; i++) {
        for (int all = 0; all <= 1; all++) {
            char name[64];
            snprintf(name, sizeof name, "allocation %zu%s", i, all ? " and all behind it" : "");
            look(TROUBLED_NOT, i, all ? SIZE_MAX : i + 1);
            check_true(name, world.result.source == STS_SOURCE_FRESH || world.result.source == STS_SOURCE_UNREADABLE);
            check_true(name, world.result.has_policy == (world.result.source == STS_SOURCE_FRESH));
            starved += world.result.source == STS_SOURCE_UNREADABLE;
        }
    }
    check_true("most need their memory", starved > total);
}

static const struct {
    const char *name;
    enum own_trouble trouble;
    enum sts_source source;
} troubles[] = {
    {"no memory to connect", CONNECT_MEMORY, STS_SOURCE_UNREADABLE},
    {"no descriptor to connect", CONNECT_DESCRIPTORS, STS_SOURCE_UNREADABLE},
    {"it refuses", CONNECT_REFUSED, STS_SOURCE_UNAVAILABLE},
    {"no memory for a session", SESSION_MEMORY, STS_SOURCE_UNREADABLE},
    {"no memory during the handshake", HANDSHAKE_MEMORY, STS_SOURCE_UNREADABLE},
    {"its certificate has expired", HANDSHAKE_EXPIRED, STS_SOURCE_UNAVAILABLE},
    {"no memory for a record of TLS", RECORD_MEMORY, STS_SOURCE_UNREADABLE},
    {"it hangs up", PEER_GONE, STS_SOURCE_UNAVAILABLE},
};

/* Our own trouble holds mail; the policy host's lets it go (RFC 8461 3.3). */
static void test_whose_trouble(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(troubles); i++) {
        look(troubles[i].trouble, 0, 0);
        check_number(troubles[i].name, world.result.source, troubles[i].source);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_allocation),
        cmocka_unit_test(test_whose_trouble),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
