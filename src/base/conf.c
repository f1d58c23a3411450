// SPDX-License-Identifier: MIT
// drover.conf: `name = value` lines, then sections `[model NAME]`. inih splits the lines; sections are read
// here as the lines go by, because inih cuts their names at 50 characters. Every line means something or is
// refused with its number.
#include "base/conf.h"

#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

enum { MAX_SECTIONS = 256, MAX_LINES = 10000 };

static const struct model_row {
    const char *name;
    enum option_id global; // OPTION_COUNT: there is none
    enum option_type type;
    const char *help;
} model_rows[MODEL_SETTING_COUNT] = {
#define X(id, name, global, type, help) [id] = {name, global, type, help},
    MODEL_SETTING_LIST(X)
#undef X
};

const char *options_model_setting_name(enum model_setting id)
{
    return model_rows[id].name;
}

const char *options_model_setting_help(enum model_setting id)
{
    return model_rows[id].help;
}

struct reading {
    struct conf *conf;
    FILE *file;
    option_namer_fn *namer;
    struct model_settings *section; // NULL: above the first
    unsigned line;
    struct err *err; // set: read no further
};

static int refuse(struct reading *r, const struct err *why)
{
    return err_set(r->err, ERR_INVALID, "%s:%u: %.700s", r->conf->path, r->line, why->message);
}

// ---- Sections ----

static int add_section(struct reading *r, const char *name, struct err *why)
{
    struct conf *c = r->conf;
    char shown[OPTION_MODEL_NAME_BYTES];
    if (strlen(name) >= sizeof shown)
        return err_set(why, ERR_INVALID, "a model's name is shorter than %zu characters", sizeof shown);
    snprintf(shown, sizeof shown, "%s", name);
    if (r->namer != NULL && r->namer(name, shown, why) != 0)
        return -1;
    for (size_t i = 0; i < c->n_models; i++)
        if (strcasecmp(c->models[i].name, shown) == 0)
            return err_set(why, ERR_INVALID, "model %s has a section already, in line %u", shown,
                           c->models[i].line);
    if (c->n_models == MAX_SECTIONS)
        return err_set(why, ERR_INVALID, "more than %d sections", MAX_SECTIONS);
    c->models = xrealloc(c->models, (c->n_models + 1) * sizeof *c->models);
    r->section = &c->models[c->n_models++];
    *r->section = (struct model_settings){.file = c->path, .line = r->line};
    snprintf(r->section->name, sizeof r->section->name, "%s", shown);
    return 0;
}

// "[model NAME]", perhaps with a comment behind it.
static int begin_section(struct reading *r, const char *line)
{
    static const char *const kind = "model";
    struct err why = {0};
    const char *end = strrchr(line, ']');
    const char *p = line + 1;
    const char *comment = strchr(line, ';');
    while (*p == ' ' || *p == '\t')
        p++;
    if (comment != NULL && end != NULL && comment < end) // a bracket in the comment
        end = memrchr(line, ']', (size_t)(comment - line));
    if (end == NULL || end < p) {
        err_set(&why, ERR_INVALID, "a section is written [model NAME]");
        return refuse(r, &why);
    }
    char *whole = xstrndup(p, (size_t)(end - p));
    size_t n_kind = strcspn(whole, " \t");
    char *name = option_value_trim(whole + n_kind);
    if (n_kind != strlen(kind) || strncmp(whole, kind, n_kind) != 0 || name[0] == 0)
        err_set(&why, ERR_INVALID, "unknown section [%s]; a section is written [model NAME]", whole);
    int rc = why.code == ERR_NONE ? add_section(r, name, &why) : -1;
    free(name);
    free(whole);
    return rc == 0 ? 0 : refuse(r, &why);
}

// ---- Settings ----

static int set_global(struct reading *r, const char *name, const char *text, struct err *why)
{
    enum option_id id;
    if (!options_find(name, &id) || id == OPT_CONFIG)
        return err_set(why, ERR_INVALID, "unknown option \"%s\"", name);
    struct conf_setting *at = &r->conf->at[id];
    if (at->line != 0)
        return err_set(why, ERR_INVALID, "%s is set already, in line %u", options_name(id), at->line);
    if (option_value_read(&at->value, options_type(id), options_help(id), text, why) != 0)
        return err_prefix(why, "%s", options_name(id));
    at->value.text = option_value_keep(text);
    at->line = r->line;
    return 0;
}

static bool is_named(const struct model_row *row, const char *name)
{
    enum option_id id;
    return strcasecmp(row->name, name) == 0 || (options_find(name, &id) && id == row->global);
}

static int set_of_model(struct reading *r, const char *name, const char *text, struct err *why)
{
    int i = 0;
    while (i < MODEL_SETTING_COUNT && !is_named(&model_rows[i], name))
        i++;
    if (i == MODEL_SETTING_COUNT)
        return err_set(why, ERR_INVALID, "unknown setting \"%s\" of a model", name);
    const struct model_row *row = &model_rows[i];
    struct model_value *at = &r->section->at[i];
    struct option_value value;
    const char *help = row->global < OPTION_COUNT ? options_help(row->global) : row->help;
    if (at->line != 0)
        return err_set(why, ERR_INVALID, "%s is set already, in line %u", row->name, at->line);
    if (option_value_read(&value, row->type, help, text, why) != 0)
        return err_prefix(why, "%s", row->name);
    *at = (struct model_value){option_value_keep(text), value.uint, value.duration_ns, r->line};
    return 0;
}

static int on_setting(void *user, const char *section, const char *name, const char *raw)
{
    struct reading *r = user;
    struct err why = {0};
    char *text = option_value_trim(raw);
    if (r->err->code != ERR_NONE) { // inih goes on; we do not
        free(text);
        return 0;
    }
    if (r->section != NULL)
        set_of_model(r, name, text, &why);
    else
        set_global(r, name, text, &why);
    free(text);
    return why.code == ERR_NONE ? 1 : refuse(r, &why) + 1;
}

// ---- Lines ----

// fgets for inih: counts lines, takes leading blanks away (else inih joins the line to the one before), and
// sees the sections.
static char *read_line(char *out, int size, void *user)
{
    struct reading *r = user;
    struct err why = {0};
    if (r->err->code != ERR_NONE || fgets(out, size, r->file) == NULL)
        return NULL;
    r->line++;
    size_t n = strlen(out), blanks = strspn(out, " \t");
    if (n + 1 == (size_t)size && out[n - 1] != '\n') {
        err_set(&why, ERR_INVALID, "the line is longer than %d characters", size - 2);
        refuse(r, &why);
        return NULL;
    }
    if (r->line > MAX_LINES) {
        err_set(&why, ERR_INVALID, "more than %d lines", MAX_LINES);
        refuse(r, &why);
        return NULL;
    }
    memmove(out, out + blanks, n + 1 - blanks);
    if (out[0] == '[' && begin_section(r, out) != 0)
        return NULL;
    return out;
}

int conf_read(struct conf *out, const char *path, option_namer_fn *namer, struct err *err)
{
    struct err own = {0}, why = {0};
    struct reading r = {.conf = out, .namer = namer, .err = &own};
    *out = (struct conf){.path = option_value_keep(path)};
    r.file = fopen(path, "re");
    if (r.file == NULL)
        return err_set(err, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
    int line = ini_parse_stream(read_line, &r, on_setting, &r);
    if (ferror(r.file))
        err_set(&own, ERR_INVALID, "%s: cannot be read", path);
    fclose(r.file);
    if (line != 0 && own.code == ERR_NONE) {
        r.line = line > 0 ? (unsigned)line : 0;
        err_set(&why, ERR_INVALID, "this is not `name = value`");
        refuse(&r, &why);
    }
    return own.code == ERR_NONE ? 0 : err_set(err, own.code, "%s", own.message);
}

void conf_fini(struct conf *c)
{
    free(c->models);
    c->models = NULL;
    c->n_models = 0;
}
