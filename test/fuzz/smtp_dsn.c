/* Delivery reports of anything. The input is cut at its NULs into the fields; the first byte says which kind. Every
 * line ends in CRLF, is no longer than 998 bytes, and is ASCII unless the report says otherwise; the boundary is where
 * it was put and nowhere else. */
#include <assert.h>

#include "smtp/dsn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice field(struct slice *rest)
{
    struct slice part = SLICE_EMPTY;
    return slice_cut(rest, '\0', &part) ? part : SLICE_EMPTY;
}

static void check_lines(struct slice report, bool utf8)
{
    struct slice rest = report, line;
    while (rest.length > 0 && slice_cut(&rest, '\n', &line)) {
        assert(line.length > 0 && line.length <= 999 && slice_find(line, '\r') == line.length - 1);
        for (size_t i = 0; i < line.length; i++)
            assert(line.data[i] != '\0' && ((uint8_t)line.data[i] < 0x80 || utf8));
    }
    assert(slice_ends(report, SLICE("\r\n--=_report_6A--\r\n")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_make(data, size);
    unsigned kind = size > 0 ? data[0] : 0;
    rest = slice_from(rest, 1);
    struct smtp_dsn_recipient recipient = {.action = (enum smtp_dsn_action)(kind % 5),
                                           .status = {(uint8_t)(kind % 6), 1, 1},
                                           .last_attempt_ms = kind,
                                           .retry_until_ms = kind};
    struct smtp_dsn dsn = {.hostname = SLICE("mx.example"),
                           .id = SLICE("6A"),
                           .reported_id = SLICE("6B"),
                           .recipients = &recipient,
                           .recipient_count = 1,
                           .returned_full = kind >> 6 & 1,
                           .utf8 = kind >> 7 & 1};
    recipient.address = field(&rest);
    recipient.orcpt = field(&rest);
    recipient.remote_host = field(&rest);
    recipient.diagnostic = field(&rest);
    recipient.advice = field(&rest);
    dsn.sender = field(&rest);
    dsn.envid = field(&rest);
    dsn.returned = rest.data == NULL ? SLICE_EMPTY : rest;
    if (recipient.address.length + recipient.remote_host.length > 800 || dsn.sender.length > 800)
        return 0; /* no address is so long */
    struct buffer out;
    buffer_init(&out, (size_t)64 << 20);
    smtp_dsn_print(&out, &dsn);
    assert(!buffer_failed(&out));
    check_lines(buffer_slice(&out), dsn.utf8);
    buffer_free(&out);
    return 0;
}
