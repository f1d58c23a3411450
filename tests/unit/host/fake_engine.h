// SPDX-License-Identifier: MIT
#pragma once

#include <stdint.h>

uint32_t fake_token(const char *prompt, uint64_t seed, uint32_t k);
void fake_text(const char *prompt, uint64_t seed, uint32_t n, char *out); // n letters and a NUL
