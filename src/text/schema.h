// SPDX-License-Identifier: MIT
// JSON Schema (draft 4 to 2020-12) into a rule of a grammar: the rule's texts are JSON, and each one fits the
// schema. Nothing that limits is passed over: what cannot be enforced is refused by name. What is written is
// a choice of all that would fit:
// - members in the order of `properties`; further members only where `additionalProperties` or
//   `patternProperties` allows them in so many words, after the listed ones;
// - items beyond `prefixItems` only where `items` says what they are;
// - a schema without `type` takes the types that its keywords are about;
// - blanks: none or one space after ':'; none, one space or a line end and up to 32 spaces or tabs after '{',
//   '[' and ',' and before '}' and ']'; none elsewhere.
//
// Taken: type, enum, const, properties, required, additionalProperties, patternProperties, propertyNames,
// minProperties, maxProperties, items, prefixItems, additionalItems, minItems, maxItems, minLength,
// maxLength, pattern, format (those of pattern_of_format(); others are annotations), minimum, maximum,
// exclusiveMinimum, exclusiveMaximum, multipleOf (integers, powers of ten), anyOf, oneOf (of alternatives
// that exclude each other), allOf, $ref to "#...", boolean schemas, nullable. Every other word of the
// vocabulary that limits is refused; annotations and unknown words mean nothing, as the specification says.
#pragma once

#include "json/json.h"
#include "text/grammar.h"

enum { SCHEMA_MAX_BYTES = 256 << 10, SCHEMA_MAX_RULES = 20000, SCHEMA_MAX_DEPTH = 64 };

// ERR_INVALID names the place in the schema ("#/properties/age") and what is wrong there.
int schema_compile(struct grammar *g, const json_t *schema, uint32_t *rule, struct err *err);
