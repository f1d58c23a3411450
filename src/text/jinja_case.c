// SPDX-License-Identifier: MIT
// Upper and lower case as Python's str methods have it: Unicode's full mappings (one letter may become
// several), final sigma included.
#include <utf8proc.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/jinja_tables.h"

// Letters whose upper case is more than one code point (Unicode's SpecialCasing.txt). Sorted.
static const struct {
    uint32_t letter;
    const char *upper;
} specials[] = {
    {0x00DF, "SS"},
    {0x0149, "\xca\xbc\x4e"},
    {0x01F0, "\x4a\xcc\x8c"},
    {0x0390, "\xce\x99\xcc\x88\xcc\x81"},
    {0x03B0, "\xce\xa5\xcc\x88\xcc\x81"},
    {0x0587, "\xd4\xb5\xd5\x92"},
    {0x1E96, "\x48\xcc\xb1"},
    {0x1E97, "\x54\xcc\x88"},
    {0x1E98, "\x57\xcc\x8a"},
    {0x1E99, "\x59\xcc\x8a"},
    {0x1E9A, "\x41\xca\xbe"},
    {0x1F50, "\xce\xa5\xcc\x93"},
    {0x1F52, "\xce\xa5\xcc\x93\xcc\x80"},
    {0x1F54, "\xce\xa5\xcc\x93\xcc\x81"},
    {0x1F56, "\xce\xa5\xcc\x93\xcd\x82"},
    {0x1F80, "\xe1\xbc\x88\xce\x99"},
    {0x1F81, "\xe1\xbc\x89\xce\x99"},
    {0x1F82, "\xe1\xbc\x8a\xce\x99"},
    {0x1F83, "\xe1\xbc\x8b\xce\x99"},
    {0x1F84, "\xe1\xbc\x8c\xce\x99"},
    {0x1F85, "\xe1\xbc\x8d\xce\x99"},
    {0x1F86, "\xe1\xbc\x8e\xce\x99"},
    {0x1F87, "\xe1\xbc\x8f\xce\x99"},
    {0x1F88, "\xe1\xbc\x88\xce\x99"},
    {0x1F89, "\xe1\xbc\x89\xce\x99"},
    {0x1F8A, "\xe1\xbc\x8a\xce\x99"},
    {0x1F8B, "\xe1\xbc\x8b\xce\x99"},
    {0x1F8C, "\xe1\xbc\x8c\xce\x99"},
    {0x1F8D, "\xe1\xbc\x8d\xce\x99"},
    {0x1F8E, "\xe1\xbc\x8e\xce\x99"},
    {0x1F8F, "\xe1\xbc\x8f\xce\x99"},
    {0x1F90, "\xe1\xbc\xa8\xce\x99"},
    {0x1F91, "\xe1\xbc\xa9\xce\x99"},
    {0x1F92, "\xe1\xbc\xaa\xce\x99"},
    {0x1F93, "\xe1\xbc\xab\xce\x99"},
    {0x1F94, "\xe1\xbc\xac\xce\x99"},
    {0x1F95, "\xe1\xbc\xad\xce\x99"},
    {0x1F96, "\xe1\xbc\xae\xce\x99"},
    {0x1F97, "\xe1\xbc\xaf\xce\x99"},
    {0x1F98, "\xe1\xbc\xa8\xce\x99"},
    {0x1F99, "\xe1\xbc\xa9\xce\x99"},
    {0x1F9A, "\xe1\xbc\xaa\xce\x99"},
    {0x1F9B, "\xe1\xbc\xab\xce\x99"},
    {0x1F9C, "\xe1\xbc\xac\xce\x99"},
    {0x1F9D, "\xe1\xbc\xad\xce\x99"},
    {0x1F9E, "\xe1\xbc\xae\xce\x99"},
    {0x1F9F, "\xe1\xbc\xaf\xce\x99"},
    {0x1FA0, "\xe1\xbd\xa8\xce\x99"},
    {0x1FA1, "\xe1\xbd\xa9\xce\x99"},
    {0x1FA2, "\xe1\xbd\xaa\xce\x99"},
    {0x1FA3, "\xe1\xbd\xab\xce\x99"},
    {0x1FA4, "\xe1\xbd\xac\xce\x99"},
    {0x1FA5, "\xe1\xbd\xad\xce\x99"},
    {0x1FA6, "\xe1\xbd\xae\xce\x99"},
    {0x1FA7, "\xe1\xbd\xaf\xce\x99"},
    {0x1FA8, "\xe1\xbd\xa8\xce\x99"},
    {0x1FA9, "\xe1\xbd\xa9\xce\x99"},
    {0x1FAA, "\xe1\xbd\xaa\xce\x99"},
    {0x1FAB, "\xe1\xbd\xab\xce\x99"},
    {0x1FAC, "\xe1\xbd\xac\xce\x99"},
    {0x1FAD, "\xe1\xbd\xad\xce\x99"},
    {0x1FAE, "\xe1\xbd\xae\xce\x99"},
    {0x1FAF, "\xe1\xbd\xaf\xce\x99"},
    {0x1FB2, "\xe1\xbe\xba\xce\x99"},
    {0x1FB3, "\xce\x91\xce\x99"},
    {0x1FB4, "\xce\x86\xce\x99"},
    {0x1FB6, "\xce\x91\xcd\x82"},
    {0x1FB7, "\xce\x91\xcd\x82\xce\x99"},
    {0x1FBC, "\xce\x91\xce\x99"},
    {0x1FC2, "\xe1\xbf\x8a\xce\x99"},
    {0x1FC3, "\xce\x97\xce\x99"},
    {0x1FC4, "\xce\x89\xce\x99"},
    {0x1FC6, "\xce\x97\xcd\x82"},
    {0x1FC7, "\xce\x97\xcd\x82\xce\x99"},
    {0x1FCC, "\xce\x97\xce\x99"},
    {0x1FD2, "\xce\x99\xcc\x88\xcc\x80"},
    {0x1FD3, "\xce\x99\xcc\x88\xcc\x81"},
    {0x1FD6, "\xce\x99\xcd\x82"},
    {0x1FD7, "\xce\x99\xcc\x88\xcd\x82"},
    {0x1FE2, "\xce\xa5\xcc\x88\xcc\x80"},
    {0x1FE3, "\xce\xa5\xcc\x88\xcc\x81"},
    {0x1FE4, "\xce\xa1\xcc\x93"},
    {0x1FE6, "\xce\xa5\xcd\x82"},
    {0x1FE7, "\xce\xa5\xcc\x88\xcd\x82"},
    {0x1FF2, "\xe1\xbf\xba\xce\x99"},
    {0x1FF3, "\xce\xa9\xce\x99"},
    {0x1FF4, "\xce\x8f\xce\x99"},
    {0x1FF6, "\xce\xa9\xcd\x82"},
    {0x1FF7, "\xce\xa9\xcd\x82\xce\x99"},
    {0x1FFC, "\xce\xa9\xce\x99"},
    {0xFB00, "\x46\x46"},
    {0xFB01, "\x46\x49"},
    {0xFB02, "\x46\x4c"},
    {0xFB03, "\x46\x46\x49"},
    {0xFB04, "\x46\x46\x4c"},
    {0xFB05, "\x53\x54"},
    {0xFB06, "\x53\x54"},
    {0xFB13, "\xd5\x84\xd5\x86"},
    {0xFB14, "\xd5\x84\xd4\xb5"},
    {0xFB15, "\xd5\x84\xd4\xbb"},
    {0xFB16, "\xd5\x8e\xd5\x86"},
    {0xFB17, "\xd5\x84\xd4\xbd"},
};

enum {
    CAPITAL_I_WITH_DOT = 0x130,
    COMBINING_DOT = 0x307,
    CAPITAL_SIGMA = 0x3A3,
    SMALL_SIGMA = 0x3C3,
    FINAL_SIGMA = 0x3C2
};

static const char *find_special(uint32_t c)
{
    size_t low = 0, high = COUNT_OF(specials);
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (specials[middle].letter < c)
            low = middle + 1;
        else
            high = middle;
    }
    return low < COUNT_OF(specials) && specials[low].letter == c ? specials[low].upper : NULL;
}

static uint32_t to_upper(uint32_t c)
{
    return (uint32_t)utf8proc_toupper((utf8proc_int32_t)c);
}

static uint32_t to_lower(uint32_t c)
{
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
}

static bool is_letter_case(uint32_t c, bool *is_upper)
{
    utf8proc_category_t category =
        c == UTF8_INVALID ? UTF8PROC_CATEGORY_CN : utf8proc_category((utf8proc_int32_t)c);
    *is_upper = category == UTF8PROC_CATEGORY_LU;
    return *is_upper || category == UTF8PROC_CATEGORY_LL || category == UTF8PROC_CATEGORY_LT;
}

static void put_upper(struct jinja_run *r, struct jinja_sink *s, uint32_t c)
{
    const char *special = c < 0x80 ? NULL : find_special(c);
    if (special != NULL)
        jinja_put_slice(r, s, slice_of(special));
    else
        jinja_put_code_point(r, s, to_upper(c));
}

// The first letter of a word: one with a title form of its own, else its upper case with the rest of it
// lowered.
static void put_title(struct jinja_run *r, struct jinja_sink *s, uint32_t c)
{
    uint32_t title = (uint32_t)utf8proc_totitle((utf8proc_int32_t)c), first;
    const char *special = c < 0x80 ? NULL : find_special(c);
    if (special == NULL || utf8proc_category((utf8proc_int32_t)title) == UTF8PROC_CATEGORY_LT) {
        jinja_put_code_point(r, s, title);
        return;
    }
    struct slice rest = slice_of(special);
    size_t n = utf8_decode(rest.at, rest.n, &first);
    jinja_put(r, s, rest.at, n);
    while (n < rest.n) {
        n += utf8_decode(rest.at + n, rest.n - n, &first);
        jinja_put_code_point(r, s, to_lower(first));
    }
}

// Sigma at the end of a word has a form of its own: a letter before it and none after.
static bool is_final_sigma(struct slice text, size_t at, bool after_letter)
{
    uint32_t c = 0;
    bool is_upper;
    if (!after_letter || at + 2 >= text.n)
        return after_letter;
    utf8_decode(text.at + at + 2, text.n - at - 2, &c);
    return !is_letter_case(c, &is_upper);
}

static void put_lower(struct jinja_run *r, struct jinja_sink *s, uint32_t c, struct slice text, size_t at,
                      bool after_letter)
{
    if (c == CAPITAL_SIGMA) {
        jinja_put_code_point(r, s, is_final_sigma(text, at, after_letter) ? FINAL_SIGMA : SMALL_SIGMA);
    } else if (c == CAPITAL_I_WITH_DOT) {
        jinja_put_code_point(r, s, 'i');
        jinja_put_code_point(r, s, COMBINING_DOT);
    } else {
        jinja_put_code_point(r, s, to_lower(c));
    }
}

struct jinja_value jinja_case_map(struct jinja_run *r, struct jinja_value text, enum jinja_case how)
{
    struct slice s = jinja_slice(text);
    struct jinja_sink out = {0};
    bool after_letter = false;
    for (size_t i = 0; i < s.n && jinja_step(r, 1);) {
        uint32_t c;
        bool is_upper, is_start = how == JINJA_TITLE ? !after_letter : i == 0;
        size_t n = utf8_decode(s.at + i, s.n - i, &c);
        bool is_letter = is_letter_case(c, &is_upper);
        if (c == UTF8_INVALID)
            jinja_put(r, &out, s.at + i, n);
        else if (how == JINJA_UPPER || (how == JINJA_SWAPCASE && is_letter && !is_upper))
            put_upper(r, &out, c);
        else if ((how == JINJA_TITLE || how == JINJA_CAPITALIZE) && is_start)
            put_title(r, &out, c);
        else if (how != JINJA_SWAPCASE || is_upper)
            put_lower(r, &out, c, s, i, after_letter);
        else
            jinja_put(r, &out, s.at + i, n);
        after_letter = is_letter;
        i += n;
    }
    struct jinja_value v = jinja_sink_text(r, &out);
    v.markup = text.markup;
    return v;
}

bool jinja_case_is(struct jinja_run *r, struct slice text, enum jinja_case how)
{
    bool has_any = false, is_upper;
    jinja_step(r, text.n / 4);
    for (size_t i = 0; i < text.n;) {
        uint32_t c;
        i += utf8_decode(text.at + i, text.n - i, &c);
        if (!is_letter_case(c, &is_upper))
            continue;
        if (is_upper != (how == JINJA_UPPER))
            return false;
        has_any = true;
    }
    return has_any;
}
