// SPDX-License-Identifier: MIT
// The part of the kernel table (compute/kernels.h) that belongs to attention.
#pragma once

struct attention_kernels {
};

// Each sets only what its level overrides; ref sets all.
void attention_init_ref(struct attention_kernels *k);
void attention_init_avx2(struct attention_kernels *k);
void attention_init_avx512(struct attention_kernels *k);
