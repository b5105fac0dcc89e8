/* runtime/adapters/peft_modules.h - modules of a model as Hugging Face's transformers call them, and what model files
 * call the tensors that are made of them. */
#ifndef RUNTIME_ADAPTERS_PEFT_MODULES_H
#define RUNTIME_ADAPTERS_PEFT_MODULES_H

#include "runtime/adapters/adapter_parts.h"

/* How a module's matrix comes to stand in a file. */
enum module_form {
    MODULE_AS_IT_IS,
    MODULE_HEADS,     /* of families that turn heads, rows of each head in another order        */
    MODULE_GATE_UP,   /* rows of gate, then rows of up                                          */
    MODULE_KEY_VALUE, /* of latent attention: by head, rows of K', then rows of V               */
    MODULE_EXPERTS,   /* all experts' matrices in one: what they are is told by their shapes    */
    MODULE_EMBEDDING
};

struct module {
    enum module_form form;
    int              layer;  /* -1: of none                                                     */
    int              expert; /* -1: of none                                                     */
    char             role[FILE_MAX_NAME_BYTES]; /* the tensor's name, "blk.3.attn_q.weight"; of MODULE_GATE_UP what stands
                                                   behind "blk.3.ffn_gate" and "blk.3.ffn_up"; of MODULE_KEY_VALUE and
                                                   MODULE_EXPERTS "" */
};

/* name: "model.layers.3.self_attn.q_proj". False: no module that is known. */
bool cm_peft_module(const char *name, struct module *out);

#endif
