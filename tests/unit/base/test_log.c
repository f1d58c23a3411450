// SPDX-License-Identifier: MIT
// A line of the log in both formats: members with the right types, any bytes made one valid line.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../test.h"
#include "base/log.h"

static char captured[65536];

// What one line with all kinds of members becomes on stderr.
static const char *capture(void (*write_lines)(void))
{
    int saved = dup(STDERR_FILENO), ends[2];
    assert_int_equal(pipe(ends), 0);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    dup2(ends[1], STDERR_FILENO);
    write_lines();
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    ssize_t n = read(ends[0], captured, sizeof captured - 1);
    close(ends[0]);
    captured[n > 0 ? n : 0] = 0;
    return captured;
}

static void all_members(void)
{
    struct log_line l = log_begin(LOG_INFO, "server", "request ended");
    log_add_text(&l, "id", "abc-1");
    log_add_text(&l, "error", "a \"b\" c=d\n\x01\xff");
    log_add_text(&l, "absent", NULL);
    log_add_text(&l, "empty", "");
    log_add_int(&l, "tokens", -3);
    log_add_ms(&l, "queue_ms", 1234567);
    log_add_number(&l, "top_p", 0.5);
    log_add_bool(&l, "stream", true);
    log_end(&l);
}

static void logfmt_quotes_only_what_needs_it(void **state)
{
    log_set_json(false);
    const char *line = capture(all_members);
    assert_non_null(strstr(line, " level=INFO source=server msg=\"request ended\" id=abc-1 "
                                 "error=\"a \\\"b\\\" c=d\\n\\u0001\xef\xbf\xbd\" tokens=-3 queue_ms=1.2 "
                                 "top_p=0.5 stream=true\n"));
}

static void json_has_members_of_their_types(void **state)
{
    log_set_json(true);
    const char *line = capture(all_members);
    log_set_json(false);
    assert_non_null(strstr(line, "\"level\":\"INFO\",\"source\":\"server\",\"msg\":\"request ended\","
                                 "\"id\":\"abc-1\",\"error\":\"a \\\"b\\\" c=d\\n\\u0001\xef\xbf\xbd\","
                                 "\"tokens\":-3,\"queue_ms\":1.2,\"top_p\":0.5,\"stream\":true}\n"));
}

static void below_the_level(void)
{
    struct log_line l = log_begin(LOG_DEBUG, "server", "no");
    log_add_int(&l, "n", 1);
    log_end(&l);
}

static void a_line_below_the_level_is_not_built(void **state)
{
    log_set_level(LOG_INFO);
    assert_string_equal(capture(below_the_level), "");
}

static void huge(void)
{
    static char value[100000];
    memset(value, '"', sizeof value - 1);
    struct log_line l = log_begin(LOG_INFO, "server", value);
    for (int i = 0; i < 20; i++)
        log_add_text(&l, "v", value);
    log_end(&l);
}

static void a_line_is_bounded(void **state)
{
    const char *line = capture(huge);
    assert_true(strlen(line) <= 16 << 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logfmt_quotes_only_what_needs_it),
        cmocka_unit_test(json_has_members_of_their_types),
        cmocka_unit_test(a_line_below_the_level_is_not_built),
        cmocka_unit_test(a_line_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
