#include "relay/digest_list.h"

#include "base/text.h"

#define VERSION 1
#define TEXT_MAX 400
#define ITEMS_MAX_BYTES (DIGEST_ITEMS_MAX * 2048)

static void encode_item(const struct digest_item *item, struct buffer *out);
static struct digest_item decode_item(struct reader *reader);
static void print_item(const struct digest_item *item, struct buffer *out);

void digest_list_init(struct digest_list *list)
{
    *list = (struct digest_list){.count = 0};
    buffer_init(&list->items, ITEMS_MAX_BYTES);
}

void digest_list_free(struct digest_list *list)
{
    buffer_free(&list->items);
}

void digest_list_add(struct digest_list *list, const struct digest_item *item)
{
    size_t before = buffer_length(&list->items);
    list->count++;
    if (list->kept == DIGEST_ITEMS_MAX)
        return;
    encode_item(item, &list->items);
    if (!buffer_failed(&list->items)) {
        list->kept++;
        return;
    }
    list->items.failed = false;
    buffer_truncate(&list->items, before);
}

void digest_list_sent(struct digest_list *list, int64_t now_ms)
{
    list->sent_ms = now_ms;
    list->count = list->kept = 0;
    buffer_clear(&list->items);
}

int64_t digest_list_due_ms(const struct digest_list *list, int64_t now_ms)
{
    if (list->count == 0)
        return INT64_MAX;
    int64_t sent_ms = list->sent_ms < now_ms ? list->sent_ms : now_ms;
    int64_t due_ms = sent_ms + DIGEST_INTERVAL_MS;
    return list->sent_ms == 0 || due_ms < now_ms ? now_ms : due_ms;
}

/* ---- the stored form ---- */

static void encode_item(const struct digest_item *item, struct buffer *out)
{
    const struct slice texts[] = {item->id, item->origin, item->sender, item->recipient, item->text};
    buffer_add_u64(out, (uint64_t)item->time_ms);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        buffer_add_block(out, slice_to(texts[i], TEXT_MAX));
}

static struct digest_item decode_item(struct reader *reader)
{
    struct digest_item item = {.time_ms = (int64_t)reader_u64(reader)};
    struct slice *texts[] = {&item.id, &item.origin, &item.sender, &item.recipient, &item.text};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        *texts[i] = reader_block(reader);
    return item;
}

void digest_list_encode(const struct digest_list *list, struct buffer *out)
{
    buffer_add_u8(out, VERSION);
    buffer_add_u64(out, (uint64_t)list->sent_ms);
    buffer_add_u64(out, list->count);
    buffer_add_u32(out, (uint32_t)list->kept);
    buffer_add(out, buffer_slice(&list->items));
}

enum err digest_list_decode(struct slice bytes, struct digest_list *list)
{
    struct reader reader = reader_of(bytes);
    digest_list_init(list);
    uint8_t version = reader_u8(&reader);
    list->sent_ms = (int64_t)reader_u64(&reader);
    list->count = reader_u64(&reader);
    list->kept = reader_u32(&reader);
    struct slice items = reader.rest;
    for (size_t i = 0; i < list->kept && !reader.failed; i++)
        (void)decode_item(&reader);
    bool is_whole = version == VERSION && reader_done(&reader) && list->kept <= list->count && list->kept <= DIGEST_ITEMS_MAX;
    if (is_whole)
        buffer_add(&list->items, items);
    if (is_whole && !buffer_failed(&list->items))
        return ERR_NONE;
    digest_list_free(list);
    digest_list_init(list);
    return is_whole ? ERR_MEMORY : ERR_CORRUPT;
}

/* ---- for people ---- */

void digest_list_print(const struct digest_list *list, const struct digest_letter *letter, struct buffer *out)
{
    char date[40];
    struct reader reader = reader_of(buffer_slice(&list->items));
    buffer_print(out, "From: Mail Delivery System <MAILER-DAEMON@%.*s>\r\nTo: <%.*s>\r\n", SLICE_ARGS(letter->hostname),
                 SLICE_ARGS(letter->to));
    buffer_print(out, "Subject: %llu message%s failed, and nobody could be told\r\n", (unsigned long long)list->count,
                 list->count == 1 ? "" : "s");
    buffer_print(out, "Date: %.*s\r\nMessage-ID: <%.*s@%.*s>\r\n", SLICE_ARGS(text_date_rfc5322(letter->date_ms, date)),
                 SLICE_ARGS(letter->id), SLICE_ARGS(letter->hostname));
    buffer_add(out, SLICE("Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
                          "Content-Type: text/plain; charset=us-ascii\r\n\r\n"));
    buffer_print(out, "This is the mail system at %.*s.\r\n\r\n", SLICE_ARGS(letter->hostname));
    buffer_add(out, SLICE("The messages below could not be delivered, and there is no sender who could be told: mostly they\r\n"
                          "are reports themselves. Nothing more will be tried. This digest comes at most once an hour.\r\n"));
    for (size_t i = 0; i < list->kept; i++) {
        struct digest_item item = decode_item(&reader);
        print_item(&item, out);
    }
    if (list->count > list->kept)
        buffer_print(out, "\r\nAnd %llu more: see the log, event=report_undeliverable.\r\n", (unsigned long long)(list->count - list->kept));
}

static void print_line(struct buffer *out, const char *name, struct slice text)
{
    buffer_print(out, "   %s: ", name);
    text_clean(out, text, TEXT_MAX);
    buffer_add(out, SLICE("\r\n"));
}

static void print_item(const struct digest_item *item, struct buffer *out)
{
    char date[40];
    buffer_add(out, SLICE("\r\n"));
    text_clean(out, item->recipient, TEXT_MAX);
    buffer_add(out, SLICE("\r\n"));
    print_line(out, "when", text_date_rfc5322(item->time_ms, date));
    print_line(out, "message", item->id);
    print_line(out, "from", item->sender.length > 0 ? item->sender : SLICE("<>"));
    print_line(out, "came as", item->origin);
    print_line(out, "why", item->text);
}
