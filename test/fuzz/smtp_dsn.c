/* Delivery reports of anything. The input is cut at its NULs into the fields; the first byte says which kind. Every
 * line ends in CRLF, is no longer than 998 bytes, and is ASCII unless the report says otherwise; the boundary is where
 * it was put and nowhere else, so that a reader finds as many parts as were made, and what comes back whole as it was. */
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
}

/* ---- parts, as a reader of RFC 2046 5.1 finds them: a line that begins with the boundary ends the part before it ---- */

static struct slice boundary_of(struct slice report)
{
    struct slice marker = SLICE("boundary=\"");
    struct slice rest = slice_from(report, slice_find_slice(report, marker) + marker.length);
    return slice_to(rest, slice_find(rest, '"'));
}

static bool is_delimiter(struct slice line, struct slice boundary)
{
    return slice_starts(line, SLICE("--")) && slice_starts(slice_from(line, 2), boundary);
}

/* Returns what is behind the header of the last part. */
static struct slice check_parts(struct slice report, size_t expected)
{
    struct slice boundary = boundary_of(report), rest = report, line, last = SLICE_EMPTY;
    size_t count = 0;
    bool has_ended = false, is_header = false;
    assert(boundary.length > 0 && boundary.length <= 70);
    while (rest.length > 0 && slice_cut(&rest, '\n', &line)) {
        bool is_end = is_delimiter(line, boundary) && slice_equal(slice_from(line, 2 + boundary.length), SLICE("--\r"));
        assert(!has_ended);
        if (is_delimiter(line, boundary)) {
            assert(is_end || slice_equal(slice_from(line, 2 + boundary.length), SLICE("\r")));
            has_ended = is_end;
            is_header = !is_end;
            count += !is_end;
            if (is_end)
                last = slice_make(last.data, (size_t)(line.data - last.data));
        } else if (is_header) {
            assert(count > 0);
            is_header = !slice_equal(line, SLICE("\r"));
            last = rest;
        }
    }
    assert(has_ended && count == expected);
    return last;
}

/* Its own lines say so: what others wrote stands behind something on its line, but in the message itself, which is behind these. */
static bool has_whole(struct slice report)
{
    struct slice line;
    while (slice_cut(&report, '\n', &line)) {
        if (slice_equal(line, SLICE("Content-Type: message/rfc822\r")) || slice_equal(line, SLICE("Content-Type: message/global\r")))
            return true;
        if (slice_equal(line, SLICE("Content-Type: text/rfc822-headers\r")) ||
            slice_equal(line, SLICE("Content-Type: message/global-headers\r")))
            return false;
    }
    return false;
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
    struct slice last = check_parts(buffer_slice(&out), dsn.returned.length > 0 ? 3 : 2);
    if (has_whole(buffer_slice(&out)))
        assert(slice_starts(last, dsn.returned));
    buffer_free(&out);
    return 0;
}
