#include "base/clock.h"
#include "base/dice.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static int64_t clock_us(clockid_t clock);
static void fill_from_kernel(void *bytes, size_t length);

int64_t clock_wall_ms(void)
{
    return clock_us(CLOCK_REALTIME) / 1000;
}

int64_t clock_monotonic_ms(void)
{
    return clock_us(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_monotonic_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

int64_t clock_boot_ms(void)
{
    return clock_us(CLOCK_BOOTTIME) / 1000;
}

void clock_boot_id(char id[CLOCK_BOOT_ID_SIZE])
{
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    size_t length = file == NULL ? 0 : fread(id, 1, CLOCK_BOOT_ID_SIZE - 1, file);
    if (file != NULL)
        (void)fclose(file);
    while (length > 0 && id[length - 1] == '\n')
        length--;
    id[length] = '\0';
}

uint64_t dice_u64(void)
{
    uint64_t number;
    dice_fill(&number, sizeof number);
    return number;
}

uint64_t dice_below(uint64_t bound)
{
    assert(bound > 0);
    /* Numbers below this would make the first remainders likelier than the last. */
    uint64_t rejected = (UINT64_MAX - bound + 1) % bound;
    uint64_t number = dice_u64();
    while (number < rejected) {
        number = dice_u64();
    }
    return number % bound;
}

void dice_fill(void *bytes, size_t length)
{
    /* A system call for 256 bytes at once; a byte is wiped as it is handed out. Each thread has its own. */
    static _Thread_local unsigned char pool[256];
    static _Thread_local size_t left;
    if (length > sizeof pool) {
        fill_from_kernel(bytes, length);
        return;
    }
    if (length > left) {
        fill_from_kernel(pool, sizeof pool);
        left = sizeof pool;
    }
    left -= length;
    memcpy(bytes, pool + left, length);
    memset(pool + left, 0, length);
}

static int64_t clock_us(clockid_t clock)
{
    struct timespec now;
    int status = clock_gettime(clock, &now);
    assert(status == 0);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void fill_from_kernel(void *bytes, size_t length)
{
    unsigned char *to = bytes;
    while (length > 0) {
        ssize_t got = getrandom(to, length, 0);
        if (got < 0 && errno != EINTR) {
            perror("sternpost: getrandom");
            abort();
        }
        if (got > 0) {
            to += got;
            length -= (size_t)got;
        }
    }
}
