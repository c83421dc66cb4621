#include "test/sim/sim_mx_internal.h"

/* The machine does not know of chunks: it hears DATA, whose 354 nobody hears, and then the whole. Its refusal is the answer. */
static void hand_over(struct mx *mx)
{
    (void)smtp_server_feed(mx->server, SLICE("DATA\r\n"));
    struct smtp_server_event event = smtp_server_next(mx->server);
    if (event.kind == SMTP_SERVER_DATA) {
        sim_mx_begin_content(mx);
        smtp_server_sent(mx->server, smtp_server_output(mx->server).length);
        sim_chunks_stuff(&mx->chunks, &mx->stuffed);
    } else if (event.kind != SMTP_SERVER_WAIT) {
        sim_mx_handle(mx, &event);
    }
}

static void end_chunk(struct mx *mx)
{
    mx->chunks.is_open = false;
    if (mx->chunks.is_failed)
        sim_mx_say(mx, SLICE("503 5.5.1 a chunk before was refused\r\n"));
    else if (mx->chunks.is_last)
        hand_over(mx);
    else
        sim_mx_say(mx, SLICE("250 2.0.0 go on\r\n"));
}

void sim_mx_refuse_chunk(struct mx *mx, uint64_t left)
{
    mx->chunks.is_failed = true;
    mx->is_confused = false;
    mx->chunks.is_open = false;
    mx->refused_left = left;
}

static bool feed_open(struct mx *mx)
{
    struct slice input = sim_peer_input(&mx->peer);
    if (mx->chunks.left == 0) {
        end_chunk(mx);
        return true;
    }
    if (input.length == 0)
        return false;
    bool is_slow = mx->oddity == ODDITY_SLOW;
    if (mx->content_seen >= mx->content_limit && sim_mx_act(mx, STAGE_CONTENT)) {
        if (!is_slow)
            sim_mx_refuse_chunk(mx, mx->chunks.left);
        return !sim_mx_is_over(mx);
    }
    if (mx->stage == STAGE_CONTENT)
        input = slice_to(input, (size_t)(mx->content_limit - mx->content_seen));
    size_t taken = sim_chunk_feed(&mx->chunks, input);
    sim_peer_consume(&mx->peer, taken);
    mx->content_seen += taken;
    return true;
}

/* What the machine is to have of the chunks, or what nobody is to have. */
static bool feed_rest(struct mx *mx)
{
    struct slice rest = buffer_slice(&mx->stuffed), input = sim_peer_input(&mx->peer);
    size_t taken = rest.length > 0 ? smtp_server_feed(mx->server, rest)
                                   : slice_to(input, (size_t)mx->refused_left).length;
    if (rest.length > 0) {
        buffer_consume(&mx->stuffed, taken);
    } else {
        sim_peer_consume(&mx->peer, taken);
        mx->refused_left -= taken;
    }
    return taken > 0;
}

void sim_mx_begin_chunk(struct mx *mx, uint64_t length, bool is_last)
{
    sim_chunk_begin(&mx->chunks, length, is_last);
    mx->content_seen = 0;
}

bool sim_mx_is_in_chunk(const struct mx *mx)
{
    return mx->chunks.is_open || mx->refused_left > 0 || buffer_length(&mx->stuffed) > 0;
}

bool sim_mx_feed_chunk(struct mx *mx)
{
    return mx->chunks.is_open ? feed_open(mx) : feed_rest(mx);
}
