/* tests/support/goldens.c - see goldens.h. */
#include "tests/support/goldens.h"
#include "tests/support/thin.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char ending[] = ".expect.gguf";

static int is_expectation(const struct dirent *entry)
{
    const size_t n = strlen(entry->d_name), m = strlen(ending);
    return n > m && n - m < GOLDEN_NAME && strcmp(entry->d_name + n - m, ending) == 0;
}

struct goldens goldens(void)
{
    struct goldens  out = {0};
    struct dirent **entries = NULL;
    out.n = scandir(GOLDEN_FOLDER, &entries, is_expectation, alphasort);
    if (out.n < 10 || out.n > GOLDEN_MAX) {
        fprintf(stderr, "%d models in " GOLDEN_FOLDER "; 10 to %d are wanted\n", out.n, GOLDEN_MAX);
        abort();
    }
    for (int i = 0; i < out.n; i++) {
        const size_t n_name = strlen(entries[i]->d_name) - strlen(ending);
        memcpy(out.names[i], entries[i]->d_name, n_name);
        free(entries[i]);
    }
    free(entries);
    return out;
}

static bool is_listed(const char *name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], name) == 0) return true;
    return false;
}

bool golden_is_left_out(const char *name)
{
    static const char *const kept[] = {"bloom", "deepseek3", "gemma4moe", "gptoss", "granitehybridmoe", "laguna",
                                       "lfm2moe", "llama4", "llamabias", "nemotronhmoe", "olmoe", "phimoe",
                                       "qwen2moe", "qwen35moe"};
    return tests_are_thin() && !is_listed(name, kept, sizeof kept / sizeof *kept);
}

bool golden_has_twin(const char *name)
{
    static const char *const twins[] = {"baichuan", "chatglm", "deepseek", "dots1", "ernie", "erniedense", "gemma",
                                        "granitemoe", "hunyuandense", "ling", "ling2", "llama", "minimaxm2", "phi3",
                                        "qwen2", "qwen2moemixed", "qwen3", "qwen3moemixed", "seedoss", "smollm3",
                                        "youtu"};
    return is_listed(name, twins, sizeof twins / sizeof *twins);
}

const char *golden_path(char path[600], const char *name)
{
    snprintf(path, 600, GOLDEN_FOLDER "/%s.gguf", name);
    return path;
}
