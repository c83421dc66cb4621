/* A server session. Bytes 0 and 1 are the options and the owner's mind: how many yes-es there are to a no. The rest is
 * what the client sends, in pieces. What the owner is asked must come in order, and what is answered must be lines of
 * printable ASCII. Content ends with the first CRLF.CRLF and with nothing else, also where the owner is lenient with its lines, and what is
 * handed out of it are lines that end in CRLF. */
#include <assert.h>

#include "smtp/address.h"
#include "smtp/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct order {
    bool greeted, open, in_content, closed;
    unsigned recipients;
    uint64_t length;
    size_t told, refusals; /* what speaks against the client, as told and as said */
    struct slice seen;     /* all that was taken */
    size_t content_at;     /* in it, the CRLF of DATA */
};

static bool is_lenient(void *owner)
{
    (void)owner;
    return true;
}

static void check_end(const struct order *order)
{
    struct slice content = slice_from(order->seen, order->content_at);
    size_t end = slice_find_slice(content, SLICE("\r\n.\r\n"));
    assert(end + 5 == content.length);
}

static void check_lines(struct slice bytes)
{
    for (size_t i = 0; i < bytes.length; i++) {
        assert(bytes.data[i] != '\r' || (i + 1 < bytes.length && bytes.data[i + 1] == '\n'));
        assert(bytes.data[i] != '\n' || (i > 0 && bytes.data[i - 1] == '\r'));
    }
}

static void check_address(struct slice address, bool may_be_bare)
{
    assert(smtp_address_is_valid(address, true) || (may_be_bare && !slice_has(address, '@')));
}

static void check_order(struct order *order, const struct smtp_server_event *event, bool yes)
{
    enum smtp_server_event_kind kind = event->kind;
    assert(!order->closed);
    assert(order->greeted == (kind != SMTP_SERVER_GREETING) || kind == SMTP_SERVER_CLOSE);
    assert(kind != SMTP_SERVER_MAIL || !order->open);
    assert((kind != SMTP_SERVER_RCPT && kind != SMTP_SERVER_DATA) || (order->open && !order->in_content));
    assert(kind != SMTP_SERVER_DATA || order->recipients > 0);
    assert((kind != SMTP_SERVER_CONTENT && kind != SMTP_SERVER_END) || order->in_content);
    assert((kind != SMTP_SERVER_STARTTLS && kind != SMTP_SERVER_AUTH) || !order->open);
    assert(kind != SMTP_SERVER_RESET || order->open);
    if (order->in_content && (kind == SMTP_SERVER_END || kind == SMTP_SERVER_RESET))
        check_end(order);
    check_lines(event->bytes);
    if (kind == SMTP_SERVER_MAIL && event->mail->reverse_path.length > 0)
        check_address(event->mail->reverse_path, false);
    if (kind == SMTP_SERVER_RCPT)
        check_address(event->rcpt->address, true);
    order->greeted = true;
    order->closed = kind == SMTP_SERVER_CLOSE;
    order->length += event->bytes.length;
    assert(event->bytes.length <= 65536 && order->length <= 3000 + 65536);
    if (kind == SMTP_SERVER_MAIL)
        order->open = yes;
    if (kind == SMTP_SERVER_RCPT)
        order->recipients += yes;
    if (kind == SMTP_SERVER_DATA)
        *order = (struct order){.greeted = true, .open = true, .in_content = yes, .recipients = order->recipients, .told = order->told,
                                .refusals = order->refusals, .seen = order->seen, .content_at = order->seen.length - 2};
    if (kind == SMTP_SERVER_END || kind == SMTP_SERVER_RESET)
        *order = (struct order){.greeted = true, .told = order->told, .refusals = order->refusals, .seen = order->seen};
}

/* No reply says no without having been told, or the owner's own. */
static void check_told(struct order *order, struct slice line)
{
    bool is_last = line.data[3] == ' ', is_no = line.data[0] == '4' || line.data[0] == '5';
    order->refusals += is_last && is_no;
    assert(order->refusals <= order->told);
}

static void on_refused(void *owner, const struct smtp_refusal *refusal)
{
    struct order *order = owner;
    assert(refusal->reply.code >= 400 && refusal->reply.text.length > 0);
    order->told++;
}

static void check_output(struct smtp_server *server, struct order *order)
{
    struct slice output = smtp_server_output(server), line, rest = output;
    while (rest.length > 0 && slice_cut(&rest, '\n', &line)) {
        check_told(order, line);
        assert(line.length >= 4 && line.length <= 511 && line.data[line.length - 1] == '\r');
        for (size_t i = 0; i + 1 < line.length; i++)
            assert(line.data[i] == ' ' || byte_is_print(line.data[i]));
    }
    smtp_server_sent(server, output.length);
}

static void answer_all(struct smtp_server *server, struct order *order, unsigned *mood, unsigned yes_count)
{
    struct smtp_reply no = smtp_reply_make(550, 7, 1, "no"), promise = smtp_reply_make(250, 0, 0, "ok");
    for (;;) {
        struct smtp_server_event event = smtp_server_next(server);
        check_output(server, order);
        if (event.kind == SMTP_SERVER_WAIT)
            break;
        bool yes = ++*mood % (yes_count + 1) != 0;
        check_order(order, &event, yes || event.kind == SMTP_SERVER_GREETING);
        yes |= event.kind == SMTP_SERVER_GREETING || event.kind == SMTP_SERVER_RESET;
        order->told += !yes;
        smtp_server_answer(server, !yes ? &no : event.kind == SMTP_SERVER_END ? &promise : NULL);
        check_output(server, order);
        if (smtp_server_is_securing(server))
            smtp_server_secured(server);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    struct smtp_server_options options = {.hostname = SLICE("mx.example"),
                                          .size_max = 3000,
                                          .recipients_max = 5,
                                          .starttls = data[0] & 1,
                                          .auth = (enum smtp_server_auth)(data[0] >> 1 & 3) % 3,
                                          .secured = data[0] >> 3 & 1,
                                          .dsn = data[0] >> 4 & 1,
                                          .utf8 = data[0] >> 5 & 1,
                                          .errors_max = data[0] >> 6 & 1 ? 5 : 0};
    struct order order = {.greeted = false};
    options.refused = on_refused;
    options.owner = &order;
    options.is_lenient = data[0] >> 7 & 1 ? is_lenient : NULL;
    struct smtp_server *server = smtp_server_new(&options);
    unsigned mood = 0;
    answer_all(server, &order, &mood, data[1]);
    for (size_t at = 3; at < size && !order.closed;) {
        size_t taken = smtp_server_feed(server, slice_to(slice_from(slice_make(data, size), at), data[2] + 1U));
        order.seen = slice_to(slice_make(data, size), at + taken);
        answer_all(server, &order, &mood, data[1]);
        assert(taken > 0 || order.closed);
        at += taken;
    }
    smtp_server_free(&server);
    return 0;
}
