#include "relay/delivery_internal.h"

#include "base/text.h"
#include "relay/patience.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_TIMEOUT_MS 30000
#define HURRIED_MS 30000 /* patience while others wait for the place */
#define HANDSHAKE_TIMEOUT_MS 60000
#define PENDING_MAX 65536
#define EXPECTS_TLS_MS 10000 /* a server of STARTTLS on that port would have greeted by then */
#define OVERTAKEN_MAX 3

static void on_connected(struct channel *channel, enum err err);
static void on_secured(struct channel *channel, const struct tls_verdict *verdict);
static void on_readable(struct channel *channel);
static void on_writable(struct channel *channel);
static void on_ended(struct channel *channel, enum err err);
static void drive(struct delivery *delivery);
static bool handle(struct delivery *delivery, const struct smtp_client_event *event);
static void next_address(struct delivery *delivery);
static void leave_in_doubt(struct delivery *delivery, struct trouble_facts *facts);
static void end_transaction(struct delivery *delivery);
static bool has_undecided(const struct delivery *delivery);
static enum trouble secure(struct delivery *delivery);
static bool start_tls(struct delivery *delivery);

bool delivery_is_connected(const struct delivery *delivery)
{
    return delivery->client != NULL && channel_is_open(&delivery->channel);
}

bool delivery_demands_tls(const struct delivery *delivery)
{
    return delivery->demand.tls != CONFIG_TLS_OPPORTUNISTIC;
}

static bool demands_proof(const struct delivery *delivery)
{
    return delivery->demand.tls == CONFIG_TLS_VERIFY || delivery->demand.tls == CONFIG_TLS_IMPLICIT;
}

/* ---- connecting ---- */

/* Not the host's fault: memory, file descriptors, a firewall of our own. */
static bool is_ours(enum err err)
{
    return err != ERR_TIMEOUT && err != ERR_REFUSED && err != ERR_UNREACHABLE && err != ERR_RESET;
}

static void connect_failed(struct delivery *delivery, enum err err)
{
    struct trouble_facts facts = {.trouble = TROUBLE_CONNECT, .detail = slice_of(err_text(err))};
    if (!is_ours(err))
        delivery_host_is_dead(delivery, &facts);
    delivery_host_failed(delivery, &facts);
}

void delivery_connect(struct delivery *delivery)
{
    assert(!delivery_is_connected(delivery) && delivery->address_index < delivery->addresses.count);
    struct endpoint peer = {.ip = delivery->addresses.items[delivery->address_index], .port = delivery->demand.port};
    struct endpoint source;
    delivery->state = DELIVERY_CONNECTING;
    delivery->channel = (struct channel){
        .connected = on_connected,
        .secured = on_secured,
        .readable = on_readable,
        .writable = on_writable,
        .ended = on_ended,
    };
    delivery->relay->metrics.connections_out++;
    memset(&delivery->tls, 0, sizeof delivery->tls);
    delivery_await(delivery, CONNECT_TIMEOUT_MS);
    enum err err = channel_connect(&delivery->channel, &peer, route_source(delivery->relay->config, peer.ip.family, &source));
    if (err != ERR_NONE) {
        connect_failed(delivery, err);
    }
}

static void on_connected(struct channel *channel, enum err err)
{
    struct delivery *delivery = LIST_OF(channel, struct delivery, channel);
    if (err != ERR_NONE) {
        connect_failed(delivery, err);
        return;
    }
    bool implicit = delivery->demand.tls == CONFIG_TLS_IMPLICIT;
    struct slice hostname; /* a reload may replace the configuration while the connection lives */
    if (!arena_slice(delivery->route_arena, delivery->relay->config->hostname, &hostname))
        hostname = SLICE("localhost");
    struct smtp_client_options options = {
        .hostname = hostname,
        .starttls = implicit || delivery->without_tls ? SMTP_CLIENT_STARTTLS_NEVER
                    : delivery_demands_tls(delivery)           ? SMTP_CLIENT_STARTTLS_MUST
                                                      : SMTP_CLIENT_STARTTLS_MAY,
        .secured = implicit,
        .chunking = true,
    };
    delivery->client = smtp_client_new(&options);
    delivery->state = DELIVERY_TALKING;
    delivery->connected_ms = clock_monotonic_ms();
    delivery->transaction_count = 0;
    delivery->carried_count = 0;
    delivery->is_authenticated = false;
    delivery->timed_stage = SMTP_STAGE_CLOSED;
    if (delivery->client == NULL) {
        struct trouble_facts facts = {.trouble = TROUBLE_INTERNAL};
        delivery_host_failed(delivery, &facts);
    } else if (!implicit || start_tls(delivery)) {
        delivery_set_deadline(delivery);
    }
}

/* The name that is proved is the MX host's (RFC 8461 4.2); an address cannot prove itself. */
static enum trouble secure(struct delivery *delivery)
{
    struct ip ip;
    struct slice name = delivery_host(delivery);
    enum tls_demand demand = demands_proof(delivery) ? TLS_VERIFY : TLS_ENCRYPT;
    if (ip_parse(name, &ip))
        name = SLICE_EMPTY;
    if (name.length == 0 && demand == TLS_VERIFY)
        return TROUBLE_HANDSHAKE;
    struct tls_session *session = tls_session_client(delivery->relay->tls, demand, name, NULL);
    if (session == NULL)
        return TROUBLE_INTERNAL;
    delivery_await(delivery, HANDSHAKE_TIMEOUT_MS);
    return channel_secure(&delivery->channel, &session) ? TROUBLE_NONE : TROUBLE_NO_STARTTLS;
}

static bool start_tls(struct delivery *delivery)
{
    struct trouble_facts facts = {.trouble = secure(delivery), .stage = SMTP_STAGE_STARTTLS};
    if (facts.trouble == TROUBLE_NONE)
        return true;
    if (facts.trouble == TROUBLE_NO_STARTTLS)
        facts.detail = slice_of(smtp_client_fault_text(SMTP_CLIENT_FAULT_INJECTION));
    if (facts.trouble == TROUBLE_HANDSHAKE)
        facts.detail = SLICE(VERDICT_NO_NAME);
    delivery_host_failed(delivery, &facts);
    return false;
}

static void count_handshake(struct delivery *delivery, const struct tls_verdict *verdict)
{
    struct metrics *metrics = &delivery->relay->metrics;
    *(!verdict->secured    ? &metrics->handshake_failed
      : verdict->verified ? &metrics->handshake_verified
                          : &metrics->handshake_unverified) += 1;
}

static void on_secured(struct channel *channel, const struct tls_verdict *verdict)
{
    struct delivery *delivery = LIST_OF(channel, struct delivery, channel);
    count_handshake(delivery, verdict);
    if (verdict->retry_at_once && !delivery->has_retried_tls) {
        delivery->has_retried_tls = true;
        delivery_hang_up(delivery);
        delivery_connect(delivery);
        return;
    }
    if (!verdict->secured || (demands_proof(delivery) && !verdict->verified)) {
        struct trouble_facts facts = {.trouble = TROUBLE_HANDSHAKE, .stage = SMTP_STAGE_SECURING};
        char why[512];
        if (!arena_slice(delivery->arena, tls_verdict_print(verdict, why), &facts.detail))
            facts.detail = SLICE_EMPTY;
        delivery_host_failed(delivery, &facts);
        return;
    }
    why_add(&delivery->why, "tls", delivery_host(delivery), "%s, %s%s", verdict->version,
            verdict->verified ? "the certificate proves its name" : tls_failure_text(verdict->failure),
            verdict->verified ? "" : ", which nothing here forbids");
    if (!smtp_client_is_secured(delivery->client))
        smtp_client_secured(delivery->client);
    drive(delivery);
}

/* ---- talking ---- */

static void on_readable(struct channel *channel)
{
    struct delivery *delivery = LIST_OF(channel, struct delivery, channel);
    if (delivery->client != NULL)
        drive(delivery);
}

static void on_writable(struct channel *channel)
{
    struct delivery *delivery = LIST_OF(channel, struct delivery, channel);
    if (delivery->is_sending_content && delivery_send_content(delivery))
        drive(delivery);
}

static void on_ended(struct channel *channel, enum err err)
{
    struct delivery *delivery = LIST_OF(channel, struct delivery, channel);
    (void)err; /* however it ended, it is lost: whether the peer may have the message is what counts */
    if (delivery->state == DELIVERY_IDLE || delivery->client == NULL) {
        delivery_finish(delivery);
        return;
    }
    smtp_client_lost(delivery->client);
    drive(delivery);
}

void delivery_on_timeout(struct timer *timer)
{
    struct delivery *delivery = LIST_OF(timer, struct delivery, timer);
    struct trouble_facts facts = {.trouble = TROUBLE_TIMEOUT, .stage = SMTP_STAGE_GREETING};
    if (delivery->state == DELIVERY_CONNECTING) {
        connect_failed(delivery, ERR_TIMEOUT);
        return;
    }
    if (delivery->client != NULL)
        facts.stage = smtp_client_stage(delivery->client);
    if (delivery->client != NULL && smtp_client_is_in_doubt(delivery->client))
        leave_in_doubt(delivery, &facts);
    else if (!has_undecided(delivery))
        end_transaction(delivery);
    else
        delivery_host_failed(delivery, &facts);
}

static void drive(struct delivery *delivery)
{
    for (;;) {
        if (delivery->state == DELIVERY_IDLE) {
            /* Words out of turn, such as a 421 before the peer closes: this connection is of no more use. */
            if (channel_input(&delivery->channel).length > 0)
                delivery_finish(delivery);
            return;
        }
        size_t taken = smtp_client_feed(delivery->client, channel_input(&delivery->channel));
        channel_consume(&delivery->channel, taken);
        struct smtp_client_event event = smtp_client_next(delivery->client);
        delivery_flush(delivery);
        if (event.kind == SMTP_CLIENT_WAIT) {
            if (taken > 0)
                continue;
            delivery_set_deadline(delivery);
            return;
        }
        if (!handle(delivery, &event))
            return;
    }
}

void delivery_flush(struct delivery *delivery)
{
    struct slice output = smtp_client_output(delivery->client);
    if (output.length == 0)
        return;
    channel_write(&delivery->channel, output);
    smtp_client_sent(delivery->client, output.length);
}

int64_t delivery_patience_ms(const struct delivery *delivery, enum smtp_client_stage stage)
{
    struct patience patience = {
        .stage = stage,
        .elapsed_ms = clock_monotonic_ms() - delivery->transaction_ms,
        .size = delivery->message.size,
    };
    return patience_ms(&patience);
}

static bool may_expect_tls(const struct delivery *delivery)
{
    return route_may_expect_tls(delivery->demand.port, delivery->demand.tls);
}

/* A stage has its time once, and each recipient: lines of a reply that dribble in do not prolong it. */
void delivery_set_deadline(struct delivery *delivery)
{
    enum smtp_client_stage stage = smtp_client_stage(delivery->client);
    if (stage == delivery->timed_stage || stage == SMTP_STAGE_SECURING)
        return;
    delivery->timed_stage = stage;
    bool is_hopeless = stage == SMTP_STAGE_GREETING && may_expect_tls(delivery);
    delivery_await(delivery, is_hopeless ? EXPECTS_TLS_MS : delivery_patience_ms(delivery, stage));
}

void delivery_await(struct delivery *delivery, int64_t wait_ms)
{
    delivery->owed_ms = clock_monotonic_ms();
    timer_start(&delivery->timer, wait_ms, delivery_on_timeout);
}

/* As many hosts that hang as there are places would otherwise keep all of them for the five minutes of RFC 5321 4.5.3.2. */
void delivery_hurry(struct delivery *delivery)
{
    bool is_owed = delivery->state == DELIVERY_CONNECTING ||
                   (delivery->state == DELIVERY_TALKING && delivery->client != NULL &&
                    !smtp_client_is_in_doubt(delivery->client));
    if (is_owed && clock_monotonic_ms() - delivery->owed_ms >= HURRIED_MS)
        timer_start(&delivery->timer, 0, delivery_on_timeout);
}

/* ---- what the client machine says ---- */

/* To find and reach a host takes minutes, in which other mail may have learned of a policy, or a reload may demand more. It binds this
 * message too: all begins again under it, but not for ever. */
static void begin_again(struct delivery *delivery)
{
    struct trouble_facts facts = {.trouble = TROUBLE_POLICY_UNKNOWN, .detail = SLICE("it changes while mail is on its way")};
    delivery_hang_up(delivery);
    if (++delivery->overtaken_count < OVERTAKEN_MAX) {
        why_add(&delivery->why, "policy", delivery_domain(delivery), "%s",
                delivery_same_demand(delivery) ? "one became known meanwhile, so all begins again under it"
                                               : "the configuration was reloaded meanwhile, so all begins again under it");
        delivery->worst = (struct trouble_facts){0};
        delivery->any_policy = false;
        delivery_find_policy(delivery);
        return;
    }
    facts.host = facts.domain = delivery_domain(delivery);
    delivery_trouble(delivery, &facts);
    delivery_conclude(delivery);
}

static bool at_ready(struct delivery *delivery)
{
    const struct demand *demand = &delivery->demand;
    const struct tls_verdict *tls = channel_verdict(&delivery->channel);
    /* The last gate: whatever the machines before it believed. */
    assert(!delivery_demands_tls(delivery) || (tls != NULL && tls->secured));
    assert(!demands_proof(delivery) || tls->verified);
    if (demand->username.length > 0 && !delivery->is_authenticated) {
        delivery->is_authenticated = true;
        smtp_client_auth(delivery->client, demand->username, demand->password);
        return true;
    }
    if (demand->username.length > 0)
        delivery_upstream_accepted(delivery);
    if (!delivery->has_work)
        return true; /* between two transactions */
    delivery_host_answers(delivery);
    if (!delivery_same_demand(delivery) || delivery_policy_is_overtaken(delivery)) {
        begin_again(delivery);
        return false;
    }
    destination_proven(delivery->destination);
    return delivery_send(delivery);
}

static enum trouble trouble_of_fault(const struct smtp_client_event *event)
{
    switch (event->fault) {
    case SMTP_CLIENT_FAULT_REFUSED:
    case SMTP_CLIENT_FAULT_SHUTDOWN:
        return TROUBLE_GREETING;
    case SMTP_CLIENT_FAULT_NO_STARTTLS:
    case SMTP_CLIENT_FAULT_STARTTLS_REFUSED:
    case SMTP_CLIENT_FAULT_INJECTION:
        return TROUBLE_NO_STARTTLS;
    case SMTP_CLIENT_FAULT_MALFORMED:
        return TROUBLE_MALFORMED;
    case SMTP_CLIENT_FAULT_AUTH_REFUSED:
        /* RFC 4954 6: with 4xx it could not look at them now. */
        return event->reply.code >= 500 ? TROUBLE_CREDENTIALS : TROUBLE_GREETING;
    case SMTP_CLIENT_FAULT_NO_AUTH:
        return TROUBLE_NO_MECHANISM;
    case SMTP_CLIENT_FAULT_MEMORY:
        return TROUBLE_INTERNAL;
    default:
        return TROUBLE_LOST;
    }
}

/* A connection that has carried transactions and then goes away before this one was answered was only stale: once more over a
 * new one, which is no failure of the host. Either nothing of the content was complete, or not one reply came to what left with
 * it: the host was gone before it read any. */
static bool is_stale(const struct delivery *delivery, const struct smtp_client_event *event)
{
    bool unread = !event->maybe || event->stage == SMTP_STAGE_MAIL;
    return delivery->transaction_count > 0 && !delivery->has_retried_fresh && unread &&
           (event->fault == SMTP_CLIENT_FAULT_LOST || event->fault == SMTP_CLIENT_FAULT_SHUTDOWN);
}

/* At the next address of the host the same account would only fail once more. */
static void refused_credentials(struct delivery *delivery, struct trouble_facts *facts)
{
    char address[48];
    delivery_complete_facts(delivery, facts, address);
    delivery_upstream_refused(delivery, facts);
    delivery_trouble(delivery, facts);
    delivery_hang_up(delivery);
    delivery_conclude(delivery);
}

static void describe_mechanisms(struct delivery *delivery, struct trouble_facts *facts)
{
    char text[VERDICT_MECHANISMS_TEXT];
    const char *names = smtp_client_extensions(delivery->client)->auth_names;
    if (!arena_slice(delivery->arena, verdict_mechanisms(names, text), &facts->detail))
        facts->detail = SLICE_EMPTY;
}

static void session_failed(struct delivery *delivery, const struct smtp_client_event *event)
{
    if (!delivery->has_work) {
        delivery_finish(delivery);
        return;
    }
    if (!has_undecided(delivery)) {
        end_transaction(delivery);
        return;
    }
    if (is_stale(delivery, event)) {
        delivery_begin_fresh(delivery, false);
        return;
    }
    struct trouble_facts facts = {
        .trouble = trouble_of_fault(event),
        .stage = event->stage,
        .reply = event->reply,
        .detail = event->fault == SMTP_CLIENT_FAULT_INJECTION ? slice_of(smtp_client_fault_text(event->fault)) : SLICE_EMPTY,
    };
    if (facts.trouble == TROUBLE_NO_MECHANISM)
        describe_mechanisms(delivery, &facts);
    if (facts.trouble == TROUBLE_CREDENTIALS || facts.trouble == TROUBLE_NO_MECHANISM) {
        refused_credentials(delivery, &facts);
        return;
    }
    if (!event->maybe) {
        delivery_host_failed(delivery, &facts);
        return;
    }
    leave_in_doubt(delivery, &facts);
}

/* The host may have the message: to give it to another one now would double it. */
static void leave_in_doubt(struct delivery *delivery, struct trouble_facts *facts)
{
    char address[48];
    delivery_complete_facts(delivery, facts, address);
    delivery_trouble(delivery, facts);
    for (size_t i = 0; i < delivery->sent_count; i++) {
        if (!delivery->decided[delivery->sent[i]])
            delivery_decide(delivery, delivery->sent[i], facts);
    }
    end_transaction(delivery);
}

/* The connection is of no more use, and another would have nobody left to be tried for. */
static void end_transaction(struct delivery *delivery)
{
    delivery_hang_up(delivery);
    delivery_conclude_transaction(delivery);
}

static bool has_undecided(const struct delivery *delivery)
{
    for (size_t i = 0; i < delivery->entry.recipient_count; i++) {
        if (delivery->entry.recipients[i].status == QUEUE_PENDING && !delivery->decided[i])
            return true;
    }
    return false;
}

/* False: the connection or the delivery itself is gone, or somebody else drives on. */
static bool handle(struct delivery *delivery, const struct smtp_client_event *event)
{
    switch (event->kind) {
    case SMTP_CLIENT_STARTTLS:
        (void)start_tls(delivery); /* goes on in on_secured() */
        return false;
    case SMTP_CLIENT_READY:
        return at_ready(delivery);
    case SMTP_CLIENT_RECIPIENT:
        if (!event->accepted)
            delivery_decide_sent(delivery, event->recipient, event);
        delivery->timed_stage = SMTP_STAGE_CLOSED; /* the next one has its time anew */
        return true;
    case SMTP_CLIENT_CONTENT:
        delivery->is_sending_content = true;
        return delivery_send_content(delivery);
    case SMTP_CLIENT_DONE:
        delivery->is_sending_content = false;
        if (delivery_is_spent(delivery, event)) {
            delivery_begin_fresh(delivery, true);
            return false;
        }
        delivery_carried(delivery, event);
        delivery_decide_rest(delivery, event);
        delivery_conclude_transaction(delivery);
        return false;
    case SMTP_CLIENT_FAILED:
        session_failed(delivery, event);
        return false;
    case SMTP_CLIENT_WAIT:
        break;
    }
    return true;
}

/* ---- failures of a host ---- */

/* Old servers that cannot do our TLS still get mail for domains that demand nothing, in plaintext, as without TLS. */
static bool retry_without_tls(struct delivery *delivery, const struct trouble_facts *facts)
{
    if (!verdict_is_tls_failure(facts) || delivery_demands_tls(delivery) || delivery->without_tls)
        return false;
    delivery->without_tls = true;
    text_print(delivery->tls_problem, sizeof delivery->tls_problem, "%.*s", SLICE_ARGS(facts->detail));
    delivery_hang_up(delivery);
    delivery_connect(delivery);
    return true;
}

void delivery_host_failed(struct delivery *delivery, struct trouble_facts *facts)
{
    char address[48];
    bool is_mute = verdict_is_mute(facts);
    if (is_mute && may_expect_tls(delivery))
        facts->trouble = TROUBLE_EXPECTS_TLS;
    if (is_mute)
        delivery_host_is_dead(delivery, facts);
    else if (facts->trouble != TROUBLE_CONNECT && facts->trouble != TROUBLE_INTERNAL)
        delivery_host_answers(delivery);
    delivery_complete_facts(delivery, facts, address);
    delivery_trouble(delivery, facts);
    if (retry_without_tls(delivery, facts))
        return;
    next_address(delivery);
}

static void next_address(struct delivery *delivery)
{
    delivery_hang_up(delivery);
    delivery->without_tls = false;
    if (delivery->is_stopping) {
        delivery_finish(delivery);
        return;
    }
    delivery->address_index++;
    delivery_try_address(delivery);
}

void delivery_note_tls(struct delivery *delivery)
{
    const struct tls_verdict *tls = delivery_is_connected(delivery) ? channel_verdict(&delivery->channel) : NULL;
    if (tls == NULL)
        return;
    delivery->tls.secured = tls->secured;
    delivery->tls.verified = tls->verified;
    memcpy(delivery->tls.version, tls->version, sizeof delivery->tls.version);
}

void delivery_hang_up(struct delivery *delivery)
{
    delivery_note_tls(delivery);
    timer_cancel(&delivery->timer);
    delivery->is_sending_content = false;
    if (delivery_is_connected(delivery) && smtp_client_stage(delivery->client) == SMTP_STAGE_READY) {
        smtp_client_quit(delivery->client);
        delivery_flush(delivery);
    }
    channel_close(&delivery->channel);
    smtp_client_free(&delivery->client);
    destination_hung_up(delivery->destination, &delivery->is_through);
}
