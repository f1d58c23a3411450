// SPDX-License-Identifier: MIT
// npm's @ai-sdk/openai-compatible (with ai) against a server: node ai-sdk.mjs URL MODEL. Prints "ok" at its end, or throws.
import assert from "node:assert/strict";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embed, generateText, streamText } from "ai";

const [url, model] = process.argv.slice(2);
const provider = createOpenAICompatible({ name: "drover", baseURL: `${url}/v1`, apiKey: "none" });
const call = { model: provider(model), prompt: "Say hello.", temperature: 0, seed: 1, maxOutputTokens: 16, maxRetries: 0 };

const whole = await generateText(call);
assert.ok(whole.text.length > 0);
let text = "";
for await (const part of streamText(call).textStream) text += part;
assert.equal(text, whole.text);
const { embedding } = await embed({ model: provider.textEmbeddingModel(model), value: "hello" });
assert.ok(embedding.length > 100);
await assert.rejects(generateText({ ...call, model: provider("nope") }), /not found/);

// What had arrived before the abort is still handed out; the whole answer takes minutes.
const controller = new AbortController();
let parts = 0;
for await (const _ of streamText({ ...call, prompt: "Write the numbers from 1 to 1000, separated by commas.", maxOutputTokens: 100000, abortSignal: controller.signal }).textStream) if (++parts === 3) controller.abort();
assert.ok(parts >= 3 && parts < 4000);
console.log("ok");
