#include "test/sim/sim_tls.h"

#include "base/text.h"
#include "test/sim/sim_seen.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define RING_MAX ((size_t)65536)
#define WIRE_MAX ((size_t)131072)
#define RECORD_MAX ((size_t)16384)
#define HEAD_LENGTH 3
#define OVERHEAD (HEAD_LENGTH + 1)
#define MASK 0xc5
#define SERVER_HELLO 'S'
#define NOTE_CLOSE "close"

struct tls_context {
    unsigned references;
    bool serves;
    uint64_t generation;
};
enum side { SIDE_CLIENT, SIDE_SERVER };
struct tls_session {
    struct tls_context *context; /* NULL: of a peer */
    enum side side;
    enum tls_demand demand;
    enum tls_status status;
    struct sim_certificate certificate; /* server: ours */
    char name[256];
    bool said_hello, ended, close_asked, close_said;
    struct buffer incoming, wire, plain, written;
    struct tls_verdict verdict;
};

static struct tls_session *make_session(struct tls_context *context, enum side side);
static void say(struct tls_session *session, unsigned char type, struct slice payload);
static void take_records(struct tls_session *session);
static void take_handshake(struct tls_session *session, struct slice payload);
static void take_alert(struct tls_session *session, struct slice payload);
static void fail(struct tls_session *session, enum tls_failure failure, const char *detail);
static enum tls_failure judge(const struct sim_certificate *certificate, struct slice name);

static_assert(SIM_TLS_CLOSE_SIZE == OVERHEAD + sizeof NOTE_CLOSE - 1, "the record of close_notify");

static bool believes_all;

void sim_tls_believe(bool believes)
{
    believes_all = believes;
}

/* ---- contexts ---- */

enum err tls_start(void)
{
    return ERR_NONE;
}

void tls_stop(void)
{
}

enum err tls_context_new(const struct tls_context_options *options, struct tls_context **context, struct buffer *fault,
                         struct buffer *warnings)
{
    (void)fault;
    (void)warnings;
    *context = calloc(1, sizeof **context);
    if (*context == NULL)
        return ERR_MEMORY;
    (*context)->references = 1;
    (*context)->serves = options->certificate.length > 0;
    (*context)->generation = 1;
    return ERR_NONE;
}

struct tls_context *tls_context_share(struct tls_context *context)
{
    context->references++;
    return context;
}

void tls_context_free(struct tls_context **context)
{
    if (*context != NULL && --(*context)->references == 0)
        free(*context);
    *context = NULL;
}

size_t tls_context_anchor_count(const struct tls_context *context)
{
    (void)context;
    return 1;
}

bool tls_context_serves(const struct tls_context *context)
{
    return context->serves;
}

uint64_t tls_context_generation(const struct tls_context *context)
{
    return context->generation;
}

/* ---- making sessions ---- */

static struct tls_session *make_session(struct tls_context *context, enum side side)
{
    struct tls_session *session = calloc(1, sizeof *session);
    if (session == NULL)
        return NULL;
    session->context = context == NULL ? NULL : tls_context_share(context);
    session->side = side;
    buffer_init(&session->incoming, RING_MAX);
    buffer_init(&session->wire, WIRE_MAX);
    buffer_init(&session->plain, RING_MAX);
    buffer_init(&session->written, RING_MAX);
    return session;
}

struct tls_session *tls_session_client(struct tls_context *context, enum tls_demand demand, struct slice name,
                                       const char *alpn)
{
    assert(demand == TLS_ENCRYPT || name.length > 0);
    assert(alpn == NULL || strcmp(alpn, "http/1.1") == 0);
    struct tls_session *session = make_session(context, SIDE_CLIENT);
    if (session == NULL)
        return NULL;
    session->demand = demand;
    text_print(session->name, sizeof session->name, "%.*s", SLICE_ARGS(name));
    return session;
}

struct tls_session *tls_session_server(struct tls_context *context)
{
    assert(context->serves);
    return make_session(context, SIDE_SERVER);
}

struct tls_session *sim_tls_server(const struct sim_certificate *certificate)
{
    struct tls_session *session = make_session(NULL, SIDE_SERVER);
    if (session != NULL)
        session->certificate = *certificate;
    return session;
}

void tls_session_free(struct tls_session **session)
{
    struct tls_session *left = *session;
    *session = NULL;
    if (left == NULL)
        return;
    buffer_free(&left->incoming);
    buffer_free(&left->wire);
    buffer_free(&left->plain);
    buffer_free(&left->written);
    tls_context_free(&left->context);
    free(left);
}

/* ---- the machine ---- */

size_t tls_session_room(const struct tls_session *session)
{
    return buffer_room(&session->incoming);
}

void tls_session_feed(struct tls_session *session, struct slice ciphertext)
{
    assert(!session->ended);
    assert(ciphertext.length <= tls_session_room(session));
    if (session->status == TLS_HANDSHAKING || session->status == TLS_OPEN)
        buffer_add(&session->incoming, ciphertext);
}

void tls_session_end(struct tls_session *session)
{
    session->ended = true;
}

static void encrypt_written(struct tls_session *session)
{
    while (buffer_length(&session->written) > 0 && buffer_room(&session->wire) >= RECORD_MAX + OVERHEAD) {
        struct slice part = slice_to(buffer_slice(&session->written), RECORD_MAX);
        say(session, SIM_TLS_DATA, part);
        buffer_consume(&session->written, part.length);
    }
    if (buffer_length(&session->written) == 0 && session->close_asked && !session->close_said) {
        session->close_said = true;
        say(session, SIM_TLS_ALERT, SLICE(NOTE_CLOSE));
    }
}

void tls_session_work(struct tls_session *session)
{
    if (session->status == TLS_HANDSHAKING && session->side == SIDE_CLIENT && !session->said_hello) {
        char hello[300];
        session->said_hello = true;
        say(session, SIM_TLS_HANDSHAKE, text_print(hello, sizeof hello, "%c%s", SIM_TLS_HELLO, session->name));
    }
    take_records(session);
    if (session->status == TLS_OPEN || session->status == TLS_CLOSED)
        encrypt_written(session);
    bool lacks_memory = buffer_failed(&session->incoming) || buffer_failed(&session->wire) ||
                        buffer_failed(&session->plain) || buffer_failed(&session->written);
    if (lacks_memory && session->status != TLS_FAILED)
        fail(session, TLS_FAILURE_MEMORY, tls_failure_text(TLS_FAILURE_MEMORY));
}

static void at_end(struct tls_session *session)
{
    if (session->status == TLS_HANDSHAKING)
        fail(session, TLS_FAILURE_ENDED, "the peer closed the connection during the TLS handshake");
    else if (session->status == TLS_OPEN)
        session->status = TLS_TRUNCATED;
}

static void take_records(struct tls_session *session)
{
    struct buffer payload;
    buffer_init(&payload, RECORD_MAX);
    while (session->status == TLS_HANDSHAKING || session->status == TLS_OPEN) {
        struct slice rest = buffer_slice(&session->incoming);
        unsigned char type;
        buffer_clear(&payload);
        if (buffer_room(&session->plain) < RECORD_MAX)
            break; /* consume() makes room */
        if (!sim_tls_open_record(&rest, &type, &payload)) {
            if (session->ended)
                at_end(session);
            break;
        }
        buffer_consume(&session->incoming, buffer_length(&session->incoming) - rest.length);
        if (type == SIM_TLS_HANDSHAKE && session->status == TLS_HANDSHAKING)
            take_handshake(session, buffer_slice(&payload));
        else if (type == SIM_TLS_ALERT)
            take_alert(session, buffer_slice(&payload));
        else if (type == SIM_TLS_DATA && session->status == TLS_OPEN)
            buffer_add(&session->plain, buffer_slice(&payload));
        else
            fail(session, TLS_FAILURE_PROTOCOL, "the peer sent what is no TLS record");
    }
    buffer_free(&payload);
}

struct slice tls_session_wire(const struct tls_session *session)
{
    return buffer_slice(&session->wire);
}

void tls_session_wired(struct tls_session *session, size_t length)
{
    buffer_consume(&session->wire, length);
}

struct slice tls_session_plain(const struct tls_session *session)
{
    return buffer_slice(&session->plain);
}

void tls_session_consume(struct tls_session *session, size_t length)
{
    buffer_consume(&session->plain, length);
}

size_t tls_session_write(struct tls_session *session, struct slice plaintext)
{
    size_t held = buffer_length(&session->written) + buffer_length(&session->wire);
    bool takes = session->status == TLS_OPEN || session->status == TLS_CLOSED;
    if (!takes || session->close_asked || held >= RING_MAX || buffer_failed(&session->written))
        return 0;
    struct slice taken = slice_to(plaintext, RING_MAX - held);
    buffer_add(&session->written, taken);
    return buffer_failed(&session->written) ? 0 : taken.length;
}

void tls_session_close(struct tls_session *session)
{
    session->close_asked = true;
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

/* ---- the handshake ---- */

static void open_session(struct tls_session *session)
{
    session->status = TLS_OPEN;
    session->verdict.secured = true;
    text_print(session->verdict.version, sizeof session->verdict.version, "TLSv1.3");
    text_print(session->verdict.cipher, sizeof session->verdict.cipher, "SIMULATED");
}

/* "S", the facts as letters, then the names, a blank before each. */
static void say_server_hello(struct tls_session *session)
{
    const struct sim_certificate *certificate = &session->certificate;
    struct buffer hello;
    if (certificate->is_foreign)
        sim_saw(SIM_SEEN_FOREIGN_USAGE);
    buffer_init(&hello, RECORD_MAX);
    buffer_print(&hello, "%c%s%s%s%s%s", SERVER_HELLO, certificate->is_expired ? "x" : "",
                 certificate->is_untrusted ? "u" : "", certificate->is_self_signed ? "s" : "",
                 certificate->is_foreign ? "e" : "", certificate->is_old ? "o" : "");
    for (size_t i = 0; i < certificate->name_count; i++)
        buffer_print(&hello, " %s", certificate->names[i]);
    say(session, SIM_TLS_HANDSHAKE, buffer_slice(&hello));
    buffer_free(&hello);
}

static void read_server_hello(struct slice payload, struct sim_certificate *certificate)
{
    struct slice facts, name;
    *certificate = (struct sim_certificate){.name_count = 0};
    payload = slice_from(payload, 1);
    size_t blank = slice_find(payload, ' ');
    facts = slice_to(payload, blank);
    payload = slice_from(payload, blank);
    certificate->is_expired = slice_has(facts, 'x');
    certificate->is_untrusted = slice_has(facts, 'u');
    certificate->is_self_signed = slice_has(facts, 's');
    certificate->is_foreign = slice_has(facts, 'e');
    certificate->is_old = slice_has(facts, 'o');
    while (certificate->name_count < SIM_TLS_NAMES_MAX && slice_word(&payload, &name))
        text_print(certificate->names[certificate->name_count++], SIM_TLS_NAME_MAX, "%.*s", SLICE_ARGS(name));
}

static void take_server_hello(struct tls_session *session, struct slice payload)
{
    struct sim_certificate certificate;
    struct tls_verdict *verdict = &session->verdict;
    read_server_hello(payload, &certificate);
    if (certificate.is_old) {
        fail(session, TLS_FAILURE_VERSION, tls_failure_text(TLS_FAILURE_VERSION));
        return;
    }
    verdict->failure = believes_all ? TLS_FAILURE_NONE : judge(&certificate, slice_of(session->name));
    verdict->verified = verdict->failure == TLS_FAILURE_NONE;
    text_print(verdict->subject, sizeof verdict->subject, "%s", certificate.names[0]);
    if (session->demand == TLS_VERIFY && !verdict->verified) {
        fail(session, verdict->failure, tls_failure_text(verdict->failure));
        return;
    }
    char finished[] = {SIM_TLS_FINISHED};
    say(session, SIM_TLS_HANDSHAKE, slice_make(finished, 1));
    open_session(session);
}

static void take_handshake(struct tls_session *session, struct slice payload)
{
    char kind = payload.length > 0 ? payload.data[0] : '\0';
    if (session->side == SIDE_SERVER && kind == SIM_TLS_HELLO)
        say_server_hello(session);
    else if (session->side == SIDE_SERVER && kind == SIM_TLS_FINISHED)
        open_session(session);
    else if (session->side == SIDE_CLIENT && kind == SERVER_HELLO)
        take_server_hello(session, payload);
    else
        fail(session, TLS_FAILURE_PROTOCOL, "the peer's handshake makes no sense");
}

static void take_alert(struct tls_session *session, struct slice payload)
{
    if (session->status == TLS_OPEN && slice_equal(payload, SLICE(NOTE_CLOSE)))
        session->status = TLS_CLOSED;
    else if (session->status == TLS_HANDSHAKING)
        fail(session, TLS_FAILURE_ALERT, "the peer sent an alert");
    else
        fail(session, TLS_FAILURE_PROTOCOL, "the peer sent an alert");
}

static void fail(struct tls_session *session, enum tls_failure failure, const char *detail)
{
    struct tls_verdict *verdict = &session->verdict;
    bool says_so = failure != TLS_FAILURE_ALERT && failure != TLS_FAILURE_ENDED && failure != TLS_FAILURE_MEMORY;
    if (session->status == TLS_HANDSHAKING)
        verdict->verified = false;
    verdict->failure = failure;
    text_print(verdict->detail, sizeof verdict->detail, "%s", detail);
    session->status = TLS_FAILED;
    buffer_clear(&session->incoming);
    buffer_clear(&session->written);
    if (says_so)
        say(session, SIM_TLS_ALERT, SLICE("failed"));
}

static bool name_matches(struct slice pattern, struct slice name)
{
    if (!slice_starts(pattern, SLICE("*.")))
        return slice_equal_nocase(pattern, name);
    size_t dot = slice_find(name, '.');
    return dot > 0 && dot < name.length && slice_equal_nocase(slice_from(pattern, 1), slice_from(name, dot));
}

static enum tls_failure judge(const struct sim_certificate *certificate, struct slice name)
{
    if (certificate->is_self_signed)
        return TLS_FAILURE_SELF_SIGNED;
    if (certificate->is_untrusted)
        return TLS_FAILURE_NOT_TRUSTED;
    if (certificate->is_foreign)
        return TLS_FAILURE_USAGE;
    if (certificate->is_expired)
        return TLS_FAILURE_EXPIRED;
    if (certificate->name_count == 0)
        return TLS_FAILURE_NO_DNS_NAME;
    for (size_t i = 0; i < certificate->name_count; i++) {
        if (name_matches(slice_of(certificate->names[i]), name))
            return TLS_FAILURE_NONE;
    }
    return TLS_FAILURE_HOST_MISMATCH;
}

bool sim_certificate_proves(const struct sim_certificate *certificate, struct slice name)
{
    return !certificate->is_old && name.length > 0 && judge(certificate, name) == TLS_FAILURE_NONE;
}

/* ---- records ---- */

static unsigned char check_of(struct slice payload)
{
    unsigned char check = 0x5a;
    for (size_t i = 0; i < payload.length; i++)
        check = (unsigned char)((check << 1 | check >> 7) ^ (unsigned char)payload.data[i]);
    return check;
}

static void say(struct tls_session *session, unsigned char type, struct slice payload)
{
    assert(payload.length <= RECORD_MAX);
    char *space = buffer_space(&session->wire, payload.length + OVERHEAD);
    if (space == NULL)
        return;
    space[0] = (char)type;
    space[1] = (char)(payload.length >> 8);
    space[2] = (char)(payload.length & 0xff);
    for (size_t i = 0; i < payload.length; i++)
        space[HEAD_LENGTH + i] = (char)((unsigned char)payload.data[i] ^ MASK);
    space[HEAD_LENGTH + payload.length] = (char)check_of(payload);
    buffer_added(&session->wire, payload.length + OVERHEAD);
}

/* A broken record has the type 0. */
bool sim_tls_open_record(struct slice *bytes, unsigned char *type, struct buffer *out)
{
    if (bytes->length < OVERHEAD)
        return false;
    const unsigned char *head = (const unsigned char *)bytes->data;
    size_t length = (size_t)head[1] << 8 | head[2];
    bool is_record = head[0] >= SIM_TLS_ALERT && head[0] <= SIM_TLS_DATA && length <= RECORD_MAX;
    if (!is_record) {
        *type = 0;
        *bytes = slice_from(*bytes, bytes->length);
        return true;
    }
    if (bytes->length < length + OVERHEAD)
        return false;
    size_t start = buffer_length(out);
    for (size_t i = 0; i < length; i++)
        buffer_add_byte(out, (char)(head[HEAD_LENGTH + i] ^ MASK));
    struct slice payload = slice_from(buffer_slice(out), start);
    bool is_whole = !buffer_failed(out) && check_of(payload) == head[HEAD_LENGTH + length];
    *type = is_whole ? head[0] : 0;
    *bytes = slice_from(*bytes, length + OVERHEAD);
    return true;
}
