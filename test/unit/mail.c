#include "test/unit/mail.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_DEFAULT 10
#define ARENA_LIMIT ((size_t)1 << 20)

static void add_chunks(struct mail_changes *made);
static void add_entry(struct mail_changes *made, const struct mail *mail, const char *destination);

void mail_content(uint64_t id, char *out, size_t length)
{
    uint64_t state = id * UINT64_C(0x9E3779B97F4A7C15) + 1;
    for (size_t i = 0; i < length; i++) {
        state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
        out[i] = (char)(uint8_t)(state >> 56);
    }
}

void mail_make(const struct mail *mail, struct mail_changes *made)
{
    *made = (struct mail_changes){0};
    made->message = (struct queue_message){
        .id = mail->id,
        .arrival_ms = queue_id_time_ms(mail->id),
        .size = mail->size > 0 ? mail->size : SIZE_DEFAULT,
        .sender = slice_of(mail->from != NULL ? mail->from : "a@example.com"),
        .origin = SLICE("smtp [192.0.2.1] app.example.com"),
        .envid = SLICE_EMPTY,
        .header_length = SIZE_DEFAULT,
    };
    made->content = malloc(made->message.size);
    assert(made->content != NULL);
    mail_content(mail->id, made->content, made->message.size);
    add_chunks(made);
    for (size_t i = 0; i < MAIL_RECIPIENTS && (i == 0 || mail->to[i] != NULL); i++) {
        add_entry(made, mail, mail->to[i] != NULL ? mail->to[i] : "example.org");
    }
    assert(made->count < sizeof made->changes / sizeof made->changes[0]);
    made->changes[made->count++] = (struct queue_change){.kind = QUEUE_CHANGE_ACCEPT,
                                                         .message = &made->message,
                                                         .entries = made->entries,
                                                         .entry_count = made->message.entry_count};
}

void mail_free(struct mail_changes *made)
{
    free(made->content);
    made->content = NULL;
}

enum err mail_accept(struct queue *queue, const struct mail *mail)
{
    struct mail_changes made;
    const struct queue_change *batch[sizeof made.changes / sizeof made.changes[0]];
    mail_make(mail, &made);
    for (size_t i = 0; i < made.count; i++) {
        batch[i] = &made.changes[i];
    }
    enum err err = queue_apply(queue, batch, made.count);
    mail_free(&made);
    return err;
}

enum err mail_apply(struct queue *queue, const struct queue_change *change)
{
    return queue_apply(queue, &change, 1);
}

enum err mail_update(struct queue *queue, uint64_t id, uint16_t number, enum mail_fate fate, int64_t time_ms)
{
    struct arena *arena = arena_new(ARENA_LIMIT);
    struct queue_entry entry;
    assert(arena != NULL);
    enum err err = queue_entry_get(queue, id, number, arena, &entry);
    if (err == ERR_NONE) {
        entry.held = fate == MAIL_HOLD;
        entry.due_ms = fate == MAIL_DELIVER || fate == MAIL_HOLD ? entry.due_ms : time_ms;
        entry.attempts += fate == MAIL_DEFER ? 1 : 0;
        entry.recipients[0].status = fate == MAIL_DELIVER ? QUEUE_DELIVERED : QUEUE_PENDING;
        struct queue_change change = {
            .kind = QUEUE_CHANGE_UPDATE, .entries = &entry, .entry_count = 1, .now_ms = time_ms};
        err = mail_apply(queue, &change);
    }
    arena_free(&arena);
    return err;
}

static void add_chunks(struct mail_changes *made)
{
    uint64_t left = made->message.size;
    while (left > 0) {
        uint64_t length = left < QUEUE_CHUNK_MAX ? left : QUEUE_CHUNK_MAX;
        assert(made->count < sizeof made->changes / sizeof made->changes[0]);
        made->changes[made->count++] =
            (struct queue_change){.kind = QUEUE_CHANGE_CHUNK,
                                  .id = made->message.id,
                                  .number = made->message.chunk_count++,
                                  .bytes = slice_make(made->content + made->message.size - left, length)};
        left -= length;
    }
}

static void add_entry(struct mail_changes *made, const struct mail *mail, const char *destination)
{
    uint32_t number = made->message.entry_count++;
    snprintf(made->addresses[number], sizeof made->addresses[number], "user%u.%llx@%.30s", number,
             (unsigned long long)mail->id, destination);
    made->recipients[number] = (struct queue_recipient){
        .address = slice_of(made->addresses[number]), .orcpt = SLICE_EMPTY, .text = SLICE_EMPTY, .host = SLICE_EMPTY};
    made->entries[number] = (struct queue_entry){
        .id = mail->id,
        .number = (uint16_t)number,
        .destination = slice_of(destination),
        .due_ms = mail->due_ms,
        .held = mail->held,
        .reason = SLICE_EMPTY,
        .why = SLICE_EMPTY,
        .recipients = &made->recipients[number],
        .recipient_count = 1,
    };
}
