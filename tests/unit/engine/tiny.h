// SPDX-License-Identifier: MIT
// The engine around one of the tiny models.
#pragma once

#include "../model/session.h"

#include "engine/engine_internal.h"

static inline void open_tiny(const char *file, uint32_t n_slots, uint32_t pool_tokens, struct gguf **gguf,
                             struct engine **engine)
{
    int fd = open_gz(file);
    struct err err = {0};
    if (gguf_open(gguf, fd, &err) != 0)
        fail_msg("%s", err.message);
    struct engine_options o = {.n_threads = 2,
                               .kv_type = KV_F16,
                               .level = cpu_best_level(),
                               .n_slots = n_slots,
                               .pool_tokens = pool_tokens};
    if (engine_open(engine, *gguf, &o, NULL, NULL, &err) != 0)
        fail_msg("%s", err.message);
    close(fd);
}
