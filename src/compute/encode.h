// SPDX-License-Identifier: MIT
// Quantisers: floats to one block of a file, the inverse of the decoders of dtype.c. Values are finite and at
// most 65504 (F32 and BF16: any). Rows of the table in dtype.c name them. Private to compute/.
#pragma once

#include "compute/dtype.h"

dtype_encode_fn encode_f32, encode_f16, encode_bf16;                             // encode.c
dtype_encode_fn encode_q4_0, encode_q4_1, encode_q5_0, encode_q5_1, encode_q8_0; // encode.c
void encode_q5_0_codes(const uint8_t *codes, void *block); // of 0 to 31, into a block that has its scale
dtype_encode_fn encode_q4_k, encode_q5_k, encode_q6_k;     // encode_k.c
