#include "relay/proxy.h"

#define LINE_MAX 107
#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define FIXED 16 /* signature, version and command, family, length */

enum command { COMMAND_LOCAL, COMMAND_PROXY };
enum family { FAMILY_UNSPECIFIED = 0x00, FAMILY_TCP4 = 0x11, FAMILY_TCP6 = 0x21, FAMILY_UNIX = 0x31 };

static enum proxy_parse parse_line(struct slice input, struct proxy_header *header, size_t *taken);
static bool parse_words(struct slice line, struct proxy_header *header);
static enum proxy_parse parse_binary(struct slice input, struct proxy_header *header, size_t *taken);
static bool parse_address(unsigned family, struct slice bytes, struct proxy_header *header);

static bool may_become(struct slice input, struct slice start)
{
    return slice_equal(slice_to(input, start.length), slice_to(start, input.length));
}

enum proxy_parse proxy_header_parse(struct slice input, struct proxy_header *header, size_t *taken)
{
    *header = (struct proxy_header){.has_source = false};
    *taken = 0;
    if (input.length == 0)
        return PROXY_MORE;
    if (may_become(input, SLICE("PROXY ")))
        return parse_line(input, header, taken);
    if (may_become(input, SLICE(SIGNATURE)))
        return parse_binary(input, header, taken);
    return PROXY_MALFORMED;
}

/* ---- version 1: "PROXY TCP4 192.0.2.1 198.51.100.1 56324 25" CRLF ---- */

static enum proxy_parse parse_line(struct slice input, struct proxy_header *header, size_t *taken)
{
    struct slice head = slice_to(input, LINE_MAX);
    size_t end = slice_find(head, '\n');
    if (end == head.length)
        return head.length == LINE_MAX ? PROXY_MALFORMED : PROXY_MORE;
    if (head.data[end - 1] != '\r' || !parse_words(slice_to(head, end - 1), header))
        return PROXY_MALFORMED;
    *taken = end + 1;
    return PROXY_DONE;
}

static bool parse_port(struct slice text, uint16_t *port)
{
    uint64_t number;
    if ((text.length > 1 && text.data[0] == '0') || !slice_number(text, 65535, &number))
        return false;
    *port = (uint16_t)number;
    return true;
}

/* A mapped IPv4 address is written as IPv6 and means IPv4. */
static bool parse_ip(struct slice text, bool is_v6, struct ip *ip)
{
    return slice_has(text, ':') == is_v6 && ip_parse(text, ip);
}

static bool parse_words(struct slice line, struct proxy_header *header)
{
    struct slice words[6], rest = line;
    size_t count = 0;
    if (slice_equal(line, SLICE("PROXY UNKNOWN")) || slice_starts(line, SLICE("PROXY UNKNOWN ")))
        return true; /* whatever follows */
    while (count < 6 && rest.data != NULL)
        (void)slice_cut(&rest, ' ', &words[count++]);
    if (count < 6 || rest.data != NULL)
        return false;
    bool is_v6 = slice_equal(words[1], SLICE("TCP6"));
    struct endpoint destination;
    header->has_source = (is_v6 || slice_equal(words[1], SLICE("TCP4"))) && parse_ip(words[2], is_v6, &header->source.ip) &&
                         parse_ip(words[3], is_v6, &destination.ip) && parse_port(words[4], &header->source.port) &&
                         parse_port(words[5], &destination.port);
    return header->has_source;
}

/* ---- version 2: binary ---- */

static enum proxy_parse parse_binary(struct slice input, struct proxy_header *header, size_t *taken)
{
    if (input.length < FIXED)
        return PROXY_MORE;
    const uint8_t *bytes = (const uint8_t *)input.data;
    unsigned version = bytes[12] >> 4, command = bytes[12] & 15;
    size_t length = (size_t)bytes[14] << 8 | bytes[15];
    if (version != 2 || command > COMMAND_PROXY || FIXED + length > PROXY_HEADER_MAX)
        return PROXY_MALFORMED;
    if (input.length < FIXED + length)
        return PROXY_MORE;
    /* What a proxy says with LOCAL is to be thrown away. */
    if (command == COMMAND_PROXY && !parse_address(bytes[13], slice_to(slice_from(input, FIXED), length), header))
        return PROXY_MALFORMED;
    *taken = FIXED + length;
    return PROXY_DONE;
}

/* Both addresses, then both ports; what follows (TLVs) is not used. */
static bool parse_address(unsigned family, struct slice bytes, struct proxy_header *header)
{
    const uint8_t *at = (const uint8_t *)bytes.data;
    if (family == FAMILY_UNSPECIFIED || family == FAMILY_UNIX)
        return true;
    size_t size = family == FAMILY_TCP4 ? 4 : 16;
    if ((family != FAMILY_TCP4 && family != FAMILY_TCP6) || bytes.length < 2 * size + 4)
        return false;
    header->has_source = true;
    header->source.ip = size == 4 ? ip_v4(at) : ip_v6(at);
    header->source.port = (uint16_t)(at[2 * size] << 8 | at[2 * size + 1]);
    return true;
}
