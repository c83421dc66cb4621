/* Our sessions against another implementation: the openssl command as server and as client, over a unix socket. */
#include "test/unit/pki.h"
#include "tls/session.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#define PATIENCE_MS 20000
#define ARGUMENT_COUNT_MAX 40

/* A running openssl. */
struct peer {
    pid_t child;
    int socket; /* to it */
    int input;  /* its standard input; -1: none */
};

/* ---- the socket --------------------------------------------------------------------------- */

static struct sockaddr_un address_of(const struct pki *pki)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct pki_path path = pki_path(pki, "socket");
    memcpy(address.sun_path, path.text, sizeof address.sun_path - 1);
    return address;
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* One step between the socket and the session, at most step bytes in. False when nothing can happen any more. */
static bool pump(struct tls_session *session, int socket, size_t step)
{
    char bytes[65536];
    tls_session_work(session);
    struct slice wire = tls_session_wire(session);
    struct pollfd ready = {.fd = socket, .events = POLLIN};
    ready.events = (short)(POLLIN | (wire.length > 0 ? POLLOUT : 0));
    if (poll(&ready, 1, PATIENCE_MS) != 1)
        return false;
    if (wire.length > 0 && (ready.revents & POLLOUT) != 0) {
        ssize_t sent = send(socket, wire.data, wire.length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0)
            tls_session_wired(session, (size_t)sent);
    }
    if ((ready.revents & (POLLIN | POLLHUP)) == 0)
        return true;
    size_t room = tls_session_room(session);
    room = room < step ? room : step;
    ssize_t got = read(socket, bytes, room < sizeof bytes ? room : sizeof bytes);
    if (got <= 0) {
        tls_session_end(session);
        tls_session_work(session);
        return false;
    }
    tls_session_feed(session, slice_make(bytes, (size_t)got));
    tls_session_work(session);
    return true;
}

static void pump_handshake(struct tls_session *session, int socket, size_t step)
{
    while (tls_session_status(session) == TLS_HANDSHAKING && pump(session, socket, step))
        continue;
    while (tls_session_wire(session).length > 0 && pump(session, socket, step))
        continue;
}

/* ---- openssl ------------------------------------------------------------------------------ */

/* The socket's name is relative: openssl cannot print one of over 31 bytes, and ends. */
static void fill_arguments(const char *role, const char *options, const char **arguments)
{
    static char words[1024];
    size_t count = 0;
    snprintf(words, sizeof words, "%s", options);
    const char *const first[] = {"openssl", role, "-unix", "socket"};
    for (size_t i = 0; i < COUNT_OF(first); i++)
        arguments[count++] = first[i];
    char *rest = NULL;
    for (char *word = strtok_r(words, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        assert_true(count < ARGUMENT_COUNT_MAX - 1);
        arguments[count++] = word;
    }
    arguments[count] = NULL;
}

/* Relative file names in the options are those of the folder. */
static struct peer peer_start(const struct pki *pki, const char *role, const char *options)
{
    const char *arguments[ARGUMENT_COUNT_MAX];
    int ends[2];
    fill_arguments(role, options, arguments);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct peer peer = {.child = fork(), .socket = -1, .input = ends[1]};
    assert_true(peer.child >= 0);
    if (peer.child == 0) {
        int log = open(pki_path(pki, "peer.log").text, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        int output = open(pki_path(pki, "peer.out").text, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (log < 0 || output < 0 || chdir(pki->folder) != 0)
            _exit(126);
        dup2(ends[0], 0);
        dup2(output, 1);
        dup2(log, 2);
        execvp(arguments[0], (char *const *)arguments);
        _exit(127);
    }
    close(ends[0]);
    return peer;
}

static struct peer server_start(const struct pki *pki, const char *options)
{
    char all[1024];
    struct sockaddr_un address = address_of(pki);
    (void)unlink(address.sun_path);
    snprintf(all, sizeof all, "-rev -naccept 1 %s", options);
    struct peer peer = peer_start(pki, "s_server", all);
    peer.socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    for (int tries = 0; connect(peer.socket, (struct sockaddr *)&address, sizeof address) != 0; tries++) {
        if (tries == PATIENCE_MS / 10)
            fail_msg("openssl s_server %s does not start", options);
        pause_ms(10);
    }
    return peer;
}

static struct peer client_start(const struct pki *pki, const char *options)
{
    struct sockaddr_un address = address_of(pki);
    (void)unlink(address.sun_path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    struct peer peer = peer_start(pki, "s_client", options);
    struct pollfd ready = {.fd = listener, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
    peer.socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(peer.socket >= 0);
    close(listener);
    return peer;
}

/* Its exit code, or -1 when it had to be ended. */
static int peer_end(struct peer *peer)
{
    int status;
    close(peer->socket);
    close(peer->input);
    for (int waited_ms = 0; waited_ms < 5000; waited_ms += 10) {
        if (waitpid(peer->child, &status, WNOHANG) == peer->child)
            return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        pause_ms(10);
    }
    (void)kill(peer->child, SIGKILL);
    (void)waitpid(peer->child, &status, 0);
    return -1;
}

/* ---- openssl as the server ---------------------------------------------------------------- */

#define GOOD "-cert good.pem -key good.key"
#define RSA "-cert rsa.pem -key rsa.key"
#define OLD "-cipher DEFAULT:@SECLEVEL=0"

static const struct server_case {
    const char *name, *options;
    enum tls_demand demand;
    const char *alpn;
    size_t step; /* 0: as it comes */
    enum tls_status status;
    enum tls_failure failure;
    const char *version, *cipher; /* "" is not looked at; of the cipher a part */
    const char *detail;           /* a part of it */
} server_cases[] = {
    {.name = "as it comes", .options = GOOD, .demand = TLS_VERIFY, .version = "TLSv1.3", .cipher = "AES-128-GCM"},
    {.name = "RSA", .options = RSA, .demand = TLS_VERIFY, .version = "TLSv1.3"},
    {.name = "1.3, byte by byte", .options = GOOD " -tls1_3", .demand = TLS_VERIFY, .step = 1, .version = "TLSv1.3"},
    {.name = "1.2, byte by byte",
     .options = GOOD " -tls1_2",
     .demand = TLS_VERIFY,
     .step = 1,
     .version = "TLSv1.2",
     .cipher = "ECDHE-ECDSA-WITH-AES-128-GCM"},
    {.name = "1.2, RSA",
     .options = RSA " -tls1_2",
     .demand = TLS_VERIFY,
     .version = "TLSv1.2",
     .cipher = "ECDHE-RSA-WITH-AES-128-GCM"},
    {.name = "small records", .options = RSA " -max_send_frag 512", .demand = TLS_VERIFY, .version = "TLSv1.3"},
    {.name = "small records, 1.2",
     .options = RSA " -tls1_2 -max_send_frag 512",
     .demand = TLS_VERIFY,
     .version = "TLSv1.2"},
    {.name = "RSA preferred, 1.3",
     .options = GOOD " -dcert rsa.pem -dkey rsa.key",
     .demand = TLS_VERIFY,
     .version = "TLSv1.3",
     .detail = "mail.example.com"},
    {.name = "RSA preferred, 1.2",
     .options = GOOD " -dcert rsa.pem -dkey rsa.key -tls1_2",
     .demand = TLS_VERIFY,
     .version = "TLSv1.2",
     .detail = "mail.example.com"},
    {.name = "only X25519", .options = RSA " -groups X25519", .demand = TLS_VERIFY, .version = "TLSv1.3"},
    {.name = "only X25519, 1.2", .options = RSA " -groups X25519 -tls1_2", .demand = TLS_VERIFY, .version = "TLSv1.2"},
    {.name = "only P-384", .options = GOOD " -groups P-384 -tls1_3", .demand = TLS_VERIFY, .version = "TLSv1.3"},
    {.name = "only ChaCha20",
     .options = GOOD " -ciphersuites TLS_CHACHA20_POLY1305_SHA256",
     .demand = TLS_VERIFY,
     .version = "TLSv1.3",
     .cipher = "CHACHA20"},
    {.name = "1.2, CBC",
     .options = RSA " -tls1_2 -cipher ECDHE-RSA-AES256-SHA",
     .demand = TLS_VERIFY,
     .version = "TLSv1.2",
     .cipher = "AES-256-CBC-SHA"},
    {.name = "1.2, DHE",
     .options = RSA " -tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256",
     .demand = TLS_VERIFY,
     .version = "TLSv1.2",
     .cipher = "DHE-RSA"},
    {.name = "1.2, static RSA",
     .options = RSA " -tls1_2 -cipher AES128-SHA",
     .demand = TLS_ENCRYPT,
     .version = "TLSv1.2",
     .cipher = "TLS-RSA-WITH-AES-128"},
    {.name = "1.2, static RSA, verify",
     .options = RSA " -tls1_2 -cipher AES128-SHA",
     .demand = TLS_VERIFY,
     .status = TLS_FAILED,
     .failure = TLS_FAILURE_ALERT,
     .detail = "handshake_failure (40)"},
    {.name = "1.1",
     .options = RSA " -tls1_1 " OLD,
     .demand = TLS_ENCRYPT,
     .status = TLS_FAILED,
     .failure = TLS_FAILURE_VERSION},
    {.name = "SNI chooses",
     .demand = TLS_VERIFY,
     .version = "TLSv1.3",
     .options = "-cert wrong.pem -key wrong.key -servername mx.example.com -cert2 good.pem -key2 good.key"},
    {.name = "asks for our certificate", .options = GOOD " -verify 1", .demand = TLS_VERIFY, .version = "TLSv1.3"},
    {.name = "asks for our certificate, 1.2",
     .options = GOOD " -verify 1 -tls1_2",
     .demand = TLS_VERIFY,
     .version = "TLSv1.2"},
    {.name = "insists on our certificate, 1.2",
     .options = GOOD " -Verify 1 -tls1_2",
     .demand = TLS_VERIFY,
     .status = TLS_FAILED,
     .failure = TLS_FAILURE_ALERT,
     .detail = "handshake_failure (40)"},
    {.name = "no tickets", .options = GOOD " -num_tickets 0", .demand = TLS_VERIFY, .version = "TLSv1.3"},
    {.name = "many tickets", .options = GOOD " -num_tickets 20", .demand = TLS_VERIFY, .version = "TLSv1.3"},
    {.name = "HTTP", .options = GOOD " -alpn http/1.1", .demand = TLS_VERIFY, .alpn = "http/1.1", .version = "TLSv1.3"},
    {.name = "HTTP, silent about it", .options = GOOD, .demand = TLS_VERIFY, .alpn = "http/1.1", .version = "TLSv1.3"},
    {.name = "HTTP/2 only",
     .options = GOOD " -alpn h2",
     .demand = TLS_VERIFY,
     .alpn = "http/1.1",
     .status = TLS_FAILED,
     .failure = TLS_FAILURE_ALERT,
     .detail = "no_application_protocol (120)"},
    {.name = "HTTP/2 only, 1.2",
     .options = GOOD " -alpn h2 -tls1_2",
     .demand = TLS_VERIFY,
     .alpn = "http/1.1",
     .status = TLS_FAILED,
     .failure = TLS_FAILURE_ALERT,
     .detail = "no_application_protocol (120)"},
    {.name = "Ed25519 key",
     .options = "-cert ed25519.pem -key ed25519.key",
     .demand = TLS_ENCRYPT,
     .status = TLS_FAILED,
     .failure = TLS_FAILURE_ALERT,
     .detail = "handshake_failure (40)"},
    {.name = "signed by Ed25519",
     .options = "-cert by-ed25519.pem -key by-ed25519.key -cert_chain ed25519-root.pem",
     .demand = TLS_VERIFY,
     .status = TLS_FAILED,
     .failure = TLS_FAILURE_UNSUPPORTED_CERTIFICATE,
     .detail = "Ed25519"},
    {.name = "signed by Ed25519, alone, encrypt",
     .options = "-cert by-ed25519.pem -key by-ed25519.key",
     .demand = TLS_ENCRYPT,
     .status = TLS_OPEN,
     .failure = TLS_FAILURE_UNSUPPORTED_CERTIFICATE,
     .version = "TLSv1.3",
     .detail = "Ed25519"},
    {.name = "signed by Ed25519, encrypt",
     .options = "-cert by-ed25519.pem -key by-ed25519.key -cert_chain ed25519-root.pem",
     .demand = TLS_ENCRYPT,
     .status = TLS_OPEN,
     .failure = TLS_FAILURE_UNSUPPORTED_CERTIFICATE,
     .version = "TLSv1.3"},
    {.name = "signed by Ed25519, 1.2",
     .demand = TLS_VERIFY,
     .status = TLS_FAILED,
     .options = "-cert by-ed25519.pem -key by-ed25519.key -cert_chain ed25519-root.pem -tls1_2",
     .failure = TLS_FAILURE_UNSUPPORTED_CERTIFICATE,
     .detail = "Ed25519"},
    {.name = "signed by Ed25519, 1.2, encrypt",
     .demand = TLS_ENCRYPT,
     .status = TLS_OPEN,
     .options = "-cert by-ed25519.pem -key by-ed25519.key -cert_chain ed25519-root.pem -tls1_2",
     .failure = TLS_FAILURE_UNSUPPORTED_CERTIFICATE,
     .version = "TLSv1.2",
     .detail = "Ed25519"},
    {.name = "Ed25519 of no use behind",
     .demand = TLS_VERIFY,
     .options = GOOD " -cert_chain ed25519-root.pem",
     .version = "TLSv1.3"},
    {.name = "critical name constraints",
     .options = "-cert by-constrained.pem -key by-constrained.key -cert_chain constrained.pem",
     .demand = TLS_VERIFY,
     .version = "TLSv1.3"},
    {.name = "unknown critical extension of an issuer",
     .options = "-cert by-odd.pem -key by-odd.key -cert_chain odd.pem",
     .demand = TLS_VERIFY,
     .status = TLS_FAILED,
     .failure = TLS_FAILURE_UNSUPPORTED_CERTIFICATE,
     .detail = "the certificate of the issuer CN=Odd has a critical extension that is not supported (1.2.3.4)"},
    /* The library's input buffer cannot hold the message: there is no encryption to be had. */
    {.name = "over 16 KB, encrypt",
     .options = GOOD " -cert_chain large.pem",
     .demand = TLS_ENCRYPT,
     .status = TLS_FAILED,
     .failure = TLS_FAILURE_TOO_LARGE,
     .detail = "16 KB"},
    {.name = "client's certificate",
     .options = "-cert client.pem -key client.key",
     .demand = TLS_VERIFY,
     .status = TLS_FAILED,
     .failure = TLS_FAILURE_USAGE,
     .detail = "not meant for TLS servers"},
    {.name = "client's certificate, 1.2",
     .options = "-cert client.pem -key client.key -tls1_2",
     .demand = TLS_VERIFY,
     .status = TLS_FAILED,
     .failure = TLS_FAILURE_USAGE,
     .detail = "not meant for TLS servers"},
    {.name = "client's certificate, encrypt",
     .options = "-cert client.pem -key client.key",
     .demand = TLS_ENCRYPT,
     .status = TLS_OPEN,
     .failure = TLS_FAILURE_USAGE,
     .version = "TLSv1.3"},
    {.name = "wrong name, 1.2",
     .options = "-cert wrong.pem -key wrong.key -tls1_2",
     .demand = TLS_VERIFY,
     .status = TLS_FAILED,
     .failure = TLS_FAILURE_HOST_MISMATCH,
     .detail = "other.example.net"},
    {.name = "common name, 1.2",
     .options = "-cert cn.pem -key cn.key -tls1_2",
     .demand = TLS_VERIFY,
     .status = TLS_FAILED,
     .failure = TLS_FAILURE_NO_DNS_NAME},
    {.name = "expired, 1.2, encrypt",
     .options = "-cert expired.pem -key expired.key -tls1_2",
     .demand = TLS_ENCRYPT,
     .status = TLS_OPEN,
     .failure = TLS_FAILURE_EXPIRED,
     .version = "TLSv1.2"},
};

/* The peer answers each line with the line reversed. */
static void check_reversal(const struct server_case *test, struct tls_session *session, int socket)
{
    struct buffer sent, expected;
    buffer_init(&sent, 1 << 20);
    buffer_init(&expected, 1 << 20);
    for (int i = 1000; i < 3000; i++) {
        char line[64];
        int length = snprintf(line, sizeof line, "line %d of some text", i);
        buffer_print(&sent, "%s\n", line);
        for (int j = length; j > 0; j--)
            buffer_add_byte(&expected, line[j - 1]);
        buffer_add_byte(&expected, '\n');
    }
    while (buffer_length(&expected) > 0) {
        buffer_consume(&sent, tls_session_write(session, buffer_slice(&sent)));
        check_true(test->name, pump(session, socket, test->step == 1 ? 1000 : SIZE_MAX));
        struct slice plain = tls_session_plain(session);
        check_true(test->name, slice_starts(buffer_slice(&expected), plain));
        buffer_consume(&expected, plain.length);
        tls_session_consume(session, plain.length);
    }
    buffer_free(&sent);
    buffer_free(&expected);
}

static void check_server_case(const struct pki *pki, struct tls_context *context, const struct server_case *test)
{
    enum tls_status status = test->status == TLS_FAILED ? TLS_FAILED : TLS_OPEN;
    struct peer peer = server_start(pki, test->options);
    struct tls_session *session = tls_session_client(context, test->demand, SLICE("mx.example.com"), test->alpn);
    pump_handshake(session, peer.socket, test->step == 0 ? SIZE_MAX : test->step);
    const struct tls_verdict *verdict = tls_session_verdict(session);
    if (tls_session_status(session) != status || verdict->failure != test->failure)
        print_error("%s: \"%s\"\n", test->name, verdict->detail);
    check_number(test->name, tls_session_status(session), status);
    check_number(test->name, verdict->failure, test->failure);
    check_number(test->name, verdict->verified, test->failure == TLS_FAILURE_NONE);
    check_slice(test->name, slice_of(verdict->version), slice_of(test->version == NULL ? "" : test->version));
    check_true(test->name, test->cipher == NULL || strstr(verdict->cipher, test->cipher) != NULL);
    if (test->detail != NULL && strstr(verdict->detail, test->detail) == NULL)
        fail_msg("%s: \"%s\"", test->name, verdict->detail);
    if (status == TLS_OPEN)
        check_reversal(test, session, peer.socket);
    tls_session_free(&session);
    (void)peer_end(&peer);
}

static void test_openssl_as_server(void **state)
{
    struct tls_context *context = pki_context(*state, "root", NULL);
    for (size_t i = 0; i < COUNT_OF(server_cases); i++)
        check_server_case(*state, context, &server_cases[i]);
    tls_context_free(&context);
}

/* In TLS 1.3 the server says so only after our side of the handshake is done. */
static void test_certificate_required_after_the_handshake(void **state)
{
    struct tls_context *context = pki_context(*state, "root", NULL);
    struct peer peer = server_start(*state, GOOD " -Verify 1 -tls1_3");
    struct tls_session *session = tls_session_client(context, TLS_VERIFY, SLICE("mx.example.com"), NULL);
    pump_handshake(session, peer.socket, SIZE_MAX);
    while (tls_session_status(session) == TLS_OPEN && pump(session, peer.socket, SIZE_MAX))
        continue;
    assert_int_equal(tls_session_status(session), TLS_FAILED);
    assert_int_equal(tls_session_verdict(session)->failure, TLS_FAILURE_ALERT);
    assert_non_null(strstr(tls_session_verdict(session)->detail, "certificate_required (116)"));
    tls_session_free(&session);
    (void)peer_end(&peer);
    tls_context_free(&context);
}

/* A server that goes by its own order signs with RSA-PSS in TLS 1.2 as well. The first session fails for it, and the
 * next one to the same host does not; no other host is touched. */
static void test_pss_in_tls_1_2(void **state)
{
    static const char options[] = RSA " -tls1_2 -serverpref";
    static const struct server_case test = {.name = "after PSS"};
    struct tls_context *context = pki_context(*state, "root", NULL);
    for (int round = 0; round < 3; round++) {
        struct peer peer = server_start(*state, options);
        struct slice host = round < 2 ? SLICE("mx.example.com") : SLICE("mail.example.com");
        struct tls_session *session = tls_session_client(context, TLS_VERIFY, host, NULL);
        pump_handshake(session, peer.socket, SIZE_MAX);
        const struct tls_verdict *verdict = tls_session_verdict(session);
        if (tls_session_status(session) == TLS_OPEN) {
            /* Always in the second round; in the others with a library that has learnt it. */
            assert_true(verdict->verified);
            assert_string_equal(verdict->version, "TLSv1.2");
            assert_false(verdict->retry_at_once);
            check_reversal(&test, session, peer.socket);
        } else {
            assert_int_not_equal(round, 1);
            assert_int_equal(verdict->failure, TLS_FAILURE_PROTOCOL);
            assert_non_null(strstr(verdict->detail, "RSA-PSS"));
            assert_true(verdict->retry_at_once);
        }
        tls_session_free(&session);
        (void)peer_end(&peer);
    }
    tls_context_free(&context);
}

/* ---- openssl as the client ---------------------------------------------------------------- */

#define CHECKS "-CAfile root.pem -verify_return_error -verify_hostname mx.example.com -quiet -no_ign_eof"

static const struct client_case {
    const char *name, *options, *certificate;
    enum tls_failure failure;
    const char *version;
    const char *detail;
} client_cases[] = {
    {.name = "1.3", .options = CHECKS, .certificate = "good", .version = "TLSv1.3"},
    {.name = "1.3, RSA", .options = CHECKS, .certificate = "rsa", .version = "TLSv1.3"},
    {.name = "1.2", .options = CHECKS " -tls1_2", .certificate = "good", .version = "TLSv1.2"},
    {.name = "1.2, RSA", .options = CHECKS " -tls1_2", .certificate = "rsa", .version = "TLSv1.2"},
    {.name = "chain", .options = CHECKS, .certificate = "by-middle-chain", .version = "TLSv1.3"},
    {.name = "X25519", .options = CHECKS " -groups X25519", .certificate = "good", .version = "TLSv1.3"},
    {.name = "SMTP", .options = CHECKS " -alpn smtp", .certificate = "good", .version = "TLSv1.3"},
    {.name = "SMTP among others, 1.2",
     .options = CHECKS " -tls1_2 -alpn h2,esmtp",
     .certificate = "good",
     .version = "TLSv1.2"},
    {.name = "HTTP",
     .options = CHECKS " -alpn http/1.1",
     .certificate = "good",
     .failure = TLS_FAILURE_PROTOCOL,
     .detail = "ALPN"},
    {.name = "HTTP, 1.2",
     .options = CHECKS " -tls1_2 -alpn h2,http/1.1",
     .certificate = "good",
     .failure = TLS_FAILURE_PROTOCOL,
     .detail = "ALPN"},
    {.name = "1.1", .options = CHECKS " -tls1_1 " OLD, .certificate = "good", .failure = TLS_FAILURE_VERSION},
    {.name = "CBC",
     .options = CHECKS " -tls1_2 -cipher ECDHE-RSA-AES256-SHA:ECDHE-RSA-AES128-SHA256:DHE-RSA-AES128-GCM-SHA256",
     .certificate = "rsa",
     .failure = TLS_FAILURE_PROTOCOL,
     .detail = "in common"},
    {.name = "static RSA",
     .options = CHECKS " -tls1_2 -cipher AES128-SHA",
     .certificate = "rsa",
     .failure = TLS_FAILURE_PROTOCOL,
     .detail = "in common"},
    {.name = "does not trust us, 1.2",
     .certificate = "good",
     .failure = TLS_FAILURE_ALERT,
     .detail = "unknown_ca (48)",
     .options = "-CAfile middle.pem -verify_return_error -quiet -no_ign_eof -tls1_2"},
};

static void check_conversation(const struct client_case *test, struct tls_session *session, struct peer *peer)
{
    struct slice greeting = SLICE("220 mx.example.com ESMTP\r\n");
    check_number(test->name, tls_session_write(session, greeting), (long long)greeting.length);
    assert_int_equal(write(peer->input, "EHLO client\n", 12), 12);
    while (tls_session_plain(session).length < 12 && pump(session, peer->socket, SIZE_MAX))
        continue;
    check_slice(test->name, tls_session_plain(session), SLICE("EHLO client\n"));
    /* At the end of its input it says close_notify. */
    close(peer->input);
    peer->input = -1;
    while (tls_session_status(session) == TLS_OPEN && pump(session, peer->socket, SIZE_MAX))
        continue;
    check_number(test->name, tls_session_status(session), TLS_CLOSED);
}

static void check_client_case(const struct pki *pki, const struct client_case *test)
{
    struct tls_context *context = pki_context(pki, "root", test->certificate);
    struct peer peer = client_start(pki, test->options);
    struct tls_session *session = tls_session_server(context);
    pump_handshake(session, peer.socket, SIZE_MAX);
    const struct tls_verdict *verdict = tls_session_verdict(session);
    bool good = test->failure == TLS_FAILURE_NONE;
    if (verdict->failure != test->failure)
        print_error("%s: \"%s\"\n", test->name, verdict->detail);
    check_number(test->name, verdict->failure, test->failure);
    check_number(test->name, tls_session_status(session), good ? TLS_OPEN : TLS_FAILED);
    check_slice(test->name, slice_of(verdict->version), slice_of(test->version == NULL ? "" : test->version));
    if (test->detail != NULL && strstr(verdict->detail, test->detail) == NULL)
        fail_msg("%s: \"%s\"", test->name, verdict->detail);
    if (good)
        check_conversation(test, session, &peer);
    tls_session_free(&session);
    int code = peer_end(&peer);
    check_number(test->name, code == 0, good);
    tls_context_free(&context);
}

/* mbedTLS knows no key update: the session ends, and nobody takes what was said before for all of it. */
static void test_key_update(void **state)
{
    struct tls_context *context = pki_context(*state, "root", "good");
    struct peer peer = client_start(*state, "-CAfile root.pem -tls1_3");
    struct tls_session *session = tls_session_server(context);
    pump_handshake(session, peer.socket, SIZE_MAX);
    assert_int_equal(tls_session_status(session), TLS_OPEN);
    assert_int_equal(write(peer.input, "K\n", 2), 2);
    while (tls_session_status(session) == TLS_OPEN && pump(session, peer.socket, SIZE_MAX))
        continue;
    assert_int_equal(tls_session_status(session), TLS_FAILED);
    assert_non_null(strstr(tls_session_verdict(session)->detail, "key update"));
    tls_session_free(&session);
    (void)peer_end(&peer);
    tls_context_free(&context);
}

static void test_openssl_as_client(void **state)
{
    for (size_t i = 0; i < COUNT_OF(client_cases); i++)
        check_client_case(*state, &client_cases[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_openssl_as_server), cmocka_unit_test(test_certificate_required_after_the_handshake),
        cmocka_unit_test(test_pss_in_tls_1_2),    cmocka_unit_test(test_openssl_as_client),
        cmocka_unit_test(test_key_update),
    };
    return cmocka_run_group_tests(tests, pki_set_up, pki_tear_down);
}
