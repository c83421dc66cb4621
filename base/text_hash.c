/* Checksums of stored records and hashes of keys that peers choose. */
#include "base/text.h"

/* The tables of CRC-32C for eight bytes at a time (polynomial 0x82f63b78, bits reflected). The checksum is linear: the
 * entry of a byte is the exclusive or of the entries of its bits, so that eight numbers give the 256 of a table. Table
 * k holds what a byte has become k bytes later. */
#define ENTRY(n, b0, b1, b2, b3, b4, b5, b6, b7)                                                                       \
    (((n)&1 ? b0 : 0) ^ ((n)&2 ? b1 : 0) ^ ((n)&4 ? b2 : 0) ^ ((n)&8 ? b3 : 0) ^ ((n)&16 ? b4 : 0) ^                   \
     ((n)&32 ? b5 : 0) ^ ((n)&64 ? b6 : 0) ^ ((n)&128 ? b7 : 0))
#define ENTRIES_4(n, ...)                                                                                              \
    ENTRY(n, __VA_ARGS__), ENTRY((n) + 1, __VA_ARGS__), ENTRY((n) + 2, __VA_ARGS__), ENTRY((n) + 3, __VA_ARGS__)
#define ENTRIES_16(n, ...)                                                                                             \
    ENTRIES_4(n, __VA_ARGS__), ENTRIES_4((n) + 4, __VA_ARGS__), ENTRIES_4((n) + 8, __VA_ARGS__),                       \
        ENTRIES_4((n) + 12, __VA_ARGS__)
#define ENTRIES_64(n, ...)                                                                                             \
    ENTRIES_16(n, __VA_ARGS__), ENTRIES_16((n) + 16, __VA_ARGS__), ENTRIES_16((n) + 32, __VA_ARGS__),                  \
        ENTRIES_16((n) + 48, __VA_ARGS__)
#define ROW(...)                                                                                                       \
    {                                                                                                                  \
        ENTRIES_64(0, __VA_ARGS__), ENTRIES_64(64, __VA_ARGS__), ENTRIES_64(128, __VA_ARGS__),                         \
            ENTRIES_64(192, __VA_ARGS__)                                                                               \
    }

static const uint32_t crc32c_table[8][256] = {
    ROW(0xf26b8303, 0xe13b70f7, 0xc79a971f, 0x8ad958cf, 0x105ec76f, 0x20bd8ede, 0x417b1dbc, 0x82f63b78),
    ROW(0x13a29877, 0x274530ee, 0x4e8a61dc, 0x9d14c3b8, 0x3fc5f181, 0x7f8be302, 0xff17c604, 0xfbc3faf9),
    ROW(0xa541927e, 0x4f6f520d, 0x9edea41a, 0x38513ec5, 0x70a27d8a, 0xe144fb14, 0xc76580d9, 0x8b277743),
    ROW(0xdd45aab8, 0xbf672381, 0x7b2231f3, 0xf64463e6, 0xe964b13d, 0xd725148b, 0xaba65fe7, 0x52a0c93f),
    ROW(0x38116fac, 0x7022df58, 0xe045beb0, 0xc5670b91, 0x8f2261d3, 0x1ba8b557, 0x37516aae, 0x6ea2d55c),
    ROW(0xef306b19, 0xdb8ca0c3, 0xb2f53777, 0x6006181f, 0xc00c303e, 0x85f4168d, 0x0e045beb, 0x1c08b7d6),
    ROW(0x68032cc8, 0xd0065990, 0xa5e0c5d1, 0x4e2dfd53, 0x9c5bfaa6, 0x3d5b83bd, 0x7ab7077a, 0xf56e0ef4),
    ROW(0x493c7d27, 0x9278fa4e, 0x211d826d, 0x423b04da, 0x847609b4, 0x0d006599, 0x1a00cb32, 0x34019664),
};

struct sip {
    uint64_t v0, v1, v2, v3;
};

static uint64_t load_64(const char *bytes);
static uint64_t load_tail(const char *bytes, size_t length);
static uint64_t rotate(uint64_t x, unsigned bits);
static void sip_round(struct sip *sip);
static void sip_word(struct sip *sip, uint64_t word);

/* Each byte of mail passes here twice, so that the processor's own instruction is worth having. */
#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_by_processor(struct slice bytes)
{
    uint64_t wide = 0xffffffff;
    size_t whole = bytes.length / 8 * 8;
    for (size_t i = 0; i < whole; i += 8) {
        wide = __builtin_ia32_crc32di(wide, load_64(bytes.data + i));
    }
    uint32_t crc = (uint32_t)wide;
    for (size_t i = whole; i < bytes.length; i++) {
        crc = __builtin_ia32_crc32qi(crc, (uint8_t)bytes.data[i]);
    }
    return ~crc;
}

uint32_t text_crc32c(struct slice bytes)
{
    return __builtin_cpu_supports("sse4.2") ? crc32c_by_processor(bytes) : text_crc32c_by_table(bytes);
}
#else
uint32_t text_crc32c(struct slice bytes)
{
    return text_crc32c_by_table(bytes);
}
#endif

uint32_t text_crc32c_by_table(struct slice bytes)
{
    const char *at = bytes.data;
    size_t left = bytes.length;
    uint32_t crc = 0xffffffff;
    for (; left >= 8; left -= 8, at += 8) {
        uint64_t word = load_64(at) ^ crc;
        crc = crc32c_table[7][word & 0xff] ^ crc32c_table[6][word >> 8 & 0xff] ^ crc32c_table[5][word >> 16 & 0xff] ^
              crc32c_table[4][word >> 24 & 0xff] ^ crc32c_table[3][word >> 32 & 0xff] ^
              crc32c_table[2][word >> 40 & 0xff] ^ crc32c_table[1][word >> 48 & 0xff] ^ crc32c_table[0][word >> 56];
    }
    for (; left > 0; left--, at++) {
        crc = crc >> 8 ^ crc32c_table[0][(crc ^ (uint8_t)*at) & 0xff];
    }
    return ~crc;
}

/* SipHash-2-4: Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012. */
uint64_t text_siphash(const uint64_t key[2], struct slice bytes)
{
    struct sip sip = {
        .v0 = key[0] ^ 0x736f6d6570736575,
        .v1 = key[1] ^ 0x646f72616e646f6d,
        .v2 = key[0] ^ 0x6c7967656e657261,
        .v3 = key[1] ^ 0x7465646279746573,
    };
    size_t whole = bytes.length / 8 * 8;
    for (size_t i = 0; i < whole; i += 8) {
        sip_word(&sip, load_64(bytes.data + i));
    }
    uint64_t tail = load_tail(bytes.data + whole, bytes.length - whole);
    sip_word(&sip, tail | (uint64_t)bytes.length << 56);
    sip.v2 ^= 0xff;
    for (int i = 0; i < 4; i++) {
        sip_round(&sip);
    }
    return sip.v0 ^ sip.v1 ^ sip.v2 ^ sip.v3;
}

/* Little endian; compilers make one load of it. */
static uint64_t load_64(const char *bytes)
{
    const uint8_t *b = (const uint8_t *)bytes;
    return (uint64_t)b[0] | (uint64_t)b[1] << 8 | (uint64_t)b[2] << 16 | (uint64_t)b[3] << 24 | (uint64_t)b[4] << 32 |
           (uint64_t)b[5] << 40 | (uint64_t)b[6] << 48 | (uint64_t)b[7] << 56;
}

static uint64_t load_tail(const char *bytes, size_t length)
{
    uint64_t word = 0;
    for (size_t i = 0; i < length; i++) {
        word |= (uint64_t)(uint8_t)bytes[i] << (8 * i);
    }
    return word;
}

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_round(struct sip *sip)
{
    sip->v0 += sip->v1;
    sip->v2 += sip->v3;
    sip->v1 = rotate(sip->v1, 13) ^ sip->v0;
    sip->v3 = rotate(sip->v3, 16) ^ sip->v2;
    sip->v0 = rotate(sip->v0, 32);
    sip->v2 += sip->v1;
    sip->v0 += sip->v3;
    sip->v1 = rotate(sip->v1, 17) ^ sip->v2;
    sip->v3 = rotate(sip->v3, 21) ^ sip->v0;
    sip->v2 = rotate(sip->v2, 32);
}

static void sip_word(struct sip *sip, uint64_t word)
{
    sip->v3 ^= word;
    sip_round(sip);
    sip_round(sip);
    sip->v0 ^= word;
}
