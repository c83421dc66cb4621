#include "relay/channel.h"

#include "base/buffer.h"
#include "base/list.h"

#include <assert.h>
#include <stdlib.h>

/* The owner may leave so much unread before the peer is no longer read. */
#define INPUT_MAX (128u << 10)
/* Ciphertext that waits for a handshake job to end. */
#define HELD_MAX (256u << 10)

/* Lives on the heap until the last job is done, whatever the owner does. */
struct channel_state {
    struct channel *channel; /* NULL: the owner has closed it */
    struct stream stream;
    struct tls_session *tls;
    struct job job;          /* a handshake flight */
    struct buffer input;     /* plaintext for the owner (without TLS, and TLS plaintext alike) */
    struct buffer held;      /* ciphertext not yet fed */
    struct buffer plain;     /* plaintext not yet taken by TLS */
    struct timer notice;     /* readable() for what is there already */
    bool reads;              /* the owner wants more */
    bool secured;            /* the handshake has been reported */
    bool is_accepted;        /* the other side began */
    bool ended, end_fed, end_reported;
    enum err end;
    bool wants_drained;
    bool is_closing;         /* goodbye: to be sent when the job is done */
    bool *gone;              /* of a call to the owner that is under way: set when it closes the channel */
};

static void on_connected(struct stream *stream, enum err err);
static void on_received(struct stream *stream, struct slice bytes);
static void on_drained(struct stream *stream);
static void on_ended(struct stream *stream, enum err err);
static void run(struct channel_state *state);
static void pump(struct channel_state *state);
static bool report(struct channel_state *state, bool has_arrived);
enum tell { TELL_SECURED, TELL_READABLE, TELL_ENDED };
static bool tell(struct channel_state *state, enum tell what, enum err err);
static void set_reading(struct channel_state *state);
static bool has_held_back(const struct channel_state *state);
static bool is_starved(const struct channel_state *state);
static void encrypt(struct channel_state *state);
static void say_goodbye(struct channel_state *state);
static void release(struct channel_state *state);
static void on_notice(struct timer *timer);

static struct channel_state *state_new(struct channel *channel)
{
    struct channel_state *state = calloc(1, sizeof *state);
    if (state == NULL)
        return NULL;
    state->channel = channel;
    state->reads = true;
    buffer_init(&state->input, INPUT_MAX + HELD_MAX);
    buffer_init(&state->held, HELD_MAX + (64u << 10));
    buffer_init(&state->plain, SIZE_MAX);
    state->stream =
        (struct stream){.connected = on_connected, .received = on_received, .drained = on_drained, .ended = on_ended};
    channel->state = state;
    return state;
}

static void release(struct channel_state *state)
{
    timer_cancel(&state->notice);
    tls_session_free(&state->tls);
    buffer_free(&state->input);
    buffer_free(&state->held);
    buffer_free(&state->plain);
    free(state);
}

enum err channel_connect(struct channel *channel, const struct endpoint *peer, const struct endpoint *source)
{
    struct channel_state *state = state_new(channel);
    if (state == NULL)
        return ERR_MEMORY;
    stream_connect(&state->stream, peer, source);
    return ERR_NONE;
}

enum err channel_accept(struct channel *channel, struct listener *listener)
{
    struct channel_state *state = state_new(channel);
    if (state == NULL)
        return ERR_MEMORY;
    enum err err = stream_accept(listener, &state->stream);
    if (err != ERR_NONE) {
        channel->state = NULL;
        release(state);
        return err;
    }
    state->is_accepted = true;
    set_reading(state);
    return ERR_NONE;
}

static struct channel_state *state_of(struct stream *stream)
{
    return LIST_OF(stream, struct channel_state, stream);
}

static void on_connected(struct stream *stream, enum err err)
{
    struct channel_state *state = state_of(stream);
    if (err == ERR_NONE)
        set_reading(state);
    state->channel->connected(state->channel, err);
}

/* ---- what arrives ---- */

static void on_received(struct stream *stream, struct slice bytes)
{
    struct channel_state *state = state_of(stream);
    buffer_add(state->tls == NULL ? &state->input : &state->held, bytes);
    if (state->tls != NULL) {
        run(state);
        return;
    }
    state->ended = is_starved(state);
    set_reading(state);
    if (state->ended) {
        on_ended(stream, ERR_MEMORY);
        return;
    }
    state->channel->readable(state->channel);
}

static void on_ended(struct stream *stream, enum err err)
{
    struct channel_state *state = state_of(stream);
    state->ended = true;
    state->end = err;
    if (state->tls != NULL) {
        run(state);
        return;
    }
    if (state->end_reported)
        return;
    state->end_reported = true;
    state->channel->ended(state->channel, err);
}

static void set_reading(struct channel_state *state)
{
    bool on = state->reads && !state->ended && buffer_length(&state->input) < INPUT_MAX &&
              buffer_length(&state->held) < HELD_MAX && !job_is_running(&state->job);
    stream_read(&state->stream, on);
}

struct slice channel_input(const struct channel *channel)
{
    return channel->state == NULL ? SLICE_EMPTY : buffer_slice(&channel->state->input);
}

void channel_consume(struct channel *channel, size_t length)
{
    if (length == 0)
        return;
    struct channel_state *state = channel->state;
    buffer_consume(&state->input, length);
    if (has_held_back(state) && !timer_is_running(&state->notice))
        timer_start(&state->notice, 0, on_notice);
    set_reading(state);
}

/* Ciphertext not yet fed, or plaintext still inside of the session: no byte from outside need follow that would move it on. */
static bool has_held_back(const struct channel_state *state)
{
    return state->tls != NULL && !job_is_running(&state->job) &&
           (buffer_length(&state->held) > 0 || tls_session_plain(state->tls).length > 0);
}

/* What was held back because the owner had not consumed. */
static void on_notice(struct timer *timer)
{
    run(LIST_OF(timer, struct channel_state, notice));
}

void channel_read(struct channel *channel, bool on)
{
    channel->state->reads = on;
    set_reading(channel->state);
}

/* ---- TLS ---- */

bool channel_secure(struct channel *channel, struct tls_session **session)
{
    struct channel_state *state = channel->state;
    assert(state->tls == NULL);
    if (buffer_length(&state->input) > 0) {
        tls_session_free(session);
        return false;
    }
    state->tls = *session;
    *session = NULL;
    if (!timer_is_running(&state->notice))
        timer_start(&state->notice, 0, on_notice);
    return true;
}

void channel_secure_from_start(struct channel *channel, struct tls_session **session)
{
    struct channel_state *state = channel->state;
    assert(!state->wants_drained);
    buffer_add(&state->held, buffer_slice(&state->input));
    buffer_clear(&state->input);
    bool secured = channel_secure(channel, session);
    assert(secured);
}

static void flight(struct job *job)
{
    tls_session_work(LIST_OF(job, struct channel_state, job)->tls);
}

static void flight_done(struct job *job)
{
    struct channel_state *state = LIST_OF(job, struct channel_state, job);
    if (state->channel == NULL && !state->is_closing) {
        release(state);
        return;
    }
    if (state->is_closing) {
        say_goodbye(state);
        return;
    }
    pump(state);
}

static void feed(struct channel_state *state)
{
    struct slice ciphertext = slice_to(buffer_slice(&state->held), tls_session_room(state->tls));
    tls_session_feed(state->tls, ciphertext);
    buffer_consume(&state->held, ciphertext.length);
    if (state->ended && buffer_length(&state->held) == 0) {
        tls_session_end(state->tls);
        state->end_fed = true;
    }
}

/* Feeds what is held; the costly part, the handshake, as a job, the rest here. While a job runs the session is its own. */
static void run(struct channel_state *state)
{
    if (job_is_running(&state->job))
        return;
    if (!state->end_fed)
        feed(state);
    size_t taken = tls_session_write(state->tls, buffer_slice(&state->plain));
    buffer_consume(&state->plain, taken);
    if (tls_session_is_costly(state->tls)) {
        job_start(&state->job, flight, flight_done);
        set_reading(state);
        return;
    }
    tls_session_work(state->tls);
    pump(state);
}

static size_t send_wire(struct channel_state *state)
{
    struct slice wire = tls_session_wire(state->tls);
    if (wire.length == 0)
        return 0;
    stream_write(&state->stream, wire);
    tls_session_wired(state->tls, wire.length);
    return wire.length;
}

static size_t take_plain(struct channel_state *state)
{
    struct slice plain = tls_session_plain(state->tls);
    if (buffer_length(&state->input) >= INPUT_MAX)
        return 0;
    buffer_add(&state->input, plain);
    tls_session_consume(state->tls, plain.length);
    return plain.length;
}

/* After work: moves bytes on, tells the owner, and works again while there is something to work on. */
static void pump(struct channel_state *state)
{
    size_t arrived = 0;
    for (;;) {
        size_t sent = send_wire(state);
        size_t taken = take_plain(state);
        arrived += taken;
        if ((sent == 0 && taken == 0) || tls_session_is_costly(state->tls))
            break;
        tls_session_work(state->tls); /* what its full rings held back */
    }
    set_reading(state);
    bool was_secured = state->secured;
    if (!report(state, arrived > 0))
        return;
    bool can_feed = (buffer_length(&state->held) > 0 && buffer_length(&state->input) < INPUT_MAX) ||
                    (state->ended && !state->end_fed);
    bool can_write = state->secured && buffer_length(&state->plain) > 0;
    if ((can_feed || can_write || was_secured != state->secured) && !timer_is_running(&state->notice))
        timer_start(&state->notice, 0, on_notice);
}

/* Bytes on their way in or out are lost: it must look neither like the peer's silence nor like its end. */
static bool is_starved(const struct channel_state *state)
{
    return buffer_failed(&state->input) || buffer_failed(&state->held) || buffer_failed(&state->plain);
}

static enum err end_of(const struct channel_state *state, enum tls_status status)
{
    if (is_starved(state) || (status == TLS_FAILED && tls_session_verdict(state->tls)->failure == TLS_FAILURE_MEMORY))
        return ERR_MEMORY;
    if (status == TLS_CLOSED)
        return ERR_END;
    return state->ended && state->end != ERR_END ? state->end : ERR_RESET;
}

/* Calls the owner, who may close the channel and vanish meanwhile: false then, and nothing of both may be touched. */
static bool tell(struct channel_state *state, enum tell what, enum err err)
{
    struct channel *channel = state->channel;
    bool gone = false;
    bool *outer = state->gone;
    state->gone = &gone;
    switch (what) {
    case TELL_SECURED:
        channel->secured(channel, tls_session_verdict(state->tls));
        break;
    case TELL_READABLE:
        channel->readable(channel);
        break;
    case TELL_ENDED:
        channel->ended(channel, err);
        break;
    }
    if (!gone)
        state->gone = outer;
    else if (outer != NULL)
        *outer = true;
    return !gone;
}

/* Tells the owner what became of the handshake, what has arrived, and that the stream is over, in this order. False: the owner
 * has closed the channel. */
static bool report(struct channel_state *state, bool has_arrived)
{
    enum tls_status status = tls_session_status(state->tls);
    if (!state->secured && status != TLS_HANDSHAKING) {
        state->secured = true;
        /* In TLS 1.3 the client has the last word, and the server's next one may be an answer to what it has not said yet. */
        if (state->is_accepted)
            stream_acknowledge(&state->stream);
        if (!tell(state, TELL_SECURED, ERR_NONE))
            return false;
    }
    if (has_arrived && !tell(state, TELL_READABLE, ERR_NONE))
        return false;
    bool over = status == TLS_CLOSED || status == TLS_TRUNCATED || status == TLS_FAILED;
    bool has_more = !over || tls_session_plain(state->tls).length > 0;
    if (state->end_reported || (has_more && !is_starved(state)))
        return true;
    state->end_reported = true;
    return tell(state, TELL_ENDED, end_of(state, status));
}

/* ---- what is sent ---- */

void channel_write(struct channel *channel, struct slice bytes)
{
    struct channel_state *state = channel->state;
    if (bytes.length == 0)
        return;
    state->wants_drained = true;
    if (state->tls == NULL) {
        stream_write(&state->stream, bytes);
        return;
    }
    buffer_add(&state->plain, bytes);
    if (state->secured && !job_is_running(&state->job))
        encrypt(state);
    bool rest = buffer_length(&state->plain) > 0 || is_starved(state) || tls_session_status(state->tls) != TLS_OPEN;
    if (rest && !job_is_running(&state->job) && !timer_is_running(&state->notice))
        timer_start(&state->notice, 0, on_notice);
}

/* Here and now, so that it leaves in this turn of the loop; nothing is decrypted and nobody called. */
static void encrypt(struct channel_state *state)
{
    size_t taken;
    size_t sent;
    do {
        taken = tls_session_write(state->tls, buffer_slice(&state->plain));
        buffer_consume(&state->plain, taken);
        tls_session_work(state->tls);
        sent = send_wire(state);
    } while (taken > 0 || sent > 0);
}

size_t channel_pending(const struct channel *channel)
{
    const struct channel_state *state = channel->state;
    return state == NULL ? 0 : buffer_length(&state->plain) + stream_pending(&state->stream);
}

static void on_drained(struct stream *stream)
{
    struct channel_state *state = state_of(stream);
    if (state->tls != NULL && buffer_length(&state->plain) > 0) {
        run(state);
        return;
    }
    if (!state->wants_drained || state->channel == NULL)
        return;
    state->wants_drained = false;
    state->channel->writable(state->channel);
}

/* ---- the end ---- */

static void say_goodbye(struct channel_state *state)
{
    encrypt(state);
    tls_session_close(state->tls);
    tls_session_work(state->tls);
    send_wire(state);
    stream_close(&state->stream);
    release(state);
}

static void detach(struct channel *channel, struct channel_state *state)
{
    channel->state = NULL;
    state->channel = NULL;
    if (state->gone != NULL)
        *state->gone = true;
    state->gone = NULL;
}

void channel_close(struct channel *channel)
{
    struct channel_state *state = channel->state;
    if (state == NULL)
        return;
    detach(channel, state);
    timer_cancel(&state->notice);
    if (state->tls == NULL) {
        stream_close(&state->stream);
        release(state);
    } else if (job_is_running(&state->job)) {
        stream_read(&state->stream, false);
        state->is_closing = true;
    } else {
        say_goodbye(state);
    }
}

void channel_abort(struct channel *channel)
{
    struct channel_state *state = channel->state;
    if (state == NULL)
        return;
    detach(channel, state);
    timer_cancel(&state->notice);
    stream_abort(&state->stream);
    if (!job_is_running(&state->job))
        release(state);
}

/* ---- facts ---- */

bool channel_is_open(const struct channel *channel)
{
    return channel->state != NULL;
}

bool channel_is_secured(const struct channel *channel)
{
    const struct tls_verdict *verdict = channel_verdict(channel);
    return verdict != NULL && verdict->secured;
}

const struct tls_verdict *channel_verdict(const struct channel *channel)
{
    if (channel->state == NULL || channel->state->tls == NULL)
        return NULL;
    return tls_session_verdict(channel->state->tls);
}

struct endpoint channel_peer(const struct channel *channel)
{
    return stream_peer(&channel->state->stream);
}

struct endpoint channel_local(const struct channel *channel)
{
    return stream_local(&channel->state->stream);
}

struct stream *channel_stream(struct channel *channel)
{
    return &channel->state->stream;
}
