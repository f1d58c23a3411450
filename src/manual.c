// SPDX-License-Identifier: MIT
// The manual pages, written from the tables that the program itself runs by: drover(1) from the command rows,
// drover.conf(5) from the option rows. The build runs this and installs what it prints.
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/options.h"
#include "command.h"

// Text for troff: hyphens are real ones, backslashes and leading dots are text.
static void put_text(const char *text)
{
    if (*text == '.' || *text == '\'')
        fputs("\\&", stdout);
    for (; *text; text++) {
        if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == '-')
            fputs("\\-", stdout);
        else
            putchar(*text);
    }
}

static void put_item(const char *term, const char *value, const char *text)
{
    fputs(".TP\n\\fB", stdout);
    put_text(term);
    fputs("\\fR", stdout);
    if (value != NULL && value[0] != 0) {
        fputs(" \\fI", stdout);
        put_text(value);
        fputs("\\fR", stdout);
    }
    putchar('\n');
    put_text(text);
    putchar('\n');
}

static void put_head(const char *name, const char *section, const char *what)
{
    printf(".TH %s %s \"\" \"drover %s\" \"drover\"\n.SH NAME\n%s \\- %s\n", name, section, DROVER_VERSION,
           name, what);
}

static void put_paragraph(const char *text)
{
    fputs(".PP\n", stdout);
    put_text(text);
    putchar('\n');
}

// ---- drover(1) ----

static void put_command(const struct command *c)
{
    printf(".SS \"drover %s", c->name);
    if (c->operands[0])
        printf(" %s", c->operands);
    puts("\"");
    put_text(c->summary);
    if (c->alias != NULL)
        printf(" (also: \\fB%s\\fR)", c->alias);
    puts(".");
    for (int i = 0; c->flags != NULL && c->flags[i].name != NULL; i++) {
        const struct args_flag *f = &c->flags[i];
        char term[80];
        snprintf(term, sizeof term, f->letter ? "-%2$c, --%1$s" : "--%s", f->name, f->letter);
        put_item(term, f->value, f->help);
    }
    if (c->takes_options)
        put_paragraph("Every option of drover.conf(5) is a flag as well: num_parallel is --num-parallel.");
}

static void print_program(void)
{
    put_head("drover", "1", "a server of language models for many people at once");
    puts(".SH SYNOPSIS\n.B drover\n.I COMMAND\n[\\fIFLAGS\\fR] [\\fIOPERANDS\\fR]");
    puts(".SH DESCRIPTION");
    put_text(
        "drover loads GGUF language models and answers Ollama's and OpenAI's HTTP APIs. `drover serve` is "
        "the server; most other commands speak to one over HTTP.");
    puts("\n.SH COMMANDS");
    for (size_t i = 0; i < n_commands; i++)
        if (!commands[i].is_hidden)
            put_command(&commands[i]);
    puts(".SH SIGNALS");
    put_text("Of the server:");
    putchar('\n');
    put_item("SIGTERM, SIGINT", NULL,
             "Readiness becomes 503, new requests get 503, running and queued ones may finish up to "
             "drain_timeout, then it ends with 0. A second one ends it at once.");
    put_item("SIGHUP", NULL,
             "Reads drover.conf again, whole or not at all. No stream is cut. What only counts at the next "
             "start is said in the log.");
    puts(".SH ENVIRONMENT");
    put_text("Every option is read from DROVER_NAME, then OLLAMA_NAME; see drover.conf(5).");
    puts("\n.SH EXIT STATUS");
    put_text("0: done. 1: it failed, with one line that begins with \"Error: \". 2: wrong usage.");
    puts("\n.SH SEE ALSO\n\\fBdrover.conf\\fR(5)");
}

// ---- drover.conf(5) ----

static void put_option(enum option_id id)
{
    const char *value = options_text(id);
    char variable[64], shown[300];
    size_t n = 0;
    for (const char *p = options_name(id); *p && n + 1 < sizeof variable; p++)
        variable[n++] = (char)toupper((unsigned char)*p);
    variable[n] = 0;
    snprintf(shown, sizeof shown, "%s. Default: %s. Variable: DROVER_%s, OLLAMA_%s.%s", options_help(id),
             value[0] ? value : "none", variable, variable,
             options_when(id) == OPTION_AT_START ? " Counts at the next start." : "");
    put_item(options_name(id), NULL, shown);
}

static void print_file(void)
{
    put_head("drover.conf", "5", "configuration of drover");
    puts(".SH DESCRIPTION");
    put_text(
        "The server reads the file that --config or DROVER_CONFIG names, else "
        "$XDG_CONFIG_HOME/drover/drover.conf (~/.config/drover/drover.conf), else "
        "/etc/drover/drover.conf. A flag beats DROVER_X, that OLLAMA_X, that the file, that the default. "
        "`drover serve --print-config` shows every value and where it came from.");
    putchar('\n');
    put_paragraph(
        "Lines are `name = value`; those that begin with # or ; are comments. An unknown name, a bad "
        "value or something set twice is refused with its line, and then nothing of the file "
        "counts. Durations are written 30s, 5m or 1h30m, a plain number is seconds; sizes 512MiB or 2G; "
        "yes and no also on and off, true and false, 1 and 0.");
    puts(".SH OPTIONS");
    for (int i = 0; i < OPTION_COUNT; i++)
        if (i != OPT_CONFIG)
            put_option((enum option_id)i);
    puts(".SH SETTINGS OF ONE MODEL");
    put_text(
        "In a section [model NAME], NAME as in `drover list`; without a tag it is :latest. They count when "
        "the model is loaded next, pin and keep_alive at once.");
    putchar('\n');
    for (int i = 0; i < MODEL_SETTING_COUNT; i++)
        put_item(options_model_setting_name((enum model_setting)i), NULL,
                 options_model_setting_help((enum model_setting)i));
    puts(".SH SEE ALSO\n\\fBdrover\\fR(1)");
}

int manual_main(const struct args *a)
{
    if (strcmp(a->operands[0], "1") == 0) {
        print_program();
    } else if (strcmp(a->operands[0], "5") == 0) {
        print_file();
    } else {
        fprintf(stderr, "Error: there are pages 1 and 5\n");
        return 2;
    }
    return 0;
}
