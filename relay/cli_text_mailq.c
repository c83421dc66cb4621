#include "relay/cli_text_mailq.h"

#include "base/text.h"
#include "relay/cli_text.h"

#include <string.h>
#include <time.h>

#define REASON_COLUMN 76
#define DATE_MAX 24

static void print_head(struct mailq *mailq, const struct json *message, int64_t local_s, struct buffer *out);
static void print_recipient(struct mailq *mailq, const struct json *recipient, struct buffer *out);
static char mark_of(const struct json *message);

int64_t mailq_arrival_ms(const struct json *message)
{
    int64_t arrival_ms = 0;
    return text_date_parse(json_text(message, "arrived"), &arrival_ms) == ERR_NONE ? arrival_ms : 0;
}

void mailq_print(struct mailq *mailq, const struct json *message, int64_t local_s, struct buffer *out)
{
    const struct json *recipients = json_get(message, "recipients");
    /* One with very many recipients comes in several pieces. */
    if (!json_flag(message, "continued", false))
        print_head(mailq, message, local_s, out);
    for (size_t i = 0; i < json_count(recipients); i++)
        print_recipient(mailq, json_at(recipients, i), out);
}

/* "Fri Jul  2 14:39:01", as asctime(3) without the year, in English whatever the locale. */
static void print_date(int64_t wall_s, char out[DATE_MAX])
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)wall_s;
    struct tm parts;
    if (gmtime_r(&seconds, &parts) == NULL)
        memset(&parts, 0, sizeof parts);
    text_print(out, DATE_MAX, "%s %s %2d %02d:%02d:%02d", days[parts.tm_wday], months[parts.tm_mon], parts.tm_mday, parts.tm_hour,
               parts.tm_min, parts.tm_sec);
}

static void print_head(struct mailq *mailq, const struct json *message, int64_t local_s, struct buffer *out)
{
    char id[32];
    char date[DATE_MAX];
    struct slice sender = json_text(message, "sender");
    int64_t size = json_number(message, "size", 0);
    if (mailq->messages == 0)
        buffer_add(out, SLICE("-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n"));
    else
        buffer_add_byte(out, '\n');
    text_print(id, sizeof id, "%.*s%c", SLICE_ARGS(json_text(message, "id")), mark_of(message));
    id[strcspn(id, " ")] = '\0';
    print_date(mailq_arrival_ms(message) / 1000 + local_s, date);
    buffer_print(out, "%-11s %7lld %-20s ", id, (long long)size, date);
    cli_text_clean(out, sender.length > 0 ? sender : SLICE("MAILER-DAEMON"));
    buffer_add_byte(out, '\n');
    mailq->messages++;
    mailq->bytes += (uint64_t)size;
    mailq->reason[0] = '\0';
}

/* "*" is being delivered, "!" is held. */
static char mark_of(const struct json *message)
{
    const struct json *recipients = json_get(message, "recipients");
    char mark = ' ';
    for (size_t i = 0; i < json_count(recipients); i++) {
        struct slice status = json_text(json_at(recipients, i), "status");
        if (slice_equal(status, SLICE("active")))
            return '*';
        if (slice_equal(status, SLICE("held")))
            mark = '!';
    }
    return mark;
}

/* The reason stands before those that it is the reason of, once; when none follows one it is said to be unavailable. */
static void print_recipient(struct mailq *mailq, const struct json *recipient, struct buffer *out)
{
    char reason[sizeof mailq->reason];
    struct buffer text;
    struct slice said = json_text(recipient, "text");
    buffer_init(&text, sizeof reason);
    text_clean(&text, said.length > 0 ? said : json_text(recipient, "reason"), sizeof reason - 1);
    text_print(reason, sizeof reason, "%.*s", SLICE_ARGS(buffer_slice(&text)));
    buffer_free(&text);
    if (strcmp(reason, mailq->reason) != 0) {
        const char *shown = reason[0] != '\0' ? reason : "reason unavailable";
        int padding = REASON_COLUMN - (int)strlen(shown);
        buffer_print(out, "%*s(%s)\n", padding > 0 ? padding : 0, "", shown);
        memcpy(mailq->reason, reason, sizeof reason);
    }
    buffer_print(out, "%-11s %7s %-20s ", "", "", "");
    cli_text_clean(out, json_text(recipient, "address"));
    buffer_add_byte(out, '\n');
}

void mailq_print_end(const struct mailq *mailq, struct buffer *out)
{
    if (mailq->messages == 0)
        buffer_add(out, SLICE("Mail queue is empty\n"));
    else
        buffer_print(out, "\n-- %llu Kbytes in %llu Request%s.\n", (unsigned long long)(mailq->bytes / 1024),
                     (unsigned long long)mailq->messages, mailq->messages == 1 ? "" : "s");
}
