// SPDX-License-Identifier: MIT
// Completion scripts for bash, zsh and fish, written from the command table that the program itself runs by.
// Names of models are asked of the server each time (`list --json`), of loaded ones for `stop` (`ps --json`).
// Which operands are models is read from the table's own words: MODEL, SOURCE. The build installs what this
// prints. Main thread.
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/options.h"
#include "base/program.h"
#include "command.h"

enum operand { OPERAND_NONE, OPERAND_MODEL, OPERAND_LOADED, OPERAND_FILE, OPERAND_WORD };

static bool begins(const char *text, const char *head)
{
    return strncmp(text, head, strlen(head)) == 0;
}

// What stands in a command's first operand.
static enum operand operand_of(const struct command *c)
{
    const char *text = c->operands + (c->operands[0] == '[');
    if (strcmp(c->name, "stop") == 0 || strcmp(c->name, "ps") == 0)
        return OPERAND_LOADED;
    if (begins(text, "MODEL") || begins(text, "SOURCE") || begins(text, "PREFIX"))
        return OPERAND_MODEL;
    if (begins(text, "FILE") || begins(text, "TRACE"))
        return OPERAND_FILE;
    return islower((unsigned char)text[0]) ? OPERAND_WORD : OPERAND_NONE; // "bash|zsh|fish"
}

// Whether what may come first may come again: "MODEL...".
static bool repeats(const struct command *c)
{
    const char *end = c->operands + strcspn(c->operands, " ");
    return end - c->operands > 3 && strncmp(end - 3, "...", 3) == 0;
}

static enum args_kind option_kind(enum option_id id)
{
    return options_type(id) == OPTION_BOOL ? ARGS_MAYBE : ARGS_TEXT;
}

static void put_dashed(const char *name)
{
    for (; *name; name++)
        putchar(*name == '_' ? '-' : *name);
}

// `separator` between the names of the commands and their aliases.
static void put_names(const struct command *c, char separator)
{
    fputs(c->name, stdout);
    if (c->alias != NULL)
        printf("%c%s", separator, c->alias);
}

static void put_alternatives(const char *operands)
{
    for (; *operands; operands++)
        putchar(*operands == '|' ? ' ' : *operands);
}

// ---- bash ----

static void put_bash_flags(const struct command *c)
{
    for (int i = 0; c->flags != NULL && c->flags[i].name != NULL; i++)
        printf("--%s ", c->flags[i].name);
    for (int i = 0; c->takes_options && i < OPTION_COUNT; i++) {
        fputs("--", stdout);
        put_dashed(options_name((enum option_id)i));
        putchar(' ');
    }
    fputs("--help", stdout);
}

// Flags whose next word is their value, as a pattern.
static void put_bash_valued(const struct command *c)
{
    fputs("valued='", stdout);
    for (int i = 0; c->flags != NULL && c->flags[i].name != NULL; i++) {
        const struct args_flag *f = &c->flags[i];
        if (f->kind != ARGS_TEXT && f->kind != ARGS_UINT)
            continue;
        printf(" --%s ", f->name);
        if (f->letter != 0)
            printf(" -%c ", f->letter);
    }
    for (int i = 0; c->takes_options && i < OPTION_COUNT; i++) {
        if (option_kind((enum option_id)i) == ARGS_MAYBE)
            continue;
        fputs(" --", stdout);
        put_dashed(options_name((enum option_id)i));
        putchar(' ');
    }
    fputs("'", stdout);
}

static void put_bash_operands(const struct command *c)
{
    const char *guard = repeats(c) ? "" : "[ $n -gt 0 ] || ";
    switch (operand_of(c)) {
    case OPERAND_MODEL:
        printf("%swords=$(_drover_models list)", strcmp(c->name, "cp") == 0 ? "" : guard);
        break;
    case OPERAND_LOADED:
        printf("%swords=$(_drover_models ps)", guard);
        break;
    case OPERAND_FILE:
        printf("files=1");
        break;
    case OPERAND_WORD:
        printf("%swords='", guard);
        put_alternatives(c->operands);
        printf("'");
        break;
    case OPERAND_NONE:
        printf(":");
        break;
    }
}

static const char bash_body[] =
    "_drover() {\n"
    "    local cur prev words= files= flags= valued= n=0 i j command= line head\n"
    "    line=${COMP_LINE:0:COMP_POINT}\n"
    "    local all\n"
    "    read -r -a all <<<\"$line\"\n"
    "    case $line in *[[:space:]]) all+=('') ;; esac\n"
    "    [ ${#all[@]} -gt 1 ] || all+=('')\n"
    "    cur=${all[${#all[@]}-1]}\n"
    "    prev=${all[${#all[@]}-2]}\n"
    "    command=${all[1]}\n"
    "    COMPREPLY=()\n"
    "    if [ ${#all[@]} -le 2 ]; then\n"
    "        COMPREPLY=($(compgen -W \"$_drover_commands --help --version\" -- \"$cur\"))\n"
    "        return\n"
    "    fi\n"
    "    _drover_describe \"$command\" flags-only\n"
    "    for ((i = 2; i < ${#all[@]} - 1; i++)); do\n"
    "        case $valued in *\" ${all[i]} \"*) i=$((i + 1)); continue ;; esac\n"
    "        case ${all[i]} in -*) ;; *) n=$((n + 1)) ;; esac\n"
    "    done\n"
    "    case $valued in *\" $prev \"*)\n"
    "        COMPREPLY=($(compgen -f -- \"$cur\"))\n"
    "        return\n"
    "    esac\n"
    "    case $cur in\n"
    "    -*) words=$flags ;;\n"
    "    *) _drover_describe \"$command\" operands ;;\n"
    "    esac\n"
    "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
    "    [ -z \"$files\" ] || COMPREPLY+=($(compgen -f -- \"$cur\"))\n"
    "    case $COMP_WORDBREAKS in\n"
    "    *:*) # the shell completes only what follows the last colon\n"
    "        case $cur in *:*)\n"
    "            head=${cur%\"${cur##*:}\"}\n"
    "            for j in \"${!COMPREPLY[@]}\"; do COMPREPLY[j]=${COMPREPLY[j]#\"$head\"}; done\n"
    "        esac\n"
    "    esac\n"
    "}\n";

// The names of models out of JSON, with what every system has.
static void put_models(const char *function)
{
    printf("%s() {\n"
           "    command %s \"$1\" --json 2>/dev/null | grep -o '\"name\":\"[^\"]*\"' | cut -d'\"' -f4\n"
           "}\n",
           function, program_name());
}

static void print_bash(void)
{
    const char *program = program_name();
    printf("# Completion of %s for bash; made by `%s completion bash`.\n", program, program);
    put_models("_drover_models");
    fputs("_drover_commands='", stdout);
    for (size_t i = 0; i < n_commands; i++)
        if (!commands[i].is_hidden) {
            put_names(&commands[i], ' ');
            putchar(' ');
        }
    puts("help'\n_drover_describe() {\n    case $1 in");
    for (size_t i = 0; i < n_commands; i++) {
        const struct command *c = &commands[i];
        if (c->is_hidden)
            continue;
        fputs("    ", stdout);
        put_names(c, '|');
        fputs(")\n        flags='", stdout);
        put_bash_flags(c);
        fputs("'\n        ", stdout);
        put_bash_valued(c);
        fputs("\n        [ $2 = flags-only ] || { ", stdout);
        put_bash_operands(c);
        puts("; } ;;");
    }
    puts("    help) [ $2 = flags-only ] || words=$_drover_commands ;;\n    esac\n}");
    fputs(bash_body, stdout);
    printf("complete -F _drover %s\n", program);
}

// ---- zsh ----

// Text within single quotes within a specification of _arguments.
static void put_zsh_text(const char *text)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", stdout);
        else if (strchr("[]:\\", *text) != NULL)
            printf("\\%c", *text);
        else
            putchar(*text);
    }
}

static void put_zsh_flag(const char *name, char letter, enum args_kind kind, const char *value,
                         const char *help)
{
    static const char *const marks[] = {
        [ARGS_SWITCH] = "", [ARGS_TEXT] = "=", [ARGS_UINT] = "=", [ARGS_MAYBE] = "=-"};
    for (int short_too = 0; short_too < 1 + (letter != 0); short_too++) {
        if (short_too)
            printf(" \\\n            '-%c%s[", letter, marks[kind][0] ? "+" : "");
        else {
            fputs(" \\\n            '--", stdout);
            put_dashed(name);
            printf("%s[", marks[kind]);
        }
        put_zsh_text(help);
        putchar(']');
        if (kind != ARGS_SWITCH) {
            fputs(kind == ARGS_MAYBE ? "::" : ":", stdout);
            put_zsh_text(value != NULL ? value : "value");
            fputs(value != NULL && begins(value, "FILE") ? ":_files" : ": ", stdout);
        }
        putchar('\'');
    }
}

static void put_zsh_operands(const struct command *c)
{
    const char *which = repeats(c) || strcmp(c->name, "cp") == 0 ? "*" : "1";
    switch (operand_of(c)) {
    case OPERAND_MODEL:
        printf(" \\\n            '%s:model: _drover_models list'", which);
        break;
    case OPERAND_LOADED:
        printf(" \\\n            '%s:model: _drover_models ps'", which);
        break;
    case OPERAND_FILE:
        printf(" \\\n            '1:file:_files'");
        break;
    case OPERAND_WORD:
        printf(" \\\n            '1:word:(");
        put_alternatives(c->operands);
        printf(")'");
        break;
    case OPERAND_NONE:
        break;
    }
}

static void print_zsh(void)
{
    const char *program = program_name();
    printf("#compdef %s\n# Completion of %s for zsh; made by `%s completion zsh`.\n", program, program,
           program);
    printf("_drover_models() {\n"
           "    local -a models\n"
           "    models=(${(f)\"$(command %s $1 --json 2>/dev/null | grep -o '\"name\":\"[^\"]*\"' | cut "
           "-d'\"' -f4)\"})\n"
           "    compadd -a models\n"
           "}\n"
           "_drover() {\n"
           "    local -a commands\n"
           "    commands=(\n",
           program);
    for (size_t i = 0; i < n_commands; i++) {
        if (commands[i].is_hidden)
            continue;
        printf("        '%s:", commands[i].name);
        put_zsh_text(commands[i].summary);
        puts("'");
    }
    puts("    )\n"
         "    if ((CURRENT == 2)); then\n"
         "        _describe command commands\n"
         "        return\n"
         "    fi\n"
         "    local command=$words[2]\n"
         "    shift words\n"
         "    ((CURRENT--))\n"
         "    case $command in");
    for (size_t i = 0; i < n_commands; i++) {
        const struct command *c = &commands[i];
        if (c->is_hidden)
            continue;
        fputs("    ", stdout);
        put_names(c, '|');
        fputs(")\n        _arguments", stdout);
        for (int k = 0; c->flags != NULL && c->flags[k].name != NULL; k++)
            put_zsh_flag(c->flags[k].name, c->flags[k].letter, c->flags[k].kind, c->flags[k].value,
                         c->flags[k].help);
        for (int k = 0; c->takes_options && k < OPTION_COUNT; k++)
            put_zsh_flag(options_name((enum option_id)k), 0, option_kind((enum option_id)k), NULL,
                         options_help((enum option_id)k));
        put_zsh_flag("help", 'h', ARGS_SWITCH, NULL, "this text");
        put_zsh_operands(c);
        puts(" ;;");
    }
    printf("    help) _describe command commands ;;\n    esac\n}\n"
           "if [ \"$funcstack[1]\" = _drover ]; then _drover \"$@\"; else compdef _drover %s; fi\n",
           program);
}

// ---- fish ----

static void put_fish_text(const char *text)
{
    putchar('\'');
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            putchar('\\');
        putchar(*text);
    }
    putchar('\'');
}

static void put_fish_flag(const struct command *c, const char *name, char letter, enum args_kind kind,
                          const char *value, const char *help)
{
    printf("complete -c %s -n '__fish_seen_subcommand_from ", program_name());
    put_names(c, ' ');
    fputs("' -l ", stdout);
    put_dashed(name);
    if (letter != 0)
        printf(" -s %c", letter);
    if (kind == ARGS_TEXT || kind == ARGS_UINT)
        fputs(value != NULL && begins(value, "FILE") ? " -r -F" : " -x", stdout);
    fputs(" -d ", stdout);
    put_fish_text(help);
    putchar('\n');
}

static void put_fish_operands(const struct command *c)
{
    enum operand kind = operand_of(c);
    if (kind == OPERAND_NONE)
        return;
    printf("complete -c %s -n '__fish_seen_subcommand_from ", program_name());
    put_names(c, ' ');
    if (kind == OPERAND_FILE) {
        puts("' -F");
    } else if (kind == OPERAND_WORD) {
        fputs("' -a '", stdout);
        put_alternatives(c->operands);
        puts("'");
    } else {
        printf("' -a '(__drover_models %s)'\n", kind == OPERAND_LOADED ? "ps" : "list");
    }
}

static void print_fish(void)
{
    const char *program = program_name();
    printf("# Completion of %s for fish; made by `%s completion fish`.\n", program, program);
    printf("function __drover_models\n"
           "    command %s $argv[1] --json 2>/dev/null | string match -ar '\"name\":\"[^\"]*\"' | "
           "string replace -r '\"name\":\"(.*)\"' '$1'\n"
           "end\n"
           "complete -c %s -f\n",
           program, program);
    for (size_t i = 0; i < n_commands; i++) {
        const struct command *c = &commands[i];
        if (c->is_hidden)
            continue;
        printf("complete -c %s -n __fish_use_subcommand -a %s -d ", program, c->name);
        put_fish_text(c->summary);
        putchar('\n');
        for (int k = 0; c->flags != NULL && c->flags[k].name != NULL; k++)
            put_fish_flag(c, c->flags[k].name, c->flags[k].letter, c->flags[k].kind, c->flags[k].value,
                          c->flags[k].help);
        for (int k = 0; c->takes_options && k < OPTION_COUNT; k++)
            put_fish_flag(c, options_name((enum option_id)k), 0, option_kind((enum option_id)k), NULL,
                          options_help((enum option_id)k));
        put_fish_operands(c);
    }
}

int completion_main(const struct args *a)
{
    static const struct {
        const char *shell;
        void (*print)(void);
    } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
    for (size_t i = 0; i < COUNT_OF(shells); i++)
        if (strcmp(shells[i].shell, a->operands[0]) == 0) {
            shells[i].print();
            return 0;
        }
    fprintf(stderr, "Error: scripts are there for bash, zsh and fish\n");
    return 2;
}
