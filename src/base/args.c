// SPDX-License-Identifier: MIT
// One parser over getopt_long for all commands: rows in, values out. Main thread only.
#include "base/args.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/options.h"

enum {
    FIRST_FLAG = 1000,
    FIRST_OPTION = 2000,
    MAX_LONG = ARGS_MAX_FLAGS + OPTION_COUNT + 2,
    NAME_BYTES = 48
};

// What getopt_long wants, and where its names live.
struct tables {
    struct option longs[MAX_LONG];
    char names[OPTION_COUNT][NAME_BYTES];
    char shorts[3 * ARGS_MAX_FLAGS + 8];
};

// "num_parallel" as people type it: "num-parallel".
static void dashed(const char *name, char out[NAME_BYTES])
{
    snprintf(out, NAME_BYTES, "%s", name);
    for (char *p = out; *p != 0; p++)
        if (*p == '_')
            *p = '-';
}

static void fill_tables(struct tables *t, const struct args_flag *flags, bool with_options)
{
    size_t n = 0, s = 0;
    // "-": operands come in their order, whatever POSIXLY_CORRECT says; ":": a missing value is told apart
    s += (size_t)snprintf(t->shorts, sizeof t->shorts, "-:h");
    t->longs[n++] = (struct option){"help", no_argument, NULL, 'h'};
    for (int i = 0; flags != NULL && flags[i].name != NULL; i++) {
        assert(i < ARGS_MAX_FLAGS);
        static const int has_arg[] = {[ARGS_SWITCH] = optional_argument,
                                      [ARGS_TEXT] = required_argument,
                                      [ARGS_UINT] = required_argument,
                                      [ARGS_MAYBE] = optional_argument};
        static const char *const marks[] = {
            [ARGS_SWITCH] = "", [ARGS_TEXT] = ":", [ARGS_UINT] = ":", [ARGS_MAYBE] = "::"};
        int has = has_arg[flags[i].kind];
        t->longs[n++] = (struct option){flags[i].name, has, NULL, FIRST_FLAG + i};
        if (flags[i].letter != 0)
            s += (size_t)snprintf(t->shorts + s, sizeof t->shorts - s, "%c%s", flags[i].letter,
                                  marks[flags[i].kind]);
    }
    for (int i = 0; with_options && i < OPTION_COUNT; i++) {
        dashed(options_name((enum option_id)i), t->names[i]);
        bool is_switch = options_type((enum option_id)i) == OPTION_BOOL;
        t->longs[n++] = (struct option){t->names[i], is_switch ? optional_argument : required_argument, NULL,
                                        FIRST_OPTION + i};
    }
}

static int find_letter(const struct args_flag *flags, int letter)
{
    for (int i = 0; flags != NULL && flags[i].name != NULL; i++)
        if (flags[i].letter == letter)
            return i;
    return -1;
}

static int take_value(struct args *a, int i, const char *text, struct err *err)
{
    const struct args_flag *f = &a->flags[i];
    if (f->kind == ARGS_UINT) {
        char *end = NULL;
        errno = 0;
        strtoull(text, &end, 10);
        if (text[0] < '0' || text[0] > '9' || *end != 0 || errno == ERANGE)
            return err_set(err, ERR_INVALID, "--%s: \"%s\" is not a whole number from 0", f->name, text);
    }
    bool is_switch = f->kind == ARGS_SWITCH && text != NULL;
    if (is_switch && strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        return err_set(err, ERR_INVALID, "flag takes no value: --%s=%s", f->name, text);
    if (is_switch)
        text = text[0] == 't' ? "" : NULL;
    a->values[i] = text != NULL || is_switch ? text : "";
    return 0;
}

static int refuse(int code, const char *word, struct err *err)
{
    if (code == ':')
        return err_set(err, ERR_INVALID, "flag needs a value: %s", word);
    return err_set(err, ERR_INVALID, "unknown flag: %s", word);
}

// A switch may stand alone, or have its word behind it: "--insecure", "--insecure=no", "--insecure no".
static int set_option(enum option_id id, int argc, char **argv, struct err *err)
{
    static const char *const words[] = {"0", "1", "yes", "no", "true", "false", "on", "off"};
    const char *text = optarg;
    for (size_t i = 0; text == NULL && optind < argc && i < COUNT_OF(words); i++)
        if (strcasecmp(argv[optind], words[i]) == 0)
            text = argv[optind];
    if (optarg == NULL && text != NULL)
        optind++;
    return options_set(id, text != NULL ? text : "1", err);
}

int args_parse(struct args *out, const struct args_flag *flags, bool with_options, int argc, char **argv,
               struct err *err)
{
    struct tables *t = xcalloc(1, sizeof *t);
    int rc = 0;
    *out = (struct args){.flags = flags, .operands = xcalloc((size_t)argc + 1, sizeof *out->operands)};
    fill_tables(t, flags, with_options);
    optind = 0; // starts over, GNU's way
    opterr = 0;
    while (rc == 0) {
        const char *word = argv[optind > 0 ? optind : 1];
        int code = getopt_long(argc, argv, t->shorts, t->longs, NULL);
        if (code == -1)
            break;
        int letter_i = find_letter(flags, code);
        if (code == 1)
            out->operands[out->n_operands++] = optarg;
        else if (code == 'h')
            out->wants_help = true;
        else if (code == '?' || code == ':')
            rc = refuse(code, word, err);
        else if (code >= FIRST_OPTION)
            rc = set_option((enum option_id)(code - FIRST_OPTION), argc, argv, err);
        else
            rc = take_value(out, letter_i >= 0 ? letter_i : code - FIRST_FLAG, optarg, err);
    }
    while (rc == 0 && optind < argc)
        out->operands[out->n_operands++] = argv[optind++];
    free(t);
    return rc;
}

void args_fini(struct args *a)
{
    free(a->operands);
    *a = (struct args){0};
}

const char *args_text(const struct args *a, const char *flag)
{
    for (int i = 0; a->flags != NULL && a->flags[i].name != NULL; i++)
        if (strcmp(a->flags[i].name, flag) == 0)
            return a->values[i];
    assert(false && "a flag that has no row");
    return NULL;
}

bool args_has(const struct args *a, const char *flag)
{
    return args_text(a, flag) != NULL;
}

uint64_t args_uint(const struct args *a, const char *flag, uint64_t fallback)
{
    const char *text = args_text(a, flag);
    return text != NULL ? strtoull(text, NULL, 10) : fallback;
}

static void print_line(FILE *out, char letter, const char *name, const char *value, const char *help)
{
    char left[96], dash[8] = "    ";
    if (letter != 0)
        snprintf(dash, sizeof dash, "-%c, ", letter);
    snprintf(left, sizeof left, "%s--%s%s%s", dash, name, value && value[0] != '[' ? " " : "",
             value ? value : "");
    fprintf(out, "  %-30s %s\n", left, help);
}

void args_print_flags(FILE *out, const struct args_flag *flags, bool with_options)
{
    static const char *const values[] = {
        [OPTION_TEXT] = "TEXT",         [OPTION_UINT] = "N",        [OPTION_BOOL] = "BOOL",
        [OPTION_DURATION] = "DURATION", [OPTION_BYTES] = "SIZE",    [OPTION_LEVEL] = "LEVEL",
        [OPTION_CHOICE] = "WORD",       [OPTION_NETWORKS] = "LIST", [OPTION_SECRET] = "KEY"};
    for (int i = 0; flags != NULL && flags[i].name != NULL; i++)
        print_line(out, flags[i].letter, flags[i].name, flags[i].value, flags[i].help);
    for (int i = 0; with_options && i < OPTION_COUNT; i++) {
        char name[NAME_BYTES];
        enum option_id id = (enum option_id)i;
        dashed(options_name(id), name);
        print_line(out, 0, name, values[options_type(id)], options_help(id));
    }
    print_line(out, 'h', "help", NULL, "this text");
}
