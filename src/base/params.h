// SPDX-License-Identifier: MIT
// What a request may ask of a generation: plain data shared by the front (which fills it from any dialect),
// the wire and the engine. Names, meanings and defaults are Ollama's (docs: "Valid parameters and values").
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { PARAMS_MAX_STOPS = 64, PARAMS_MAX_STOP_BYTES = 1024, PARAMS_MAX_TOP_LOGPROBS = 20 };

struct params {
    int32_t num_ctx;       // limit of this sequence, prompt + answer; 0: the model's default
    int32_t num_predict;   // tokens to generate; < 0: until the end of the context
    int32_t num_keep;      // tokens kept at the front when an explicit truncate cuts the prompt
    uint64_t seed;         // resolved at admission: never "random" here
    float temperature;     // 0: greedy
    int32_t top_k;         // <= 0: off
    float top_p;           // >= 1: off
    float min_p;           // <= 0: off
    float typical_p;       // >= 1 or 0: off
    int32_t repeat_last_n; // window of the penalties, prompt included; 0: off; -1: the whole context
    float repeat_penalty;
    float presence_penalty;
    float frequency_penalty;
    bool logprobs;        // report the log-probability of each token
    int32_t top_logprobs; // and of the n best, 0..20
    bool ignore_eos;
};

#define PARAMS_DEFAULT                                                                                       \
    ((struct params){.num_predict = -1,                                                                      \
                     .num_keep = 4,                                                                          \
                     .temperature = 0.8f,                                                                    \
                     .top_k = 40,                                                                            \
                     .top_p = 0.9f,                                                                          \
                     .typical_p = 1.0f,                                                                      \
                     .repeat_last_n = 64,                                                                    \
                     .repeat_penalty = 1.0f})
