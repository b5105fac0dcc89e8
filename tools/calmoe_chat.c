/* tools/calmoe_chat.c - see calmoe_chat.h.
 *
 * On a terminal a prompt is shown. Ctrl-C stops an answer; before the answer has begun, it takes the turn back; at the
 * prompt, it ends the program. When input comes from a pipe, each line is a turn, only answers are printed, and Ctrl-C
 * ends the program. A line that consists of a slash and one word of letters is a command. Every other line is a turn;
 * two slashes at its beginning stand for one. */
#include "tools/calmoe_chat.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/chat_history.h"

enum { MAX_TURN_BYTES = 1 << 20 };

struct turn_reader {
    bool         is_terminal;
    bool         has_ended;   /* standard input has ended       */
    bool         has_failed;  /* standard input could not be read */
    char         buffer[4096];
    size_t       at, n;       /* buffer[at .. n) is not used yet */
    struct bytes turn;
};

enum turn { TURN_TEXT, TURN_END, TURN_FAILED };

static void prompt(const struct turn_reader *reader, const char *text)
{
    if (reader->is_terminal) fputs(text, stderr);
}

/* The next byte of standard input; -1 at its end, and after Ctrl-C. */
static int next_byte(struct turn_reader *reader)
{
    if (reader->at < reader->n) return (unsigned char)reader->buffer[reader->at++];
    if (reader->has_ended || !cm_wait_readable(STDIN_FILENO)) return -1;
    ssize_t n;
    do n = read(STDIN_FILENO, reader->buffer, sizeof reader->buffer);
    while (n < 0 && errno == EINTR && !cm_interrupted());
    if (n < 0 && !cm_interrupted()) {
        cm_say("cannot read standard input: %s", strerror(errno));
        reader->has_failed = true;
    }
    if (n <= 0) reader->has_ended = true;
    reader->n  = n > 0 ? (size_t)n : 0;
    reader->at = 0;
    return n > 0 ? (unsigned char)reader->buffer[reader->at++] : -1;
}

/* Reads one turn into reader->turn, NUL-terminated and without its line end: one line, and further lines as long as
 * each ends in a backslash. */
static enum turn read_turn(struct turn_reader *reader)
{
    struct bytes *const turn = &reader->turn;
    turn->n                  = 0;
    prompt(reader, "> ");
    for (;;) {
        const int byte = next_byte(reader);
        if (reader->has_failed) return TURN_FAILED;
        if (cm_interrupted() || (byte < 0 && turn->n == 0)) return TURN_END;
        if (byte < 0) break;
        if (byte == '\n') {
            if (turn->n > 0 && turn->at[turn->n - 1] == '\r') turn->n--;
            if (turn->n == 0 || turn->at[turn->n - 1] != '\\') break;
            turn->at[turn->n - 1] = '\n';
            prompt(reader, ". ");
        } else if (byte != '\0') { /* the API takes a C string */
            const char character = (char)byte;
            if (turn->n == MAX_TURN_BYTES) {
                cm_say("a turn of more than %d bytes cannot be read", MAX_TURN_BYTES);
                return TURN_FAILED;
            }
            if (!cm_bytes_append(turn, &character, 1)) return TURN_FAILED;
        }
    }
    return cm_bytes_append(turn, "", 1) ? TURN_TEXT : TURN_FAILED;
}

/* ---- commands ---- */

enum after_command { GO_ON, QUIT, FAIL };

static enum after_command help(struct generation *generation);

static enum after_command reset(struct generation *generation)
{
    const int n = generation->history != NULL ? cm_history_reset(generation->history) : 0;
    if (!cm_front_succeeded(generation->front, calmoe_session_rewind(generation->session, n))) return FAIL;
    cm_say("the conversation begins anew");
    return GO_ON;
}

static enum after_command quit(struct generation *generation)
{
    (void)generation;
    return QUIT;
}

static const struct chat_command {
    const char *name;
    const char *help;
    enum after_command (*run)(struct generation *generation);
} chat_commands[] = {
    {"/help", "this list", help},
    {"/reset", "forget the conversation and begin anew", reset},
    {"/quit", "end the program (Ctrl-D does it too)", quit},
};
enum { N_CHAT_COMMANDS = sizeof chat_commands / sizeof chat_commands[0] };

static enum after_command help(struct generation *generation)
{
    (void)generation;
    for (int i = 0; i < N_CHAT_COMMANDS; i++)
        fprintf(stderr, "%-8s %s\n", chat_commands[i].name, chat_commands[i].help);
    fprintf(stderr, "Any other line is sent; //help sends /help. A line that ends with \\ goes on in the next one.\n"
                    "Ctrl-C stops an answer.\n");
    return GO_ON;
}

static enum after_command run_chat_command(struct generation *generation, const char *typed)
{
    for (int i = 0; i < N_CHAT_COMMANDS; i++)
        if (strcmp(typed, chat_commands[i].name) == 0) return chat_commands[i].run(generation);
    cm_say("there is no command %s; /help lists them, and /%s sends it", typed, typed);
    return GO_ON;
}

static bool is_command(const char *turn)
{
    const size_t n = turn[0] == '/' ? strspn(turn + 1, "abcdefghijklmnopqrstuvwxyz") : 0;
    return n > 0 && turn[1 + n] == '\0';
}

/* ---- answers ---- */

static void say_full(const struct generation *generation)
{
    cm_say("the context of %d tokens is full; /reset begins a new conversation",
           calmoe_session_context(generation->session));
}

static enum after_command answer(struct generation *generation, const struct turn_reader *reader,
                                 const char *system)
{
    const char *const   turn = reader->turn.at + (strncmp(reader->turn.at, "//", 2) == 0);
    const calmoe_status fed  = cm_feed_turn(generation, system, turn);
    if (fed == CALMOE_FULL) {
        say_full(generation);
        return GO_ON;
    }
    if (!cm_front_succeeded(generation->front, fed)) return FAIL;
    int                   n_tokens;
    const enum answer_end end = cm_generate(generation, &n_tokens);
    if (end == ANSWER_FAILED || !cm_put("\n", 1)) return FAIL;
    if (n_tokens > 0 && generation->history != NULL && !cm_history_note_answer(generation->history, generation))
        return FAIL;
    if (end == ANSWER_FULL) say_full(generation);
    if (end == ANSWER_LIMIT)
        cm_say("the answer was cut after %d tokens; -n allows more", generation->max_tokens);
    if (end != ANSWER_INTERRUPTED) return GO_ON;
    if (!reader->is_terminal) return QUIT;
    cm_forget_interrupt();
    if (n_tokens > 0) return GO_ON;
    /* Removes a turn that has no answer yet, as if it had never been typed. */
    calmoe_session *session = generation->session;
    calmoe_status   status = CALMOE_OK;
    if (generation->history != NULL) cm_history_take_back(generation->history);
    else status = calmoe_session_rewind(session, calmoe_session_turn_begin(session));
    if (!cm_front_succeeded(generation->front, status)) return FAIL;
    cm_say("the turn was interrupted before its answer began, and is taken back");
    return GO_ON;
}

int cm_chat(struct generation *generation, const char *system)
{
    static struct turn_reader reader;
    enum after_command        after = GO_ON;
    reader.is_terminal              = isatty(STDIN_FILENO) != 0;
    if (reader.is_terminal) cm_say("one line is one turn; /help lists the commands");
    cm_catch_interrupt();
    while (after == GO_ON) {
        const enum turn turn = read_turn(&reader);
        if (turn == TURN_END) {
            prompt(&reader, "\n");
            after = QUIT;
        } else if (turn == TURN_FAILED) {
            after = FAIL;
        } else if (is_command(reader.turn.at)) {
            after = run_chat_command(generation, reader.turn.at);
        } else if (reader.turn.at[strspn(reader.turn.at, " \t\n")] != '\0') {
            after = answer(generation, &reader, system);
        }
    }
    cm_bytes_close(&reader.turn);
    return after == FAIL ? 1 : 0;
}
