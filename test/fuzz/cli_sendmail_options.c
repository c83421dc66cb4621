/* Command lines of sendmail, a word a line: no word is lost or read beyond its end, and only faults are told. */
#include <assert.h>
#include <string.h>

#include "relay/cli_sendmail_options.h"

#define WORDS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[1024];
    const char *words[WORDS_MAX];
    const char *recipients[WORDS_MAX];
    size_t count = 0;
    if (size >= sizeof text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    for (char *word = text; word != NULL && count < WORDS_MAX;) {
        words[count++] = word;
        word = strchr(word, '\n');
        if (word != NULL)
            *word++ = '\0';
    }
    struct sendmail_options options;
    struct buffer fault;
    buffer_init(&fault, 65536);
    bool ok = sendmail_options_parse(&options, words[0], words + 1, count - 1, recipients, &fault);
    assert(ok == (buffer_length(&fault) == 0));
    assert(options.recipient_count < count);
    for (size_t i = 0; i < options.recipient_count; i++)
        assert(options.recipients[i] >= text && options.recipients[i] <= text + size);
    buffer_free(&fault);
    return 0;
}
