// SPDX-License-Identifier: MIT
// API keys: who may ask this server. A file has one key a line: NAME ROLE sha256:HEX, where HEX is the
// SHA-256 of the key; blank lines and lines that begin with '#' say nothing. Keys are 256 bits drawn by the
// kernel, so one round of a fast hash is enough. A name may stand on several lines, so that a key can be
// changed without a pause. A keyring holds the keys in force; any thread may ask it, one replaces them.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"

enum key_role { KEY_INFER, KEY_ADMIN, KEY_ROLE_COUNT };
enum { KEY_NAME_BYTES = 64, KEY_HASH_BYTES = 32, KEY_SECRET_BYTES = 52, KEY_LINE_BYTES = 160 };

struct key {
    char name[KEY_NAME_BYTES]; // 1 to 63 letters, digits and -_.@
    enum key_role role;
    unsigned char hash[KEY_HASH_BYTES];
};

struct key_list {
    struct key *at;
    size_t n;
};

// ERR_INVALID "PATH:LINE: ..." for a line that is none, a key that stands twice, or no key at all; `out` is
// then empty. A message never has a key in it. The caller calls key_list_fini.
int key_list_parse(struct key_list *out, struct slice text, const char *path, struct err *err);
int key_list_read(struct key_list *out, const char *path, struct err *err); // ERR_NOT_FOUND as well
void key_list_fini(struct key_list *list);

bool key_role_find(const char *text, enum key_role *role); // "infer", "admin"
const char *key_role_name(enum key_role role);
bool key_name_is_good(const char *name);
// Draws a key and fills the hash of *key. ERR_INTERNAL when the kernel has no random bytes.
int key_draw(struct key *key, char secret[KEY_SECRET_BYTES], struct err *err);
void key_write_line(const struct key *key, char out[KEY_LINE_BYTES]); // without a newline

struct keyring;
struct keyring *keyring_new(void);
void keyring_free(struct keyring *ring); // NULL is allowed
// Replaces all keys; `list` is empty afterwards.
void keyring_take(struct keyring *ring, struct key_list *list);
size_t keyring_count(struct keyring *ring);
// The key whose hash is that of `secret`. Takes the same time whichever it is, and when it is none.
bool keyring_find(struct keyring *ring, const char *secret, struct key *out);
