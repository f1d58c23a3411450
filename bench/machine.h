// SPDX-License-Identifier: MIT
// What this machine can do at best, measured: the limits that speeds are put beside. Used by the programs of
// bench/ only.
#pragma once

#include <stddef.h>
#include <time.h>

#include "compute/compute.h"
#include "compute/pool.h"

// CLOCK_MONOTONIC, unless a program counts the processor's time instead.
extern clockid_t machine_clock;
double machine_now_s(void);

// Bytes a second that the team reads together out of n_bytes at memory (32-byte aligned), each thread its own
// part.
double machine_read_bytes_per_s(struct pool *pool, const void *memory, size_t n_bytes);

// The instruction that products of quantised weights are made of at a level ("vpmaddubsw", "vpdpbusd"); NULL
// for ref and on other processors, where no limit is known and the rates below are 0.
const char *machine_multiply_name(enum cpu_level level);
// How many of it one core does in a second, when nothing else is to be done. Takes about 0.1 s.
double machine_multiplies_per_s(enum cpu_level level);
// How many of it (or of fp32 fma, of the same rate) the method of a type needs for 256 multiply-adds; 0: no
// limit is known.
double machine_multiplies_per_256(enum cpu_level level, enum dtype type);
// Multiply-adds a second of a known loop on one core, which holds everything in registers: the multiplies and
// adds of a 4-bit block, without loads and scales. 0: none for this level. It shows whether the machine is
// quiet.
double machine_known_loop_macs_per_s(enum cpu_level level);
