// SPDX-License-Identifier: MIT
// The table of slash commands and of what /set and /show know. Answers to the person go to stdout, like all
// of the prompt.
#include "cli/slash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "cli/api.h"
#include "cli/cli.h"
#include "cli/line.h"
#include "cli/show.h"

enum { MAX_WORDS = 64 };

struct words {
    char *copy, *at[MAX_WORDS];
    int n;
    const char *text; // the line itself
};

typedef enum slash_result command_fn(struct chat *c, const struct words *w, char **begun);

struct command {
    const char *name, *alias, *form, *help;
    command_fn *run;
};

static void print_commands(void);

// ---- /set ----

enum kind { KIND_INT, KIND_FLOAT, KIND_BOOL, KIND_LIST };

static const struct parameter {
    const char *name;
    enum kind kind;
    const char *help;
} parameters[] = {
    {"num_ctx", KIND_INT, "most tokens of prompt and answer together"},
    {"num_predict", KIND_INT, "most tokens of an answer; -1: no limit"},
    {"num_keep", KIND_INT, "tokens kept at the front when a prompt is cut"},
    {"seed", KIND_INT, "the same seed gives the same answer"},
    {"temperature", KIND_FLOAT, "0: always the likeliest token; higher: more varied"},
    {"top_k", KIND_INT, "choose among so many tokens"},
    {"top_p", KIND_FLOAT, "choose among tokens of so much probability in sum"},
    {"min_p", KIND_FLOAT, "least probability, as a part of the best one's"},
    {"typical_p", KIND_FLOAT, "locally typical sampling; 1: off"},
    {"repeat_last_n", KIND_INT, "how far back repetitions count; -1: all"},
    {"repeat_penalty", KIND_FLOAT, "over 1 discourages repetitions"},
    {"presence_penalty", KIND_FLOAT, "of tokens that occurred"},
    {"frequency_penalty", KIND_FLOAT, "of tokens, by how often they occurred"},
    {"stop", KIND_LIST, "texts that end the answer"},
    {"num_batch", KIND_INT, "tokens of a prompt computed together"},
    {"num_thread", KIND_INT, "threads to compute with"},
    {"num_gpu", KIND_INT, "layers on the GPU"},
    {"use_mmap", KIND_BOOL, "map the file into memory"},
};

static json_t *parse_parameter(const struct parameter *p, const struct words *w, int first)
{
    const char *text = w->at[first];
    char *end = NULL;
    errno = 0;
    switch (p->kind) {
    case KIND_INT: {
        long long value = strtoll(text, &end, 10);
        return *end == 0 && errno == 0 ? json_integer(value) : NULL;
    }
    case KIND_FLOAT: {
        double value = strtod(text, &end);
        return *end == 0 && errno == 0 ? json_real(value) : NULL; // NULL too for what is not finite
    }
    case KIND_BOOL:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            return NULL;
        return json_boolean(strcmp(text, "true") == 0);
    case KIND_LIST:
        break;
    }
    json_t *list = json_array();
    for (int i = first; i < w->n; i++)
        if (utf8_is_valid(slice_of(w->at[i])))
            json_array_append_new(list, json_string(w->at[i]));
    return list;
}

static void print_parameters(void)
{
    printf("Parameters:\n");
    for (size_t i = 0; i < COUNT_OF(parameters); i++)
        printf("  /set parameter %-18s %s\n", parameters[i].name, parameters[i].help);
}

static void set_parameter(struct chat *c, const struct words *w)
{
    static const char *const kinds[] = {"an int", "a float", "true or false", "a text"};
    if (w->n < 4) {
        print_parameters();
        return;
    }
    for (size_t i = 0; i < COUNT_OF(parameters); i++) {
        if (strcmp(parameters[i].name, w->at[2]) != 0)
            continue;
        json_t *value = parse_parameter(&parameters[i], w, 3);
        if (value == NULL) {
            printf("Couldn't set parameter: %s wants %s, not '%s'\n", w->at[2], kinds[parameters[i].kind],
                   w->at[3]);
            return;
        }
        json_object_set_new(c->options, w->at[2], value);
        printf("Set parameter '%s' to '%s'\n", w->at[2], strstr(w->text, w->at[3]));
        return;
    }
    printf("Couldn't set parameter: unknown parameter '%s'\n", w->at[2]);
}

// The text behind the second word, quotes around it dropped; """ leaves it open.
static enum slash_result set_system(struct chat *c, const struct words *w, char **begun)
{
    const char *text = strstr(w->text, "system") + strlen("system");
    text += strspn(text, " \t");
    size_t n = strlen(text);
    if (n == 0) {
        printf("Usage: /set system <text>, or \"\"\" for several lines\n");
        return SLASH_DONE;
    }
    if (strncmp(text, "\"\"\"", 3) == 0) {
        text += 3;
        n -= 3;
        if (n < 3 || strcmp(text + n - 3, "\"\"\"") != 0) {
            *begun = xstrdup(text);
            return SLASH_OPEN_SYSTEM;
        }
        n -= 3;
    } else if (n >= 2 && text[0] == '"' && text[n - 1] == '"') {
        text++;
        n -= 2;
    }
    char *system = xstrndup(text, n);
    chat_set_system(c, system);
    free(system);
    printf("Set system message.\n");
    return SLASH_DONE;
}

static void print_set(void)
{
    printf("Available:\n"
           "  /set parameter <name> <value>  a parameter of the answers\n"
           "  /set system <text>             the system message\n"
           "  /set history | nohistory       remember typed lines, or not\n"
           "  /set wordwrap | nowordwrap     break long lines between words, or not\n"
           "  /set verbose | quiet           statistics after each answer, or not\n"
           "  /set format json | noformat    answers are JSON, or free text\n"
           "  /set think [level] | nothink   let the model think, or not\n");
}

static void set_format(struct chat *c, const struct words *w)
{
    if (w->n != 3 || strcmp(w->at[2], "json") != 0) {
        printf("Invalid or missing format. For JSON: /set format json\n");
        return;
    }
    json_decref(c->format);
    c->format = json_string("json");
    printf("Set format to 'json' mode.\n");
}

static void set_think(struct chat *c, const struct words *w)
{
    const char *level = w->n > 2 ? w->at[2] : "";
    json_t *think = strcmp(w->at[1], "nothink") == 0 ? json_false() : chat_parse_think(level);
    if (think == NULL) {
        printf("Unknown level '%s': high, medium, low or max\n", level);
        return;
    }
    json_decref(c->think);
    c->think = think;
    printf(level[0] != 0 ? "Set '%s' mode to '%s'.\n" : "Set '%s' mode.\n", w->at[1], level);
}

static enum slash_result run_set(struct chat *c, const struct words *w, char **begun)
{
    const char *what = w->n > 1 ? w->at[1] : "";
    if (strcmp(what, "parameter") == 0) {
        set_parameter(c, w);
    } else if (strcmp(what, "system") == 0) {
        return set_system(c, w, begun);
    } else if (strcmp(what, "history") == 0 || strcmp(what, "nohistory") == 0) {
        line_keep_history(what[0] == 'h');
    } else if (strcmp(what, "wordwrap") == 0 || strcmp(what, "nowordwrap") == 0) {
        c->wraps_words = what[0] == 'w';
        printf("Set '%s' mode.\n", what);
    } else if (strcmp(what, "verbose") == 0 || strcmp(what, "quiet") == 0) {
        c->is_verbose = what[0] == 'v';
        printf("Set '%s' mode.\n", what);
    } else if (strcmp(what, "format") == 0) {
        set_format(c, w);
    } else if (strcmp(what, "noformat") == 0) {
        json_decref(c->format);
        c->format = NULL;
        printf("Disabled format.\n");
    } else if (strcmp(what, "think") == 0 || strcmp(what, "nothink") == 0) {
        set_think(c, w);
    } else if (what[0] == 0) {
        print_set();
    } else {
        printf("Unknown command '/set %s'. Type /? for help\n", what);
    }
    return SLASH_DONE;
}

// ---- /show ----

static void print_show(void)
{
    printf("Available:\n"
           "  /show info         what the model is\n"
           "  /show license      its licence\n"
           "  /show modelfile    a Modelfile that makes it\n"
           "  /show parameters   its parameters and those set here\n"
           "  /show system       the system message\n"
           "  /show template     its chat template\n");
}

static void show_parameters(const struct chat *c, const json_t *answer)
{
    const char *key;
    json_t *value;
    printf("Model parameters:\n");
    if (!show_print_text(answer, "parameters"))
        printf("  none\n");
    if (json_object_size(c->options) == 0)
        return;
    printf("\nSet here:\n");
    json_object_foreach(c->options, key, value)
    {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        printf("%-30s %s\n", key, text);
        free(text);
    }
}

static enum slash_result run_show(struct chat *c, const struct words *w, char **begun)
{
    static const char *const texts[] = {"license", "modelfile", "template"};
    struct err err = {0};
    json_t *answer = NULL;
    const char *what = w->n > 1 ? w->at[1] : "";
    if (what[0] == 0) {
        print_show();
        return SLASH_DONE;
    }
    if (show_request(c->model, false, &answer, &err) != 0) {
        api_fail(&err);
        return SLASH_DONE;
    }
    bool is_known = true;
    if (strcmp(what, "info") == 0)
        show_print_info(answer, false);
    else if (strcmp(what, "parameters") == 0)
        show_parameters(c, answer);
    else if (strcmp(what, "system") == 0 && c->system != NULL)
        printf("%s\n", c->system);
    else if (strcmp(what, "system") == 0 && !show_print_text(answer, what))
        printf("No system message was specified for this model.\n");
    else
        is_known = strcmp(what, "system") == 0;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        if (strcmp(what, texts[i]) != 0)
            continue;
        is_known = true;
        if (!show_print_text(answer, what))
            printf("No %s was specified for this model.\n", what);
    }
    if (!is_known)
        printf("Unknown command '/show %s'. Type /? for help\n", what);
    json_decref(answer);
    return SLASH_DONE;
}

// ---- The others ----

static enum slash_result run_list(struct chat *c, const struct words *w, char **begun)
{
    char *argv[] = {(char *)(uintptr_t) "list", NULL};
    struct args none;
    if (args_parse(&none, cli_list_flags, false, 1, argv, NULL) == 0)
        cli_list(&none);
    args_fini(&none);
    return SLASH_DONE;
}

static enum slash_result run_load(struct chat *c, const struct words *w, char **begun)
{
    struct err err = {0};
    char old[sizeof c->model];
    if (w->n != 2) {
        printf("Usage: /load <model>\n");
        return SLASH_DONE;
    }
    snprintf(old, sizeof old, "%s", c->model);
    snprintf(c->model, sizeof c->model, "%s", w->at[1]);
    printf("Loading model '%s'\n", c->model);
    fflush(stdout);
    if (chat_look(c, &err) != 0 || chat_load(c, &err) != 0) {
        api_fail(&err);
        snprintf(c->model, sizeof c->model, "%s", old);
        return SLASH_DONE;
    }
    chat_clear(c);
    return SLASH_DONE;
}

static enum slash_result run_save(struct chat *c, const struct words *w, char **begun)
{
    struct err err = {0};
    if (w->n != 2)
        printf("Usage: /save <model>\n");
    else if (chat_save(c, w->at[1], &err) != 0)
        api_fail(&err);
    else
        printf("Created new model '%s'\n", w->at[1]);
    return SLASH_DONE;
}

static enum slash_result run_clear(struct chat *c, const struct words *w, char **begun)
{
    chat_clear(c);
    printf("Cleared session context\n");
    return SLASH_DONE;
}

static enum slash_result run_bye(struct chat *c, const struct words *w, char **begun)
{
    return SLASH_LEAVE;
}

static void print_shortcuts(void)
{
    printf("Keys:\n"
           "  Ctrl-A, Ctrl-E    to the beginning, to the end of the line (Home, End)\n"
           "  Alt-B, Alt-F      a word back, a word on\n"
           "  Ctrl-K, Ctrl-U    delete to the end, to the beginning of the line\n"
           "  Ctrl-W            delete the word before the cursor\n"
           "  Ctrl-P, Ctrl-N    the line before, the line after in the history (Up, Down)\n"
           "  Ctrl-J            begin a new line within the message\n"
           "  Ctrl-G            write the message in an editor\n"
           "  Ctrl-L            clear the screen\n"
           "  Ctrl-C            stop the answer, or drop what was typed\n"
           "  Ctrl-D            leave (/bye)\n");
}

static enum slash_result run_help(struct chat *c, const struct words *w, char **begun)
{
    const char *what = w->n > 1 ? w->at[1] : "";
    what += what[0] == '/';
    if (strcmp(what, "set") == 0) {
        print_set();
    } else if (strcmp(what, "show") == 0) {
        print_show();
    } else if (strcmp(what, "shortcut") == 0 || strcmp(what, "shortcuts") == 0) {
        print_shortcuts();
    } else {
        print_commands();
    }
    return SLASH_DONE;
}

static const struct command commands[] = {
    {"/set", "/set", "/set", "change how answers are made and shown", run_set},
    {"/show", "/show", "/show", "tell about the model", run_show},
    {"/list", "/ls", "/list", "list the models", run_list},
    {"/load", "/load", "/load <model>", "go on with another model", run_load},
    {"/save", "/save", "/save <model>", "make a model of this one, what is set and what was said", run_save},
    {"/clear", "/clear", "/clear", "forget the conversation", run_clear},
    {"/bye", "/exit", "/bye", "leave", run_bye},
    {"/?", "/help", "/?, /help", "this text; /? set, /? show, /? shortcuts", run_help},
    {NULL},
};

static void print_commands(void)
{
    printf("Commands:\n");
    for (const struct command *k = commands; k->name != NULL; k++)
        printf("  %-18s %s\n", k->form, k->help);
    printf("\nUse \"\"\" to begin and to end a message of several lines.\n");
}

enum slash_result slash_run(struct chat *c, const char *text, char **begun)
{
    struct words w = {.copy = xstrdup(text), .text = text};
    enum slash_result result = SLASH_DONE;
    char *save = NULL;
    *begun = NULL;
    for (char *word = strtok_r(w.copy, " \t\n", &save); word != NULL && w.n < MAX_WORDS;
         word = strtok_r(NULL, " \t\n", &save))
        w.at[w.n++] = word;
    const struct command *k = commands;
    const char *name = w.n > 0 ? w.at[0] : "";
    while (k->name != NULL && strcmp(k->name, name) != 0 && strcmp(k->alias, name) != 0)
        k++;
    if (k->name != NULL)
        result = k->run(c, &w, begun);
    else
        printf("Unknown command '%s'. Type /? for help\n", name);
    free(w.copy);
    return result;
}
