#include "relay/delivery_internal.h"

#include "base/text.h"

static enum smtp_convert_goal goal_for(const struct queue_message *message, bool takes_eight_bit);
static void note_conversion(struct delivery *delivery, enum smtp_convert_goal goal);
static void log_unconverted(struct delivery *delivery, const char *why);

/* Addresses or header fields beyond ASCII: only a host with SMTPUTF8 may get them (RFC 6531 3.2). Raw bytes in the header of mail that
 * came without SMTPUTF8 are somebody's slip; they pass as they always did. */
bool delivery_needs_utf8(const struct delivery *delivery)
{
    const struct queue_message *message = &delivery->message;
    if (!message->utf8)
        return false;
    bool is_ascii = message->sender.length == 0 || text_is_ascii(message->sender);
    for (size_t i = 0; i < delivery->sent_count; i++)
        is_ascii = is_ascii && text_is_ascii(delivery->entry.recipients[delivery->sent[i]].address);
    return !is_ascii || message->has_eight_bit_header;
}

/* Chooses in what form the content goes to a host with these extensions. False: out of memory. */
bool delivery_prepare_content(struct delivery *delivery, const struct smtp_extensions *extensions)
{
    const struct queue_message *message = &delivery->message;
    bool takes_eight_bit = (extensions->set & SMTP_EXTENSION_8BITMIME) != 0;
    enum smtp_convert_goal goal = goal_for(message, takes_eight_bit);
    delivery->convert = NULL;
    if (!takes_eight_bit && message->eight_bit && goal == SMTP_CONVERT_NOTHING)
        log_unconverted(delivery, "it is signed");
    else if (!takes_eight_bit && message->eight_bit && smtp_form_stays_eight_bit(message->form))
        log_unconverted(delivery, "bytes over 0x7f stand where nothing may be encoded");
    if (goal == SMTP_CONVERT_NOTHING)
        return true;
    delivery->convert = arena_alloc(delivery->arena, sizeof *delivery->convert);
    if (delivery->convert == NULL)
        return false;
    smtp_convert_init(delivery->convert, goal, message->form);
    note_conversion(delivery, goal);
    return true;
}

/* Somebody's signature forbids each change (RFC 6376 5.3); ours was made over the 7-bit form. */
static enum smtp_convert_goal goal_for(const struct queue_message *message, bool takes_eight_bit)
{
    bool is_plain = !message->eight_bit && !message->has_long_lines;
    if (message->is_signed || is_plain)
        return SMTP_CONVERT_NOTHING;
    if (message->is_sealed || (message->eight_bit && !takes_eight_bit))
        return SMTP_CONVERT_SEVEN_BIT;
    return message->has_long_lines ? SMTP_CONVERT_LINES : SMTP_CONVERT_NOTHING;
}

/* What MAIL says of the content. The size after a conversion is known only behind it: then none is said. */
void delivery_describe_content(const struct delivery *delivery, struct smtp_mail *mail)
{
    const struct queue_message *message = &delivery->message;
    bool becomes_seven_bit = delivery->convert != NULL && delivery->convert->goal == SMTP_CONVERT_SEVEN_BIT &&
                             !smtp_form_stays_eight_bit(message->form);
    mail->size = delivery->convert == NULL ? message->size : 0;
    mail->body = message->eight_bit && !becomes_seven_bit ? SMTP_BODY_8BITMIME : SMTP_BODY_7BIT;
}

static void note_conversion(struct delivery *delivery, enum smtp_convert_goal goal)
{
    const char *text = goal == SMTP_CONVERT_LINES       ? "parts with lines of over 998 bytes leave as quoted-printable"
                       : delivery->message.is_sealed ? "it leaves in the 7-bit form that our signature covers"
                                                        : "the host lacks 8BITMIME: 8-bit parts leave as quoted-printable";
    why_add(&delivery->why, "content", delivery_host(delivery), "%s", text);
}

/* Sent all the same: hosts that lack 8BITMIME and choke on such bytes are rarer than those that break signatures by bouncing. */
static void log_unconverted(struct delivery *delivery, const char *why)
{
    struct log_line line;
    char id[QUEUE_ID_TEXT];
    if (!log_open(&line, delivery->relay->log, LOG_WARNING, "unconverted"))
        return;
    log_text(&line, "id", queue_id_print(delivery->message.id, id));
    log_text(&line, "host", delivery_host(delivery));
    log_string(&line, "problem", "the host lacks 8BITMIME and gets 8-bit content");
    log_string(&line, "why", why);
    log_close(&line);
}

/* The next chunk in the form that was chosen; `is_last`: with all that was held back. */
enum err delivery_read_content(struct delivery *delivery, uint32_t number, bool is_last, struct buffer *out)
{
    struct buffer chunk;
    if (delivery->convert == NULL)
        return queue_chunk_get(delivery->relay->queue, delivery->message.id, number, out);
    buffer_init(&chunk, QUEUE_CHUNK_MAX + 1024);
    enum err err = queue_chunk_get(delivery->relay->queue, delivery->message.id, number, &chunk);
    if (err == ERR_NONE)
        smtp_convert_feed(delivery->convert, buffer_slice(&chunk), out);
    if (err == ERR_NONE && is_last)
        smtp_convert_finish(delivery->convert, out);
    buffer_free(&chunk);
    return err == ERR_NONE && buffer_failed(out) ? ERR_MEMORY : err;
}
