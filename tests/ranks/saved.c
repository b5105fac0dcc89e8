/* saved.c - sessions saved and restored by several ranks: the file has the bytes that one rank writes, so that it goes
 * on there, and what is restored goes on as it did; a damaged file is refused by rank 0, and all go on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/ranks/driver.h"

static const char *path_of(char path[600])
{
    snprintf(path, 600, "%s/saved.session", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    return path;
}

/* The file's bytes, of which one is changed: at a position from the file's end; 0: none is. */
static void look_at_file(struct run *run, const char *path, long changed)
{
    FILE *file = fopen(path, "r+be");
    int   byte;
    while (file && (byte = fgetc(file)) != EOF) {
        const uint8_t one = (uint8_t)byte;
        if (changed == 0) cm_sha256_add(&run->hash, &one, 1);
    }
    if (file && changed > 0) {
        fseek(file, -changed, SEEK_END);
        byte = fgetc(file);
        fseek(file, -changed, SEEK_END);
        fputc(byte ^ 1, file);
    }
    if (file && fclose(file) == 0) return;
    printf("FAIL %s cannot be looked at\n", path);
    exit(1);
}

void read_saved(struct run *run)
{
    enum { DIGEST = 64 };
    char path[600];
    calmoe_session_options options;
    calmoe_session **const sessions = run->sessions;
    calmoe_session_options_init(&options);
    options.context = CONTEXT;
    options.ignore_end = 1;
    must(run, calmoe_session_open(run->engine, &options, &sessions[0]));
    step(run, (const int[]){7, 0, 0, 0}, 0, CALMOE_LOGITS_ALL);
    generate(run, sessions[0], 3);
    must(run, calmoe_session_rewind(sessions[0], 9)); /* what lies behind is not in the file */
    must(run, calmoe_session_save(sessions[0], path_of(path)));
    look_at_file(run, path, 0);
    must(run, calmoe_session_restore(run->engine, path, &options, &sessions[1]));
    must(run, calmoe_session_restore(run->engine, path, &options, &sessions[2]));
    generate(run, sessions[0], 4);
    generate(run, sessions[1], 4);
    must(run, calmoe_session_save(sessions[1], path)); /* nothing of other ranks is in it twice */
    look_at_file(run, path, 0);
    for (int i = 2; i >= 0; i--) generate(run, sessions[i], 2);
    calmoe_session_close(&sessions[1]);
    look_at_file(run, path, DIGEST + 200);
    if (calmoe_session_restore(run->engine, path, &options, &sessions[1]) == CALMOE_OK) {
        printf("FAIL a damaged file is restored\n");
        exit(1);
    }
    generate(run, sessions[2], 2);
    close_sessions(run);
}
