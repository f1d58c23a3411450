// SPDX-License-Identifier: MIT
// The numbers of one sign are a range of sizes; for every length of the whole part a chain of states knows
// whether the digits so far are those of the lower limit, of the upper one, of both or of none.
#include "text/numbers.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "json/writer.h"

// ---- Decimals ----

static bool is_zero(const struct decimal *d)
{
    return d->whole[0] == 0 && d->fraction[0] == 0;
}

// digits * 10^exponent, the point after `n_whole` digits.
static int set_decimal(struct decimal *d, const char *digits, int n_digits, int n_whole)
{
    while (n_digits > 0 && digits[0] == '0')
        digits++, n_digits--, n_whole--;
    while (n_digits > 0 && digits[n_digits - 1] == '0')
        n_digits--;
    if (n_digits == 0)
        n_whole = 0;
    int n_fraction = MAX(0, n_digits - n_whole), n_before = MAX(0, n_whole);
    if (n_before > NUMBERS_MAX_DIGITS || n_fraction > NUMBERS_MAX_DIGITS)
        return -1;
    for (int i = 0; i < n_before; i++)
        d->whole[i] = i < n_digits ? digits[i] : '0';
    for (int i = 0; i < n_fraction; i++)
        d->fraction[i] = n_whole + i >= 0 ? digits[n_whole + i] : '0';
    return 0;
}

int decimal_of(struct decimal *out, const json_t *number, struct err *err)
{
    struct strbuf text = STRBUF_INIT(64);
    struct json_writer w = json_writer_make(&text);
    char digits[64];
    int n = 0, n_whole = -1, exponent = 0, rc = 0;
    memset(out, 0, sizeof *out);
    json_put_value(&w, number);
    const char *at = strbuf_text(&text);
    out->is_negative = *at == '-';
    for (at += *at == '-'; *at != 0 && *at != 'e' && *at != 'E'; at++) {
        if (*at == '.')
            n_whole = n;
        else if (n < (int)sizeof digits)
            digits[n++] = *at;
    }
    if (*at != 0)
        exponent = atoi(at + 1);
    n_whole = (n_whole < 0 ? n : n_whole) + exponent;
    if (set_decimal(out, digits, n, n_whole) != 0)
        rc = err_set(err, ERR_INVALID, "%s has too many digits", strbuf_text(&text));
    if (is_zero(out))
        out->is_negative = false;
    strbuf_fini(&text);
    return rc;
}

static int compare_size(const struct decimal *a, const struct decimal *b)
{
    size_t na = strlen(a->whole), nb = strlen(b->whole);
    if (na != nb)
        return na < nb ? -1 : 1;
    int order = strcmp(a->whole, b->whole);
    return order != 0 ? order : strcmp(a->fraction, b->fraction);
}

int decimal_compare(const struct decimal *a, const struct decimal *b)
{
    if (a->is_negative != b->is_negative)
        return a->is_negative ? -1 : 1;
    return a->is_negative ? compare_size(b, a) : compare_size(a, b);
}

// ---- Sizes: numbers without sign ----

struct sizes {
    const struct numbers_limit *lo, *hi; // NULL: no limit
    bool is_integer;
    uint32_t n_fraction;
    struct nfa *n;
    // States from which limits no longer matter, by the digits left of the whole part and by those written of
    // the fraction; UINT32_MAX: not made yet.
    uint32_t free_whole[NUMBERS_MAX_DIGITS + 1], free_fraction[NUMBERS_MAX_DIGITS + 1];
};

struct tightness {
    bool lo, hi; // the digits so far are the limit's
};

static char digit_of(const char *digits, size_t i)
{
    return i < strlen(digits) ? digits[i] : '0';
}

// The states after a digit, by whether it was the lower and the upper limit's; UINT32_MAX: no digit is.
struct outcomes {
    uint32_t state[2][2];
};

static struct outcomes add_digit(struct sizes *s, uint32_t from, struct tightness t, char lo, char hi,
                                 bool not_zero)
{
    struct outcomes out = {{{UINT32_MAX, UINT32_MAX}, {UINT32_MAX, UINT32_MAX}}};
    for (int c = not_zero ? '1' : '0'; c <= '9'; c++) {
        if ((t.lo && c < lo) || (t.hi && c > hi))
            continue;
        uint32_t *to = &out.state[t.lo && c == lo][t.hi && c == hi];
        if (*to == UINT32_MAX)
            *to = nfa_add_state(s->n);
        nfa_add_edge(s->n, from, (uint32_t)c, (uint32_t)c, *to);
    }
    return out;
}

// Whether a number that ends here, the first i digits of the fraction written, is within both limits.
static bool fits(const struct sizes *s, struct tightness t, size_t i)
{
    const char *rest_lo = t.lo ? s->lo->value.fraction : "", *rest_hi = t.hi ? s->hi->value.fraction : "";
    bool equals_lo = strlen(rest_lo) <= i, equals_hi = strlen(rest_hi) <= i;
    if (t.lo && (!equals_lo || s->lo->is_exclusive))
        return false;
    return !t.hi || !equals_hi || !s->hi->is_exclusive;
}

static uint32_t free_fraction(struct sizes *s, uint32_t i)
{
    uint32_t *state = &s->free_fraction[i];
    if (*state == UINT32_MAX) {
        *state = nfa_add_state(s->n);
        if (i > 0)
            nfa_accept(s->n, *state);
        if (i < s->n_fraction)
            nfa_add_edge(s->n, *state, '0', '9', free_fraction(s, i + 1));
    }
    return *state;
}

static void add_fraction(struct sizes *s, uint32_t from, struct tightness t, uint32_t i)
{
    if (!t.lo && !t.hi) {
        nfa_add_jump(s->n, from, free_fraction(s, i));
        return;
    }
    if (i > 0 && fits(s, t, i))
        nfa_accept(s->n, from);
    if (i >= s->n_fraction)
        return;
    struct outcomes out = add_digit(s, from, t, t.lo ? digit_of(s->lo->value.fraction, i) : '0',
                                    t.hi ? digit_of(s->hi->value.fraction, i) : '9', false);
    for (int lo = 0; lo < 2; lo++)
        for (int hi = 0; hi < 2; hi++)
            if (out.state[lo][hi] != UINT32_MAX)
                add_fraction(s, out.state[lo][hi], (struct tightness){lo == 1, hi == 1}, i + 1);
}

static void end_whole(struct sizes *s, uint32_t state, struct tightness t)
{
    if (fits(s, t, 0))
        nfa_accept(s->n, state);
    if (s->is_integer || s->n_fraction == 0)
        return;
    uint32_t point = nfa_add_state(s->n);
    nfa_add_edge(s->n, state, '.', '.', point);
    add_fraction(s, point, t, 0);
}

static uint32_t free_whole(struct sizes *s, size_t n_left)
{
    uint32_t *state = &s->free_whole[n_left];
    if (*state == UINT32_MAX) {
        *state = nfa_add_state(s->n);
        if (n_left == 0)
            end_whole(s, *state, (struct tightness){false, false});
        else
            nfa_add_edge(s->n, *state, '0', '9', free_whole(s, n_left - 1));
    }
    return *state;
}

// Digit i of n.
static void add_whole(struct sizes *s, uint32_t from, struct tightness t, size_t i, size_t n)
{
    if (i == n) {
        end_whole(s, from, t);
        return;
    }
    if (i > 0 && !t.lo && !t.hi) {
        nfa_add_jump(s->n, from, free_whole(s, n - i));
        return;
    }
    struct outcomes out =
        add_digit(s, from, t, t.lo ? s->lo->value.whole[i] : '0', t.hi ? s->hi->value.whole[i] : '9', i == 0);
    for (int lo = 0; lo < 2; lo++)
        for (int hi = 0; hi < 2; hi++)
            if (out.state[lo][hi] != UINT32_MAX)
                add_whole(s, out.state[lo][hi], (struct tightness){lo == 1, hi == 1}, i + 1, n);
}

static void add_sizes(struct sizes *s, uint32_t from)
{
    size_t n_lo = s->lo ? strlen(s->lo->value.whole) : 0, n_hi = s->hi ? strlen(s->hi->value.whole) : 0;
    size_t most = s->hi ? n_hi : MAX((size_t)NUMBERS_DIGITS, n_lo);
    if (n_lo == 0) { // a whole part of 0
        uint32_t zero = nfa_add_state(s->n);
        nfa_add_edge(s->n, from, '0', '0', zero);
        end_whole(s, zero, (struct tightness){s->lo != NULL, s->hi && n_hi == 0});
    }
    for (size_t n = MAX(n_lo, 1ul); n <= most; n++)
        add_whole(s, from, (struct tightness){s->lo && n == n_lo, s->hi && n == n_hi}, 0, n);
}

// ---- Both signs ----

// The numbers of one sign; of the negative ones the size is limited, from that of max to that of min, and is
// never 0.
static void add_sign(struct nfa *n, const struct numbers_range *r, bool is_negative)
{
    const struct numbers_limit *near = is_negative ? &r->max : &r->min,
                               *far = is_negative ? &r->min : &r->max;
    struct numbers_limit from_zero = {.is_set = true, .is_exclusive = is_negative};
    bool far_is_across = far->value.is_negative != is_negative || (is_negative && is_zero(&far->value));
    bool near_counts = near->is_set && near->value.is_negative == is_negative;
    struct sizes s = {
        near_counts ? near : &from_zero, far->is_set ? far : NULL, r->is_integer, r->n_fraction, n, {0}, {0}};
    memset(s.free_whole, 0xFF, sizeof s.free_whole);
    memset(s.free_fraction, 0xFF, sizeof s.free_fraction);
    if ((far->is_set && far_is_across) || (s.hi != NULL && compare_size(&s.lo->value, &s.hi->value) > 0))
        return;
    uint32_t from = nfa_add_state(n);
    if (is_negative)
        nfa_add_edge(n, 0, '-', '-', from);
    else
        nfa_add_jump(n, 0, from);
    add_sizes(&s, from);
}

// The multiples of k: the remainder so far is the state.
static struct automaton *multiples_of(uint32_t k, uint64_t *work, struct err *err)
{
    struct nfa *n = nfa_new();
    uint32_t first = 1;
    for (uint32_t r = 0; r < k; r++)
        nfa_add_state(n);
    nfa_add_edge(n, 0, '-', '-', first);
    nfa_add_jump(n, 0, first);
    for (uint32_t r = 0; r < k; r++)
        for (uint32_t c = 0; c < 10; c++)
            nfa_add_edge(n, first + r, '0' + c, '0' + c, first + (10 * r + c) % k);
    nfa_accept(n, first);
    struct automaton *a = automaton_of(n, work, err);
    nfa_free(n);
    return a;
}

struct automaton *numbers_automaton(const struct numbers_range *r, uint64_t *work, struct err *err)
{
    struct nfa *n = nfa_new();
    add_sign(n, r, false);
    add_sign(n, r, true);
    struct automaton *a = automaton_of(n, work, err), *multiples, *both;
    nfa_free(n);
    if (a == NULL || r->multiple < 2)
        return a;
    multiples = multiples_of(r->multiple, work, err);
    both = multiples != NULL ? automaton_both(a, multiples, work, err) : NULL;
    automaton_free(a);
    automaton_free(multiples);
    return both;
}
