// SPDX-License-Identifier: MIT
// One scan finds the next path; both functions go by it. A blank within a path is written "\ ", as a terminal
// writes it when a file is dropped on it; quotes around a path go with it.
#include "cli/input.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/options.h"

enum { MAX_IMAGE_BYTES = 100 << 20 };

// Where in the text a path stands, quotes and all, and the path itself.
struct named {
    size_t from, to;
    char path[INPUT_PATH_BYTES];
};

static bool begins_path(const char *at, size_t n)
{
    static const char *const heads[] = {"/", "./", "../", "~/"};
    for (size_t i = 0; i < COUNT_OF(heads); i++)
        if (n > strlen(heads[i]) && strncmp(at, heads[i], strlen(heads[i])) == 0)
            return true;
    return false;
}

static bool ends_like_image(const char *path)
{
    static const char *const tails[] = {".jpg", ".jpeg", ".png", ".webp", ".wav"};
    size_t n = strlen(path);
    for (size_t i = 0; i < COUNT_OF(tails); i++)
        if (n > strlen(tails[i]) && strcasecmp(path + n - strlen(tails[i]), tails[i]) == 0)
            return true;
    return false;
}

// The word at `i` up to a blank that no backslash precedes, or to the quote that it began with, into `out`.
// Returns the index behind it.
static size_t read_word(struct slice text, size_t i, char quote, char out[INPUT_PATH_BYTES])
{
    size_t n = 0;
    while (i < text.n && n + 1 < INPUT_PATH_BYTES) {
        char c = text.at[i];
        bool is_escape = c == '\\' && i + 1 < text.n && (text.at[i + 1] == ' ' || text.at[i + 1] == '\\');
        if (quote != 0 ? c == quote : isspace((unsigned char)c) != 0)
            break;
        if (is_escape)
            c = text.at[++i];
        out[n++] = c;
        i++;
    }
    out[n] = 0;
    return quote != 0 && i < text.n ? i + 1 : i;
}

static void expand_home(char path[INPUT_PATH_BYTES])
{
    char whole[INPUT_PATH_BYTES];
    if (path[0] != '~')
        return;
    snprintf(whole, sizeof whole, "%.1000s%.3000s", options_home(), path + 1);
    snprintf(path, INPUT_PATH_BYTES, "%s", whole);
}

// Marks at the end belong to the sentence. Returns how many were taken off.
static size_t drop_marks(char path[INPUT_PATH_BYTES])
{
    size_t n = strlen(path), n_before = n;
    while (n > 0 && strchr(",.;:!?)", path[n - 1]) != NULL)
        path[--n] = 0;
    return n_before - n;
}

static bool is_image_file(const char *path)
{
    struct stat st;
    return ends_like_image(path) && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

// The next image that is there, from `start` on.
static bool find_image(struct slice text, size_t start, struct named *out)
{
    for (size_t i = start; i < text.n;) {
        char quote = text.at[i] == '"' || text.at[i] == '\'' ? text.at[i] : 0;
        size_t at = i + (quote != 0);
        bool is_word = i == 0 || isspace((unsigned char)text.at[i - 1]);
        if (!is_word || !begins_path(text.at + at, text.n - at)) {
            i++;
            continue;
        }
        out->from = i;
        out->to = read_word(text, at, quote, out->path);
        if (quote == 0)
            out->to -= drop_marks(out->path);
        expand_home(out->path);
        if (is_image_file(out->path))
            return true;
        i = MAX(out->to, i + 1);
    }
    return false;
}

bool input_names_image(struct slice text, char path[INPUT_PATH_BYTES])
{
    struct named found;
    if (!find_image(text, 0, &found))
        return false;
    snprintf(path, INPUT_PATH_BYTES, "%s", found.path);
    return true;
}

static bool is_image(const unsigned char *at, size_t n)
{
    return (n > 3 && memcmp(at, "\xff\xd8\xff", 3) == 0) ||
           (n > 8 && memcmp(at, "\x89PNG\r\n\x1a\n", 8) == 0) ||
           (n > 12 && memcmp(at, "RIFF", 4) == 0 &&
            (memcmp(at + 8, "WEBP", 4) == 0 || memcmp(at + 8, "WAVE", 4) == 0));
}

static int read_image(const char *path, json_t *images, struct err *err)
{
    int rc = -1;
    struct stat st;
    unsigned char *data = NULL, *coded = NULL;
    size_t n = 0;
    FILE *f = fopen(path, "re");
    if (f == NULL || fstat(fileno(f), &st) != 0) {
        err_set(err, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
        goto out;
    }
    if (st.st_size > MAX_IMAGE_BYTES) {
        err_set(err, ERR_TOO_LARGE, "%s: larger than %d MiB", path, MAX_IMAGE_BYTES >> 20);
        goto out;
    }
    data = xmalloc((size_t)st.st_size + 1);
    n = fread(data, 1, (size_t)st.st_size, f);
    if (!is_image(data, n)) {
        err_set(err, ERR_INVALID, "%s: no image that can be sent (JPEG, PNG, WebP)", path);
        goto out;
    }
    coded = xmalloc(4 * (n / 3 + 1) + 1);
    int n_coded = EVP_EncodeBlock(coded, data, (int)n);
    json_array_append_new(images, json_stringn((char *)coded, (size_t)n_coded));
    rc = 0;
out:
    if (f != NULL)
        fclose(f);
    free(data);
    free(coded);
    return rc;
}

int input_take_images(struct slice text, struct strbuf *rest, json_t *images, struct err *err)
{
    struct named found;
    size_t at = 0;
    while (find_image(text, at, &found)) {
        if (read_image(found.path, images, err) != 0)
            return -1;
        fprintf(stderr, "Added image '%s'\n", found.path);
        strbuf_push(rest, text.at + at, found.from - at);
        at = found.to;
    }
    strbuf_push(rest, text.at + at, text.n - at);
    return 0;
}
