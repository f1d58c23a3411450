// SPDX-License-Identifier: MIT
#include "../test.h"

#include <math.h>

#include "model/rope.h"

static void sines_and_cosines_are_right_to_the_last_bits(void **state)
{
    double worst = 0;
    for (int i = 0; i < 400000; i++) {
        double x = i < 200000 ? i * 0.01 : i * 2.7, s, c; // up to a million
        rope_sin_cos(x, &s, &c);
        worst =
            fmax(worst, fmax(fabs(s - (double)sinl((long double)x)), fabs(c - (double)cosl((long double)x))));
    }
    printf("largest error %.2g\n", worst);
    assert_true(worst < 1e-15);
}

static void angles_follow_base_scale_and_factors(void **state)
{
    struct rope r;
    float factors[2] = {1, 4}, out[4];
    rope_init(&r, 4, 10000, 0.5, factors);
    rope_angles(&r, 7, out);
    assert_true(fabs((double)out[0] - cos(3.5)) < 1e-7 && fabs((double)out[1] - sin(3.5)) < 1e-7);
    assert_true(fabs((double)out[2] - cos(7 * 0.5 * 0.01 / 4)) < 1e-7);
    rope_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sines_and_cosines_are_right_to_the_last_bits),
                                       cmocka_unit_test(angles_follow_base_scale_and_factors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
