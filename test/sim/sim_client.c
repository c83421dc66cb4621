#include "test/sim/sim_client.h"

#include "base/text.h"
#include "test/sim/sim_dice.h"
#include "test/sim/sim_ledger.h"
#include "test/sim/sim_log.h"
#include "test/sim/sim_peer.h"
#include "test/sim/world_crowd.h"

#include <assert.h>
#include <stdlib.h>

#define TRIES_MAX 40
#define RETRY_MS 60000
#define NO_LIMIT UINT64_MAX

#define STEP_LIST(X) X(GREETING) X(HELLO) X(STARTTLS) X(MAIL) X(RCPT) X(DATA) X(END) X(QUIT)
enum step {
#define X(name) STEP_##name,
    STEP_LIST(X)
#undef X
};
/* One that comes at its time with one message and tries until the relay has answered its end. */
struct client {
    struct list_node node;
    struct sim_event start;
    struct sim_message *message; /* NULL: it has no right to send any */
    unsigned tries;
    bool is_done;
    struct visit *visit; /* NULL: not connected */
};
/* A connection of a client. */
struct visit {
    struct sim_peer peer;
    struct client *client; /* NULL: it has turned away */
    enum step step;
    bool wants_tls, is_pipelining, is_hasty;
    size_t rcpt_next, accepted_count;
    uint64_t budget;       /* bytes it says before it breaks off */
    bool hangs;            /* instead of breaking off */
    bool has_hung_up;
};

static struct list clients;

static void on_start(struct sim_event *event);
static void on_connected(struct sim_peer *peer, enum err err);
static void on_readable(struct sim_peer *peer);
static void on_secured(struct sim_peer *peer, bool is_open);
static void on_ended(struct sim_peer *peer);
static void release(struct sim_peer *peer);
static void take_reply(struct visit *visit, unsigned code, struct slice line);
static void part(struct visit *visit);
static void say_transaction(struct visit *visit);
static void say_content(struct visit *visit);
static void add_content(struct visit *visit, struct buffer *words);

void sim_clients_start(size_t message_count)
{
    list_init(&clients);
    for (size_t i = 0; i < message_count; i++) {
        struct client *client = calloc(1, sizeof *client);
        if (client == NULL)
            abort();
        list_add_last(&clients, &client->node);
        if (world.crowd != WORLD_CROWD_NONE || !sim_dice_percent(5))
            client->message = sim_ledger_compose();
        int64_t start_ms = world.crowd != WORLD_CROWD_NONE ? world_crowd_start_ms(i + 1) : sim_dice_between(0, world.storm_ms);
        sim_event_plan(&client->start, start_ms, on_start);
    }
}

void sim_clients_end(void)
{
    struct list_node *node;
    while ((node = list_take_first(&clients)) != NULL) {
        struct client *client = LIST_OF(node, struct client, node);
        sim_event_cancel(&client->start);
        free(client);
    }
}

bool sim_clients_are_done(void)
{
    for (struct list_node *node = list_first(&clients); node != NULL; node = list_next(&clients, node)) {
        if (!LIST_OF(node, struct client, node)->is_done)
            return false;
    }
    return true;
}

/* ---- coming ---- */

static void be_odd(struct visit *visit)
{
    visit->budget = NO_LIMIT;
    if (!world_is_stormy() || !sim_dice_percent(world.trouble_percent / 2))
        return;
    /* Mostly about where the end of the content is. */
    size_t length = visit->client->message == NULL ? 0 : buffer_length(&visit->client->message->content);
    visit->budget = sim_dice_percent(30) ? sim_dice_below(200) : 100 + length + sim_dice_below(200);
    visit->hangs = sim_dice_percent(20);
}

static void on_start(struct sim_event *event)
{
    struct client *client = LIST_OF(event, struct client, start);
    if (client->visit != NULL) { /* it has waited for long enough */
        struct visit *visit = client->visit;
        part(visit);
        sim_peer_drop(&visit->peer);
        if (client->is_done)
            return;
    }
    struct visit *visit = calloc(1, sizeof *visit);
    if (visit == NULL)
        abort();
    struct endpoint from = {.port = 30000}, to;
    bool is_stranger = client->message == NULL;
    from.ip = ip_v4(is_stranger ? (const uint8_t[4]){10, 9, 9, 9} : (const uint8_t[4]){10, 0, 0, 7});
    enum err err = endpoint_parse(SLICE(SIM_CLIENT_DOOR), 0, &to);
    assert(err == ERR_NONE);
    visit->peer = (struct sim_peer){.connected = on_connected, .readable = on_readable, .secured = on_secured,
                                    .ended = on_ended, .release = release};
    visit->client = client;
    client->visit = visit;
    client->tries++;
    visit->wants_tls = sim_dice_percent(25);
    visit->is_pipelining = sim_dice_percent(50);
    visit->is_hasty = world_is_stormy() && sim_dice_percent(3);
    be_odd(visit);
    sim_peer_connect(&visit->peer, &to, &from);
    sim_event_plan(&client->start, 400000, on_start);
}

static struct visit *visit_of(struct sim_peer *peer)
{
    return LIST_OF(peer, struct visit, peer);
}

static void release(struct sim_peer *peer)
{
    free(visit_of(peer));
}

/* The client leaves this connection and comes again, or not: what was handed over whole must not be handed over twice. */
static void part(struct visit *visit)
{
    struct client *client = visit->client;
    if (client == NULL)
        return;
    visit->client = NULL;
    client->visit = NULL;
    sim_event_cancel(&client->start);
    bool is_answered = client->message == NULL || client->message->is_promised || client->message->is_handed;
    client->is_done = client->is_done || is_answered || client->tries >= TRIES_MAX;
    if (!client->is_done)
        sim_event_plan(&client->start, RETRY_MS + sim_dice_between(0, RETRY_MS), on_start);
}

static void on_connected(struct sim_peer *peer, enum err err)
{
    if (err == ERR_NONE)
        return;
    part(visit_of(peer));
    sim_peer_drop(peer);
}

static void on_ended(struct sim_peer *peer)
{
    part(visit_of(peer));
    sim_peer_close(peer);
}

static void on_secured(struct sim_peer *peer, bool is_open)
{
    struct visit *visit = visit_of(peer);
    if (!is_open || visit->client == NULL)
        return;
    visit->step = STEP_HELLO;
    sim_peer_write(peer, SLICE("EHLO client.example\r\n"));
}

/* ---- talking ---- */

static void hang_up(struct visit *visit)
{
    visit->has_hung_up = true;
    if (visit->hangs) {
        sim_peer_hang(&visit->peer);
        return; /* its own patience ends it */
    }
    part(visit);
    if (sim_dice_percent(50))
        sim_peer_drop(&visit->peer);
    else
        sim_peer_close(&visit->peer);
}

/* False: it broke off before all was said. */
static bool say(struct visit *visit, struct slice words)
{
    struct slice said = slice_to(words, visit->budget < words.length ? (size_t)visit->budget : words.length);
    sim_peer_write(&visit->peer, said);
    if (visit->budget != NO_LIMIT)
        visit->budget -= said.length;
    if (said.length == words.length)
        return true;
    hang_up(visit);
    return false;
}

static bool say_command(struct visit *visit, const char *format, const char *argument)
{
    char line[256];
    return say(visit, text_print(line, sizeof line, format, argument));
}

static void on_readable(struct sim_peer *peer)
{
    struct visit *visit = visit_of(peer);
    for (;;) {
        struct slice input = sim_peer_input(peer);
        size_t end = slice_find(input, '\n');
        uint64_t code = 0;
        if (end == input.length || visit->client == NULL || visit->has_hung_up)
            return;
        char copy[512];
        struct slice line = text_print(copy, sizeof copy, "%.*s", SLICE_ARGS(slice_to(input, end)));
        sim_peer_consume(peer, end + 1);
        if (!slice_number(slice_to(line, 3), 599, &code) || code < 200)
            sim_fail("the relay answered a client: %.*s", SLICE_ARGS(line));
        else if (line.length > 3 && line.data[3] != '-')
            take_reply(visit, (unsigned)code, line);
    }
}

static void quit(struct visit *visit)
{
    visit->step = STEP_QUIT;
    (void)say(visit, SLICE("QUIT\r\n"));
}

static void after_hello(struct visit *visit)
{
    if (visit->wants_tls && visit->peer.tls == NULL) {
        visit->step = STEP_STARTTLS;
        (void)say(visit, SLICE("STARTTLS\r\n"));
        return;
    }
    visit->step = STEP_MAIL;
    say_transaction(visit);
}

static const char *recipient_of(const struct visit *visit, size_t index)
{
    return visit->client->message == NULL ? "m1r0@d1.example" : visit->client->message->recipients[index].address;
}

static size_t recipient_count(const struct visit *visit)
{
    return visit->client->message == NULL ? 1 : visit->client->message->recipient_count;
}

/* MAIL alone, or the whole envelope in one breath (RFC 2920), or even the content, which is too hasty. */
static void say_transaction(struct visit *visit)
{
    struct buffer words;
    struct sim_message *message = visit->client->message;
    buffer_init(&words, SIZE_MAX / 2);
    if (message != NULL)
        sim_ledger_begun(message);
    visit->rcpt_next = visit->accepted_count = 0;
    buffer_print(&words, "MAIL FROM:<%s>\r\n", message == NULL ? "someone@elsewhere.example" : message->sender);
    for (size_t i = 0; visit->is_pipelining && i < recipient_count(visit); i++)
        buffer_print(&words, "RCPT TO:<%s>\r\n", recipient_of(visit, i));
    if (visit->is_pipelining)
        buffer_add(&words, SLICE("DATA\r\n"));
    if (visit->is_pipelining && visit->is_hasty)
        add_content(visit, &words);
    if (visit->is_pipelining && visit->is_hasty && message != NULL && visit->budget >= buffer_length(&words))
        sim_ledger_handed(message);
    (void)say(visit, buffer_slice(&words));
    buffer_free(&words);
}

static void on_rcpt_reply(struct visit *visit, unsigned code)
{
    struct sim_message *message = visit->client->message;
    if (message == NULL && code < 300)
        sim_fail("a stranger may relay");
    if (message != NULL)
        message->recipients[visit->rcpt_next].is_accepted = code == 250;
    visit->accepted_count += code == 250;
    visit->rcpt_next++;
    bool is_last = visit->rcpt_next == recipient_count(visit);
    visit->step = is_last ? STEP_DATA : STEP_RCPT;
    if (visit->is_pipelining)
        return;
    if (!is_last)
        (void)say_command(visit, "RCPT TO:<%s>\r\n", recipient_of(visit, visit->rcpt_next));
    else if (visit->accepted_count > 0)
        (void)say(visit, SLICE("DATA\r\n"));
    else
        quit(visit);
}

static void on_end_reply(struct visit *visit, unsigned code)
{
    struct client *client = visit->client;
    if (client->message != NULL && code == 250)
        sim_ledger_promised(client->message);
    else if (client->message != NULL)
        sim_ledger_refused(client->message);
    client->is_done = true;
    quit(visit);
}

static void take_reply(struct visit *visit, unsigned code, struct slice line)
{
    bool is_positive = code < 400;
    (void)line;
    if (code == 421) {
        part(visit);
        sim_peer_close(&visit->peer);
        return;
    }
    switch (visit->step) {
    case STEP_GREETING:
        visit->step = STEP_HELLO;
        (void)say(visit, SLICE("EHLO client.example\r\n"));
        return;
    case STEP_HELLO:
        after_hello(visit);
        return;
    case STEP_STARTTLS:
        if (is_positive)
            sim_peer_secure(&visit->peer, tls_session_client(NULL, TLS_ENCRYPT, SLICE_EMPTY, NULL));
        else
            quit(visit);
        return;
    case STEP_MAIL:
        visit->step = STEP_RCPT;
        if (!is_positive && !visit->is_pipelining)
            quit(visit);
        else if (!visit->is_pipelining)
            (void)say_command(visit, "RCPT TO:<%s>\r\n", recipient_of(visit, 0));
        return;
    case STEP_RCPT:
        on_rcpt_reply(visit, code);
        return;
    case STEP_DATA:
        if (code == 354)
            say_content(visit);
        else
            quit(visit);
        return;
    case STEP_END:
        on_end_reply(visit, code);
        return;
    case STEP_QUIT:
        part(visit);
        sim_peer_close(&visit->peer);
        return;
    }
}

/* Dots are stuffed here by hand (RFC 5321 4.5.2). */
static void add_content(struct visit *visit, struct buffer *words)
{
    const struct sim_message *message = visit->client->message;
    struct slice rest = message == NULL ? SLICE("x\r\n") : buffer_slice(&message->content);
    while (rest.length > 0) {
        struct slice line = slice_to(rest, slice_find(rest, '\n') + 1);
        if (line.data[0] == '.')
            buffer_add_byte(words, '.');
        buffer_add(words, line);
        rest = slice_from(rest, line.length);
    }
    buffer_add(words, SLICE(".\r\n"));
}

static void say_content(struct visit *visit)
{
    struct buffer words;
    visit->step = STEP_END;
    if (visit->is_hasty && visit->is_pipelining)
        return; /* it has been said */
    buffer_init(&words, SIZE_MAX / 2);
    add_content(visit, &words);
    bool will_be_whole = visit->budget >= buffer_length(&words);
    if (visit->client->message != NULL && will_be_whole)
        sim_ledger_handed(visit->client->message);
    (void)say(visit, buffer_slice(&words));
    buffer_free(&words);
}
