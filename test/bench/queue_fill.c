/* Fills a queue as if that many messages had been accepted, all of them due.
 *     queue-fill FOLDER MESSAGES DESTINATIONS SENDERS      message i goes to user@d(i mod DESTINATIONS).bench.example
 * Message i has the number i in a field X-Bench, by which the sink knows it. */
#include "queue/queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAP_SIZE (UINT64_C(16) << 30)
#define BATCH 1000
#define CONTENT_MAX 1024

struct made {
    struct queue_message message;
    struct queue_entry entry;
    struct queue_recipient recipient;
    struct queue_change changes[2];
    char address[64], destination[64], sender[64], content[CONTENT_MAX];
};
struct plan {
    unsigned long long messages, destinations, senders;
    int64_t now_ms;
};

static struct made made[BATCH];
static const struct queue_change *changes[2 * BATCH];

static void require(enum err err, const char *what)
{
    if (err != ERR_NONE) {
        fprintf(stderr, "%s: %s\n", what, err_text(err));
        exit(EXIT_FAILURE);
    }
}

static size_t write_content(struct made *one, unsigned long long number)
{
    int head = snprintf(one->content, sizeof one->content,
                        "From: <%s>\r\nTo: <%s>\r\nSubject: message %llu\r\nDate: Tue, 01 Jul 2025 12:00:00 +0000\r\n"
                        "Message-ID: <%llu@source.example>\r\nX-Bench: %llu\r\n\r\n",
                        one->sender, one->address, number, number, number);
    size_t length = (size_t)head;
    memset(one->content + length, 'x', 70);
    memcpy(one->content + length + 70, "\r\n", 2);
    return length + 72;
}

static void make(struct made *one, unsigned long long number, const struct plan *plan)
{
    snprintf(one->destination, sizeof one->destination, "d%llu.bench.example", number % plan->destinations);
    snprintf(one->address, sizeof one->address, "user@%s", one->destination);
    snprintf(one->sender, sizeof one->sender, "sender%llu@source.example", number % plan->senders);
    size_t length = write_content(one, number);
    uint64_t id = queue_id_make(plan->now_ms - 3600000 + (int64_t)(number / BATCH), (uint32_t)(number % BATCH) + 1);
    one->message = (struct queue_message){.id = id,
                                          .arrival_ms = queue_id_time_ms(id),
                                          .size = length,
                                          .chunk_count = 1,
                                          .entry_count = 1,
                                          .sender = slice_of(one->sender),
                                          .origin = SLICE("smtp [192.0.2.1] app.example.com"),
                                          .header_length = (uint32_t)(length - 72)};
    one->recipient = (struct queue_recipient){.address = slice_of(one->address)};
    one->entry = (struct queue_entry){.id = id,
                                      .destination = slice_of(one->destination),
                                      .due_ms = one->message.arrival_ms,
                                      .recipients = &one->recipient,
                                      .recipient_count = 1};
    one->changes[0] =
        (struct queue_change){.kind = QUEUE_CHANGE_CHUNK, .id = id, .bytes = slice_make(one->content, length)};
    one->changes[1] = (struct queue_change){
        .kind = QUEUE_CHANGE_ACCEPT, .message = &one->message, .entries = &one->entry, .entry_count = 1};
}

static void fill(struct queue *queue, const struct plan *plan)
{
    for (unsigned long long first = 0; first < plan->messages; first += BATCH) {
        size_t count = 0;
        for (unsigned long long i = first; i < plan->messages && i < first + BATCH; i++) {
            make(&made[i - first], i, plan);
            changes[count++] = &made[i - first].changes[0];
            changes[count++] = &made[i - first].changes[1];
        }
        require(queue_apply(queue, changes, count), "write");
    }
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: queue-fill FOLDER MESSAGES DESTINATIONS SENDERS\n");
        return 64;
    }
    struct plan plan = {strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10),
                        (int64_t)time(NULL) * 1000};
    if (plan.messages == 0 || plan.destinations == 0 || plan.senders == 0) {
        fprintf(stderr, "MESSAGES, DESTINATIONS and SENDERS are numbers from 1\n");
        return 64;
    }
    struct queue *queue;
    struct buffer fault;
    buffer_init(&fault, 1024);
    struct queue_options options = {.path = slice_of(argv[1]), .map_size = MAP_SIZE, .done_keep_ms = 3600000};
    enum err err = queue_open(&options, &queue, &fault);
    if (err != ERR_NONE) {
        fprintf(stderr, "%.*s\n", SLICE_ARGS(buffer_slice(&fault)));
        return EXIT_FAILURE;
    }
    fill(queue, &plan);
    queue_close(&queue);
    buffer_free(&fault);
    return EXIT_SUCCESS;
}
