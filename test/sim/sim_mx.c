#include "test/sim/sim_mx_internal.h"

#include "base/text.h"
#include "test/sim/sim_dice.h"
#include "test/sim/sim_log.h"
#include "test/sim/sim_seen.h"
#include "test/sim/sim_wire.h"

#include <stdlib.h>
#include <string.h>

#define GREYLIST_MS 180000
#define CONTENT_MAX ((size_t)1 << 20)
#define NEVER_HEARD UINT64_MAX

static void on_connected(struct sim_peer *peer, enum err err);
static void on_readable(struct sim_peer *peer);
static void on_secured(struct sim_peer *peer, bool is_open);
static void on_ended(struct sim_peer *peer);
static void release(struct sim_peer *peer);
static void on_pause(struct sim_event *event);
static void drive(struct mx *mx);
static bool feed(struct mx *mx);
static void handle_rcpt(struct mx *mx, const struct smtp_rcpt *rcpt);
static void handle_end(struct mx *mx);
static void begin_tls(struct mx *mx);
static void flush(struct mx *mx);
static void store(struct mx *mx, uint64_t answer_end);

/* ---- opening ---- */

static void choose_oddity(struct mx *mx, unsigned percent)
{
    static const unsigned stages[] = {6, 5, 8, 8, 4, 8, 10, 6, 8, 16, 18, 3, 0};
    static const unsigned oddities[] = {30, 15, 22, 13, 8, 4, 8, 0};
    mx->stage = STAGE_NOWHERE;
    if (!sim_dice_percent(percent))
        return;
    mx->stage = (enum stage)sim_dice_choose(stages);
    mx->oddity = (enum oddity)sim_dice_choose(oddities);
    if (mx->stage == STAGE_STARTTLS && sim_dice_percent(25))
        mx->oddity = ODDITY_INJECTION;
    mx->content_limit = sim_dice_below(2000);
}

/* What the attacker can show: the right name without a root's word, an expired one, one by an authority for other uses, or
 * his own good name. */
static void forge_certificate(struct mx *mx)
{
    struct sim_certificate *certificate = &mx->certificate;
    *certificate = world.hosts[world.attacker].certificate;
    if (sim_dice_percent(30))
        return;
    text_print(certificate->names[0], SIM_TLS_NAME_MAX, "%s", mx->host->name);
    uint64_t way = sim_dice_below(4);
    certificate->is_self_signed = way == 0;
    certificate->is_untrusted = way == 1;
    certificate->is_expired = way == 2;
    certificate->is_foreign = way == 3;
}

static void worsen_certificate(struct sim_certificate *certificate)
{
    if (sim_dice_percent(40))
        certificate->is_expired = true;
    else if (sim_dice_percent(30))
        certificate->is_foreign = true;
    else
        text_print(certificate->names[0], SIM_TLS_NAME_MAX, "www.elsewhere.example");
}

static bool offers_starttls(const struct mx *mx, bool is_intercepted)
{
    if (is_intercepted || mx->host->is_attackers)
        return sim_dice_percent(60);
    return mx->host->offers_starttls;
}

enum sim_net_answer sim_mx_accept(struct sim_link *link, const struct world_host *host)
{
    size_t index = world_host_index(host);
    bool is_intercepted = world_has_fault(WORLD_FAULT_HOST_INTERCEPTED, index);
    if (world_has_fault(WORLD_FAULT_HOST_REFUSING, index))
        return sim_dice_percent(70) ? SIM_NET_REFUSED : SIM_NET_UNREACHABLE;
    if (world_has_fault(WORLD_FAULT_HOST_SILENT, index))
        return SIM_NET_SILENT;
    struct mx *mx = calloc(1, sizeof *mx);
    if (mx == NULL)
        abort();
    mx->peer = (struct sim_peer){.connected = on_connected, .readable = on_readable, .secured = on_secured,
                                 .ended = on_ended, .release = release};
    mx->host = host;
    mx->link = link;
    mx->certificate = host->certificate;
    if (is_intercepted)
        forge_certificate(mx);
    else if (world_has_fault(WORLD_FAULT_HOST_CERTIFICATE, index))
        worsen_certificate(&mx->certificate);
    struct smtp_server_options options = {
        .hostname = slice_of(host->name),
        .size_max = 10u << 20,
        .recipients_max = world_is_stormy() && sim_dice_percent(5) ? 1 : RECIPIENTS_MAX,
        .starttls = offers_starttls(mx, is_intercepted),
        .dsn = sim_dice_percent(50),
        .utf8 = true,
    };
    mx->server = smtp_server_new(&options);
    if (is_intercepted)
        mx->host = &world.hosts[world.attacker];
    unsigned percent = world_has_fault(WORLD_FAULT_HOST_ERRATIC, index) ? 90 : world.trouble_percent;
    choose_oddity(mx, world_is_stormy() ? percent : 0);
    if (world_is_stormy() && sim_dice_percent(2))
        mx->peer.dribble_ms = sim_dice_between(1, 400);
    buffer_init(&mx->content, CONTENT_MAX);
    buffer_init(&mx->stuffed, 2 * CONTENT_MAX);
    sim_chunks_init(&mx->chunks);
    sim_wire_open(link, mx->host);
    mx->offers_chunking = sim_dice_percent(50);
    if (mx->offers_chunking)
        sim_wire_chunking(link);
    sim_peer_accept(&mx->peer, link);
    drive(mx);
    return SIM_NET_ACCEPTED;
}

static struct mx *mx_of(struct sim_peer *peer)
{
    return LIST_OF(peer, struct mx, peer);
}

static void release(struct sim_peer *peer)
{
    struct mx *mx = mx_of(peer);
    sim_event_cancel(&mx->pause);
    smtp_server_free(&mx->server);
    buffer_free(&mx->content);
    buffer_free(&mx->stuffed);
    sim_chunks_free(&mx->chunks);
    free(mx);
}

static void on_connected(struct sim_peer *peer, enum err err)
{
    (void)peer; /* of those who connect */
    (void)err;
}

static void on_ended(struct sim_peer *peer)
{
    sim_peer_close(peer);
}

static void on_readable(struct sim_peer *peer)
{
    drive(mx_of(peer));
}

static void on_secured(struct sim_peer *peer, bool is_open)
{
    struct mx *mx = mx_of(peer);
    if (!is_open) {
        sim_peer_close(peer);
        return;
    }
    mx->is_secured = true;
    smtp_server_secured(mx->server);
    drive(mx);
}

/* ---- oddities ---- */

static void on_pause(struct sim_event *event)
{
    struct mx *mx = LIST_OF(event, struct mx, pause);
    mx->is_paused = false;
    if (!mx->peer.is_closed)
        drive(mx);
}

void sim_mx_say(struct mx *mx, struct slice line)
{
    flush(mx);
    sim_peer_write(&mx->peer, line);
}

/* A refusal for good is a reason to bounce those that it may be about. */
static void excuse(struct mx *mx, enum stage stage)
{
    if (stage < STAGE_MAIL || stage == STAGE_QUIT)
        return;
    mx->is_mail_refused = stage == STAGE_MAIL;
    if (stage == STAGE_MAIL)
        sim_ledger_excuse_sender(slice_of(mx->sender));
    if (stage == STAGE_RCPT)
        sim_ledger_excuse(slice_of(mx->recipients[mx->recipient_count]));
    for (size_t i = 0; stage >= STAGE_DATA && i < mx->recipient_count; i++)
        sim_ledger_excuse(slice_of(mx->recipients[i]));
}

/* The refusal comes instead of what the machine would say. */
static bool act_in_words(struct mx *mx, enum stage stage)
{
    switch (mx->oddity) {
    case ODDITY_TEMPORARY:
        sim_mx_say(mx, stage == STAGE_STARTTLS ? SLICE("454 4.7.0 no TLS today\r\n") : SLICE("451 4.3.0 not today\r\n"));
        return true;
    case ODDITY_PERMANENT:
        excuse(mx, stage);
        sim_mx_say(mx, stage == STAGE_STARTTLS ? SLICE("502 5.5.1 no TLS ever\r\n") : SLICE("554 5.3.0 never\r\n"));
        return true;
    case ODDITY_GARBAGE:
        sim_mx_say(mx, sim_dice_percent(50) ? SLICE("who are you?\r\n") : SLICE("250-one\r\n251 two\r\n"));
        return true;
    case ODDITY_SHUTDOWN:
        sim_mx_say(mx, SLICE("421 4.3.2 closing for today\r\n"));
        sim_peer_close(&mx->peer);
        return true;
    default:
        return false;
    }
}

/* The oddity of this stage, if it is here. True: the usual does not happen. */
bool sim_mx_act(struct mx *mx, enum stage stage)
{
    if (mx->stage != stage)
        return false;
    mx->stage = STAGE_NOWHERE;
    sim_saw(SIM_SEEN_STAGES + stage);
    sim_saw(SIM_SEEN_ODDITIES + mx->oddity);
    mx->is_confused = mx->is_confused || stage == STAGE_CONTENT;
    switch (mx->oddity) {
    case ODDITY_DROP:
        sim_peer_drop(&mx->peer);
        return true;
    case ODDITY_HANG:
        if (sim_dice_percent(50))
            sim_net_silence(&mx->peer.stream);
        sim_peer_hang(&mx->peer);
        return true;
    case ODDITY_SLOW:
        mx->is_paused = true;
        sim_event_plan(&mx->pause, sim_dice_between(1000, 720000), on_pause);
        return true;
    default:
        return act_in_words(mx, stage);
    }
}

/* ---- the machine's turn ---- */

/* Of all that the machine says only the answer to EHLO has several lines: behind the first goes what it does not know itself. */
static void flush(struct mx *mx)
{
    struct slice output = smtp_server_output(mx->server);
    size_t length = output.length;
    if (mx->offers_chunking && slice_starts(output, SLICE("250-"))) {
        size_t end = slice_find(output, '\n') + 1;
        sim_peer_write(&mx->peer, slice_to(output, end));
        sim_peer_write(&mx->peer, SLICE("250-CHUNKING\r\n"));
        output = slice_from(output, end);
    }
    sim_peer_write(&mx->peer, output);
    smtp_server_sent(mx->server, length);
}

bool sim_mx_is_over(const struct mx *mx)
{
    return mx->peer.is_closed || mx->peer.is_hanging || mx->is_paused;
}

static void drive(struct mx *mx)
{
    while (!sim_mx_is_over(mx)) {
        struct smtp_server_event event = smtp_server_next(mx->server);
        flush(mx);
        if (event.kind != SMTP_SERVER_WAIT) {
            sim_mx_handle(mx, &event);
        } else if (smtp_server_is_securing(mx->server)) {
            if (mx->peer.tls == NULL)
                begin_tls(mx);
            return;
        } else if (!feed(mx)) {
            return;
        }
    }
}

static enum stage stage_of(const struct mx *mx, struct slice line)
{
    static const struct {
        const char *verb;
        enum stage stage;
    } rows[] = {
        {"STARTTLS", STAGE_STARTTLS}, {"MAIL", STAGE_MAIL}, {"RCPT", STAGE_RCPT}, {"DATA", STAGE_DATA}, {"BDAT", STAGE_DATA}, {"QUIT", STAGE_QUIT},
    };
    if (slice_starts_nocase(line, SLICE("EHLO")) || slice_starts_nocase(line, SLICE("HELO")))
        return mx->is_secured ? STAGE_HELLO_SECURED : STAGE_HELLO;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (slice_starts_nocase(line, slice_of(rows[i].verb)))
            return rows[i].stage;
    }
    return STAGE_NOWHERE;
}

/* Whom a command names is noted before anything odd can happen to it. */
static void note_line(struct mx *mx, struct slice line)
{
    size_t open = slice_find(line, '<');
    struct slice address = slice_from(line, open + 1);
    address = slice_to(address, slice_find(address, '>'));
    if (slice_starts_nocase(line, SLICE("MAIL"))) {
        mx->recipient_count = 0;
        mx->is_mail_refused = false;
        sim_chunks_reset(&mx->chunks);
        text_print(mx->sender, sizeof mx->sender, "%.*s", SLICE_ARGS(address));
    } else if (slice_starts_nocase(line, SLICE("RCPT")) && mx->recipient_count < RECIPIENTS_MAX) {
        text_print(mx->recipients[mx->recipient_count], SIM_ADDRESS_MAX, "%.*s", SLICE_ARGS(address));
        if (mx->is_mail_refused)
            sim_ledger_excuse(address);
    }
}

/* One command at a time, so that each can be met with an oddity. */
static bool feed_command(struct mx *mx)
{
    struct slice input = sim_peer_input(&mx->peer);
    size_t end = slice_find(input, '\n');
    if (end == input.length)
        return false;
    struct slice line = slice_to(input, end + 1);
    enum stage stage = stage_of(mx, line);
    note_line(mx, line);
    bool injects = stage == STAGE_STARTTLS && mx->stage == STAGE_STARTTLS && mx->oddity == ODDITY_INJECTION;
    bool is_slow = mx->stage == stage && mx->oddity == ODDITY_SLOW;
    uint64_t chunk = 0;
    bool is_last = false, is_chunk = mx->offers_chunking && sim_chunk_read(line, &chunk, &is_last);
    if (sim_mx_act(mx, stage)) {
        if (!mx->peer.is_closed && !is_slow)
            sim_peer_consume(&mx->peer, line.length);
        if (is_chunk && !is_slow)
            sim_mx_refuse_chunk(mx, chunk);
        return !sim_mx_is_over(mx);
    }
    if (stage == STAGE_MAIL && mx->host->messages_max > 0 && mx->stored_count >= mx->host->messages_max) {
        sim_mx_say(mx, SLICE("450 4.7.0 " SIM_MX_SPENT "\r\n"));
        sim_peer_consume(&mx->peer, line.length);
        return true;
    }
    if (is_chunk) {
        sim_peer_consume(&mx->peer, line.length);
        sim_mx_begin_chunk(mx, chunk, is_last);
        return true;
    }
    if (injects) {
        sim_saw(SIM_SEEN_ODDITIES + ODDITY_INJECTION);
        sim_mx_say(mx, SLICE("220 2.0.0 go\r\n250 2.0.0 injected\r\n"));
        sim_peer_consume(&mx->peer, line.length);
        return true;
    }
    size_t taken = smtp_server_feed(mx->server, line);
    sim_peer_consume(&mx->peer, taken);
    return taken > 0;
}

static bool feed(struct mx *mx)
{
    struct slice input = sim_peer_input(&mx->peer);
    if (sim_mx_is_in_chunk(mx))
        return sim_mx_feed_chunk(mx);
    if (input.length == 0)
        return false;
    if (strcmp(smtp_server_state(mx->server), "command") == 0)
        return feed_command(mx);
    if (mx->stage == STAGE_CONTENT && strcmp(smtp_server_state(mx->server), "content") == 0) {
        if (mx->content_seen >= mx->content_limit && sim_mx_act(mx, STAGE_CONTENT))
            return !sim_mx_is_over(mx);
        input = slice_to(input, (size_t)(mx->content_limit - mx->content_seen));
    }
    size_t taken = smtp_server_feed(mx->server, input);
    sim_peer_consume(&mx->peer, taken);
    mx->content_seen += taken;
    return taken > 0;
}

static void begin_tls(struct mx *mx)
{
    if (sim_mx_act(mx, STAGE_HANDSHAKE))
        return;
    sim_wire_shown(mx->link, &mx->certificate);
    sim_peer_secure(&mx->peer, sim_tls_server(&mx->certificate));
}

static void answer(struct mx *mx, struct smtp_reply reply)
{
    smtp_server_answer(mx->server, &reply);
}

void sim_mx_begin_content(struct mx *mx)
{
    smtp_server_answer(mx->server, NULL);
    buffer_clear(&mx->content);
    mx->content_seen = 0;
}

void sim_mx_handle(struct mx *mx, const struct smtp_server_event *event)
{
    switch (event->kind) {
    case SMTP_SERVER_GREETING:
        if (!sim_mx_act(mx, STAGE_GREETING))
            smtp_server_answer(mx->server, NULL);
        else if (!sim_mx_is_over(mx))
            sim_peer_close(&mx->peer); /* it was turned away */
        else if (mx->is_paused)
            smtp_server_answer(mx->server, NULL);
        break;
    case SMTP_SERVER_RCPT:
        handle_rcpt(mx, event->rcpt);
        break;
    case SMTP_SERVER_DATA:
        sim_mx_begin_content(mx);
        sim_wire_content(mx->link);
        break;
    case SMTP_SERVER_CONTENT:
        buffer_add(&mx->content, event->bytes);
        smtp_server_answer(mx->server, NULL);
        break;
    case SMTP_SERVER_END:
        handle_end(mx);
        break;
    case SMTP_SERVER_CLOSE:
        sim_peer_close(&mx->peer);
        break;
    default:
        smtp_server_answer(mx->server, NULL);
        break;
    }
}

/* ---- a message ---- */

static bool is_greylisted(const struct mx *mx, struct sim_recipient *recipient)
{
    if (!world_has_fault(WORLD_FAULT_HOST_GREYLISTING, world_host_index(mx->host)))
        return false;
    if (recipient->greylisted_ms == 0)
        recipient->greylisted_ms = sim_now_ms() + 1;
    return sim_now_ms() - recipient->greylisted_ms < GREYLIST_MS;
}

static void handle_rcpt(struct mx *mx, const struct smtp_rcpt *rcpt)
{
    struct sim_recipient *recipient;
    struct sim_message *message = sim_ledger_find(rcpt->address, &recipient);
    struct slice local = slice_to(rcpt->address, slice_find(rcpt->address, '@'));
    if (message == NULL) {
        sim_fail("%s was offered mail for <%.*s>, whom nobody wrote to", mx->host->name, SLICE_ARGS(rcpt->address));
        smtp_server_answer(mx->server, NULL);
    } else if (slice_ends(local, SLICE("no"))) {
        recipient->may_fail = true;
        answer(mx, smtp_reply_make(550, 1, 1, "no such user"));
    } else if (is_greylisted(mx, recipient)) {
        answer(mx, smtp_reply_make(451, 7, 1, "greylisted; come again"));
    } else {
        mx->recipient_count++;
        smtp_server_answer(mx->server, NULL);
    }
}

static void store(struct mx *mx, uint64_t answer_end)
{
    struct sim_stored stored = {
        .host = mx->host,
        .link = mx->link,
        .answer_end = answer_end,
        .sender = slice_of(mx->sender),
        .content = buffer_slice(&mx->content),
        .recipients = (const char(*)[SIM_ADDRESS_MAX])mx->recipients,
        .recipient_count = mx->recipient_count,
    };
    sim_ledger_stored(&stored);
    mx->stored_count++;
}

/* What the machine still owes for END is said by nobody: the session ends, or the oddity has said it. */
static void handle_end(struct mx *mx)
{
    bool is_slow = mx->oddity == ODDITY_SLOW;
    if (mx->stage == STAGE_END && is_slow)
        mx->stage = STAGE_STORED;
    if (sim_mx_act(mx, STAGE_END)) {
        if (!sim_mx_is_over(mx))
            sim_peer_close(&mx->peer);
        return;
    }
    if (mx->stage == STAGE_STORED) {
        store(mx, NEVER_HEARD);
        (void)sim_mx_act(mx, STAGE_STORED);
        if (mx->is_paused)
            answer(mx, smtp_reply_make(250, 0, 0, "stored at last")); /* leaves after the pause */
        else if (!sim_mx_is_over(mx))
            sim_peer_close(&mx->peer);
        return;
    }
    answer(mx, smtp_reply_make(250, 0, 0, "stored"));
    flush(mx);
    store(mx, mx->is_confused ? NEVER_HEARD : sim_peer_written(&mx->peer));
    if (mx->is_confused)
        sim_peer_close(&mx->peer); /* or all that it says from here on would be taken for the answer to something else */
}
