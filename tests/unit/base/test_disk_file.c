/* test_disk_file.c - pieces of a file, read one by one and several at a time, through the system's cache and past it:
 * by io_uring and by pread the same bytes and the same failures; and where the kernel does not offer io_uring, or a
 * container forbids it, reads go on without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/disk_file.h"
#include "base/disk_ring.h"
#include "base/random.h"
#include "tests/support/context_fixture.h"
#include "tests/support/folder_fixture.h"

enum { FILE_BYTES = 100001, AT_ONCE = 4, MOST_BYTES = 20000, N_READS = 60 };

static uint8_t         content[FILE_BYTES];
static struct file_map map;
static uint8_t        *buffers; /* (AT_ONCE, cm_disk_buffer_bytes(MOST_BYTES)) */

static void open_content(void)
{
    struct random random = cm_random(7);
    const char   *path = temp_file(folder, "content");
    for (int i = 0; i < FILE_BYTES; i++) content[i] = (uint8_t)cm_random_below(&random, 256);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, FILE_BYTES, file), FILE_BYTES);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(cm_file_map_open(context, path, &map), CALMOE_OK);
    const size_t each = (cm_disk_buffer_bytes(MOST_BYTES) + CM_DISK_BLOCK) / CM_DISK_BLOCK * CM_DISK_BLOCK;
    buffers = aligned_alloc(CM_DISK_BLOCK, AT_ONCE * each);
    assert_non_null(buffers);
}

static void close_content(void)
{
    cm_file_map_close(&map);
    free(buffers);
}

static void set_buffer(struct disk_read *read, int i)
{
    const size_t each = (cm_disk_buffer_bytes(MOST_BYTES) + CM_DISK_BLOCK) / CM_DISK_BLOCK * CM_DISK_BLOCK;
    read->buffer = buffers + (size_t)i * each;
}

/* A read that has ended is what a look into the content says. */
static void check(const struct disk_read *read)
{
    const bool is_there = read->offset + read->n_bytes <= FILE_BYTES;
    assert_int_equal(read->failure, is_there ? 0 : CM_FILE_ENDED);
    if (is_there) assert_memory_equal(read->found, content + read->offset, read->n_bytes);
}

/* Reads here and there, up to AT_ONCE at a time, a few of them beyond the end. */
static void read_all(struct disk_queue *queue, bool is_direct)
{
    struct disk_file file;
    struct random    random = cm_random(11);
    struct disk_read reads[AT_ONCE] = {{0}};
    int              n_taken = 0;
    cm_disk_file_open(&map, is_direct, &file);
    for (int i = 0; i < N_READS; i++) {
        struct disk_read *read = i < AT_ONCE ? &reads[i] : cm_disk_queue_take(queue);
        assert_non_null(read);
        if (i >= AT_ONCE) check(read), n_taken++;
        set_buffer(read, (int)(read - reads));
        read->file = &file;
        read->offset = cm_random_below(&random, i % 7 == 0 ? FILE_BYTES : FILE_BYTES - MOST_BYTES);
        read->n_bytes = 1 + cm_random_below(&random, MOST_BYTES);
        cm_disk_queue_ask(queue, read);
    }
    for (const struct disk_read *read; (read = cm_disk_queue_take(queue)) != NULL; n_taken++) check(read);
    assert_int_equal(n_taken, N_READS);
    cm_disk_file_close(&file);
}

static void same_bytes_both_ways(void **state)
{
    (void)state;
    open_content();
    for (int way = 0; way < 4; way++) {
        struct disk_queue queue;
        cm_disk_ring_refuse(way < 2 ? 0 : EPERM);
        const int failure = cm_disk_queue_open(&queue, AT_ONCE);
        cm_disk_ring_refuse(0);
        if (way >= 2) assert_int_equal(failure, EPERM);
        assert_int_equal(failure == 0, queue.ring != NULL);
        if (failure != 0 && way == 0) print_message("no io_uring here: %s\n", strerror(failure));
        read_all(&queue, way % 2);
        cm_disk_queue_close(&queue);
    }
    close_content();
}

/* What fails: a file that is none, reads that are told to; in company of others that do not. */
static void same_failures_both_ways(void **state)
{
    (void)state;
    open_content();
    for (int way = 0; way < 2; way++) {
        struct disk_queue queue;
        struct disk_file  good, none = {.file = -1, .direct = -1};
        struct disk_read  reads[AT_ONCE] = {{0}};
        cm_disk_ring_refuse(way == 0 ? 0 : ENOSYS);
        cm_disk_queue_open(&queue, AT_ONCE);
        cm_disk_ring_refuse(0);
        cm_disk_file_open(&map, false, &good);
        cm_disk_fail(2, 1, EIO);
        for (int i = 0; i < AT_ONCE; i++) {
            reads[i] = (struct disk_read){.file = i == 3 ? &none : &good, .offset = 5, .n_bytes = 1000};
            set_buffer(&reads[i], i);
            cm_disk_queue_ask(&queue, &reads[i]);
        }
        for (int i = 0; i < AT_ONCE; i++) assert_non_null(cm_disk_queue_take(&queue));
        assert_null(cm_disk_queue_take(&queue));
        static const int wanted[AT_ONCE] = {0, EIO, 0, EBADF};
        for (int i = 0; i < AT_ONCE; i++) assert_int_equal(reads[i].failure, wanted[i]);
        assert_memory_equal(reads[2].found, content + 5, 1000);
        cm_disk_file_close(&good);
        cm_disk_queue_close(&queue);
    }
    close_content();
}

/* From now on this process gets an error for a system call; false where it may not ask for that. */
static bool forbid(unsigned call, unsigned error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* As containers do it: the call is refused, at the opening or when a ring is used. */
static void forbidden_by_a_container(void **state)
{
    (void)state;
    static const struct {
        unsigned call, error;
    } ways[] = {{SYS_io_uring_setup, EPERM}, {SYS_io_uring_setup, ENOSYS}, {SYS_io_uring_enter, EPERM}};
    open_content();
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        const pid_t child = fork();
        int         status;
        assert_true(child >= 0);
        if (child == 0) {
            struct disk_queue queue;
            if (!forbid(ways[i].call, ways[i].error)) _exit(77);
            const int failure = cm_disk_queue_open(&queue, AT_ONCE);
            if (failure == 0) _exit(1);
            read_all(&queue, false);
            _exit(failure == (int)ways[i].error || failure == ENOSYS ? 0 : 2);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) != 77) assert_int_equal(WEXITSTATUS(status), 0);
    }
    close_content();
}

/* The kernel takes reads at first, and none any more later: the rest is read without. */
static void forbidden_later(void **state)
{
    (void)state;
    int status;
    open_content();
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct disk_queue queue;
        cm_disk_queue_open(&queue, AT_ONCE);
        read_all(&queue, false);
        if (!forbid(SYS_io_uring_enter, EPERM)) _exit(77);
        read_all(&queue, false);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) != 77) assert_int_equal(WEXITSTATUS(status), 0);
    close_content();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bytes_both_ways), cmocka_unit_test(same_failures_both_ways),
        cmocka_unit_test(forbidden_by_a_container), cmocka_unit_test(forbidden_later),
    };
    return cmocka_run_group_tests(tests, open_folder_and_context, close_folder_and_context);
}
