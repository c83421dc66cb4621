/* mailq, `sendmail -bp`, -bP and -q: what is in the queue, and a push for it. Over the submit socket, so that everybody may ask and
 * sees his own; root and the relay's group are sent on to the control socket, where they see all. */
#include "relay/cli_sendmail.h"

#include "relay/cli_ask.h"
#include "relay/cli_text_mailq.h"

#include <stdlib.h>
#include <time.h>

#define TEXT_MAX (4u << 20)

struct listing {
    struct mailq mailq;
    bool is_counted_only;
};

static int list(struct sendmail *sendmail, struct listing *listing);
static void take_message(void *owner, const struct json *message);
static int64_t local_seconds(int64_t wall_ms);

int sendmail_queue(struct sendmail *sendmail)
{
    static struct listing listing;
    int status = list(sendmail, &listing);
    if (status == SENDMAIL_DONE) {
        struct buffer text;
        buffer_init(&text, TEXT_MAX);
        mailq_print_end(&listing.mailq, &text);
        cli_put(buffer_slice(&text));
        buffer_free(&text);
    }
    return status;
}

int sendmail_count(struct sendmail *sendmail)
{
    static struct listing listing = {.is_counted_only = true};
    int status = list(sendmail, &listing);
    if (status == SENDMAIL_DONE) {
        struct buffer text;
        buffer_init(&text, TEXT_MAX);
        buffer_print(&text, "%llu\n", (unsigned long long)listing.mailq.messages);
        cli_put(buffer_slice(&text));
        buffer_free(&text);
    }
    return status;
}

static int list(struct sendmail *sendmail, struct listing *listing)
{
    struct cli_asking asking;
    cli_ask_new(&asking, &sendmail->cli, "queue list");
    asking.config = sendmail->config;
    asking.is_submit = asking.may_go_on = true;
    asking.answer = take_message;
    asking.owner = listing;
    int status = cli_ask(&asking);
    struct slice drop = sendmail->config->drop_path;
    if (status == SENDMAIL_UNAVAILABLE && drop.length > 0)
        cli_say("what sendmail has taken meanwhile waits in %.*s, and is sent when the relay runs", SLICE_ARGS(drop));
    return status;
}

static void take_message(void *owner, const struct json *message)
{
    struct listing *listing = owner;
    struct buffer text;
    buffer_init(&text, TEXT_MAX);
    mailq_print(&listing->mailq, message, local_seconds(mailq_arrival_ms(message)), &text);
    if (!listing->is_counted_only)
        cli_put(buffer_slice(&text));
    buffer_free(&text);
}

/* The listing has the caller's time, as that of Postfix. */
static int64_t local_seconds(int64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm parts;
    return localtime_r(&seconds, &parts) == NULL ? 0 : parts.tm_gmtoff;
}

/* ---- -q ---- */

int sendmail_flush(struct sendmail *sendmail)
{
    const struct sendmail_options *options = &sendmail->options;
    struct cli_asking asking;
    cli_ask_new(&asking, &sendmail->cli, "queue flush");
    if (options->id.length > 0)
        json_set_text(asking.request, "id", options->id);
    if (options->site.length > 0)
        json_set_text(asking.request, "to", options->site);
    if (options->user.length > 0)
        json_set_text(asking.request, "from", options->user);
    asking.config = sendmail->config;
    asking.is_submit = asking.may_go_on = true;
    int status = cli_ask(&asking);
    /* That nothing was meant by it is no failure to those who call this from a timer. */
    return status == CLI_NO && options->id.length == 0 ? SENDMAIL_DONE : status;
}
