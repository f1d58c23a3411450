// SPDX-License-Identifier: MIT
// Reading the file of keys, drawing one, and finding one by what a client sent. What is sent is hashed first
// and compared with every key by CRYPTO_memcmp, so that time tells nothing of the keys.
#include "server/keys.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"

enum { MAX_KEYS = 4096, MAX_FILE_BYTES = 1 << 20, SECRET_RANDOM_BYTES = 32, MAX_SECRET_BYTES = 1024 };

static const char secret_prefix[] = "drover_";
static const char *const role_names[KEY_ROLE_COUNT] = {[KEY_INFER] = "infer", [KEY_ADMIN] = "admin"};

static bool hash_of(const char *secret, unsigned char hash[KEY_HASH_BYTES])
{
    return EVP_Digest(secret, strlen(secret), hash, NULL, EVP_sha256(), NULL) == 1;
}

// ---- One key ----

bool key_role_find(const char *text, enum key_role *role)
{
    for (int i = 0; i < KEY_ROLE_COUNT; i++)
        if (strcmp(text, role_names[i]) == 0) {
            *role = (enum key_role)i;
            return true;
        }
    return false;
}

const char *key_role_name(enum key_role role)
{
    return role_names[role];
}

bool key_name_is_good(const char *name)
{
    static const char *const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@";
    size_t n = strlen(name);
    return n > 0 && n < KEY_NAME_BYTES && strspn(name, allowed) == n;
}

int key_draw(struct key *key, char secret[KEY_SECRET_BYTES], struct err *err)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned char bytes[SECRET_RANDOM_BYTES + 1] = {0}; // one more: 264 bits are 44 digits of six
    if (getrandom(bytes, SECRET_RANDOM_BYTES, 0) != SECRET_RANDOM_BYTES)
        return err_set(err, ERR_INTERNAL, "no random bytes: %s", strerror(errno));
    size_t n = sizeof secret_prefix - 1;
    memcpy(secret, secret_prefix, n);
    for (size_t bit = 0; bit < SECRET_RANDOM_BYTES * 8; bit += 6) {
        unsigned two = (unsigned)bytes[bit / 8] << 8 | bytes[bit / 8 + 1];
        secret[n++] = digits[two >> (10 - bit % 8) & 63];
    }
    secret[n] = '\0';
    OPENSSL_cleanse(bytes, sizeof bytes);
    return hash_of(secret, key->hash) ? 0 : err_set(err, ERR_INTERNAL, "SHA-256 is not available");
}

void key_write_line(const struct key *key, char out[KEY_LINE_BYTES])
{
    int n = snprintf(out, KEY_LINE_BYTES, "%s %s sha256:", key->name, role_names[key->role]);
    for (int i = 0; i < KEY_HASH_BYTES; i++)
        n += snprintf(out + n, (size_t)(KEY_LINE_BYTES - n), "%02x", key->hash[i]);
}

// ---- The file ----

static int digit_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool read_hash(const char *text, unsigned char hash[KEY_HASH_BYTES])
{
    static const char kind[] = "sha256:";
    const char *hex = text + sizeof kind - 1;
    if (strncmp(text, kind, sizeof kind - 1) != 0 || strlen(hex) != 2 * KEY_HASH_BYTES)
        return false;
    for (int i = 0; i < KEY_HASH_BYTES; i++) {
        int high = digit_of(hex[2 * i]), low = digit_of(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        hash[i] = (unsigned char)(high * 16 + low);
    }
    return true;
}

// `line` is cut into its words. What stands third may be a key by mistake, so no message repeats it.
static int read_line(struct key *key, char *line, struct err *err)
{
    static const char *const blanks = " \t\r";
    char *rest = NULL;
    const char *name = strtok_r(line, blanks, &rest), *role = strtok_r(NULL, blanks, &rest),
               *hash = strtok_r(NULL, blanks, &rest);
    if (!hash || strtok_r(NULL, blanks, &rest))
        return err_set(err, ERR_INVALID, "a line is NAME ROLE sha256:HEX, as `drover key new` prints it");
    if (!key_name_is_good(name))
        return err_set(err, ERR_INVALID, "a name is 1 to %d letters, digits and -_.@", KEY_NAME_BYTES - 1);
    if (!key_role_find(role, &key->role))
        return err_set(err, ERR_INVALID, "the role of %s is neither infer nor admin", name);
    if (!read_hash(hash, key->hash))
        return err_set(
            err, ERR_INVALID,
            "the third word of %s is not sha256: and 64 hexadecimal digits; the file has hashes, not keys",
            name);
    snprintf(key->name, sizeof key->name, "%s", name);
    return 0;
}

static int add(struct key_list *list, const struct key *key, struct err *err)
{
    for (size_t i = 0; i < list->n; i++)
        if (memcmp(list->at[i].hash, key->hash, KEY_HASH_BYTES) == 0)
            return err_set(err, ERR_INVALID, "this is the key of %s, which stands above", list->at[i].name);
    if (list->n == MAX_KEYS)
        return err_set(err, ERR_INVALID, "more than %d keys", MAX_KEYS);
    list->at = xrealloc(list->at, (list->n + 1) * sizeof list->at[0]);
    list->at[list->n++] = *key;
    return 0;
}

static bool says_nothing(const char *line)
{
    line += strspn(line, " \t\r");
    return *line == '\0' || *line == '#';
}

int key_list_parse(struct key_list *out, struct slice text, const char *path, struct err *err)
{
    struct err why = {0};
    unsigned number = 0;
    *out = (struct key_list){0};
    for (size_t at = 0; at < text.n && why.code == ERR_NONE;) {
        const char *from = text.at + at, *end = memchr(from, '\n', text.n - at);
        size_t n = end ? (size_t)(end - from) : text.n - at;
        char *line = xstrndup(from, n);
        struct key key = {0};
        number++;
        at += n + 1;
        if (strlen(line) != n)
            err_set(&why, ERR_INVALID, "a NUL byte");
        else if (!says_nothing(line) && read_line(&key, line, &why) == 0)
            add(out, &key, &why);
        free(line);
    }
    if (why.code == ERR_NONE && out->n > 0)
        return 0;
    key_list_fini(out);
    return why.code != ERR_NONE ? err_set(err, why.code, "%s:%u: %s", path, number, why.message)
                                : err_set(err, ERR_INVALID, "%s: no key stands in it", path);
}

int key_list_read(struct key_list *out, const char *path, struct err *err)
{
    int rc = -1;
    char *text = xmalloc(MAX_FILE_BYTES + 1);
    FILE *f = fopen(path, "re");
    *out = (struct key_list){0};
    if (!f) {
        err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_INVALID, "%s: %s", path, strerror(errno));
        goto out;
    }
    size_t n = fread(text, 1, MAX_FILE_BYTES + 1, f);
    if (ferror(f))
        err_set(err, ERR_INVALID, "%s: cannot be read: %s", path, strerror(errno));
    else if (n > MAX_FILE_BYTES)
        err_set(err, ERR_INVALID, "%s: larger than %d bytes", path, MAX_FILE_BYTES);
    else
        rc = key_list_parse(out, slice_make(text, n), path, err);
out:
    if (f)
        fclose(f);
    free(text);
    return rc;
}

void key_list_fini(struct key_list *list)
{
    free(list->at);
    *list = (struct key_list){0};
}

// ---- The keys in force ----

struct keyring {
    pthread_rwlock_t lock;
    struct key_list list;
};

struct keyring *keyring_new(void)
{
    struct keyring *ring = xcalloc(1, sizeof *ring);
    pthread_rwlock_init(&ring->lock, NULL);
    return ring;
}

void keyring_free(struct keyring *ring)
{
    if (!ring)
        return;
    pthread_rwlock_destroy(&ring->lock);
    key_list_fini(&ring->list);
    free(ring);
}

void keyring_take(struct keyring *ring, struct key_list *list)
{
    pthread_rwlock_wrlock(&ring->lock);
    struct key_list old = ring->list;
    ring->list = *list;
    pthread_rwlock_unlock(&ring->lock);
    *list = (struct key_list){0};
    key_list_fini(&old);
}

size_t keyring_count(struct keyring *ring)
{
    pthread_rwlock_rdlock(&ring->lock);
    size_t n = ring->list.n;
    pthread_rwlock_unlock(&ring->lock);
    return n;
}

bool keyring_find(struct keyring *ring, const char *secret, struct key *out)
{
    unsigned char hash[KEY_HASH_BYTES];
    bool is_found = false;
    if (strlen(secret) > MAX_SECRET_BYTES || !hash_of(secret, hash))
        return false;
    pthread_rwlock_rdlock(&ring->lock);
    for (size_t i = 0; i < ring->list.n; i++) {
        bool is_this = CRYPTO_memcmp(ring->list.at[i].hash, hash, KEY_HASH_BYTES) == 0;
        if (is_this)
            *out = ring->list.at[i];
        is_found |= is_this;
    }
    pthread_rwlock_unlock(&ring->lock);
    return is_found;
}
