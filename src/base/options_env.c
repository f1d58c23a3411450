// SPDX-License-Identifier: MIT
// Variables of Ollama and of its engine that are set and change nothing here: each is named once in the log,
// with the reason. A part of the option table (the only reader of the environment).
#include "base/options.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/option_value.h"

extern char **environ;

enum when { WHEN_SET, WHEN_TRUE };

static const struct ignored {
    const char *name;
    enum when when;
    const char *why;
} ignored[] = {
    {"OLLAMA_CUDA", WHEN_TRUE, "no GPU support in this build, computing on the CPU"},
    {"OLLAMA_VULKAN", WHEN_TRUE, "no GPU support in this build, computing on the CPU"},
    {"OLLAMA_IGPU_ENABLE", WHEN_TRUE, "no GPU support in this build, computing on the CPU"},
    {"OLLAMA_INTEL_GPU", WHEN_TRUE, "no GPU support in this build, computing on the CPU"},
    {"OLLAMA_GPU_OVERHEAD", WHEN_TRUE, "no GPU support in this build, computing on the CPU"},
    {"OLLAMA_SCHED_SPREAD", WHEN_TRUE, "no GPU support in this build, computing on the CPU"},
    {"CUDA_VISIBLE_DEVICES", WHEN_SET, "no GPU support in this build, computing on the CPU"},
    {"HIP_VISIBLE_DEVICES", WHEN_SET, "no GPU support in this build, computing on the CPU"},
    {"ROCR_VISIBLE_DEVICES", WHEN_SET, "no GPU support in this build, computing on the CPU"},
    {"GGML_VK_VISIBLE_DEVICES", WHEN_SET, "no GPU support in this build, computing on the CPU"},
    {"HSA_OVERRIDE_GFX_VERSION", WHEN_SET, "no GPU support in this build, computing on the CPU"},
    {"GPU_DEVICE_ORDINAL", WHEN_SET, "no GPU support in this build, computing on the CPU"},
    {"OLLAMA_MAX_VRAM", WHEN_SET, "no GPU support in this build, computing on the CPU"},
    {"OLLAMA_LLM_LIBRARY", WHEN_SET, "this build has one engine, DROVER_CPU picks the CPU level"},
    {"OLLAMA_NEW_ENGINE", WHEN_SET, "this build has one engine"},
    {"LLAMA_ARG_FIT", WHEN_SET, "this build has its own memory plan, see DROVER_MEMORY_LIMIT"},
    {"LLAMA_ARG_FIT_TARGET", WHEN_SET, "this build has its own memory plan, see DROVER_MEMORY_LIMIT"},
    {"OLLAMA_FLASH_ATTENTION", WHEN_SET,
     "this build has one way of attention, with the memory needs of flash attention"},
    {"OLLAMA_DEBUG_LOG_REQUESTS", WHEN_TRUE, "this build never writes down what clients send"},
    {"OLLAMA_NO_CLOUD", WHEN_SET, "drover never uses a cloud, whatever this says"},
    {"OLLAMA_REMOTES", WHEN_SET, "drover never uses a cloud"},
    {"OLLAMA_CLOUD_BASE_URL", WHEN_SET, "drover never uses a cloud"},
    {"OLLAMA_AUTH", WHEN_SET, "drover never uses a cloud"},
    {"OLLAMA_MAX_TRANSFER_STREAMS", WHEN_SET, "this build fetches 16 parts of a blob at once"},
    {"OLLAMA_EXPERIMENT", WHEN_SET, "no longer has a meaning in Ollama either"},
    {"OLLAMA_TMPDIR", WHEN_SET, "no longer has a meaning in Ollama either"},
    {"OLLAMA_MULTIUSER_CACHE", WHEN_SET,
     "no longer has a meaning in Ollama either; common prefixes are always shared here"},
};

static const struct ignored *find_ignored(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(ignored); i++)
        if (strcmp(ignored[i].name, name) == 0)
            return &ignored[i];
    return NULL;
}

// Of DROVER_'s own names all but those of the program's developers are options.
static bool is_unknown(const char *name)
{
    enum option_id id;
    return strncmp(name, "OLLAMA_", 7) == 0 && !options_find(name + 7, &id);
}

static void warn_of_variable(const char *name, const char *raw)
{
    const struct ignored *row = find_ignored(name);
    char *text = option_value_trim(raw);
    if (row != NULL) {
        bool applies = row->when == WHEN_TRUE ? option_value_is_true(text) : text[0] != 0;
        if (applies)
            log_warn("options", "%s is set: %s", name, row->why);
    } else if (text[0] != 0 && is_unknown(name)) {
        log_warn("options", "%s is set: no such option is known, ignored", name);
    }
    free(text);
}

void options_warn_of_environment(void)
{
    for (char **e = environ; *e != NULL; e++) {
        const char *equals = strchr(*e, '=');
        char name[128];
        if (equals == NULL || equals - *e >= (ptrdiff_t)sizeof name)
            continue;
        memcpy(name, *e, (size_t)(equals - *e));
        name[equals - *e] = 0;
        warn_of_variable(name, equals + 1);
    }
}
