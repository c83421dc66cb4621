/* One question over UDP by udns. Each has a udns context, and with it a socket, of its own:
 *   - the kernel picks another port for each question; udns' ids alone are easy to guess, and it would keep one port;
 *   - a context is simply freed to cancel: dns_cancel() of udns 0.4 never frees the query;
 *   - it has one server and one try, so that no whole-second clock of udns decides anything, a server that cannot be
 *     reached fails alone, and servers of both families mix;
 *   - a reload has nothing to drain.
 * The socket is connected, so that a server's host that refuses is heard of at once.
 * The answer is taken from udns' debugging hook, the only place that shows whole packets, those of failures too. udns
 * has compared id, question and sender by then, but for the case of the name. */
#include "relay/resolver_udns.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <udns.h>

#define UDP_SIZE_LOCAL 4096 /* no fragments on the loopback */
#define UDP_SIZE_REMOTE 1232
#define UDNS_TIMEOUT_S 300 /* its greatest; the lookup's timer decides */
#define UDNS_NOW 1         /* some time that is not 0: to udns no time passes */

struct udp_exchange {
    uv_poll_t poll;
    struct host_deferred failed;
    struct dns_ctx *context;
    void (*done)(void *owner, struct slice packet);
    void *owner;
    struct buffer packet;
    unsigned mismatches, mismatches_max;
    bool is_over; /* udns has ended the query */
    bool is_polling;
};

/* Whose packets udns is reading: for a packet that belongs to no query the hook is not told. */
static struct udp_exchange *reading;

static bool open_context(struct udp_exchange *exchange, const struct exchange_request *request);
static bool submit(struct udp_exchange *exchange, const struct exchange_request *request);
static bool start_polling(struct udp_exchange *exchange);
static void run_udns(struct udp_exchange *exchange, void (*step)(struct dns_ctx *context));
static void step_send(struct dns_ctx *context);
static void step_receive(struct dns_ctx *context);
static void on_packet(int code, const struct sockaddr *address, unsigned address_length, dnscc_t *packet, int length,
                      const struct dns_query *query, void *data);
static void on_query_over(struct dns_ctx *context, void *result, void *data);
static void on_readable(uv_poll_t *poll, int status, int events);
static void on_failed(struct host_deferred *deferred);
static void on_closed(uv_handle_t *handle);

struct udp_exchange *udp_exchange_open(const struct exchange_request *request)
{
    struct udp_exchange *exchange = host_allocate(sizeof *exchange);
    exchange->done = request->done;
    exchange->owner = request->owner;
    exchange->mismatches_max = request->mismatches_max;
    buffer_init(&exchange->packet, 65536);
    bool is_open = open_context(exchange, request) && start_polling(exchange) && submit(exchange, request);
    if (!is_open || exchange->is_over) {
        host_defer(&exchange->failed, on_failed);
    }
    return exchange;
}

void udp_exchange_close(struct udp_exchange **exchange)
{
    struct udp_exchange *closing = *exchange;
    if (closing == NULL) {
        return;
    }
    assert(reading != closing);
    *exchange = NULL;
    host_defer_cancel(&closing->failed);
    bool is_polling = closing->is_polling;
    if (is_polling) {
        uv_close((uv_handle_t *)&closing->poll, on_closed);
    }
    if (closing->context != NULL) {
        dns_free(closing->context); /* after uv_close(): it closes the descriptor */
    }
    buffer_free(&closing->packet);
    if (!is_polling) {
        free(closing);
    }
}

unsigned udp_exchange_mismatches(const struct udp_exchange *exchange)
{
    return exchange->mismatches;
}

static bool open_context(struct udp_exchange *exchange, const struct exchange_request *request)
{
    struct sockaddr_storage address;
    socklen_t length = host_address(request->server, &address);
    /* A copy of the default context as dns_reset() leaves it: without servers, search list, or anything of the
     * environment. */
    exchange->context = dns_new(NULL);
    if (exchange->context == NULL || dns_add_serv_s(exchange->context, (struct sockaddr *)&address) < 0) {
        return false;
    }
    int size = ip_is_loopback(&request->server->ip) ? UDP_SIZE_LOCAL : UDP_SIZE_REMOTE;
    dns_set_opt(exchange->context, DNS_OPT_UDPSIZE, request->use_edns ? size : DNS_MAXPACKET);
    dns_set_opt(exchange->context, DNS_OPT_TIMEOUT, UDNS_TIMEOUT_S);
    dns_set_opt(exchange->context, DNS_OPT_NTRIES, 1);
    dns_set_dbgfn(exchange->context, on_packet);
    int fd = dns_open(exchange->context);
    return fd >= 0 && connect(fd, (struct sockaddr *)&address, length) == 0;
}

static bool start_polling(struct udp_exchange *exchange)
{
    if (uv_poll_init(host_loop(), &exchange->poll, dns_sock(exchange->context)) != 0) {
        return false;
    }
    exchange->poll.data = exchange;
    exchange->is_polling = true;
    return uv_poll_start(&exchange->poll, UV_READABLE, on_readable) == 0;
}

static bool submit(struct udp_exchange *exchange, const struct exchange_request *request)
{
    int flags = DNS_NOSRCH | (request->use_edns ? DNS_SET_DO : 0);
    struct dns_query *query =
        dns_submit_dn(exchange->context, request->question->name.bytes, DNS_C_IN,
                      resolver_kind_number(request->question->kind), flags, NULL, on_query_over, exchange);
    if (query != NULL) {
        run_udns(exchange, step_send); /* nothing is sent before that */
    }
    return query != NULL;
}

static void run_udns(struct udp_exchange *exchange, void (*step)(struct dns_ctx *context))
{
    assert(reading == NULL);
    reading = exchange;
    step(exchange->context);
    reading = NULL;
}

static void step_send(struct dns_ctx *context)
{
    dns_timeouts(context, -1, UDNS_NOW);
}

static void step_receive(struct dns_ctx *context)
{
    dns_ioevent(context, UDNS_NOW);
}

/* code 0: the answer; 1: sent; below 0: it is no answer to what was asked. After too many of those none is believed:
 * one that fits at last may be the forger's lucky one. */
static void on_packet(int code, const struct sockaddr *address, unsigned address_length, dnscc_t *packet, int length,
                      const struct dns_query *query, void *data)
{
    (void)address;
    (void)address_length;
    (void)query;
    (void)data;
    bool is_believed = reading->mismatches < reading->mismatches_max;
    if (code < 0) {
        reading->mismatches++;
    } else if (code == 0 && is_believed && buffer_length(&reading->packet) == 0 && length > 0) {
        buffer_add(&reading->packet, slice_make(packet, (size_t)length));
    }
}

static void on_query_over(struct dns_ctx *context, void *result, void *data)
{
    (void)context;
    struct udp_exchange *exchange = data;
    free(result); /* a copy of the packet */
    exchange->is_over = true;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)events;
    struct udp_exchange *exchange = poll->data;
    if (status != 0) {
        /* An error is pending on the socket: the server's host, or the way there, refuses. */
        exchange->done(exchange->owner, SLICE_EMPTY);
        return;
    }
    run_udns(exchange, step_receive);
    bool is_suspect = exchange->mismatches >= exchange->mismatches_max;
    if (exchange->is_over || is_suspect || buffer_length(&exchange->packet) > 0) {
        exchange->done(exchange->owner, buffer_slice(&exchange->packet));
    }
}

static void on_failed(struct host_deferred *deferred)
{
    struct udp_exchange *exchange = LIST_OF(deferred, struct udp_exchange, failed);
    exchange->done(exchange->owner, SLICE_EMPTY);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}
