#include "sts/field.h"

#define NAME_MAX_LENGTH 32

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool sts_field_name_is_valid(struct slice name)
{
    if (name.length == 0 || name.length > NAME_MAX_LENGTH || !byte_is_alnum(name.data[0]))
        return false;
    for (size_t i = 1; i < name.length; i++) {
        char c = name.data[i];
        if (!byte_is_alnum(c) && c != '_' && c != '-' && c != '.')
            return false;
    }
    return true;
}

struct slice sts_field_trim_start(struct slice text)
{
    size_t start = 0;
    while (start < text.length && is_blank(text.data[start]))
        start++;
    return slice_from(text, start);
}

struct slice sts_field_trim_end(struct slice text)
{
    size_t length = text.length;
    while (length > 0 && is_blank(text.data[length - 1]))
        length--;
    return slice_to(text, length);
}
