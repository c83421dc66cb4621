#include "test/sim/sim_wire.h"

#include "base/text.h"
#include "test/sim/sim_chunk.h"
#include "test/sim/sim_known.h"
#include "test/sim/sim_ledger.h"
#include "test/sim/sim_log.h"
#include "test/sim/sim_oracle.h"
#include "test/sim/sim_seen.h"

#include <stdlib.h>

#define NO_DOMAIN SIZE_MAX

struct wire {
    struct list_node node;
    struct sim_link *link;
    const struct world_host *host; /* who is really there */
    bool is_secure;                /* the handshake is complete */
    bool in_content;
    bool offers_chunking;
    uint64_t chunk_left;           /* bytes of a chunk that are still to come */
    char wanted[256];              /* the name that the relay wants proved */
    struct sim_certificate shown;
    struct buffer raw, text;       /* bytes not read yet; of them the text */
    struct sim_known known[WORLD_DOMAINS_MAX]; /* when MAIL left, by domain */
    size_t destination;
};

static struct list wires;

static void take_line(struct wire *wire, struct slice line);
static void take_record(struct wire *wire, unsigned char type, struct slice payload);
static void take_mail(struct wire *wire);
static void take_recipient(struct wire *wire, struct slice line);

void sim_wires_start(void)
{
    list_init(&wires);
}

static void release(struct wire *wire)
{
    wire->link->wire = NULL;
    list_remove(&wires, &wire->node);
    buffer_free(&wire->raw);
    buffer_free(&wire->text);
    free(wire);
}

void sim_wires_end(void)
{
    struct list_node *node;
    while ((node = list_first(&wires)) != NULL)
        release(LIST_OF(node, struct wire, node));
}

void sim_wire_open(struct sim_link *link, const struct world_host *host)
{
    struct wire *wire = calloc(1, sizeof *wire);
    if (wire == NULL)
        abort();
    wire->link = link;
    wire->host = host;
    if (host->is_attackers)
        sim_saw(SIM_SEEN_ATTACKED);
    wire->destination = NO_DOMAIN;
    buffer_init(&wire->raw, SIZE_MAX / 2);
    buffer_init(&wire->text, SIZE_MAX / 2);
    link->wire = wire;
    list_add_last(&wires, &wire->node);
}

void sim_wire_close(struct sim_link *link)
{
    const struct wire *wire = link->wire;
    if (wire == NULL)
        return;
    if (wire->host->is_attackers && wire->destination == NO_DOMAIN)
        sim_saw(SIM_SEEN_ATTACKER_REFUSED);
    release(link->wire);
}

void sim_wire_chunking(struct sim_link *link)
{
    struct wire *wire = link->wire;
    wire->offers_chunking = true;
}

void sim_wire_shown(struct sim_link *link, const struct sim_certificate *certificate)
{
    struct wire *wire = link->wire;
    if (wire != NULL)
        wire->shown = *certificate;
}

void sim_wire_content(struct sim_link *link)
{
    struct wire *wire = link->wire;
    if (wire != NULL)
        wire->in_content = true;
}

/* ---- reading ---- */

static bool is_record(struct slice bytes)
{
    unsigned char first = (unsigned char)bytes.data[0];
    return first >= SIM_TLS_ALERT && first <= SIM_TLS_DATA;
}

static void take_lines(struct wire *wire, struct buffer *text)
{
    struct slice rest = buffer_slice(text);
    size_t end;
    for (;;) {
        struct slice chunk = slice_to(rest, (size_t)wire->chunk_left);
        wire->chunk_left -= chunk.length;
        rest = slice_from(rest, chunk.length);
        if ((text == &wire->raw && rest.length > 0 && is_record(rest)) || (end = slice_find(rest, '\n')) == rest.length)
            break;
        take_line(wire, slice_to(rest, end + 1));
        rest = slice_from(rest, end + 1);
    }
    buffer_consume(text, buffer_length(text) - rest.length);
}

void sim_wire_written(struct sim_link *link, struct slice bytes)
{
    struct wire *wire = link->wire;
    struct buffer payload;
    if (wire == NULL)
        return;
    buffer_add(&wire->raw, bytes);
    buffer_init(&payload, SIZE_MAX / 2);
    for (;;) {
        struct slice rest = buffer_slice(&wire->raw);
        unsigned char type;
        buffer_clear(&payload);
        if (rest.length == 0 || !is_record(rest)) {
            take_lines(wire, &wire->raw);
            rest = buffer_slice(&wire->raw);
            if (rest.length == 0 || !is_record(rest))
                break;
        }
        if (!sim_tls_open_record(&rest, &type, &payload))
            break;
        buffer_consume(&wire->raw, buffer_length(&wire->raw) - rest.length);
        take_record(wire, type, buffer_slice(&payload));
    }
    buffer_free(&payload);
}

static void take_record(struct wire *wire, unsigned char type, struct slice payload)
{
    char kind = payload.length > 0 ? payload.data[0] : '\0';
    if (type == SIM_TLS_HANDSHAKE && kind == SIM_TLS_HELLO)
        text_print(wire->wanted, sizeof wire->wanted, "%.*s", SLICE_ARGS(slice_from(payload, 1)));
    else if (type == SIM_TLS_HANDSHAKE && kind == SIM_TLS_FINISHED)
        wire->is_secure = true;
    if (type == SIM_TLS_DATA) {
        buffer_add(&wire->text, payload);
        take_lines(wire, &wire->text);
    }
}

static void take_chunk(struct wire *wire, struct slice line)
{
    bool is_last;
    if (!wire->offers_chunking)
        sim_fail("the relay sent BDAT to %s, which does not offer it", wire->host->name);
    if (!sim_chunk_read(line, &wire->chunk_left, &is_last))
        sim_fail("the relay sent \"%.*s\" to %s", SLICE_ARGS(slice_to(line, 40)), wire->host->name);
}

static void take_line(struct wire *wire, struct slice line)
{
    if (wire->in_content) {
        wire->in_content = !slice_equal(line, SLICE(".\r\n"));
        return;
    }
    if (slice_starts_nocase(line, SLICE("MAIL FROM:")))
        take_mail(wire);
    else if (slice_starts_nocase(line, SLICE("RCPT TO:")))
        take_recipient(wire, line);
    else if (slice_starts_nocase(line, SLICE("BDAT")))
        take_chunk(wire, line);
}

/* ---- judging ---- */

static void take_mail(struct wire *wire)
{
    for (size_t i = 0; i < world.domain_count; i++)
        wire->known[i] = sim_known_of(&world.domains[i]);
}

static size_t count_destination(size_t domain)
{
    size_t count = 0;
    for (struct list_node *node = list_first(&wires); node != NULL; node = list_next(&wires, node))
        count += LIST_OF(node, struct wire, node)->destination == domain;
    return count;
}

static void judge_policy(const struct wire *wire, const struct world_domain *domain, struct slice address)
{
    const struct sim_known *known = &wire->known[domain->index];
    struct slice wanted = slice_of(wire->wanted);
    if (known->is_free) {
        sim_saw(wire->is_secure ? SIM_SEEN_FREE_TLS : SIM_SEEN_FREE_PLAIN);
        return;
    }
    sim_saw(known->ways[1] == NULL ? SIM_SEEN_ENFORCED : SIM_SEEN_ENFORCED_BETWEEN);
    bool is_admitted = world_admits(known->ways[0], wanted) ||
                       (known->ways[1] != NULL && world_admits(known->ways[1], wanted));
    const char *fault = !wire->is_secure                                  ? "in plaintext"
                        : !sim_certificate_proves(&wire->shown, wanted) ? "without a proof of the host's name"
                        : !is_admitted                                  ? "although the policy does not admit the host"
                                                                          : NULL;
    if (fault != NULL)
        sim_fail("the envelope for <%.*s> left on link %llu to %s (wanted: %s) %s, under the enforced policy %s",
                 SLICE_ARGS(address), (unsigned long long)wire->link->number, wire->host->name, wire->wanted, fault,
                 known->ways[0]->id);
}

static void take_recipient(struct wire *wire, struct slice line)
{
    size_t open = slice_find(line, '<');
    struct slice address = slice_from(line, open + 1);
    address = slice_to(address, slice_find(address, '>'));
    struct slice name = slice_from(address, slice_find_last(address, '@') + 1);
    const struct world_domain *domain = world_find_domain(name);
    if (domain == NULL) {
        sim_fail("the relay sent RCPT TO:<%.*s>", SLICE_ARGS(address));
        return;
    }
    sim_log("link %llu: RCPT <%.*s> to %s%s, %s", (unsigned long long)wire->link->number, SLICE_ARGS(address),
            wire->host->name, wire->is_secure ? " over TLS" : "",
            wire->known[domain->index].is_free ? "free" : wire->known[domain->index].ways[0]->id);
    judge_policy(wire, domain, address);
    bool is_elsewhere = !wire->host->is_attackers && !world_has_host(domain, world_host_index(wire->host));
    if (is_elsewhere)
        sim_fail("<%.*s> was offered to %s, which is no host of its domain", SLICE_ARGS(address), wire->host->name);
    wire->destination = domain->index;
    if (count_destination(domain->index) > world.per_destination)
        sim_fail("more than %u connections to %s", world.per_destination, domain->name);
    sim_oracle_attempted(domain, address);
}
