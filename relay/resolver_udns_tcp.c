/* One question over TCP (RFC 7766): two bytes of length before each message. */
#include "relay/resolver_udns.h"

#include <stdlib.h>

#define TCP_UDP_SIZE 1232 /* what the query says of UDP; over TCP it means nothing */

struct tcp_exchange {
    struct stream stream;
    struct buffer in;
    void (*done)(void *owner, struct slice packet);
    void *owner;
    uint16_t id;
};

static struct tcp_exchange *exchange_of(struct stream *stream);
static void on_connected(struct stream *stream, enum err err);
static void on_received(struct stream *stream, struct slice bytes);
static void on_drained(struct stream *stream);
static void on_ended(struct stream *stream, enum err err);

struct tcp_exchange *tcp_exchange_open(const struct exchange_request *request)
{
    struct tcp_exchange *exchange = host_allocate(sizeof *exchange);
    exchange->done = request->done;
    exchange->owner = request->owner;
    exchange->id = (uint16_t)dice_below(65536);
    exchange->stream =
        (struct stream){.connected = on_connected, .received = on_received, .drained = on_drained, .ended = on_ended};
    buffer_init(&exchange->in, 2 + 65535);
    stream_connect(&exchange->stream, request->server, NULL);
    stream_read(&exchange->stream, true);

    struct buffer query, out;
    buffer_init(&query, 512);
    buffer_init(&out, 2 + 512);
    resolver_query_print(&query, request->question, exchange->id, request->use_edns ? TCP_UDP_SIZE : 0);
    buffer_add_u16(&out, (uint16_t)buffer_length(&query));
    buffer_add(&out, buffer_slice(&query));
    if (buffer_failed(&out)) {
        host_give_up("memory");
    }
    stream_write(&exchange->stream, buffer_slice(&out));
    buffer_free(&query);
    buffer_free(&out);
    return exchange;
}

void tcp_exchange_close(struct tcp_exchange **exchange)
{
    if (*exchange == NULL) {
        return;
    }
    stream_abort(&(*exchange)->stream);
    buffer_free(&(*exchange)->in);
    free(*exchange);
    *exchange = NULL;
}

static struct tcp_exchange *exchange_of(struct stream *stream)
{
    return LIST_OF(stream, struct tcp_exchange, stream);
}

static void on_connected(struct stream *stream, enum err err)
{
    struct tcp_exchange *exchange = exchange_of(stream);
    if (err != ERR_NONE) {
        exchange->done(exchange->owner, SLICE_EMPTY);
    }
}

static void on_received(struct stream *stream, struct slice bytes)
{
    struct tcp_exchange *exchange = exchange_of(stream);
    buffer_add(&exchange->in, slice_to(bytes, buffer_room(&exchange->in)));
    struct reader reader = reader_of(buffer_slice(&exchange->in));
    struct slice packet = reader_bytes(&reader, reader_u16(&reader));
    if (reader.failed) {
        return; /* more is to come */
    }
    struct reader header = reader_of(packet);
    bool is_ours = reader_u16(&header) == exchange->id && !header.failed;
    exchange->done(exchange->owner, is_ours ? packet : SLICE_EMPTY);
}

static void on_drained(struct stream *stream)
{
    (void)stream;
}

/* Before a whole answer: nothing of it is of use. */
static void on_ended(struct stream *stream, enum err err)
{
    (void)err;
    struct tcp_exchange *exchange = exchange_of(stream);
    exchange->done(exchange->owner, SLICE_EMPTY);
}
