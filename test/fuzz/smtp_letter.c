/* Letters: what comes out is CRLF lines with one empty line behind the header section, holds no hidden recipients, and stays as it is
 * when it is read again; and nothing depends on the cut. The first byte says what is asked for, the second where to cut. */
#include <assert.h>

#include "smtp/letter.h"
#include "smtp/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum smtp_letter_fault read_letter(struct smtp_letter *letter, const struct smtp_letter_options *options,
                                          struct slice first, struct slice second)
{
    smtp_letter_init(letter, options);
    smtp_letter_feed(letter, first);
    smtp_letter_feed(letter, second);
    return smtp_letter_finish(letter);
}

static void check_lines(struct slice text)
{
    assert(slice_ends(text, SLICE("\r\n")) && !slice_has(text, '\0'));
    for (size_t i = 0; i < text.length; i++) {
        assert(text.data[i] != '\n' || (i > 0 && text.data[i - 1] == '\r'));
        assert(text.data[i] != '\r' || (i + 1 < text.length && text.data[i + 1] == '\n'));
    }
}

static void check_header(struct slice text)
{
    struct slice section = slice_to(text, smtp_header_section_length(text));
    struct smtp_header_field field;
    assert(slice_ends(section, SLICE("\r\n\r\n")) || slice_equal(section, SLICE("\r\n")));
    while (smtp_header_next(&section, &field))
        assert(field.name.length > 0 && !slice_equal_nocase(field.name, SLICE("Bcc")) &&
               !slice_equal_nocase(field.name, SLICE("Resent-Bcc")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct smtp_letter letter, other;
    if (size < 2)
        return 0;
    struct smtp_letter_options options = {
        .dot_ends = data[0] & 1, .wants_recipients = data[0] & 2, .size_max = data[0] & 4 ? 64 : 1u << 20};
    struct slice input = slice_make(data + 2, size - 2);
    size_t cut = input.length * data[1] / 255;
    enum smtp_letter_fault fault = read_letter(&letter, &options, input, SLICE_EMPTY);
    enum smtp_letter_fault other_fault = read_letter(&other, &options, slice_to(input, cut), slice_from(input, cut));
    assert(fault == other_fault);
    if (fault != SMTP_LETTER_TOO_BIG) {
        assert(slice_equal(smtp_letter_text(&letter), smtp_letter_text(&other)));
        assert(slice_equal(smtp_letter_recipients(&letter), smtp_letter_recipients(&other)));
        check_lines(smtp_letter_text(&letter));
        check_header(smtp_letter_text(&letter));
        smtp_letter_free(&other);
        options.dot_ends = false;
        other_fault = read_letter(&other, &options, smtp_letter_text(&letter), SLICE_EMPTY);
        assert(other_fault != SMTP_LETTER_TOO_BIG && slice_equal(smtp_letter_text(&letter), smtp_letter_text(&other)));
    }
    smtp_letter_free(&letter);
    smtp_letter_free(&other);
    return 0;
}
