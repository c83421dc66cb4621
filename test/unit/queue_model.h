/* The simulator's queue under other names, so that one program can hold both: the model of what the database must say. */
#ifndef TEST_UNIT_QUEUE_MODEL_H
#define TEST_UNIT_QUEUE_MODEL_H

#include "queue/queue.h"

enum err model_open(const struct queue_options *options, struct queue **queue, struct buffer *fault);
void model_close(struct queue **queue);
enum err model_apply(struct queue *queue, const struct queue_change *const *changes, size_t count);
enum err model_totals(struct queue *queue, struct queue_totals *totals);
enum err model_ready(struct queue *queue, const struct queue_ready_request *request, struct queue_ready *out, size_t *count);
enum err model_ready_next(struct queue *queue, int64_t from_ms, int64_t *time_ms);
enum err model_window(struct queue *queue, const struct queue_window_request *request, struct queue_pick *out, size_t *count);
enum err model_message_get(struct queue *queue, uint64_t id, struct arena *arena, struct queue_message *message);
enum err model_entry_get(struct queue *queue, uint64_t id, uint16_t number, struct arena *arena, struct queue_entry *entry);
enum err model_destination_get(struct queue *queue, struct slice name, struct arena *arena, struct queue_destination *known);
enum err model_chunk_get(struct queue *queue, uint64_t id, uint32_t sequence, struct buffer *out);
enum err model_policy_get(struct queue *queue, struct slice domain, struct arena *arena, struct slice *bytes);
enum err model_meta_get(struct queue *queue, struct slice key, struct arena *arena, struct slice *bytes);
enum err model_list(struct queue *queue, struct queue_listing *listing);
enum err model_list_done(struct queue *queue, struct queue_listing *listing);

#endif
