/* Whatever a peer says stays one line within the limit, and one valid object in JSON. */
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int64_t clock_wall_ms(void)
{
    return INT64_C(1795489522123);
}

static void check_line(struct log *log, struct slice line)
{
    assert(line.length <= LOG_LINE_MAX && slice_find(line, '\n') == line.length - 1 && text_is_utf8(line));
    if (log->format == LOG_JSON) {
        struct json *json;
        assert(json_parse(line, &json) == ERR_NONE);
        json_free(&json);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const keys[] = {"a", "b", "c", "d", "e", "f"};
    for (enum log_format format = LOG_LOGFMT; format <= LOG_HUMAN; format++) {
        struct log log = {.level = LOG_INFO, .format = format, .write = check_line};
        struct log_line line;
        assert(log_open(&line, &log, LOG_INFO, "rejected"));
        for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
            log_text(&line, keys[i], slice_from(slice_make(data, size), i));
        log_close(&line);
    }
    return 0;
}
