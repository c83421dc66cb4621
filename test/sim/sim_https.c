#include "test/sim/sim_https.h"

#include "base/text.h"
#include "test/sim/sim_dice.h"
#include "test/sim/sim_known.h"
#include "test/sim/sim_log.h"
#include "test/sim/sim_peer.h"

#include <stdlib.h>

#define RESPONSE_MAX ((size_t)1 << 20)
#define CROWD_BODY_MIN 3000 /* bytes of a policy of the crowd */

struct policy_host {
    struct sim_peer peer;
    const struct world_domain *domain;
    struct sim_certificate certificate;
    bool is_intercepted, is_answered;
    struct sim_link *link;
    struct sim_event pause;
};

static void on_connected(struct sim_peer *peer, enum err err);
static void on_readable(struct sim_peer *peer);
static void on_secured(struct sim_peer *peer, bool is_open);
static void on_ended(struct sim_peer *peer);
static void release(struct sim_peer *peer);
static void on_pause(struct sim_event *event);
static void respond(struct policy_host *host);

static bool has(const struct policy_host *host, enum world_fault_kind kind)
{
    return world_has_fault(kind, host->domain->index);
}

/* The attacker cannot have the true name proved. */
static void make_certificate(struct policy_host *host)
{
    struct sim_certificate *certificate = &host->certificate;
    certificate->name_count = 1;
    text_print(certificate->names[0], SIM_TLS_NAME_MAX, "mta-sts.%s", host->domain->name);
    if (!host->is_intercepted && !has(host, WORLD_FAULT_HTTPS_CERTIFICATE))
        return;
    switch (sim_dice_below(5)) {
    case 0:
        certificate->is_expired = true;
        break;
    case 1:
        certificate->is_self_signed = true;
        break;
    case 2:
        certificate->is_untrusted = true;
        break;
    case 3:
        certificate->is_foreign = true;
        break;
    default:
        text_print(certificate->names[0], SIM_TLS_NAME_MAX, "mta-sts.evil.example");
        break;
    }
}

enum sim_net_answer sim_https_accept(struct sim_link *link, const struct world_domain *domain)
{
    bool is_intercepted = world_has_fault(WORLD_FAULT_HTTPS_INTERCEPTED, domain->index);
    if (world_has_fault(WORLD_FAULT_HTTPS_DOWN, domain->index) && !is_intercepted)
        return sim_dice_percent(50) ? SIM_NET_REFUSED : SIM_NET_SILENT;
    struct policy_host *host = calloc(1, sizeof *host);
    if (host == NULL)
        abort();
    host->peer = (struct sim_peer){.connected = on_connected, .readable = on_readable, .secured = on_secured,
                                   .ended = on_ended, .release = release};
    host->domain = domain;
    host->link = link;
    host->is_intercepted = is_intercepted;
    make_certificate(host);
    sim_peer_accept(&host->peer, link);
    sim_peer_secure(&host->peer, sim_tls_server(&host->certificate));
    return SIM_NET_ACCEPTED;
}

static struct policy_host *host_of(struct sim_peer *peer)
{
    return LIST_OF(peer, struct policy_host, peer);
}

static void release(struct sim_peer *peer)
{
    struct policy_host *host = host_of(peer);
    sim_event_cancel(&host->pause);
    free(host);
}

static void on_connected(struct sim_peer *peer, enum err err)
{
    (void)peer; /* of those who connect */
    (void)err;
}

static void on_secured(struct sim_peer *peer, bool is_open)
{
    if (!is_open)
        sim_peer_close(peer);
}

static void on_ended(struct sim_peer *peer)
{
    sim_peer_close(peer);
}

static void on_readable(struct sim_peer *peer)
{
    struct policy_host *host = host_of(peer);
    struct slice input = sim_peer_input(peer);
    char expected[300];
    if (host->is_answered || slice_find_slice(input, SLICE("\r\n\r\n")) == input.length)
        return;
    struct slice start = text_print(expected, sizeof expected,
                                    "GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.%s\r\n", host->domain->name);
    if (!slice_starts(input, start))
        sim_fail("the policy host of %s was asked: %.*s", host->domain->name, SLICE_ARGS(slice_to(input, 200)));
    host->is_answered = true;
    if (has(host, WORLD_FAULT_HTTPS_SLOW))
        sim_event_plan(&host->pause, sim_dice_between(2000, 90000), on_pause);
    else
        respond(host);
}

static void on_pause(struct sim_event *event)
{
    struct policy_host *host = LIST_OF(event, struct policy_host, pause);
    if (!host->peer.is_closed)
        respond(host);
}

/* ---- responses ---- */

static void print_status(struct buffer *out)
{
    static const char *const responses[] = {
        "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n",
        "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 301 Moved Permanently\r\nLocation: https://mta-sts.evil.example/\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 503 Service Unavailable\r\n\r\n",
    };
    buffer_print(out, "%s", responses[sim_dice_below(4)]);
}

static void print_garbage(struct buffer *out)
{
    static const char *const responses[] = {
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 14\r\n\r\n<html></html>\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 16\r\n\r\nversion: STSv1\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
    };
    buffer_print(out, "%s", responses[sim_dice_below(4)]);
}

/* What nobody knows is passed over (RFC 8461 3.2). */
static void add_padding(struct buffer *body)
{
    while (buffer_length(body) < CROWD_BODY_MIN)
        buffer_print(body, "x-padding: %064d\n", 0);
}

static void print_policy(struct buffer *out, const char *body)
{
    size_t length = slice_of(body).length;
    buffer_print(out, "HTTP/1.1 200 OK\r\nServer: simulated\r\nContent-Type: text/plain%s\r\n",
                 sim_dice_percent(30) ? "; charset=utf-8" : "");
    switch (sim_dice_below(3)) {
    case 0:
        buffer_print(out, "Content-Length: %zu\r\n\r\n%s", length, body);
        break;
    case 1:
        buffer_print(out, "Transfer-Encoding: chunked\r\n\r\n%zx\r\n%s\r\n0\r\n\r\n", length, body);
        break;
    default:
        buffer_print(out, "\r\n%s", body); /* up to close_notify */
        break;
    }
}

static void print_evil(struct buffer *out)
{
    static const char none[] = "version: STSv1\r\nmode: none\r\nmax_age: 31557600\r\npublication: evil.\r\n";
    static const char other[] =
        "version: STSv1\r\nmode: enforce\r\nmx: mx.evil.example\r\nmax_age: 31557600\r\npublication: evil.\r\n";
    print_policy(out, sim_dice_percent(50) ? none : other);
}

/* True: it is the owner's policy, whole. */
static bool print_response(struct policy_host *host, struct buffer *out)
{
    const struct world_domain *domain = host->domain;
    if (host->is_intercepted) {
        print_evil(out);
    } else if (has(host, WORLD_FAULT_HTTPS_STATUS) || domain->served < 0) {
        print_status(out);
    } else if (has(host, WORLD_FAULT_HTTPS_GARBAGE)) {
        print_garbage(out);
    } else {
        struct buffer body;
        buffer_init(&body, RESPONSE_MAX);
        buffer_add(&body, slice_of(domain->publications[domain->served].body));
        if (domain->is_crowd)
            add_padding(&body);
        buffer_add_byte(&body, '\0');
        print_policy(out, buffer_slice(&body).data);
        buffer_free(&body);
        return true;
    }
    return false;
}

static void respond(struct policy_host *host)
{
    struct buffer out;
    buffer_init(&out, RESPONSE_MAX);
    bool is_policy = print_response(host, &out);
    bool is_cut = is_policy && has(host, WORLD_FAULT_HTTPS_CUT);
    if (is_cut) {
        size_t body = slice_find_slice(buffer_slice(&out), SLICE("\r\n\r\n"));
        buffer_truncate(&out, body + sim_dice_below(buffer_length(&out) - body));
    }
    /* Without a length only close_notify makes it whole. */
    bool has_length = slice_find_slice(buffer_slice(&out), SLICE("Content-Length: ")) < buffer_length(&out) ||
                      slice_find_slice(buffer_slice(&out), SLICE("chunked")) < buffer_length(&out);
    sim_peer_write(&host->peer, buffer_slice(&out));
    buffer_free(&out);
    if (is_cut) {
        sim_peer_drop(&host->peer);
        return;
    }
    struct slice name = slice_of(host->domain->name);
    char proved[SIM_TLS_NAME_MAX + 16];
    uint64_t end = sim_peer_written(&host->peer) + (has_length ? 0 : SIM_TLS_CLOSE_SIZE);
    if (is_policy && sim_certificate_proves(&host->certificate,
                                            text_print(proved, sizeof proved, "mta-sts.%.*s", SLICE_ARGS(name))))
        sim_known_offered(host->domain, host->link, end);
    sim_peer_close(&host->peer);
}
