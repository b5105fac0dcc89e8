/* fuzz_requests.c - any bytes as the body of a request to the server: no crash, and either a refusal or a request; what
 * is written anew from it is JSON again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tools/serve/generation_request.h"
#include "tools/serve/json_writer.h"
#include "tools/serve/messages_request.h"
#include "tools/serve/responses_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

enum { N_VOCAB = 1000, N_SLOTS = 4, N_USED = 8 };

static void require(bool holds)
{
    if (!holds) abort();
}

/* Refused, with a sentence; or what was written can be read. */
static void check_written(struct json_writer *writer, bool is_fine, const struct refusal *refusal)
{
    struct refusal none = {0};
    require(is_fine == (refusal->status == 0));
    require(is_fine || refusal->message[0] != '\0');
    struct sent_value *again = is_fine ? cm_sent_read(writer->bytes.at, writer->bytes.n, &none) : NULL;
    require((again != NULL) == is_fine);
    cm_sent_free(again);
    cm_writer_close(writer);
}

static void check_error(const struct refusal *refusal)
{
    struct json_writer writer = {.failed = false};
    const struct refusal none = {0};
    cm_refusal_write(&writer, refusal);
    check_written(&writer, true, &none);
    cm_refusal_write_typed(&writer, refusal);
    check_written(&writer, true, &none);
}

static void read_generation(const struct sent_value *body)
{
    static const struct generation_names names = {.max_tokens = {"max_completion_tokens", "max_tokens"},
        .stop = "stop"};
    static const struct generation_scope scope = {.n_vocab = N_VOCAB, .n_slots = N_SLOTS, .n_context = 512};
    struct refusal     refusal = {0};
    struct own_request own = {.tokens = false};
    struct job *const  job = cm_job_open();
    if (job == NULL) return;
    const bool is_fine = cm_read_generation(body, &names, &scope, job, &refusal) &&
                         cm_read_own_request(body, N_USED, &job->want, &own, &refusal);
    require(is_fine == (refusal.status == 0));
    require(job->want.slot >= -1 && job->want.slot < N_SLOTS && job->want.n_experts <= N_USED);
    for (int i = 0; i < job->want.sampler.n_biases; i++)
        require(job->want.sampler.bias_tokens[i] >= 0 && job->want.sampler.bias_tokens[i] < N_VOCAB);
    if (!is_fine) check_error(&refusal);
    cm_job_free(job);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct refusal           refusal = {0};
    struct json_writer       writer = {.failed = false};
    struct sent_value *const body = cm_sent_read((const char *)bytes, n_bytes, &refusal);
    require((body == NULL) == (refusal.status != 0));
    if (body == NULL) {
        check_error(&refusal);
        return 0;
    }
    read_generation(body);
    check_written(&writer, cm_convert_messages_request(&writer, body, &refusal), &refusal);
    refusal = (struct refusal){0};
    check_written(&writer, cm_convert_response_request(&writer, body, &refusal), &refusal);
    cm_sent_free(body);
    return 0;
}
