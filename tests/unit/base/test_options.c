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
static struct err file_error;

// Runs options_load with one variable set; what it logs lands in `warnings`.
static void load_with(const char *name, const char *value, bool is_server)
{
    FILE *log = tmpfile();
    int saved = dup(STDERR_FILENO);
    clearenv();
    err_clear(&file_error);
    setenv("HOME", directory, 1);
    if (name != NULL)
        setenv(name, value, 1);
    dup2(fileno(log), STDERR_FILENO);
    options_load(is_server);
    if (is_server && options_load_file(NULL, &file_error) != 0)
        fprintf(stderr, "%s", file_error.message);
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
        {"OLLAMA_FLASH_ATTENTION", "0", "OLLAMA_FLASH_ATTENTION"},
        {"OLLAMA_GPU_OVERHEAD", "1000", "OLLAMA_GPU_OVERHEAD"},
        {"OLLAMA_SCHED_SPREAD", "1", "OLLAMA_SCHED_SPREAD"},
        {"OLLAMA_LLM_LIBRARY", "cpu", "OLLAMA_LLM_LIBRARY"},
        {"OLLAMA_VULKAN", "1", "OLLAMA_VULKAN"},
        {"OLLAMA_IGPU_ENABLE", "1", "OLLAMA_IGPU_ENABLE"},
        {"OLLAMA_DEBUG_LOG_REQUESTS", "1", "OLLAMA_DEBUG_LOG_REQUESTS"},
        {"OLLAMA_NO_CLOUD", "0", "OLLAMA_NO_CLOUD"},
        {"OLLAMA_REMOTES", "x", "OLLAMA_REMOTES"},
        {"OLLAMA_CLOUD_BASE_URL", "x", "OLLAMA_CLOUD_BASE_URL"},
        {"OLLAMA_AUTH", "x", "OLLAMA_AUTH"},
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
    static const char *const table[][2] = {
        {"OLLAMA_CUDA", "0"},    {"OLLAMA_MAX_LOADED_MODELS", "2"}, {"OLLAMA_VULKAN", "false"},
        {"OLLAMA_EDITOR", "ed"}, {"OLLAMA_HOST", "1.2.3.4"},        {"OLLAMA_ORIGINS", "http://a"},
        {"OLLAMA_API_KEY", "x"}, {"CUDA_VISIBLE_DEVICES", ""},      {"OLLAMA_NOSUCH", ""}};
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
    write_config("num_parallel = 2\nmax-queue = 3\n");
    load_with(NULL, NULL, true);
    assert_int_equal(options_uint(OPT_NUM_PARALLEL), 2);
    assert_int_equal(options_uint(OPT_MAX_QUEUE), 3);
    assert_non_null(strstr(options_source(OPT_NUM_PARALLEL), "drover.conf:1"));
    assert_non_null(strstr(options_source(OPT_MAX_QUEUE), "drover.conf:2"));
    assert_string_equal(options_source(OPT_KEEP_ALIVE), "default");
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
    assert_int_equal(options_load_file(NULL, NULL), 0); // also when the file is read last
    assert_int_equal(options_uint(OPT_NUM_PARALLEL), 6);
    write_config(NULL);
}

static void a_broken_file_is_refused_by_its_line(void **state)
{
    static const struct {
        const char *text, *says;
    } table[] = {
        {"max_queue = 3\nnosuch = 1\n", "drover.conf:2: unknown option \"nosuch\""},
        {"keep_alive = never\n", "drover.conf:1: keep_alive: time: invalid duration \"never\""},
        {"\n# a comment\nmax_queue = 3\n max-queue = 4\n",
         "drover.conf:4: max_queue is set already, in line 3"},
        {"max_queue\n", "drover.conf:1: this is not `name = value`"},
        {"queue_policy = lifo\n", "drover.conf:1: queue_policy: \"lifo\" is none of fifo|round-robin"},
        {"queue_policy = fifo|\n", "is none of fifo|round-robin"},
        {"priorities = maybe\n", "drover.conf:1: priorities: \"maybe\" is neither yes nor no"},
        {"debug = loud\n", "drover.conf:1: debug: \"loud\" is neither yes nor no"},
        {"memory_limit = much\n", "drover.conf:1: memory_limit: \"much\" is not a size such as 2GiB"},
        {"kv_cache_type = q3\n", "drover.conf:1: kv_cache_type: \"q3\" is none of f16|f32|bf16|q8_0"},
        {"config = other.conf\n", "drover.conf:1: unknown option \"config\""},
        {"[model a]\n[model b]\n[model A]\n", "drover.conf:3: model A has a section already, in line 1"},
        {"[model a]\npin = yes\npin = no\n", "drover.conf:3: pin is set already, in line 2"},
        {"[model a]\ncontext = 1\ncontext_length = 2\n", "drover.conf:3: context is set already, in line 2"},
        {"[model a]\nmax_queue = 3\n", "drover.conf:2: unknown setting \"max_queue\" of a model"},
        {"[model a]\nkv_type = f8\n", "drover.conf:2: kv_type: \"f8\" is none of f16|f32|bf16|q8_0"},
        {"[models a]\n", "drover.conf:1: unknown section [models a]; a section is written [model NAME]"},
        {"[model]\n", "drover.conf:1: unknown section [model]"},
        {"[model a\n", "drover.conf:1: a section is written [model NAME]"},
        {"origins = "
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aa"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aa\n",
         "drover.conf:1: the line is longer than"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        write_config(table[i].text);
        load_with(NULL, NULL, true);
        assert_int_equal(options_uint(OPT_MAX_QUEUE), 512); // nothing of it counts
        if (strstr(file_error.message, table[i].says) == NULL)
            fail_msg("%s\nsays \"%s\"", table[i].text, file_error.message);
        load_with(NULL, NULL, false); // a client's command goes on without it
        assert_non_null(strstr(warnings, "the file is not used"));
    }
    write_config(NULL);
    load_with("DROVER_CONFIG", "/nowhere/drover.conf", true);
    assert_int_equal(file_error.code, ERR_NOT_FOUND);
}

static int to_lower(const char *text, char out[OPTION_MODEL_NAME_BYTES], struct err *err)
{
    size_t n = 0;
    if (text[0] == '-')
        return err_set(err, ERR_INVALID, "invalid model name");
    for (; text[n] != 0; n++)
        out[n] = text[n] >= 'A' && text[n] <= 'Z' ? (char)(text[n] - 'A' + 'a') : text[n];
    out[n] = 0;
    return 0;
}

static void models_have_sections(void **state)
{
    struct model_settings m;
    struct err err = {0};
    write_config("max_queue = 3\n"
                 "[model SmolLM2:latest] ; the small one [really]\n"
                 "  parallel = 8\n"
                 "\tcontext = 2048\n"
                 "kv_cache_type = q8_0\n"
                 "keep_alive = -1\n"
                 "pin = Yes\n"
                 "preload = off\n"
                 "threads = 2\n"
                 "[model hf.co/somebody/A-Model-With-A-Name-Of-More-Than-Fifty-Characters-GGUF:Q4_K_M]\n");
    load_with(NULL, NULL, false);
    assert_int_equal(options_load_file(to_lower, &err), 0);
    assert_false(options_find_model("smollm2", &m));
    assert_true(options_find_model("SMOLLM2:latest", &m));
    assert_string_equal(m.name, "smollm2:latest");
    assert_int_equal(m.line, 2);
    assert_int_equal(m.at[MODEL_PARALLEL].uint, 8);
    assert_int_equal(m.at[MODEL_PARALLEL].line, 3);
    assert_int_equal(m.at[MODEL_CONTEXT].uint, 2048);
    assert_string_equal(m.at[MODEL_KV_TYPE].text, "q8_0");
    assert_int_equal(m.at[MODEL_KEEP_ALIVE].duration_ns, -NS_PER_S);
    assert_int_equal(m.at[MODEL_PIN].uint, 1);
    assert_int_equal(m.at[MODEL_PRELOAD].uint, 0);
    assert_int_equal(m.at[MODEL_PRELOAD].line, 8);
    assert_int_equal(m.at[MODEL_THREADS].uint, 2);
    assert_true(options_read_model_at(1, &m));
    assert_string_equal(m.name,
                        "hf.co/somebody/a-model-with-a-name-of-more-than-fifty-characters-gguf:q4_k_m");
    assert_int_equal(m.at[MODEL_PIN].line, 0);
    assert_false(options_read_model_at(2, &m));
    write_config("[model -]\n");
    assert_int_equal(options_load_file(to_lower, &err), -1);
    assert_non_null(strstr(err.message, "drover.conf:1: invalid model name"));
    assert_true(options_read_model_at(1, &m)); // the old sections stay
    write_config(NULL);
}

static void a_reload_is_all_or_nothing(void **state)
{
    struct model_settings m;
    struct err err = {0};
    write_config("max_queue = 3\nnum_parallel = 2\nhost = 1.2.3.4\n[model a]\npin = 1\n");
    load_with("OLLAMA_NUM_PARALLEL", "4", true);
    const char *old_text = options_text(OPT_MAX_QUEUE);
    write_config("max_queue = 7\nkeep_alive = 1h\nnum_parallel = 9\nnosuch = 1\n");
    assert_int_equal(options_reload(NULL, &err), -1);
    assert_non_null(strstr(err.message, "drover.conf:4: unknown option"));
    assert_int_equal(options_uint(OPT_MAX_QUEUE), 3);
    assert_true(options_find_model("a", &m));

    write_config("\nmax_queue = 7\nkeep_alive = 1h\nnum_parallel = 9\nhost = 5.6.7.8\n");
    assert_int_equal(options_reload(NULL, NULL), 0);
    assert_int_equal(options_uint(OPT_MAX_QUEUE), 7);
    assert_non_null(strstr(options_source(OPT_MAX_QUEUE), "drover.conf:2"));
    assert_string_equal(old_text, "3"); // who still reads it may
    assert_int_equal(options_duration_ns(OPT_KEEP_ALIVE), 3600 * NS_PER_S);
    assert_int_equal(options_uint(OPT_NUM_PARALLEL), 4); // the variable still wins
    assert_string_equal(options_text(OPT_HOST), "1.2.3.4");
    assert_false(options_find_model("a", &m));

    write_config("");
    assert_int_equal(options_reload(NULL, NULL), 0);
    assert_int_equal(options_uint(OPT_MAX_QUEUE), 512);
    assert_string_equal(options_source(OPT_MAX_QUEUE), "default");
    write_config(NULL);
    err_clear(&err);
    assert_int_equal(options_reload(NULL, &err), -1);
    assert_non_null(strstr(err.message, "is not there any more"));
    load_with(NULL, NULL, true);
    assert_int_equal(options_reload(NULL, NULL), 0); // there never was one
}

static void choices_stand_in_the_help(void **state)
{
    for (int id = 0; id < OPTION_COUNT; id++)
        if (options_type((enum option_id)id) == OPTION_CHOICE) {
            const char *help = options_help((enum option_id)id), *end = strstr(help, ": ");
            assert_non_null(end);
            assert_null(memchr(help, ' ', (size_t)(end - help)));
        }
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
        cmocka_unit_test(a_broken_file_is_refused_by_its_line),
        cmocka_unit_test(models_have_sections),
        cmocka_unit_test(a_reload_is_all_or_nothing),
        cmocka_unit_test(choices_stand_in_the_help),
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
