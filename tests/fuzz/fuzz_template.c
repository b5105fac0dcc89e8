/* fuzz_template.c - any bytes as a chat template: run on a conversation, and asked for its chat format. A format that
 * is found must make turns; the memory of failed ones must be free again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/text/chat_format.h"
#include "runtime/text/template.h"
#include "tests/support/toy_tokenizer.h"

enum { MAX_BYTES = 1 << 14, NOW = 1700000000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition) ((condition) ? (void)0 : abort())

static const struct tokenizer *tokenizer_for_all(void)
{
    static struct toy_tokenizer toy;
    static struct tokenizer    *tokenizer; /* for the whole run */
    if (!tokenizer) {
        toy_bpe(&toy, "qwen2");
        toy.bos = toy_id(&toy, "<s>");
        CHECK(toy_open(NULL, &toy, &tokenizer) == CALMOE_OK);
    }
    return tokenizer;
}

static void render(const char *text, size_t size)
{
    static const struct template_message messages[] = {
        { "system", " a" }, { "user", "b\n" }, { "assistant", "<think>c</think>\n\303\251" }, { "user", "" },
    };
    const struct template_input input = { .messages = messages, .n_messages = 4, .bos = "<s>",
                                          .eos = size % 2 ? "</s>" : NULL, .now = NOW };
    struct template            *tmpl;
    struct template_text        out;
    if (cm_template_open(NULL, text, size, &tmpl) != CALMOE_OK) return;
    const calmoe_status status = cm_template_render(NULL, tmpl, &input, &out);
    CHECK((status == CALMOE_OK) == (out.text != NULL));
    cm_template_text_close(&out);
    cm_template_close(&tmpl);
}

static void learn(const char *text, size_t size)
{
    const struct tokenizer *tokenizer = tokenizer_for_all();
    const struct chat_turn  turn = { NULL, "hello", true, false };
    struct token_list       list = { .n = 0 }, kept = { .n = 0 };
    struct chat_format     *format;
    bool                    differs;
    if (cm_chat_learn(NULL, text, size, tokenizer, NOW, &format) != CALMOE_OK) return;
    CHECK(cm_chat_turn(NULL, format, tokenizer, &turn, &list) == CALMOE_OK && list.n > 0);
    CHECK(cm_chat_answer(NULL, format, tokenizer, list.ids, list.n, &kept, &differs) == CALMOE_OK);
    cm_token_list_close(&list);
    cm_token_list_close(&kept);
    cm_chat_format_close(&format);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > MAX_BYTES) return 0;
    (void)tokenizer_for_all();
    const long n_live = cm_live_blocks();
    render((const char *)data, size);
    learn((const char *)data, size);
    CHECK(cm_live_blocks() == n_live);
    return 0;
}
