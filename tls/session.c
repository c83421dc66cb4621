#include "tls/session.h"

#include "base/text.h"
#include "tls/alert.h"
#include "tls/certificate.h"
#include "tls/code.h"
#include "tls/config.h"
#include "tls/hosts.h"
#include "tls/path.h"
#include "tls/verify.h"

#include <assert.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#include <stdlib.h>
#include <string.h>

#define RING_LIMIT ((size_t)65536)  /* ciphertext in, plaintext in, and what was written and is not yet wired */
#define WIRE_LIMIT ((size_t)131072) /* RING_LIMIT with the overhead of its records, and any handshake flight */
#define READ_LENGTH ((size_t)16384) /* one record's plaintext at most (RFC 8446 5.1) */
#define RECORD_LENGTH_MAX (READ_LENGTH + 2048 + 5) /* its ciphertext with the header (RFC 5246 6.2.3) */
#define WRITTEN_CAPACITY ((size_t)4096) /* at first, so that no small secret is left behind where the ring grows */
#define NAME_CAPACITY 256

enum closing { CLOSING_NO, CLOSING_ASKED, CLOSING_SAID };

struct tls_session {
    struct tls_context *context;
    mbedtls_ssl_context ssl; /* freed already when the status is FAILED or TRUNCATED */
    enum tls_demand demand;
    enum tls_version maximum;
    enum tls_status status;
    enum closing closing;
    bool is_client;
    bool ended;                   /* the peer's stream */
    struct buffer incoming, wire; /* ciphertext */
    struct buffer plain, written; /* plaintext */
    struct tls_evidence evidence;
    struct tls_verdict verdict;
    char name[NAME_CAPACITY]; /* of the host, lower case; empty: nothing can be proved */
};

static struct tls_session *make_session(struct tls_context *context);
static bool set_up(struct tls_session *session, const mbedtls_ssl_config *config);
static void take_name(struct tls_session *session, struct slice name);
static void refuse_hopeless(struct tls_session *session);
static bool set_up_client(struct tls_session *session, enum tls_protocol protocol);
static void shake_hands(struct tls_session *session);
static void open_session(struct tls_session *session);
static void judge_peer(struct tls_session *session);
static void send_written(struct tls_session *session);
static void send_close(struct tls_session *session);
static void receive(struct tls_session *session);
static int read_record(struct tls_session *session);
static void finish_reading(struct tls_session *session, int code);
static void fail_by_code(struct tls_session *session, int code);
static bool is_too_large(const struct tls_session *session);
static bool is_about_certificate(const struct tls_session *session, int code);
static bool is_refused_pss(const struct tls_session *session, int code);
static void fail_by_certificate(struct tls_session *session, int code);
static void fail_by_alert(struct tls_session *session);
static void fail(struct tls_session *session, enum tls_failure failure, struct slice detail);
static void retire(struct tls_session *session, enum tls_status status);
static int take_ciphertext(void *context, unsigned char *out, size_t length);
static int put_ciphertext(void *context, const unsigned char *bytes, size_t length);
static void release(struct buffer *ring);

struct tls_session *tls_session_client(struct tls_context *context, enum tls_demand demand, struct slice name,
                                       const char *alpn)
{
    assert(demand == TLS_ENCRYPT || name.length > 0);
    assert(alpn == NULL || strcmp(alpn, "http/1.1") == 0);
    struct tls_session *session = make_session(context);
    if (session == NULL) {
        return NULL;
    }
    session->is_client = true;
    session->demand = demand;
    take_name(session, name);
    if (!set_up_client(session, alpn == NULL ? TLS_PROTOCOL_SMTP : TLS_PROTOCOL_HTTP)) {
        tls_session_free(&session);
        return NULL;
    }
    refuse_hopeless(session);
    return session;
}

struct tls_session *tls_session_server(struct tls_context *context)
{
    assert(tls_context_serves(context));
    struct tls_session *session = make_session(context);
    if (session != NULL && !set_up(session, tls_context_server_config(context))) {
        tls_session_free(&session);
    }
    return session;
}

void tls_session_free(struct tls_session **session)
{
    struct tls_session *left = *session;
    *session = NULL;
    if (left == NULL) {
        return;
    }
    mbedtls_ssl_free(&left->ssl);
    release(&left->incoming);
    release(&left->wire);
    release(&left->plain);
    release(&left->written);
    tls_context_free(&left->context);
    free(left);
}

size_t tls_session_room(const struct tls_session *session)
{
    return buffer_room(&session->incoming);
}

void tls_session_feed(struct tls_session *session, struct slice ciphertext)
{
    assert(!session->ended);
    assert(ciphertext.length <= tls_session_room(session));
    if (session->status == TLS_HANDSHAKING || session->status == TLS_OPEN) {
        buffer_add(&session->incoming, ciphertext);
    }
}

void tls_session_end(struct tls_session *session)
{
    session->ended = true;
}

void tls_session_work(struct tls_session *session)
{
    if (session->status == TLS_HANDSHAKING) {
        shake_hands(session);
    }
    if (session->status == TLS_OPEN) {
        receive(session);
    }
    if (session->status == TLS_OPEN || session->status == TLS_CLOSED) {
        send_written(session);
    }
    if (buffer_length(&session->incoming) == 0 && !buffer_failed(&session->incoming)) {
        release(&session->incoming);
    }
}

struct slice tls_session_wire(const struct tls_session *session)
{
    return buffer_slice(&session->wire);
}

void tls_session_wired(struct tls_session *session, size_t length)
{
    buffer_consume(&session->wire, length);
    if (buffer_length(&session->wire) == 0) {
        release(&session->wire);
    }
}

struct slice tls_session_plain(const struct tls_session *session)
{
    return buffer_slice(&session->plain);
}

void tls_session_consume(struct tls_session *session, size_t length)
{
    buffer_consume(&session->plain, length);
    if (buffer_length(&session->plain) == 0) {
        release(&session->plain);
    }
}

size_t tls_session_write(struct tls_session *session, struct slice plaintext)
{
    size_t held = buffer_length(&session->written) + buffer_length(&session->wire);
    bool takes = session->status == TLS_OPEN || session->status == TLS_CLOSED;
    if (!takes || session->closing != CLOSING_NO || held >= RING_LIMIT || buffer_failed(&session->written)) {
        return 0;
    }
    struct slice taken = slice_to(plaintext, RING_LIMIT - held);
    if (session->written.data == NULL) {
        (void)buffer_space(&session->written, WRITTEN_CAPACITY);
    }
    buffer_add(&session->written, taken);
    return buffer_failed(&session->written) ? 0 : taken.length;
}

void tls_session_close(struct tls_session *session)
{
    if (session->closing == CLOSING_NO) {
        session->closing = CLOSING_ASKED;
    }
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

static struct tls_session *make_session(struct tls_context *context)
{
    struct tls_session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        return NULL;
    }
    session->context = tls_context_share(context);
    buffer_init(&session->incoming, RING_LIMIT);
    buffer_init(&session->wire, WIRE_LIMIT);
    buffer_init(&session->plain, RING_LIMIT);
    buffer_init(&session->written, RING_LIMIT);
    mbedtls_ssl_init(&session->ssl);
    return session;
}

static bool set_up(struct tls_session *session, const mbedtls_ssl_config *config)
{
    mbedtls_ssl_set_bio(&session->ssl, session, put_ciphertext, take_ciphertext, NULL);
    return mbedtls_ssl_setup(&session->ssl, config) == 0;
}

/* A name that no certificate can prove (an address, what is no host name) is neither looked for nor sent as SNI
 * (RFC 6066 3). */
static void take_name(struct tls_session *session, struct slice name)
{
    if (slice_ends(name, SLICE("."))) {
        name = slice_to(name, name.length - 1);
    }
    for (size_t i = 0; tls_name_is_host(name) && i < name.length; i++) {
        session->name[i] = byte_lower(name.data[i]);
    }
    session->evidence.host = slice_of(session->name);
    session->evidence.anchor_count = tls_context_anchor_count(session->context);
}

/* What cannot be verified whatever the peer sends is not tried. */
static void refuse_hopeless(struct tls_session *session)
{
    if (session->demand != TLS_VERIFY) {
        return;
    }
    if (session->name[0] == '\0') {
        fail(session, TLS_FAILURE_HOST_MISMATCH, SLICE("the peer has no host name that a certificate could prove"));
    } else if (session->evidence.anchor_count == 0) {
        fail(session, TLS_FAILURE_NO_ANCHORS, slice_of(tls_failure_text(TLS_FAILURE_NO_ANCHORS)));
    }
}

/* The library is given the name too: without one it refuses to verify, and it sends it as SNI. It must be told NULL
 * where there is none: then it compares none, and our own check says that nothing is proved. */
static bool set_up_client(struct tls_session *session, enum tls_protocol protocol)
{
    struct tls_client_kind kind = {.demand = session->demand, .protocol = protocol, .maximum = TLS_1_3};
    if (session->name[0] != '\0' && tls_hosts_has(tls_context_pss_hosts(session->context), session->evidence.host)) {
        kind.maximum = TLS_1_2;
    }
    session->maximum = kind.maximum;
    tls_path_judge(&session->ssl, &session->evidence);
    return set_up(session, tls_context_client_config(session->context, &kind)) &&
           mbedtls_ssl_set_hostname(&session->ssl, session->name[0] == '\0' ? NULL : session->name) == 0;
}

static void shake_hands(struct tls_session *session)
{
    if (buffer_failed(&session->incoming)) {
        fail(session, TLS_FAILURE_MEMORY, slice_of(tls_failure_text(TLS_FAILURE_MEMORY)));
        return;
    }
    int code;
    do {
        code = mbedtls_ssl_handshake(&session->ssl);
    } while (code == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET);
    if (code == 0) {
        open_session(session);
    } else if (!tls_code_is_wait(code)) {
        fail_by_code(session, code);
    }
}

static void open_session(struct tls_session *session)
{
    struct tls_verdict *verdict = &session->verdict;
    if (session->is_client) {
        judge_peer(session);
    }
    /* The library has refused the handshake already; this is for the day when it does not. */
    if (session->demand == TLS_VERIFY && !verdict->verified) {
        (void)mbedtls_ssl_send_alert_message(&session->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL,
                                             MBEDTLS_SSL_ALERT_MSG_BAD_CERT);
        fail(session, verdict->failure, slice_of(verdict->detail));
        return;
    }
    verdict->secured = true;
    text_print(verdict->version, sizeof verdict->version, "%s", mbedtls_ssl_get_version(&session->ssl));
    text_print(verdict->cipher, sizeof verdict->cipher, "%s", mbedtls_ssl_get_ciphersuite(&session->ssl));
    session->status = TLS_OPEN;
}

/* The library's result alone is not enough: it is 0 too where nobody looked at the name. The certificate is asked
 * again, the one that the session has, not what the callback saw. */
static void judge_peer(struct tls_session *session)
{
    struct tls_verdict *verdict = &session->verdict;
    const mbedtls_x509_crt *leaf = mbedtls_ssl_get_peer_cert(&session->ssl);
    uint32_t flags = mbedtls_ssl_get_verify_result(&session->ssl);
    if (tls_certificate_names(leaf, session->evidence.host) != TLS_NAME_PROVED) {
        flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
    }
    tls_evidence_judge(&session->evidence, flags, verdict);
    verdict->verified = flags == 0 && session->evidence.name == TLS_NAME_PROVED;
    assert(verdict->verified == (verdict->failure == TLS_FAILURE_NONE));
}

static void receive(struct tls_session *session)
{
    bool has_something = buffer_length(&session->incoming) > 0 || buffer_failed(&session->incoming) || session->ended ||
                         mbedtls_ssl_check_pending(&session->ssl) != 0;
    int code = has_something ? 1 : MBEDTLS_ERR_SSL_WANT_READ;
    while (code > 0 && buffer_room(&session->plain) > 0) {
        code = read_record(session);
    }
    if (code <= 0) {
        finish_reading(session, code);
    }
}

/* What mbedtls_ssl_read() said: a length, 0 at the end of the stream, or an error. */
static int read_record(struct tls_session *session)
{
    size_t room = buffer_room(&session->plain);
    char *space = buffer_space(&session->plain, room < READ_LENGTH ? room : READ_LENGTH);
    if (space == NULL || buffer_failed(&session->incoming)) {
        return MBEDTLS_ERR_SSL_ALLOC_FAILED;
    }
    size_t before;
    int code;
    do {
        before = buffer_length(&session->incoming);
        code = mbedtls_ssl_read(&session->ssl, (unsigned char *)space, room < READ_LENGTH ? room : READ_LENGTH);
        /* A ticket or a warning alert was all that the record had. */
    } while (code == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET ||
             (code == MBEDTLS_ERR_SSL_WANT_READ && before > buffer_length(&session->incoming) &&
              buffer_length(&session->incoming) > 0));
    if (code > 0) {
        buffer_added(&session->plain, (size_t)code);
    }
    return code;
}

static void finish_reading(struct tls_session *session, int code)
{
    if (buffer_length(&session->plain) == 0 && !buffer_failed(&session->plain)) {
        release(&session->plain);
    }
    if (code == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
        session->status = TLS_CLOSED;
        buffer_clear(&session->incoming); /* what follows a close_notify is ignored (RFC 8446 6.1) */
    } else if (code == 0 || code == MBEDTLS_ERR_SSL_CONN_EOF) {
        retire(session, TLS_TRUNCATED);
    } else if (!tls_code_is_wait(code)) {
        fail_by_code(session, code);
    }
}

static void send_written(struct tls_session *session)
{
    if (buffer_failed(&session->written)) {
        fail(session, TLS_FAILURE_MEMORY, slice_of(tls_failure_text(TLS_FAILURE_MEMORY)));
        return;
    }
    /* With room for a whole record the library never has to be called again with the same bytes. */
    while (buffer_length(&session->written) > 0 && buffer_room(&session->wire) >= RECORD_LENGTH_MAX) {
        struct slice bytes = buffer_slice(&session->written);
        int code = mbedtls_ssl_write(&session->ssl, (const unsigned char *)bytes.data, bytes.length);
        if (code < 0 && code != MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) {
            fail_by_code(session, code);
            return;
        }
        buffer_consume(&session->written, code > 0 ? (size_t)code : 0);
    }
    if (buffer_length(&session->written) == 0) {
        release(&session->written);
        send_close(session);
    }
}

static void send_close(struct tls_session *session)
{
    if (session->closing != CLOSING_ASKED || buffer_room(&session->wire) < RECORD_LENGTH_MAX) {
        return;
    }
    session->closing = CLOSING_SAID;
    int code = mbedtls_ssl_close_notify(&session->ssl);
    if (code < 0) {
        fail_by_code(session, code);
    }
}

static void fail_by_code(struct tls_session *session, int code)
{
    char reason[160];
    tls_code_reason(code, reason, sizeof reason);
    if (tls_code_is_memory(code)) {
        fail(session, TLS_FAILURE_MEMORY, slice_of(tls_failure_text(TLS_FAILURE_MEMORY)));
    } else if (code == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE) {
        fail_by_alert(session);
    } else if (code == MBEDTLS_ERR_SSL_CONN_EOF || code == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
        fail(session, TLS_FAILURE_ENDED, SLICE("the peer closed the connection during the TLS handshake"));
    } else if (code == MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION) {
        fail(session, TLS_FAILURE_VERSION, slice_of(tls_failure_text(TLS_FAILURE_VERSION)));
    } else if (is_too_large(session)) {
        fail(session, TLS_FAILURE_TOO_LARGE, slice_of(tls_failure_text(TLS_FAILURE_TOO_LARGE)));
    } else if (session->status == TLS_HANDSHAKING && is_about_certificate(session, code)) {
        fail_by_certificate(session, code);
    } else if (is_refused_pss(session, code)) {
        tls_hosts_add(tls_context_pss_hosts(session->context), session->evidence.host);
        session->verdict.retry_at_once = true;
        fail(session, TLS_FAILURE_PROTOCOL,
             SLICE("the peer signs with RSA-PSS in TLS 1.2, which mbedTLS 3.6.6 refuses; "
                   "the next connection asks for another signature"));
    } else {
        fail(session, TLS_FAILURE_PROTOCOL, slice_of(reason));
    }
}

/* The library's input buffer holds one message of that length; for a longer one it has several errors. In TLS 1.3 it
 * still looks for a request when the certificates come. */
static bool is_too_large(const struct tls_session *session)
{
    int state = session->ssl.MBEDTLS_PRIVATE(state);
    return session->status == TLS_HANDSHAKING && session->is_client &&
           (state == MBEDTLS_SSL_SERVER_CERTIFICATE || state == MBEDTLS_SSL_CERTIFICATE_REQUEST) &&
           session->ssl.MBEDTLS_PRIVATE(in_hslen) > MBEDTLS_SSL_IN_CONTENT_LEN;
}

static bool is_about_certificate(const struct tls_session *session, int code)
{
    return code == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED || tls_code_is_unreadable(code) ||
           (code == MBEDTLS_ERR_SSL_BAD_CERTIFICATE && session->evidence.name != TLS_NAME_UNSEEN);
}

/* See tls_context_pss_hosts(). The code has other causes too: then the next session fails again, without a retry. */
static bool is_refused_pss(const struct tls_session *session, int code)
{
    return code == MBEDTLS_ERR_SSL_ILLEGAL_PARAMETER && session->is_client && session->status == TLS_HANDSHAKING &&
           session->maximum == TLS_1_3 && session->name[0] != '\0' &&
           mbedtls_ssl_get_version_number(&session->ssl) == MBEDTLS_SSL_VERSION_TLS1_2;
}

static void fail_by_certificate(struct tls_session *session, int code)
{
    char reason[160];
    struct tls_verdict *verdict = &session->verdict;
    uint32_t flags = mbedtls_ssl_get_verify_result(&session->ssl);
    if (tls_code_is_unreadable(code)) {
        tls_code_reason(code, reason, sizeof reason);
        fail(session, TLS_FAILURE_UNSUPPORTED_CERTIFICATE, slice_of(reason));
        return;
    }
    tls_evidence_judge(&session->evidence, flags, verdict);
    fail(session, verdict->failure, slice_of(verdict->detail));
}

static void fail_by_alert(struct tls_session *session)
{
    /* The library tells the number nowhere else. */
    const unsigned char *alert = session->ssl.MBEDTLS_PRIVATE(in_msg);
    unsigned char number = alert[1];
    char detail[96];
    struct slice text =
        text_print(detail, sizeof detail, "the peer sent the alert %s (%u)", tls_alert_name(number), (unsigned)number);
    fail(session, number == MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION ? TLS_FAILURE_VERSION : TLS_FAILURE_ALERT, text);
}

static void fail(struct tls_session *session, enum tls_failure failure, struct slice detail)
{
    struct tls_verdict *verdict = &session->verdict;
    if (session->status == TLS_HANDSHAKING) {
        verdict->verified = false;
    }
    verdict->failure = failure;
    struct buffer text; /* detail may be the verdict's own */
    buffer_init(&text, sizeof verdict->detail);
    text_clean(&text, detail, sizeof verdict->detail - 1);
    text_print(verdict->detail, sizeof verdict->detail, "%.*s", SLICE_ARGS(buffer_slice(&text)));
    buffer_free(&text);
    retire(session, TLS_FAILED);
}

/* The library's context must not be used after an error; its 33 KB need not wait for the session's end. */
static void retire(struct tls_session *session, enum tls_status status)
{
    session->status = status;
    mbedtls_ssl_free(&session->ssl);
    release(&session->incoming);
    release(&session->written);
}

/* The library's way in: bytes, 0 at the end of the stream, or "wait". */
static int take_ciphertext(void *context, unsigned char *out, size_t length)
{
    struct tls_session *session = context;
    struct slice bytes = slice_to(buffer_slice(&session->incoming), length);
    if (bytes.length == 0) {
        return session->ended ? 0 : MBEDTLS_ERR_SSL_WANT_READ;
    }
    memcpy(out, bytes.data, bytes.length);
    buffer_consume(&session->incoming, bytes.length);
    return (int)bytes.length;
}

/* And out: all of it or "wait", so that a peer that reads nothing makes no memory grow. */
static int put_ciphertext(void *context, const unsigned char *bytes, size_t length)
{
    struct tls_session *session = context;
    if (length > buffer_room(&session->wire)) {
        return MBEDTLS_ERR_SSL_WANT_WRITE;
    }
    buffer_add(&session->wire, slice_make(bytes, length));
    return buffer_failed(&session->wire) ? MBEDTLS_ERR_SSL_ALLOC_FAILED : (int)length;
}

/* Gives the memory back, since most sessions are idle most of the time, and wipes it: passwords pass through here. */
static void release(struct buffer *ring)
{
    if (ring->data != NULL) {
        mbedtls_platform_zeroize(ring->data, ring->capacity);
    }
    buffer_free(ring);
}
