/* Header sections on their way in: whatever the cuts, nothing is lost but the line of a mailbox file; the repaired section has what was
 * missing, is nothing but fields and an empty line, and repairing it again changes nothing. The first byte is the size of the pieces. */
#include <assert.h>

#include "smtp/content.h"
#include "smtp/head.h"
#include "smtp/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OWN "Received: by r.example\r\n"

static void collect(struct smtp_head *head, struct slice content, size_t step, struct buffer *all)
{
    smtp_head_init(head);
    smtp_head_add_own(head, SLICE(OWN));
    while (content.length > 0 && !head->is_complete)
        content = slice_from(content, smtp_head_feed(head, slice_to(content, step)));
    if (!head->is_complete)
        smtp_head_finish(head);
    buffer_add(all, smtp_head_section(head));
    buffer_add(all, smtp_head_body(head));
    buffer_add(all, content);
}

static void check_repaired(struct slice section)
{
    struct smtp_header_scan scan;
    struct smtp_header_field field;
    smtp_header_scan_init(&scan);
    smtp_header_scan_feed(&scan, section);
    assert(scan.has_date && scan.has_message_id && scan.has_from && scan.done && scan.length == section.length);
    while (smtp_header_next(&section, &field))
        assert(field.name.length > 0);
    assert(slice_equal(section, SLICE("\r\n")));
}

static void check(struct slice content, size_t step)
{
    struct smtp_head head, whole;
    struct buffer all, again;
    struct smtp_head_repair repair = {.hostname = SLICE("r.example"), .sender = SLICE("s@d.example"), .id = SLICE("6A")};
    buffer_init(&all, 1 << 22);
    buffer_init(&again, 1 << 22);
    collect(&head, content, step, &all);
    collect(&whole, content, content.length + 1, &again);
    assert(slice_equal(buffer_slice(&all), buffer_slice(&again)) && head.length == whole.length);
    bool is_mailbox_file = slice_starts(content, SLICE("From ")) || slice_starts(content, SLICE(">From "));
    assert(slice_equal(slice_from(buffer_slice(&all), sizeof OWN - 1), content) || is_mailbox_file);
    smtp_head_free(&whole);
    buffer_clear(&all);
    buffer_clear(&again);
    smtp_head_repair(&head, &repair, &all);
    check_repaired(buffer_slice(&all));
    smtp_head_free(&head);
    smtp_head_init(&head);
    smtp_head_feed(&head, buffer_slice(&all));
    assert(head.is_complete);
    smtp_head_repair(&head, &repair, &again);
    assert(slice_equal(buffer_slice(&all), buffer_slice(&again)));
    smtp_head_free(&head);
    buffer_free(&all);
    buffer_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer content;
    int state = 0;
    if (size == 0 || size > SMTP_HEAD_MAX / 4)
        return 0;
    buffer_init(&content, 2 * size + 16);
    smtp_content_normalise(&state, slice_make(data + 1, size - 1), true, &content);
    check(buffer_slice(&content), data[0] + 1u);
    buffer_free(&content);
    return 0;
}
