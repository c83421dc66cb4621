/* Requests on the control socket, a line each, each on a connection of its own, to an engine that runs over the simulator's stand-ins with
 * some mail in its queue: whatever is asked, the engine goes on, every answer is JSON, a line each, whose last one says how it ended, and
 * no session stays when the client has gone. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "test/sim/sim_dns.h"
#include "test/sim/sim_event.h"
#include "test/sim/sim_host.h"
#include "test/sim/sim_known.h"
#include "test/sim/sim_ledger.h"
#include "test/sim/sim_log.h"
#include "test/sim/sim_memory.h"
#include "test/sim/sim_net.h"
#include "test/sim/sim_oracle.h"
#include "test/sim/sim_peer.h"
#include "test/sim/sim_relay.h"
#include "test/sim/sim_wire.h"
#include "test/unit/mail.h"

#define SOCKET "/run/sternpost/control.sock"
#define REQUESTS_MAX 4
#define ANSWER_MAX_MS 600000
#define EVENTS_MAX 200000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct asker {
    struct sim_peer peer;
    struct slice request;
    struct buffer answer;
    bool is_over;
};

static enum sim_net_answer on_incoming(struct sim_link *link)
{
    (void)link;
    return SIM_NET_REFUSED;
}

static void on_closed(struct sim_link *link)
{
    (void)link;
}

static void on_asked(struct slice name)
{
    (void)name;
}

static void on_denied(const struct world_domain *domain)
{
    (void)domain;
}

/* ---- a client ---- */

static struct asker *asker_of(struct sim_peer *peer)
{
    return LIST_OF(peer, struct asker, peer);
}

static void on_connected(struct sim_peer *peer, enum err err)
{
    assert(err == ERR_NONE);
    sim_peer_write(peer, asker_of(peer)->request);
    sim_peer_write(peer, SLICE("\n"));
}

static void on_readable(struct sim_peer *peer)
{
    struct slice input = sim_peer_input(peer);
    buffer_add(&asker_of(peer)->answer, input);
    sim_peer_consume(peer, input.length);
}

static void on_secured(struct sim_peer *peer, bool is_open)
{
    (void)peer;
    (void)is_open;
}

static void on_ended(struct sim_peer *peer)
{
    asker_of(peer)->is_over = true;
    sim_peer_close(peer);
}

static void on_released(struct sim_peer *peer)
{
    (void)peer;
}

static void run(int64_t until_ms, const bool *is_over)
{
    for (size_t i = 0; !*is_over && sim_event_next(until_ms); i++) {
        sim_net_reap();
        sim_peers_reap();
        assert(i < EVENTS_MAX);
    }
}

static void check_answer(struct slice answer)
{
    struct slice line;
    bool is_last = false;
    while (answer.length > 0 && slice_cut(&answer, '\n', &line)) {
        struct json *json = NULL;
        assert(!is_last && json_parse(line, &json) == ERR_NONE);
        is_last = json_get(json, "exit") != NULL;
        json_free(&json);
    }
    assert(is_last);
}

static void ask(struct slice request)
{
    static const bool never;
    struct endpoint to = {.port = 0}, from = {.port = 1};
    struct asker asker = {.request = request};
    asker.peer = (struct sim_peer){.connected = on_connected, .readable = on_readable, .secured = on_secured, .ended = on_ended,
                                   .release = on_released};
    memcpy(to.path, SOCKET, sizeof SOCKET);
    buffer_init(&asker.answer, (size_t)64 << 20);
    sim_peer_connect(&asker.peer, &to, &from);
    run(sim_now_ms() + ANSWER_MAX_MS, &asker.is_over);
    if (asker.is_over)
        check_answer(buffer_slice(&asker.answer));
    else
        sim_peer_drop(&asker.peer); /* it waits for what follows the request */
    run(sim_now_ms() + 1000, &never);
    assert(sim_net_oldest_ms() == 0);
    buffer_free(&asker.answer);
}

/* ---- the relay ---- */

static void fill_queue(void)
{
    struct queue *queue = NULL;
    struct buffer fault;
    struct queue_options options = {
        .path = SLICE("queue"), .map_size = UINT64_C(1) << 34, .done_keep_ms = 3600000, .free_min = 1};
    int64_t now_ms = clock_wall_ms(), later_ms = now_ms + INT64_C(86400000);
    buffer_init(&fault, 4096);
    enum err err = queue_open(&options, &queue, &fault);
    assert(err == ERR_NONE);
    struct mail mails[] = {
        {.id = queue_id_make(now_ms, 1), .from = "s1@d0.example", .to = {"d0.example", "d1.example"}, .due_ms = later_ms},
        {.id = queue_id_make(now_ms, 2), .from = "", .to = {"d1.example"}, .due_ms = later_ms},
        {.id = queue_id_make(now_ms, 3), .from = "s3@d0.example", .to = {"d0.example"}, .held = true, .size = 70000},
    };
    for (size_t i = 0; i < sizeof mails / sizeof mails[0]; i++) {
        err = mail_accept(queue, &mails[i]);
        assert(err == ERR_NONE);
    }
    buffer_free(&fault);
    queue_close(&queue);
}

static void open_world(void)
{
    static const struct sim_net_world net = {.incoming = on_incoming, .closed = on_closed};
    static const struct sim_dns_watch dns = {on_asked, on_denied};
    sim_event_start();
    sim_log_start(false);
    sim_memory_reset();
    world_make(1, WORLD_PLAIN);
    sim_host_start();
    sim_net_start(&net);
    sim_dns_start(&dns);
    sim_peers_start();
    sim_wires_start();
    sim_ledger_start();
    sim_oracle_start();
    sim_known_start();
    sim_relay_begin();
    fill_queue();
    sim_relay_start();
    assert(sim_relay_is_up());
}

static void close_world(void)
{
    sim_relay_end();
    sim_peers_end();
    sim_wires_end();
    sim_net_end();
    sim_dns_end();
    sim_host_end();
    sim_ledger_end();
    sim_known_end();
    sim_event_end();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_make(data, size), request;
    if (size > 65536)
        return 0;
    open_world();
    for (size_t i = 0; i < REQUESTS_MAX && rest.length > 0 && slice_cut(&rest, '\n', &request); i++)
        ask(request);
    assert(!sim_failed());
    close_world();
    return 0;
}
