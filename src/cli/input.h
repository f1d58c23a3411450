// SPDX-License-Identifier: MIT
// Files that a person names in a message: images, by a path that begins with "/", "./", "../" or "~/" and
// ends like one. Private to the cli room.
#pragma once

#include "base/slice.h"
#include "base/strbuf.h"
#include "json/json.h"

// `rest` gets `text` without the paths of images that exist, `images` (an array) their contents in base64,
// stderr a line for each. Other paths stay in the text. ERR_TOO_LARGE, ERR_INVALID: a file that is no image.
int input_take_images(struct slice text, struct strbuf *rest, json_t *images, struct err *err);
// Whether `text` names an image that exists; `path` gets the first.
enum { INPUT_PATH_BYTES = 4096 };
bool input_names_image(struct slice text, char path[INPUT_PATH_BYTES]);
