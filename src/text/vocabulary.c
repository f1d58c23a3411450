// SPDX-License-Identifier: MIT
// Loads texts and attributes, then finds by their texts what files leave unsaid: many say nothing of the
// tokens that end a turn. The lists are llama.cpp's, so that a model stops where its users are used to. One
// rule differs: `</s>` ends a generation only if the file calls it a control token (or eos): some
// vocabularies have it as the HTML tag.
#include "text/vocabulary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const char *const eot_texts[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>",         "<|endoftext|>",      "<|end_of_text|>",
    "<EOT>",      "_<EOT>",     "[EOT]",   "<｜end▁of▁sentence｜>", "<end_of_utterance>", NULL};
static const char *const eom_texts[] = {"<|eom_id|>", NULL};
static const char *const fim_texts[FIM_COUNT][9] = {
    [FIM_PRE] = {"<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>",
                 "<|code_prefix|>", "<|prefix|>"},
    [FIM_SUF] = {"<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>",
                 "<|code_suffix|>", "<|suffix|>"},
    [FIM_MID] = {"<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>",
                 "<|code_middle|>", "<|middle|>"},
    [FIM_PAD] = {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"},
    [FIM_REP] = {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"},
    [FIM_SEP] = {"<|file_sep|>"},
};
static const char *const eog_texts[] = {"<|eot_id|>",
                                        "<|im_end|>",
                                        "<|end|>",
                                        "<|return|>",
                                        "<|call|>",
                                        "<|flush|>",
                                        "<|calls|>",
                                        "<end_of_turn>",
                                        "<|endoftext|>",
                                        "<|eom_id|>",
                                        "<EOT>",
                                        "_<EOT>",
                                        "[EOT]",
                                        "[EOS]",
                                        "<|end_of_text|>",
                                        "<end_of_utterance>",
                                        "<eos>",
                                        "<turn|>",
                                        "<|tool_response>",
                                        "<｜end▁of▁sentence｜>",
                                        "[e~[",
                                        NULL};
static const char *const harmony_texts[] = {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>", NULL};

uint32_t vocabulary_find(const struct vocabulary *v, struct slice text)
{
    uint32_t id = symbols_find(&v->symbols, text);
    return id < v->n_tokens ? id : TOKEN_NONE;
}

static uint32_t find(const struct vocabulary *v, const char *text)
{
    return vocabulary_find(v, slice_of(text));
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int vocabulary_byte_value(struct slice text)
{
    if (text.n != 6 || memcmp(text.at, "<0x", 3) != 0 || text.at[5] != '>')
        return -1;
    int high = hex_digit(text.at[3]), low = hex_digit(text.at[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

// ---- Loading

static uint8_t attr_of_type(int32_t type)
{
    static const uint8_t attrs[] = {[TOKEN_UNDEFINED] = 0,
                                    [TOKEN_NORMAL] = ATTR_NORMAL,
                                    [TOKEN_UNKNOWN] = ATTR_UNKNOWN,
                                    [TOKEN_CONTROL] = ATTR_CONTROL,
                                    [TOKEN_USER_DEFINED] = ATTR_USER_DEFINED,
                                    [TOKEN_UNUSED] = ATTR_UNUSED,
                                    [TOKEN_BYTE] = ATTR_BYTE};
    return type >= 0 && (size_t)type < COUNT_OF(attrs) ? attrs[type] : 0;
}

static void add_token(struct vocabulary *v, const struct vocab_spec *spec, uint32_t id)
{
    char name[32];
    struct slice text = spec->tokens[id];
    if (text.n == 0) {
        snprintf(name, sizeof name, "[EMPTY_%u]", id);
        text = slice_of(name);
    }
    symbols_add(&v->symbols, text);
    v->attrs[id] = spec->types ? attr_of_type(spec->types[id]) : ATTR_NORMAL;
}

static uint32_t in_range(uint32_t id, uint32_t n_tokens)
{
    return id < n_tokens ? id : TOKEN_NONE;
}

int vocabulary_init(struct vocabulary *v, const struct vocab_spec *spec, struct err *err)
{
    *v = (struct vocabulary){.n_tokens = spec->n_tokens};
    symbols_init(&v->symbols);
    if (spec->n_tokens == 0)
        return err_set(err, ERR_FORMAT, "the vocabulary has no tokens");
    v->attrs = mem_try_alloc(spec->n_tokens, sizeof *v->attrs);
    if (v->attrs == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for %u tokens", spec->n_tokens);
    for (uint32_t id = 0; id < spec->n_tokens && !v->symbols.failed; id++)
        add_token(v, spec, id);
    if (v->symbols.failed)
        return err_set(err, ERR_NO_MEMORY, "no memory for the texts of %u tokens", spec->n_tokens);
    v->bos = in_range(spec->bos, v->n_tokens);
    v->eos = in_range(spec->eos, v->n_tokens);
    v->eot = in_range(spec->eot, v->n_tokens);
    v->eom = in_range(spec->eom, v->n_tokens);
    v->unk = in_range(spec->unk, v->n_tokens);
    v->pad = in_range(spec->pad, v->n_tokens);
    for (int i = 0; i < FIM_COUNT; i++)
        v->fim[i] = spec->fim ? in_range(spec->fim[i], v->n_tokens) : TOKEN_NONE;
    return 0;
}

void vocabulary_fini(struct vocabulary *v)
{
    symbols_fini(&v->symbols);
    free(v->attrs);
    *v = (struct vocabulary){0};
}

// ---- Detection

static void detect_id(struct vocabulary *v, uint32_t *id, const char *const *texts)
{
    for (; *id == TOKEN_NONE && *texts != NULL; texts++) {
        *id = find(v, *texts);
        if (*id != TOKEN_NONE)
            v->attrs[*id] |= ATTR_CONTROL;
    }
}

static bool is_eog(const struct vocabulary *v, const char *text)
{
    uint32_t id = find(v, text);
    return id != TOKEN_NONE && (v->attrs[id] & ATTR_EOG) != 0;
}

static void mark_eog(struct vocabulary *v, uint32_t id)
{
    if (id != TOKEN_NONE)
        v->attrs[id] |= ATTR_EOG;
}

static void detect_eog(struct vocabulary *v)
{
    for (size_t i = 0; eog_texts[i] != NULL; i++) {
        uint32_t id = find(v, eog_texts[i]);
        if (id != TOKEN_NONE)
            v->attrs[id] |= ATTR_CONTROL | ATTR_EOG;
    }
    uint32_t end = find(v, "</s>");
    if (end != TOKEN_NONE && (v->attrs[end] & ATTR_CONTROL) != 0)
        mark_eog(v, end);
    mark_eog(v, v->eos);
    mark_eog(v, v->eot);
    mark_eog(v, v->eom);
    mark_eog(v, v->fim[FIM_PAD]);
    mark_eog(v, v->fim[FIM_REP]);
    mark_eog(v, v->fim[FIM_SEP]);
}

// Channel markers are text that must always be seen, and `<|end|>` only ends a message where a call or return
// ends the turn.
static void fix_harmony(struct vocabulary *v)
{
    for (size_t i = 0; harmony_texts[i] != NULL; i++) {
        uint32_t id = find(v, harmony_texts[i]);
        if (id != TOKEN_NONE)
            v->attrs[id] = ATTR_USER_DEFINED;
    }
    bool has_call = is_eog(v, "<|call|>") || is_eog(v, "<|calls|>");
    if (has_call && is_eog(v, "<|end|>") && (is_eog(v, "<|return|>") || is_eog(v, "<|flush|>")))
        v->attrs[find(v, "<|end|>")] = ATTR_USER_DEFINED;
    if (is_eog(v, "</s>") && (is_eog(v, "<|tool_response>") || find(v, "<|plamo:eos|>") != TOKEN_NONE))
        v->attrs[find(v, "</s>")] = ATTR_NORMAL;
}

void vocabulary_detect(struct vocabulary *v)
{
    detect_id(v, &v->eot, eot_texts);
    detect_id(v, &v->eom, eom_texts);
    for (int i = 0; i < FIM_COUNT; i++)
        detect_id(v, &v->fim[i], fim_texts[i]);
    for (uint32_t id = 0; id < v->n_tokens; id++) {
        struct slice text = symbols_text(&v->symbols, id);
        if ((v->attrs[id] & ATTR_CONTROL) != 0 && memmem(text.at, text.n, "unused", 6) != NULL)
            v->attrs[id] |= ATTR_UNUSED;
    }
    detect_eog(v);
    fix_harmony(v);
}
