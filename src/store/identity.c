// SPDX-License-Identifier: MIT
// Reading and writing the key file (openssh-key-v1, not encrypted) and signing with it. The file is read each
// time: tokens are asked for rarely.
#include "store/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/options.h"
#include "store/blobs.h"

enum { MAX_KEY_FILE_BYTES = 16 << 10, KEY_BYTES = 32 };

static const char *const head = "-----BEGIN OPENSSH PRIVATE KEY-----\n",
                         *const tail = "-----END OPENSSH PRIVATE KEY-----\n";
static const char magic[] = "openssh-key-v1"; // with its NUL
static const char type[] = "ssh-ed25519";

// ---- The format: lengths of 4 bytes, then bytes ----

struct reader {
    const unsigned char *at;
    size_t n;
    bool failed;
};

static struct slice take(struct reader *r, size_t n)
{
    struct slice out = slice_make(r->at, n);
    if (n > r->n) {
        r->failed = true;
        return slice_of("");
    }
    r->at += n;
    r->n -= n;
    return out;
}

static uint32_t take_u32(struct reader *r)
{
    struct slice b = take(r, 4);
    const unsigned char *at = (const unsigned char *)b.at;
    return b.n == 4 ? (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3] : 0;
}

static struct slice take_text(struct reader *r)
{
    return take(r, take_u32(r));
}

static void push_u32(struct strbuf *b, uint32_t value)
{
    const unsigned char bytes[4] = {(unsigned char)(value >> 24), (unsigned char)(value >> 16),
                                    (unsigned char)(value >> 8), (unsigned char)value};
    strbuf_push(b, bytes, 4);
}

static void push_text(struct strbuf *b, struct slice text)
{
    push_u32(b, (uint32_t)text.n);
    strbuf_push_slice(b, text);
}

static void push_base64(struct strbuf *out, struct slice bytes)
{
    unsigned char *text = xmalloc(bytes.n * 4 / 3 + 8);
    int n = EVP_EncodeBlock(text, (const unsigned char *)bytes.at, (int)bytes.n);
    strbuf_push(out, text, (size_t)n);
    free(text);
}

// ---- The file ----

static void key_path(char out[4096])
{
    snprintf(out, 4096, "%.4000s/.ollama/id_ed25519", options_home());
}

// The seed of the private key from the decoded file.
static bool read_seed(struct slice bytes, unsigned char seed[KEY_BYTES])
{
    struct reader r = {(const unsigned char *)bytes.at, bytes.n, false};
    if (!slice_equals(take(&r, sizeof magic), slice_make(magic, sizeof magic)) ||
        !slice_is(take_text(&r), "none"))
        return false;
    take_text(&r); // key derivation: name, options
    take_text(&r);
    if (take_u32(&r) != 1)
        return false;
    take_text(&r); // public key
    struct slice secret = take_text(&r);
    struct reader s = {(const unsigned char *)secret.at, secret.n, r.failed};
    take(&s, 8); // two equal numbers
    if (!slice_is(take_text(&s), type))
        return false;
    take_text(&s);
    struct slice both = take_text(&s); // private and public
    if (s.failed || both.n != (size_t)2 * KEY_BYTES)
        return false;
    memcpy(seed, both.at, KEY_BYTES);
    return true;
}

static bool decode(const char *text, struct strbuf *out)
{
    const char *from = strstr(text, head), *end = from != NULL ? strstr(from, tail) : NULL;
    if (end == NULL)
        return false;
    EVP_ENCODE_CTX *c = EVP_ENCODE_CTX_new();
    unsigned char *bytes = xmalloc(strlen(text) + 8);
    int n = 0, rest = 0;
    from += strlen(head);
    EVP_DecodeInit(c);
    bool ok = EVP_DecodeUpdate(c, bytes, &n, (const unsigned char *)from, (int)(end - from)) >= 0 &&
              EVP_DecodeFinal(c, bytes + n, &rest) >= 0;
    if (ok)
        strbuf_push(out, bytes, (size_t)n + (size_t)rest);
    free(bytes);
    EVP_ENCODE_CTX_free(c);
    return ok;
}

static void push_public(struct strbuf *out, struct slice key)
{
    push_text(out, slice_of(type));
    push_text(out, key);
}

static void format_key_file(const unsigned char seed[KEY_BYTES], struct slice key, struct strbuf *out)
{
    struct strbuf all = STRBUF_INIT(4096), secret = STRBUF_INIT(4096), open = STRBUF_INIT(4096);
    uint32_t check = 0;
    RAND_bytes((unsigned char *)&check, sizeof check);
    push_u32(&secret, check);
    push_u32(&secret, check);
    push_public(&secret, key);
    push_u32(&secret, 2 * KEY_BYTES);
    strbuf_push(&secret, seed, KEY_BYTES);
    strbuf_push_slice(&secret, key);
    push_u32(&secret, 0); // no comment
    for (char pad = 1; secret.n % 8 != 0; pad++)
        strbuf_push_char(&secret, pad);
    push_public(&open, key);
    strbuf_push(&all, magic, sizeof magic);
    push_text(&all, slice_of("none"));
    push_text(&all, slice_of("none"));
    push_text(&all, slice_of(""));
    push_u32(&all, 1);
    push_text(&all, strbuf_slice(&open));
    push_text(&all, strbuf_slice(&secret));
    struct strbuf text = STRBUF_INIT(8192);
    push_base64(&text, strbuf_slice(&all));
    strbuf_push_text(out, head);
    for (size_t i = 0; i < text.n; i += 70) {
        strbuf_push(out, text.at + i, MIN((size_t)70, text.n - i));
        strbuf_push_char(out, '\n');
    }
    strbuf_push_text(out, tail);
    strbuf_fini(&text);
    strbuf_fini(&all);
    strbuf_fini(&secret);
    strbuf_fini(&open);
}

// Only its owner can read it. It appears whole; a key that another process made at the same moment wins, and
// *is_ours is false.
static int write_key_file(const char *path, struct slice text, bool *is_ours, struct err *err)
{
    char directory[4096], temporary[4096 + 32];
    int rc = -1;
    snprintf(directory, sizeof directory, "%.4000s/.ollama", options_home());
    snprintf(temporary, sizeof temporary, "%s/.drover-XXXXXX", directory);
    if (directory_make(directory, err) != 0)
        return -1;
    int fd = mkostemp(temporary, O_CLOEXEC); // for its owner alone
    if (fd >= 0 && write(fd, text.at, text.n) == (ssize_t)text.n && fsync(fd) == 0)
        rc = link(temporary, path);
    *is_ours = rc == 0;
    if (rc != 0 && fd >= 0 && errno == EEXIST)
        rc = 0;
    if (rc != 0)
        err_set(err, ERR_INTERNAL, "%s: cannot be written: %s", path, strerror(errno));
    if (fd >= 0) {
        close(fd);
        unlink(temporary);
    }
    return rc;
}

static void write_public_file(const char *path, struct slice key)
{
    char beside[4096 + 8];
    struct err ignored = {0};
    struct strbuf open = STRBUF_INIT(1024), text = STRBUF_INIT(1024);
    snprintf(beside, sizeof beside, "%s.pub", path);
    push_public(&open, key);
    strbuf_printf(&text, "%s ", type);
    push_base64(&text, strbuf_slice(&open));
    strbuf_push_char(&text, '\n');
    file_write(beside, strbuf_slice(&text), &ignored); // for people only
    strbuf_fini(&open);
    strbuf_fini(&text);
}

static int read_public(EVP_PKEY *key, unsigned char out[KEY_BYTES])
{
    size_t n = KEY_BYTES;
    return key != NULL && EVP_PKEY_get_raw_public_key(key, out, &n) == 1 && n == KEY_BYTES ? 0 : -1;
}

static int make_key(const char *path, struct err *err)
{
    unsigned char seed[KEY_BYTES], open[KEY_BYTES];
    struct strbuf text = STRBUF_INIT(MAX_KEY_FILE_BYTES);
    EVP_PKEY *key = NULL;
    int rc = -1;
    if (RAND_bytes(seed, sizeof seed) == 1)
        key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof seed);
    if (read_public(key, open) != 0) {
        err_set(err, ERR_INTERNAL, "cannot make a key");
    } else {
        format_key_file(seed, slice_make(open, sizeof open), &text);
        bool is_ours = false;
        rc = write_key_file(path, strbuf_slice(&text), &is_ours, err);
        if (is_ours)
            write_public_file(path, slice_make(open, sizeof open));
    }
    EVP_PKEY_free(key);
    strbuf_fini(&text);
    return rc;
}

static EVP_PKEY *load_key(struct err *err)
{
    char path[4096];
    char *text = NULL;
    size_t n = 0;
    unsigned char seed[KEY_BYTES];
    EVP_PKEY *key = NULL;
    struct strbuf bytes = STRBUF_INIT(MAX_KEY_FILE_BYTES);
    key_path(path);
    if (access(path, F_OK) != 0 && make_key(path, err) != 0)
        return NULL;
    if (file_read(path, MAX_KEY_FILE_BYTES, &text, &n, err) != 0)
        return NULL;
    if (decode(text, &bytes) && read_seed(strbuf_slice(&bytes), seed))
        key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof seed);
    if (key == NULL)
        err_set(err, ERR_FORMAT, "%s: not an OpenSSH ed25519 key without a password", path);
    strbuf_fini(&bytes);
    free(text);
    return key;
}

// ---- Signing ----

// What is signed: method, URL, and the hash of an empty body in hex, in base64.
static void format_signed(const char *url, struct strbuf *out)
{
    char hex[65];
    digest_of(slice_of(""), hex);
    strbuf_printf(out, "GET,%s,", url);
    push_base64(out, slice_of(hex));
}

int identity_sign(const char *url, struct strbuf *out, struct err *err)
{
    unsigned char signature[64], open[KEY_BYTES];
    size_t n = sizeof signature;
    int rc = -1;
    struct strbuf data = STRBUF_INIT(16 << 10), blob = STRBUF_INIT(1024);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    EVP_PKEY *key = load_key(err);
    format_signed(url, &data);
    if (read_public(key, open) == 0 && EVP_DigestSignInit(c, NULL, NULL, NULL, key) == 1 &&
        EVP_DigestSign(c, signature, &n, (const unsigned char *)data.at, data.n) == 1) {
        push_public(&blob, slice_make(open, sizeof open));
        strbuf_push_text(out, "Authorization: ");
        push_base64(out, strbuf_slice(&blob));
        strbuf_push_char(out, ':');
        push_base64(out, slice_make(signature, n));
        rc = 0;
    } else {
        err_set(err, ERR_INTERNAL, "cannot sign the request for a token");
    }
    EVP_PKEY_free(key);
    EVP_MD_CTX_free(c);
    strbuf_fini(&data);
    strbuf_fini(&blob);
    return rc;
}

void identity_nonce(char out[32])
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned char bytes[22] = {0};
    RAND_bytes(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        out[i] = alphabet[bytes[i] % 64];
    out[sizeof bytes] = 0;
}
