// SPDX-License-Identifier: MIT
// The loops that measure the machine. Each is short and gives the best of several runs, since other work only
// ever slows one down; who wants more certainty calls again later.
#include "machine.h"

#include <stdint.h>

#include "base/mem.h"

clockid_t machine_clock = CLOCK_MONOTONIC;

double machine_now_s(void)
{
    struct timespec t;
    clock_gettime(machine_clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct reading {
    const void *memory;
    size_t n_bytes;
    volatile uint64_t sink;
};

static void read_share(void *arg, int thread_i, int n_threads)
{
    typedef uint64_t vector __attribute__((vector_size(32)));
    struct reading *r = arg;
    size_t n = r->n_bytes / sizeof(vector) / (size_t)n_threads;
    const vector *p = (const vector *)r->memory + n * (size_t)thread_i;
    vector s0 = p[0], s1 = s0, s2 = s0, s3 = s0;
    for (size_t i = 0; i + 4 <= n; i += 4)
        s0 ^= p[i], s1 ^= p[i + 1], s2 ^= p[i + 2], s3 ^= p[i + 3];
    s0 ^= s1 ^ s2 ^ s3;
    r->sink = s0[0] ^ s0[1] ^ s0[2] ^ s0[3];
}

double machine_read_bytes_per_s(struct pool *pool, const void *memory, size_t n_bytes)
{
    struct reading r = {.memory = memory, .n_bytes = n_bytes};
    double best = 0;
    for (int i = 0; i < 2; i++) {
        double start = machine_now_s();
        pool_run(pool, read_share, &r);
        double rate = (double)n_bytes / (machine_now_s() - start);
        best = MAX(best, rate);
    }
    return best;
}

#ifdef __x86_64__
#include <immintrin.h>

enum { N_REPEATS = 20, N_LOOPS = 1000000 };

// Pins ten registers in place, so that the compiler keeps each step of the loop.
#define KEEP(x)                                                                                              \
    __asm__ volatile(""                                                                                      \
                     : "+v"(x[0]), "+v"(x[1]), "+v"(x[2]), "+v"(x[3]), "+v"(x[4]), "+v"(x[5]), "+v"(x[6]),   \
                       "+v"(x[7]), "+v"(x[8]), "+v"(x[9]))

__attribute__((target("avx2"))) static void multiply_avx2(void)
{
    __m256i a = _mm256_set1_epi8(3);
    __m256i x[10] = {a, a, a, a, a, a, a, a, a, a};
    for (int i = 0; i < N_LOOPS; i++) {
        x[0] = _mm256_maddubs_epi16(x[0], a), x[1] = _mm256_maddubs_epi16(x[1], a);
        x[2] = _mm256_maddubs_epi16(x[2], a), x[3] = _mm256_maddubs_epi16(x[3], a);
        x[4] = _mm256_maddubs_epi16(x[4], a), x[5] = _mm256_maddubs_epi16(x[5], a);
        x[6] = _mm256_maddubs_epi16(x[6], a), x[7] = _mm256_maddubs_epi16(x[7], a);
        x[8] = _mm256_maddubs_epi16(x[8], a), x[9] = _mm256_maddubs_epi16(x[9], a);
        KEEP(x);
    }
}

__attribute__((target("avx512f,avx512vnni"))) static void multiply_avx512vnni(void)
{
    __m512i a = _mm512_set1_epi8(3);
    __m512i x[10] = {a, a, a, a, a, a, a, a, a, a};
    for (int i = 0; i < N_LOOPS; i++) {
        x[0] = _mm512_dpbusd_epi32(x[0], a, a), x[1] = _mm512_dpbusd_epi32(x[1], a, a);
        x[2] = _mm512_dpbusd_epi32(x[2], a, a), x[3] = _mm512_dpbusd_epi32(x[3], a, a);
        x[4] = _mm512_dpbusd_epi32(x[4], a, a), x[5] = _mm512_dpbusd_epi32(x[5], a, a);
        x[6] = _mm512_dpbusd_epi32(x[6], a, a), x[7] = _mm512_dpbusd_epi32(x[7], a, a);
        x[8] = _mm512_dpbusd_epi32(x[8], a, a), x[9] = _mm512_dpbusd_epi32(x[9], a, a);
        KEEP(x);
    }
}

// Eight groups of a block for two columns (16 maddubs, 14 paddw), then one madd and one paddd each: 512
// multiply-adds.
__attribute__((target("avx2"))) static void known_loop_avx2(void)
{
    __m256i a = _mm256_set1_epi8(3), ones = _mm256_set1_epi16(1), total[2] = {a, a};
    for (int i = 0; i < N_LOOPS / 4; i++) {
        for (int c = 0; c < 2; c++) {
            __m256i sum = _mm256_maddubs_epi16(a, a);
            for (int g = 1; g < 8; g++) {
                __m256i product = _mm256_maddubs_epi16(a, a);
                __asm__ volatile("" : "+x"(product));
                sum = _mm256_add_epi16(sum, product);
                __asm__ volatile("" : "+x"(sum), "+x"(a));
            }
            total[c] = _mm256_add_epi32(total[c], _mm256_madd_epi16(sum, ones));
        }
        __asm__ volatile("" : "+x"(total[0]), "+x"(total[1]));
    }
}

static double best_rate(void (*loop)(void), double n)
{
    double best = 0;
    for (int i = 0; i < N_REPEATS; i++) {
        double start = machine_now_s();
        loop();
        double rate = n / (machine_now_s() - start);
        best = MAX(best, rate);
    }
    return best;
}

double machine_multiplies_per_s(enum cpu_level level)
{
    if (level == CPU_REF)
        return 0;
    return best_rate(level == CPU_AVX2 ? multiply_avx2 : multiply_avx512vnni, 10.0 * N_LOOPS);
}

double machine_known_loop_macs_per_s(enum cpu_level level)
{
    if (level == CPU_REF)
        return 0;
    if (level == CPU_AVX512VNNI)
        return 64 * machine_multiplies_per_s(level); // the method is this loop
    return best_rate(known_loop_avx2, N_LOOPS / 4 * 512.0);
}

const char *machine_multiply_name(enum cpu_level level)
{
    static const char *const names[CPU_LEVEL_COUNT] = {NULL, "vpmaddubsw", "vpdpbusd"};
    return names[level];
}
#else
double machine_multiplies_per_s(enum cpu_level level)
{
    return 0;
}

double machine_known_loop_macs_per_s(enum cpu_level level)
{
    return 0;
}

const char *machine_multiply_name(enum cpu_level level)
{
    return NULL;
}
#endif

// AVX2: 32 products an instruction for up to 6 bits, 16 for 8 bits, plus the widening of the sums. With VNNI
// 64 for every quantised type; fp32 fma: 8 and 16.
double machine_multiplies_per_256(enum cpu_level level, enum dtype type)
{
    bool is_float = acts_kind_for(type) == ACTS_F32;
    if (machine_multiply_name(level) == NULL)
        return 0;
    if (level == CPU_AVX512VNNI)
        return is_float ? 16 : 4;
    switch (type) {
    case DTYPE_Q4_0:
    case DTYPE_Q4_1:
    case DTYPE_Q4_K:
        return 9;
    case DTYPE_Q5_0:
    case DTYPE_Q5_1:
    case DTYPE_Q5_K:
        return 10;
    case DTYPE_Q6_K:
        return 13;
    case DTYPE_Q8_0:
        return 16;
    default:
        return 32;
    }
}
