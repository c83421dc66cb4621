/* BDAT for a mail host of the simulator (RFC 3030): chunks are gathered here; the whole then goes through the server machine, which
 * knows only DATA. */
#ifndef TEST_SIM_SIM_CHUNK_H
#define TEST_SIM_SIM_CHUNK_H

#include "base/buffer.h"

struct sim_chunks {
    bool is_open;    /* bytes of a chunk are expected, or its answer is due */
    bool is_last;
    bool is_failed;  /* one was refused: so are all until the next MAIL */
    uint64_t left;   /* bytes of the chunk that have not come */
    struct buffer content;
};

void sim_chunks_init(struct sim_chunks *chunks);
void sim_chunks_free(struct sim_chunks *chunks);
void sim_chunks_reset(struct sim_chunks *chunks); /* a transaction begins */
/* Of a BDAT line: the number, and whether it is the last. False: it is none, or malformed. */
bool sim_chunk_read(struct slice line, uint64_t *length, bool *is_last);
void sim_chunk_begin(struct sim_chunks *chunks, uint64_t length, bool is_last);
size_t sim_chunk_feed(struct sim_chunks *chunks, struct slice input); /* bytes taken */
/* The content as it looks behind DATA, with its end mark; the chunks are gone then. */
void sim_chunks_stuff(struct sim_chunks *chunks, struct buffer *out);

#endif
