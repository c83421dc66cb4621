/* Users files of anything: a file is taken whole or refused with one sentence that names the line; of what is taken every user is found
 * by the name, and nobody by another. */
#include <assert.h>

#include "relay/users.h"

#define PATH "/etc/users"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count_names(const struct users *users, struct slice text)
{
    struct slice line;
    size_t count = 0;
    while (slice_cut(&text, '\n', &line)) {
        if (slice_ends(line, SLICE("\r")))
            line = slice_to(line, line.length - 1);
        if (slice_trim(line).length == 0 || line.data[0] == '#')
            continue;
        struct slice name = slice_to(line, slice_find(line, ':'));
        assert(users_is_name(name) && users_find(users, name) != NULL);
        count++;
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_make(data, size);
    struct users *users = NULL;
    struct buffer fault;
    buffer_init(&fault, 65536);
    enum err err = users_parse(text, SLICE(PATH), &users, &fault);
    assert((err == ERR_NONE) == (users != NULL));
    if (err == ERR_NONE) {
        assert(users_count(users) == count_names(users, text));
        assert(users_find(users, SLICE("nobody:")) == NULL);
        assert(buffer_length(&fault) == 0);
    } else {
        assert(err == ERR_SYNTAX || err == ERR_EXISTS || err == ERR_LIMIT);
        assert(slice_starts(buffer_slice(&fault), SLICE(PATH)));
        assert(!slice_has(buffer_slice(&fault), '\0'));
    }
    users_free(&users);
    buffer_free(&fault);
    return 0;
}
