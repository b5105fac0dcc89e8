/* replay.c - runs a fuzz target over the files and folders named as arguments: what the fuzzer found
 * once stays a test where there is no fuzzer. Fails where a named path holds no file. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In a block of exactly its size, so that a byte too far is seen by the sanitizer. */
static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        fprintf(stderr, "replay: cannot read '%s': %s\n", path, strerror(errno));
        exit(1);
    }
    const size_t n_bytes = (size_t)ftell(file);
    uint8_t     *bytes = malloc(n_bytes > 0 ? n_bytes : 1);
    rewind(file);
    if (bytes == NULL || fread(bytes, 1, n_bytes, file) != n_bytes) {
        fprintf(stderr, "replay: cannot read '%s'\n", path);
        exit(1);
    }
    fclose(file);
    LLVMFuzzerTestOneInput(bytes, n_bytes);
    free(bytes);
    return 1;
}

/* The number of files. */
static int replay(const char *path)
{
    DIR *folder = opendir(path);
    if (folder == NULL) return errno == ENOTDIR ? replay_file(path) : 0;
    int n_files = 0;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char inner[4096];
        if (entry->d_name[0] == '.') continue;
        if (snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name) < (int)sizeof inner)
            n_files += replay(inner);
    }
    closedir(folder);
    return n_files;
}

int main(int argc, char **argv)
{
    int n_files = 0;
    for (int i = 1; i < argc; i++) {
        const int n_here = replay(argv[i]);
        if (n_here == 0) {
            fprintf(stderr, "replay: no files in '%s'\n", argv[i]);
            return 1;
        }
        n_files += n_here;
    }
    printf("%d files replayed\n", n_files);
    return n_files > 0 ? 0 : 1;
}
