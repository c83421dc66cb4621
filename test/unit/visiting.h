/* A relay that runs, with a door on loopback for SMTP, and clients of it over real sockets. */
#ifndef TEST_UNIT_VISITING_H
#define TEST_UNIT_VISITING_H

#include "relay/intake_internal.h"

#include "test/unit/running.h"

#define EHLO "EHLO client.example\r\n"

static struct endpoint place;

/* A door on loopback where nobody is trusted. */
static inline int open_door(void **state)
{
    struct buffer fault;
    running_setup(state);
    struct config *config = running.relay->config;
    static struct config_listen listen;
    listen = (struct config_listen){.door = CONFIG_SMTP, .fd_name = SLICE_EMPTY};
    assert_true(ip_parse(SLICE("127.0.0.1"), &listen.endpoint.ip));
    config->listen = &listen;
    config->listen_count = 1;
    config->access_networks.count = 0;
    config->connections_per_client = 1000;
    struct intake_fds none = {.count = 0};
    buffer_init(&fault, 65536);
    assert_int_equal(intake_open(running.relay->intake, &none, &fault), ERR_NONE);
    buffer_free(&fault);
    struct door *door = LIST_OF(list_first(&running.relay->intake->doors), struct door, node);
    place = listener_local(&door->listener);
    return 0;
}

static struct ip_network loopback;

/* Everybody there may relay. */
static inline int open_trusting_door(void **state)
{
    open_door(state);
    assert_int_equal(ip_network_parse(SLICE("127.0.0.0/8"), &loopback), ERR_NONE);
    running.relay->config->access_networks = (struct config_networks){.items = &loopback, .count = 1};
    return 0;
}

/* ---- a client ---- */

struct visitor {
    struct stream stream;
    struct buffer heard;
    size_t connected, lines, ended;
};

static inline void visitor_connected(struct stream *stream, enum err err)
{
    assert_int_equal(err, ERR_NONE);
    LIST_OF(stream, struct visitor, stream)->connected++;
    stream_read(stream, true);
}

static inline void visitor_received(struct stream *stream, struct slice bytes)
{
    struct visitor *visitor = LIST_OF(stream, struct visitor, stream);
    buffer_add(&visitor->heard, bytes);
    for (size_t i = 0; i < bytes.length; i++)
        visitor->lines += bytes.data[i] == '\n';
}

static inline void visitor_drained(struct stream *stream)
{
    (void)stream;
}

static inline void visitor_ended(struct stream *stream, enum err err)
{
    (void)err;
    LIST_OF(stream, struct visitor, stream)->ended++;
}

/* Replies are known by their last line: three digits and a blank. */
static inline size_t reply_count(const struct visitor *visitor)
{
    struct slice rest = buffer_slice(&visitor->heard), line;
    size_t count = 0;
    while (rest.length > 0 && slice_cut(&rest, '\n', &line))
        count += line.length > 3 && line.data[3] == ' ';
    return count;
}

/* Until so many replies were heard, or the end. */
static inline void hear(struct visitor *visitor, size_t replies)
{
    int64_t end_ms = clock_monotonic_ms() + LOOP_WAIT_MS;
    while (reply_count(visitor) < replies && visitor->ended == 0 && clock_monotonic_ms() < end_ms)
        loop_for(1);
}

/* From another address of this machine, or any (NULL). */
static inline void visitor_connect(struct visitor *visitor, const struct endpoint *source)
{
    *visitor = (struct visitor){.stream = {.connected = visitor_connected, .received = visitor_received, .drained = visitor_drained, .ended = visitor_ended}};
    buffer_init(&visitor->heard, 1u << 20);
    stream_connect(&visitor->stream, &place, source);
    loop_until("the connection", &visitor->connected, 1);
}

static inline void visitor_open(struct visitor *visitor)
{
    visitor_connect(visitor, NULL);
    loop_until("the greeting", &visitor->lines, 1);
    stream_write(&visitor->stream, SLICE(EHLO));
    hear(visitor, 2);
    assert_true(reply_count(visitor) >= 2);
}

static inline void visitor_close(struct visitor *visitor)
{
    stream_abort(&visitor->stream);
    buffer_free(&visitor->heard);
}

/* Says the input behind EHLO, cut at this offset, then QUIT; until the end. Gives what was heard behind EHLO's reply. */
static inline struct slice say(struct visitor *visitor, struct slice input, size_t cut)
{
    visitor_open(visitor);
    size_t before = buffer_length(&visitor->heard);
    stream_write(&visitor->stream, slice_to(input, cut));
    if (cut > 0 && cut < input.length)
        loop_for(1); /* the first part arrives alone */
    stream_write(&visitor->stream, slice_from(input, cut));
    stream_write(&visitor->stream, SLICE("QUIT\r\n"));
    loop_until("the end", &visitor->ended, 1);
    return slice_from(buffer_slice(&visitor->heard), before);
}

/* Says this, and gives the last line of the next reply; empty: the session ended without one. */
static inline struct slice converse(struct visitor *visitor, const char *words)
{
    size_t replies = reply_count(visitor);
    stream_write(&visitor->stream, slice_of(words));
    hear(visitor, replies + 1);
    struct slice rest = buffer_slice(&visitor->heard), line, last = SLICE_EMPTY;
    while (rest.length > 0 && slice_cut(&rest, '\n', &line)) {
        if (line.length > 3 && line.data[3] == ' ' && replies-- == 0)
            last = slice_trim(line);
    }
    return last;
}

static inline bool has(struct slice text, const char *part)
{
    return slice_find_slice(text, slice_of(part)) < text.length;
}

#endif
