/* tools/command.h - the subcommands of calmoe. Each has a file of its own that defines one record. */
#ifndef TOOLS_COMMAND_H
#define TOOLS_COMMAND_H

struct command {
    const char *name;
    const char *summary;                /* one line, for the list in "calmoe --help"       */
    int (*run)(int argc, char **argv);  /* argv[0] is the subcommand's name; returns the exit status */
};

extern const struct command cm_command_context;
extern const struct command cm_command_run;
extern const struct command cm_command_calibrate;
extern const struct command cm_command_serve;
extern const struct command cm_command_tokenize;
extern const struct command cm_command_template;
extern const struct command cm_command_inspect;
extern const struct command cm_command_place;
extern const struct command cm_command_profile;
extern const struct command cm_command_quantize;
extern const struct command cm_command_pack;
extern const struct command cm_command_fit_exits;

#endif
