// SPDX-License-Identifier: MIT
// The tables of Ollama's variables: values, where they come from, and what is warned about (read back from
// stderr).
#include "../test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/options.h"

extern char **environ;
static char directory[] = "/tmp/drover-options-XXXXXX";
static char warnings[16384];

// Runs options_load with one variable set; what it logs lands in `warnings`.
static void load_with(const char *name, const char *value, bool is_server)
{
    FILE *log = tmpfile();
    int saved = dup(STDERR_FILENO);
    clearenv();
    setenv("HOME", directory, 1);
    if (name != NULL)
        setenv(name, value, 1);
    dup2(fileno(log), STDERR_FILENO);
    options_load(is_server);
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(log);
    warnings[fread(warnings, 1, sizeof warnings - 1, log)] = 0;
    fclose(log);
}

static void numbers_fall_back_with_a_warning(void **state)
{
    static const struct {
        const char *text;
        uint64_t value;
        bool warns;
    } table[] = {{"8", 8, false},
                 {" 8 ", 8, false},
                 {"\"8\"", 8, false},
                 {"'8'", 8, false},
                 {" \" 8 \" ", 8, false},
                 {"0", 0, false},
                 {"", 512, false},
                 {"  ", 512, false},
                 {"-1", 512, true},
                 {"x", 512, true},
                 {"8x", 512, true},
                 {"1.5", 512, true},
                 {"+8", 512, true},
                 {"18446744073709551615", UINT64_MAX, false},
                 {"18446744073709551616", 512, true}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        load_with("OLLAMA_MAX_QUEUE", table[i].text, true);
        assert_int_equal(options_uint(OPT_MAX_QUEUE), table[i].value);
        assert_int_equal(strstr(warnings, "OLLAMA_MAX_QUEUE") != NULL, table[i].warns);
    }
}

static void booleans_are_gos(void **state)
{
    static const char *const no[] = {"", "0", "f", "F", "false", "FALSE", "False", "\"0\""};
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True", "yes", "random", "no"};
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++) {
        load_with("OLLAMA_NOHISTORY", no[i], false);
        assert_int_equal(options_uint(OPT_NOHISTORY), 0);
    }
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        load_with("OLLAMA_NOHISTORY", yes[i], false);
        assert_int_equal(options_uint(OPT_NOHISTORY), 1);
    }
}

static void durations_may_be_seconds(void **state)
{
    static const struct {
        const char *text;
        int64_t ns;
    } table[] = {{"", 300 * NS_PER_S},
                 {"1s", NS_PER_S},
                 {"1m", 60 * NS_PER_S},
                 {"3600", 3600 * NS_PER_S},
                 {"0", 0},
                 {"-1", -NS_PER_S},
                 {"-1m", -60 * NS_PER_S},
                 {"random", 300 * NS_PER_S},
                 {"1d", 300 * NS_PER_S},
                 {"99999999999999", INT64_MAX},
                 {" 60 ", 60 * NS_PER_S}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        load_with("OLLAMA_KEEP_ALIVE", table[i].text, true);
        assert_int_equal(options_duration_ns(OPT_KEEP_ALIVE), table[i].ns);
    }
}

static void debug_has_levels(void **state)
{
    static const struct {
        const char *text;
        uint64_t level;
    } table[] = {{"", 0},  {"0", 0}, {"false", 0}, {"1", 1},  {"true", 1},
                 {"t", 1}, {"2", 2}, {"9", 2},     {"-1", 0}, {"x", 0}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        load_with("OLLAMA_DEBUG", table[i].text, true);
        assert_int_equal(options_uint(OPT_DEBUG), table[i].level);
    }
}

static void sizes_have_units(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } table[] = {{"0", 0},           {"1000", 1000},    {"2K", 2048},
                 {"2KiB", 2048},     {"2kb", 2000},     {"1.5GiB", 1610612736},
                 {"1G", 1073741824}, {"3 MB", 3000000}, {"7B", 7},
                 {"x", 0},           {"1Q", 0},         {"1GiBs", 0},
                 {"-1", 0},          {"1e30", 0}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        load_with("DROVER_MEMORY_LIMIT", table[i].text, true);
        assert_int_equal(options_uint(OPT_MEMORY_LIMIT), table[i].bytes);
    }
}

static void unhonoured_variables_are_named(void **state)
{
    static const struct {
        const char *name, *value, *says;
    } table[] = {
        {"OLLAMA_CUDA", "1", "OLLAMA_CUDA is set: no GPU support in this build, computing on the CPU"},
        {"OLLAMA_MAX_LOADED_MODELS", "2",
         "OLLAMA_MAX_LOADED_MODELS is 2: this build loads one model at a time"},
        {"OLLAMA_FLASH_ATTENTION", "0", "OLLAMA_FLASH_ATTENTION"},
        {"OLLAMA_GPU_OVERHEAD", "1000", "OLLAMA_GPU_OVERHEAD"},
        {"OLLAMA_SCHED_SPREAD", "1", "OLLAMA_SCHED_SPREAD"},
        {"OLLAMA_LLM_LIBRARY", "cpu", "OLLAMA_LLM_LIBRARY"},
        {"OLLAMA_VULKAN", "1", "OLLAMA_VULKAN"},
        {"OLLAMA_IGPU_ENABLE", "1", "OLLAMA_IGPU_ENABLE"},
        {"OLLAMA_DEBUG_LOG_REQUESTS", "1", "OLLAMA_DEBUG_LOG_REQUESTS"},
        {"OLLAMA_GO_TEMPLATE", "1", "OLLAMA_GO_TEMPLATE"},
        {"OLLAMA_NOPRUNE", "1", "OLLAMA_NOPRUNE"},
        {"OLLAMA_NO_CLOUD", "0", "OLLAMA_NO_CLOUD"},
        {"OLLAMA_REMOTES", "x", "OLLAMA_REMOTES"},
        {"OLLAMA_CLOUD_BASE_URL", "x", "OLLAMA_CLOUD_BASE_URL"},
        {"OLLAMA_AUTH", "x", "OLLAMA_AUTH"},
        {"OLLAMA_API_KEY", "x", "OLLAMA_API_KEY"},
        {"OLLAMA_MAX_TRANSFER_STREAMS", "4", "OLLAMA_MAX_TRANSFER_STREAMS"},
        {"OLLAMA_EXPERIMENT", "x", "OLLAMA_EXPERIMENT"},
        {"LLAMA_ARG_FIT", "on", "LLAMA_ARG_FIT"},
        {"CUDA_VISIBLE_DEVICES", "0", "CUDA_VISIBLE_DEVICES"},
        {"OLLAMA_NUMPARALLEL", "4", "OLLAMA_NUMPARALLEL is set: no such option is known, ignored"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        load_with(table[i].name, table[i].value, true);
        if (strstr(warnings, table[i].says) == NULL)
            fail_msg("%s=%s: logged \"%s\"", table[i].name, table[i].value, warnings);
        load_with(table[i].name, table[i].value, false); // a command of a client keeps quiet
        assert_string_equal(warnings, "");
    }
}

static void honoured_or_harmless_variables_are_not(void **state)
{
    static const char *const table[][2] = {{"OLLAMA_CUDA", "0"},         {"OLLAMA_MAX_LOADED_MODELS", "1"},
                                           {"OLLAMA_VULKAN", "false"},   {"OLLAMA_EDITOR", "ed"},
                                           {"OLLAMA_HOST", "1.2.3.4"},   {"OLLAMA_ORIGINS", "http://a"},
                                           {"CUDA_VISIBLE_DEVICES", ""}, {"OLLAMA_NOSUCH", ""}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        load_with(table[i][0], table[i][1], true);
        assert_string_equal(warnings, "");
    }
}

static void write_config(const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/.config", directory);
    mkdir(path, 0755);
    snprintf(path, sizeof path, "%s/.config/drover", directory);
    mkdir(path, 0755);
    snprintf(path, sizeof path, "%s/.config/drover/drover.conf", directory);
    if (text == NULL) {
        unlink(path);
        return;
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void each_place_beats_the_one_below(void **state)
{
    struct err err = {0};
    write_config("num_parallel = 2\nmax-queue = 3\nnosuch = 1\nkeep_alive = never\n[model x]\nnum_ctx = 5\n");
    load_with(NULL, NULL, true);
    assert_int_equal(options_uint(OPT_NUM_PARALLEL), 2);
    assert_int_equal(options_uint(OPT_MAX_QUEUE), 3);
    assert_non_null(strstr(options_source(OPT_NUM_PARALLEL), "drover.conf"));
    assert_non_null(strstr(warnings, "unknown option \\\"nosuch\\\""));
    assert_non_null(strstr(warnings, "section [model x]"));
    assert_non_null(strstr(warnings, "keep_alive: time: invalid duration \\\"never\\\", staying with 5m"));
    load_with("OLLAMA_NUM_PARALLEL", "4", true);
    assert_int_equal(options_uint(OPT_NUM_PARALLEL), 4);
    assert_string_equal(options_source(OPT_NUM_PARALLEL), "OLLAMA_NUM_PARALLEL");
    setenv("DROVER_NUM_PARALLEL", "5", 1);
    options_load(false);
    assert_int_equal(options_uint(OPT_NUM_PARALLEL), 5);
    assert_string_equal(options_source(OPT_NUM_PARALLEL), "DROVER_NUM_PARALLEL");
    assert_int_equal(options_set(OPT_NUM_PARALLEL, "6", &err), 0);
    assert_int_equal(options_uint(OPT_NUM_PARALLEL), 6);
    assert_string_equal(options_source(OPT_NUM_PARALLEL), "flag");
    assert_int_equal(options_set(OPT_NUM_PARALLEL, "many", &err), -1);
    assert_string_equal(err.message, "num_parallel: \"many\" is not a whole number from 0");
    assert_int_equal(options_uint(OPT_NUM_PARALLEL), 6);
    write_config(NULL);
}

static void names_are_found_in_every_spelling(void **state)
{
    enum option_id id;
    assert_true(options_find("num-parallel", &id) && id == OPT_NUM_PARALLEL);
    assert_true(options_find("num_parallel", &id) && id == OPT_NUM_PARALLEL);
    assert_true(options_find("NUM_PARALLEL", &id) && id == OPT_NUM_PARALLEL);
    assert_false(options_find("num", &id));
    assert_false(options_find("num_parallels", &id));
    assert_false(options_find("", &id));
}

static void directories_follow_xdg(void **state)
{
    char path[4096], expected[4096];
    load_with(NULL, NULL, false);
    options_cache_dir(path);
    snprintf(expected, sizeof expected, "%s/.cache/drover", directory);
    assert_string_equal(path, expected);
    setenv("XDG_DATA_HOME", "/data/", 1);
    options_data_dir(path);
    assert_string_equal(path, "/data/drover");
    setenv("XDG_STATE_HOME", "relative", 1); // not allowed by the specification
    options_state_dir(path);
    snprintf(expected, sizeof expected, "%s/.local/state/drover", directory);
    assert_string_equal(path, expected);
    assert_string_equal(options_editor(), "vi");
    setenv("EDITOR", "nano", 1);
    assert_string_equal(options_editor(), "nano");
    setenv("VISUAL", "emacs", 1);
    assert_string_equal(options_editor(), "emacs");
}

int main(void)
{
    if (mkdtemp(directory) == NULL)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_fall_back_with_a_warning),
        cmocka_unit_test(booleans_are_gos),
        cmocka_unit_test(durations_may_be_seconds),
        cmocka_unit_test(debug_has_levels),
        cmocka_unit_test(sizes_have_units),
        cmocka_unit_test(unhonoured_variables_are_named),
        cmocka_unit_test(honoured_or_harmless_variables_are_not),
        cmocka_unit_test(each_place_beats_the_one_below),
        cmocka_unit_test(names_are_found_in_every_spelling),
        cmocka_unit_test(directories_follow_xdg),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char path[256];
    snprintf(path, sizeof path, "%s/.config/drover", directory);
    rmdir(path);
    snprintf(path, sizeof path, "%s/.config", directory);
    rmdir(path);
    rmdir(directory);
    return failed;
}
