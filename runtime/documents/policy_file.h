/* runtime/documents/policy_file.h - a policy as a file: which layers and experts may be left out under which bound.
 *
 *     {"schema": "calmoe.policy.1", "version": "0.1.0", "model": {"fingerprint": "0123456789abcdef", "layers": 16},
 *      "exits": "fedcba9876543210", "prompts": "00112233445566ff",
 *      "rungs": [
 *       {"delta": 0.01, "epsilon": 0.05, "loss": "token_disagreement", "p_value": "wsr", "n": 1500, "p": 0.013,
 *        "exits": [{"layer": 8, "measure": "shortlist", "threshold": 0.97, "schedule": "constant"},
 *                  {"layer": 12, "measure": "classifier", "threshold": 0.9,
 *                   "schedule": "paper", "tau": 4, "length": 512}],
 *        "kv": "lazy", "max_pending": 32, "k_tail": "none",
 *        "width": [{"rule": "off"}, {"rule": "ratio", "bound": 0.25, "k": 2, "renormalise": true}, …]}]}
 *
 * Meanings and limits: runtime/policy/policy.h. "exits" is there where learned exits (exits_file.h) are used;
 * "prompts", a hash of those that it was proven on, may be there; "layer" counts layers that have run; "k_tail" is
 * "none" or a number; "max_pending" is there unless "kv" is "propagate"; "width" is [] (all experts) or has a rule
 * for each layer; "tau" and "length" are there unless the schedule is "constant". Rungs are sorted by delta.
 *
 * In the schema "calmoe.policy.2" a rung may have "parts", {"layer": 6.4, "expert": 25.6, "fill": 3.6, "head": 1,
 * "softmax": 1.2}, what a token runs in the mean (parts.h; what is left out is 0), and rungs that have them may
 * stand at the same delta, a front: proven together. Files of the first schema have none. */
#ifndef RUNTIME_DOCUMENTS_POLICY_FILE_H
#define RUNTIME_DOCUMENTS_POLICY_FILE_H

#include <stddef.h>

#include "runtime/policy/policy.h"

/* On success *out is the caller's until cm_policy_close(). BAD_FILE for anything that is not a policy, unknown members
 * too. That it fits the model at hand is for cm_policy_fits() to see. */
calmoe_status cm_policy_file_read(struct calmoe_context *ctx, const char *path, struct policy *out);
/* The same from a text; name is used in messages. */
calmoe_status cm_policy_file_parse(struct calmoe_context *ctx, const char *name, const void *text, size_t n_bytes,
                                   struct policy *out);

/* Writes a policy that cm_policy_check accepts; every number reads back as the same bits. IO: "cannot write
 * 'PATH': why". */
calmoe_status cm_policy_file_write(struct calmoe_context *ctx, const char *path, const struct policy *policy);

#endif
