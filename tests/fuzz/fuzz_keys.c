// SPDX-License-Identifier: MIT
// The file of API keys. A key that is read is written again as a line that reads the same; a message has no
// key in it.
#include "fuzz.h"

#include "server/keys.h"

static void check_line(const struct key *key)
{
    char line[KEY_LINE_BYTES];
    struct err err = {0};
    struct key_list again;
    key_write_line(key, line);
    FUZZ_CHECK(key_list_parse(&again, slice_of(line), "keys", &err) == 0 && again.n == 1);
    FUZZ_CHECK(strcmp(again.at[0].name, key->name) == 0 && again.at[0].role == key->role);
    FUZZ_CHECK(memcmp(again.at[0].hash, key->hash, sizeof key->hash) == 0);
    key_list_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct key_list list;
    struct err err = {0};
    int rc = key_list_parse(&list, slice_make(bytes, n), "keys", &err);
    fuzz_check_result(rc, &err);
    FUZZ_CHECK((rc == 0) == (list.n > 0));
    for (size_t i = 0; i < list.n; i++)
        check_line(&list.at[i]);
    key_list_fini(&list);
    return 0;
}
