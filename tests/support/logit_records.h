/* tests/support/logit_records.h - what models answered once, kept in a text file, so that later versions are held to
 * it bit for bit. One record is a configuration and its answer:
 *
 *     [golden mixtral, f16]
 *     logits c0ffee…                           SHA-256 of all logits, calmoe_session_logit_hash()
 *     answer 17/5:1a2b3c4d 9/2:5e6f7081 …      for each new token: its id / the layers that ran for it : how the hash
 *                                              of all logits began when it was chosen
 *
 * so that a person sees where an answer that differs parts from the recorded one: the first token that has another
 * digest was chosen of other logits; the digests before it vouch for all that was read before. */
#ifndef TESTS_SUPPORT_LOGIT_RECORDS_H
#define TESTS_SUPPORT_LOGIT_RECORDS_H

#include <stdbool.h>

#include <calmoe/calmoe.h>

struct logit_records;

/* Reads the file at path; while recording, a missing file is an empty one. Aborts on a file that is none of ours. */
struct logit_records *logit_records_open(const char *path, bool is_recording);

/* What a session that was opened with hash_logits gave so far. */
enum { LOGIT_ANSWER_TEXT = 1400 };
struct logit_answer {
    calmoe_context *context;
    calmoe_session *session;
    int             n; /* tokens */
    char            text[LOGIT_ANSWER_TEXT];
};
struct logit_answer logit_answer(calmoe_context *context, calmoe_session *session);
/* Reads what the session was fed, and takes n tokens. */
void                logit_answer_go_on(struct logit_answer *answer, int n);

/* Compares an answer with the record of that name; way says what is special about this run (several runs may have to
 * give the same). True where it is the same; else both are printed. While recording, the first run of a name is the
 * record. */
bool logit_records_check(struct logit_records *records, const char *name, const char *way,
                         const struct logit_answer *answer);

/* Records that no check asked for, printed by name; what is left out of the tests would else stand there for ever. */
int logit_records_unused(const struct logit_records *records);

/* Writes the file if this was a recording: the records that were asked for, in that order. False where it failed. */
bool logit_records_close(struct logit_records **records);

#endif
