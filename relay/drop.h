/* The drop directory: takes what sendmail left there while the relay was down, or could not be reached. Looked at when the relay starts
 * and every few seconds; one file at a time, so that each is taken exactly once, also over crashes: the transaction that makes a message
 * the queue's stores the file's name as a mark too, and the next file is not begun before this one is gone from the disk for good. One
 * that was taken over the submit socket already is not taken from here (relay/receipts.h).
 *
 * | state of a file | after a crash |
 * |---|---|
 * | there, its name is not the mark | taken |
 * | there, its name is the mark, or on a receipt | the queue has its message: removed |
 * | gone | - |
 *
 * What cannot be taken for a reason that may pass stays: where the queue takes nothing all wait, else that one file, and those behind it
 * are taken. What can never be taken, or not as the configuration is now (a local user without alias or root, a size), is held back until
 * the next start or reload, with a log line that says why. What is no submission was left by no sendmail, and is removed. Users share the
 * places of a look (relay/drop_scan.h). */
#ifndef RELAY_DROP_H
#define RELAY_DROP_H

#include "base/buffer.h"
#include "base/err.h"
#include "relay/receipts.h"

struct relay;
struct drop;

struct drop *drop_new(struct relay *relay); /* NULL: out of memory */
void drop_free(struct drop **drop);         /* idle, or never opened */
/* Begins with the directory of [submit] drop. On error nothing is taken, and the fault says what to do. */
MUST_CHECK enum err drop_open(struct drop *drop, struct buffer *fault);
/* Receipts of what came over the submit socket; NULL: there is no directory. */
struct receipts *drop_receipts(struct drop *drop);
void drop_look_again(struct drop *drop); /* the configuration has changed: what was held back is tried too */
void drop_stop(struct drop *drop);       /* begins nothing new */
bool drop_is_idle(const struct drop *drop);

#endif
