/* fuzz_template.c - any bytes as a chat template: run on a conversation, and asked for its chat format. A format that
 * is found must make turns; the memory of failed ones must be free again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/text/chat_format.h"
#include "runtime/text/conversation.h"
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
    static const char conversation[] =
        "{\"messages\":[{\"role\":\"system\",\"content\":\" a\"},{\"role\":\"user\",\"content\":\"b\\n\"},"
        "{\"role\":\"assistant\",\"content\":\"<think>c</think>\\u00e9\",\"tool_calls\":[{\"id\":\"1\",\"function\":"
        "{\"name\":\"f\",\"arguments\":\"{\\\"k\\\":[1,2.5,null]}\"}}]},{\"role\":\"tool\",\"content\":\"\"},"
        "{\"role\":\"user\",\"content\":null}],\"tools\":[{\"function\":{\"name\":\"f\",\"parameters\":"
        "{\"properties\":{\"k\":{}}}}}]}";
    struct conversation   read;
    struct template      *tmpl;
    struct template_text  out;
    const struct template_input input = { .bos = "<s>", .eos = size % 2 ? "</s>" : NULL, .now = NOW, .user = &read,
                                          .define = cm_conversation_define, .n_bytes = sizeof conversation };
    if (cm_template_open(NULL, text, size, &tmpl) != CALMOE_OK) return;
    CHECK(cm_conversation_open(NULL, conversation, sizeof conversation - 1, &read) == CALMOE_OK);
    const calmoe_status status = cm_template_render(NULL, tmpl, &input, &out);
    CHECK((status == CALMOE_OK) == (out.text != NULL));
    for (size_t i = 0; i < out.n; i++) CHECK(out.marks[i] <= MARK_PREFILL);
    cm_template_text_close(&out);
    cm_conversation_close(&read);
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
