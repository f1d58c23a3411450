// SPDX-License-Identifier: MIT
// The part of the kernel table (compute/kernels.h) that belongs to vec.
#pragma once

struct vec_kernels {
};

// Each sets only what its level overrides; ref sets all.
void vec_init_ref(struct vec_kernels *k);
void vec_init_avx2(struct vec_kernels *k);
void vec_init_avx512(struct vec_kernels *k);
