// SPDX-License-Identifier: MIT
// How families write what a grammar is to hold them to: calls of tools, and what stands around content. The
// counterpart of reply.h, which reads them. Families that write
// Python have no form.
#pragma once

#include "text/constraint.h"
#include "text/reply.h"

enum { REPLY_MAX_FORMS = 2, REPLY_FORM_BYTES = REPLY_TAG_BYTES + 32 };

struct reply_forms {
    struct call_form forms[REPLY_MAX_FORMS];
    size_t n_forms; // 0: calls cannot be required
    struct slice after_thinking, before_content;
    char texts[REPLY_MAX_FORMS][REPLY_FORM_BYTES]; // of a Go template's tag
};

// Fills `out`, which must stay where it is as long as it is used.
void reply_forms_of(struct reply_forms *out, const struct reply_spec *s);
