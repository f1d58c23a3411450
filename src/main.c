// SPDX-License-Identifier: MIT
// argv to a row of the command table. A row says all there is to know of a command: what runs it, its
// operands, its flags; help is printed from it, and so are the manual pages (manual.c) and the completions of
// shells (completion.c). A new command is one row here and one file in its room.
#include <stdio.h>
#include <string.h>

#include "base/args.h"
#include "base/mem.h"
#include "base/options.h"
#include "base/program.h"
#include "cli/cli.h"
#include "command.h"
#include "inspect/inspect.h"
#include "runner/runner.h"
#include "server/server.h"

static const struct args_flag import_flags[] = {
    {"models", 0, ARGS_TEXT, "DIRECTORY", "the store, instead of OLLAMA_MODELS"},
    {NULL},
};

static const struct args_flag export_flags[] = {
    {"output", 'o', ARGS_TEXT, "FILE.tar", "where to; - for standard output"},
    {"models", 0, ARGS_TEXT, "DIRECTORY", "the store, instead of OLLAMA_MODELS"},
    {NULL},
};

static const struct args_flag prune_flags[] = {
    {"all", 0, ARGS_SWITCH, NULL, "also what is younger than an hour"},
    {"models", 0, ARGS_TEXT, "DIRECTORY", "the store, instead of OLLAMA_MODELS"},
    {NULL},
};

static const struct args_flag tokenize_flags[] = {
    {"plain", 0, ARGS_SWITCH, NULL, "read special tokens in the text as plain text"},
    {"bos", 0, ARGS_SWITCH, NULL, "put the token in front that begins a prompt, if the model wants one"},
    {NULL},
};

static const struct args_flag logits_flags[] = {
    {"ids", 0, ARGS_TEXT, "1,2,3|@FILE", "token ids, fed from position 0"},
    {"pos", 0, ARGS_TEXT, "0,2", "positions to print; else the last"},
    {"top", 0, ARGS_UINT, "N", "only the N largest, with their ids"},
    {"kv-type", 0, ARGS_TEXT, "TYPE", "of cached keys and values: f16, f32, bf16, q8_0"},
    {"context-size", 0, ARGS_UINT, "N", "room in the cache"},
    {"chunk", 0, ARGS_UINT, "N", "tokens computed together"},
    {"threads", 0, ARGS_UINT, "N", "compute threads"},
    {"cpu", 0, ARGS_TEXT, "LEVEL", "highest CPU level: ref, avx2, avx512vnni"},
    {NULL},
};

const struct command commands[] = {
    {"serve", "start", "", "serve the models of the store over HTTP", NULL, server_main, server_flags, 0, 0,
     .takes_options = true, .loads_options = true},
    {"import", NULL, "FILE.gguf|FILE.tar [NAME]", "copy a model file, or what export wrote, into the store",
     inspect_import, NULL, import_flags, 1, 2},
    {"export", NULL, "MODEL... -o FILE.tar", "write models to a file, for machines without a network",
     inspect_export, NULL, export_flags, 1, -1},
    {"prune", NULL, "", "remove blobs of the store that no model uses", inspect_prune, NULL, prune_flags, 0,
     0},
    {"run", NULL, "MODEL [PROMPT...]", "ask a model, or talk with it", cli_run, NULL, cli_run_flags, 1, -1},
    {"list", "ls", "[PREFIX]", "list the models", cli_list, NULL, cli_list_flags, 0, 1},
    {"ps", NULL, "[PREFIX]", "list the models that are loaded", cli_ps, NULL, cli_ps_flags, 0, 1},
    {"show", NULL, "MODEL", "tell about a model", cli_show, NULL, cli_show_flags, 1, 1},
    {"pull", NULL, "MODEL", "get a model from a registry", cli_pull, NULL, cli_pull_flags, 1, 1},
    {"push", NULL, "MODEL", "send a model to a registry", cli_push, NULL, cli_pull_flags, 1, 1},
    {"create", NULL, "MODEL", "make a model from a Modelfile", cli_create, NULL, cli_create_flags, 1, 1},
    {"cp", NULL, "SOURCE DESTINATION", "give a model a second name", cli_cp, NULL, NULL, 2, 2},
    {"rm", NULL, "MODEL...", "delete models", cli_rm, NULL, NULL, 1, -1},
    {"signin", "login", "", "not here: there are no accounts", cli_signin, NULL, NULL, 0, 0,
     .is_hidden = true},
    {"signout", "logout", "", "not here: there are no accounts", cli_signout, NULL, NULL, 0, 0,
     .is_hidden = true},
    {"launch", NULL, "[PROGRAM...]", "not here: programs are started by hand", cli_launch, NULL, NULL, 0, -1,
     .is_hidden = true},
    {"stop", NULL, "MODEL", "unload a model", cli_stop, NULL, NULL, 1, 1},
    {"queue", NULL, "", "list the requests that have not ended", cli_queue, NULL, cli_queue_flags, 0, 0},
    {"why", NULL, "ID", "tell why a request waited and what became of it", cli_why, NULL, cli_queue_flags, 1,
     1},
    {"cancel", NULL, "ID", "end a request", cli_cancel, NULL, NULL, 1, 1},
    {"top", NULL, "", "watch models, requests and memory, live", cli_top, NULL, cli_top_flags, 0, 0},
    {"health", NULL, "", "whether the server is ready: exit code 0 or 1", cli_health, NULL, NULL, 0, 0},
    {"key", NULL, "new", "make an API key for a server", key_main, NULL, key_flags, 1, 1},
    {"tokenize", NULL, "MODEL", "text on stdin to token ids", NULL, inspect_tokenize, tokenize_flags, 1, 1},
    {"detokenize", NULL, "MODEL", "token ids on stdin to text", NULL, inspect_detokenize, NULL, 1, 1},
    {"render", NULL, "MODEL|FILE.jinja", "a conversation on stdin to the prompt of a chat template", NULL,
     inspect_render, NULL, 1, 1},
    {"logits", NULL, "MODEL --ids IDS", "a model's numbers for given ids", NULL, inspect_logits, logits_flags,
     1, 1},
    {"simulate", NULL, "[TRACE]", "traffic through the scheduler in virtual time, to plan slots and memory",
     inspect_simulate, NULL, inspect_simulate_flags, 0, 1},
    {"runner", NULL, "", "the process of one model; started by serve, not by hand", NULL, runner_main, NULL,
     0, 0, .loads_options = true, .is_hidden = true},
    {"completion", NULL, "bash|zsh|fish", "a completion script for a shell", completion_main, NULL, NULL, 1,
     1},
    {"manual", NULL, "1|5", "a manual page; run by the build", manual_main, NULL, NULL, 1, 1,
     .loads_options = true, .is_hidden = true},
};
const size_t n_commands = COUNT_OF(commands);

static const char *const explanation =
    "Options may be set by flag, by DROVER_X or OLLAMA_X in the environment, or in drover.conf.\n";

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < n_commands; i++)
        if (strcmp(commands[i].name, name) == 0 ||
            (commands[i].alias != NULL && strcmp(commands[i].alias, name) == 0))
            return &commands[i];
    return NULL;
}

static void print_help(FILE *out)
{
    const char *program = program_name();
    fprintf(out,
            "Usage: %s COMMAND [FLAGS] [OPERANDS]\n\nA server of language models for many people at "
            "once.\n\nCommands:\n",
            program);
    for (size_t i = 0; i < n_commands; i++)
        if (!commands[i].is_hidden)
            fprintf(out, "  %-12s %s\n", commands[i].name, commands[i].summary);
    fprintf(out, "\n'%s COMMAND --help' tells about one, '%s --version' which version this is.\n", program,
            program);
}

static void print_command_help(FILE *out, const struct command *c)
{
    fprintf(out, "Usage: %s %s [FLAGS]%s%s\n\n%s", program_name(), c->name, c->operands[0] ? " " : "",
            c->operands, c->summary);
    if (c->alias != NULL)
        fprintf(out, " (also: %s)", c->alias);
    fprintf(out, "\n\nFlags:\n");
    args_print_flags(out, c->flags, c->takes_options);
    if (c->takes_options)
        fprintf(out, "\n%s", explanation);
}

static bool asks_for_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

static int refuse(const struct command *c, const char *message)
{
    fprintf(stderr, "Error: %s\nUsage: %s %s [FLAGS]%s%s\n", message, program_name(), c->name,
            c->operands[0] ? " " : "", c->operands);
    return 2;
}

static int run_parsed(const struct command *c, int argc, char **argv)
{
    struct args a;
    struct err err = {0};
    int rc;
    if (args_parse(&a, c->flags, c->takes_options, argc, argv, &err) != 0) {
        rc = refuse(c, err.message);
    } else if (a.wants_help) {
        print_command_help(stdout, c);
        rc = 0;
    } else if (a.n_operands < c->min_operands) {
        rc = refuse(c, "too few arguments");
    } else if (c->max_operands >= 0 && a.n_operands > c->max_operands) {
        rc = refuse(c, "too many arguments");
    } else {
        rc = c->run(&a);
    }
    args_fini(&a);
    return rc;
}

static int run_command(const struct command *c, int argc, char **argv)
{
    if (!c->loads_options)
        options_load(false);
    if (c->run != NULL)
        return run_parsed(c, argc, argv);
    if (asks_for_help(argc, argv)) {
        print_command_help(stdout, c);
        return 0;
    }
    return c->run_raw(argc, argv);
}

// Ollama tells the server's version, and warns where that is not its own.
static int print_version(void)
{
    if (program_is_ollama()) {
        options_load(false);
        return cli_version();
    }
    printf("drover %s\n", DROVER_VERSION);
    return 0;
}

static int help(int argc, char **argv)
{
    const struct command *c = argc > 2 ? find_command(argv[2]) : NULL;
    if (argc > 2 && c == NULL) {
        fprintf(stderr, "Error: unknown command \"%s\"\n", argv[2]);
        return 2;
    }
    if (c != NULL)
        print_command_help(stdout, c);
    else
        print_help(stdout);
    return 0;
}

int main(int argc, char **argv)
{
    program_init(argc > 0 ? argv[0] : "");
    const char *name = argc > 1 ? argv[1] : "";
    const struct command *c = find_command(name);
    int rc;
    if (c != NULL) {
        rc = run_command(c, argc - 1, argv + 1);
    } else if (strcmp(name, "--version") == 0 || strcmp(name, "-v") == 0) {
        rc = print_version();
    } else if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        rc = help(argc, argv);
    } else if (name[0] == 0) {
        print_help(program_is_ollama() ? stdout : stderr);
        rc = program_is_ollama() ? 0 : 2;
    } else {
        fprintf(stderr, "Error: unknown %s \"%s\"\nRun '%s --help' for usage.\n",
                name[0] == '-' ? "flag" : "command", name, program_name());
        rc = 2;
    }
    if (rc == 2 && program_is_ollama())
        rc = 1; // the only exit code of failure that its scripts know
    if (fflush(stdout) != 0 && rc == 0) {
        perror("Error: standard output");
        rc = 1;
    }
    return rc;
}
