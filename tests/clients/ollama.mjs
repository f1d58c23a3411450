// SPDX-License-Identifier: MIT
// npm's ollama against a server: node ollama.mjs URL MODEL. Prints "ok" at its end, or throws.
import assert from "node:assert/strict";
import { Ollama } from "ollama";

const [url, model] = process.argv.slice(2);
const client = new Ollama({ host: url });
const options = { temperature: 0, seed: 1, num_predict: 16 };

const list = await client.list();
assert.equal(list.models[0].name, `${model}:latest`);
const shown = await client.show({ model });
assert.equal(shown.details.format, "gguf");

const whole = await client.generate({ model, prompt: "Once upon a time", options });
assert.equal(whole.done, true);
let text = "";
let last;
for await (const part of await client.generate({ model, prompt: "Once upon a time", options, stream: true })) {
  text += part.response;
  last = part;
}
assert.equal(text, whole.response);
assert.equal(last.done, true);
assert.equal(last.eval_count, whole.eval_count);

const messages = [{ role: "user", content: "Say hello." }];
const chat = await client.chat({ model, messages, options });
text = "";
for await (const part of await client.chat({ model, messages, options, stream: true })) text += part.message.content;
assert.equal(text, chat.message.content);
assert.equal(chat.message.role, "assistant");

assert.equal((await client.ps()).models[0].name, `${model}:latest`);
await assert.rejects(client.generate({ model: "nope", prompt: "x" }), /model 'nope' not found/);
const formed = await client.chat({ model, messages, format: { type: "object", properties: { hi: { type: "boolean" } }, required: ["hi"] }, options });
assert.equal(typeof JSON.parse(formed.message.content).hi, "boolean");

// It takes minutes, so that it cannot have ended before the abort.
const stream = await client.generate({ model, prompt: "Write the numbers from 1 to 1000, separated by commas.", options: { num_predict: 100000, temperature: 0 }, stream: true });
let parts = 0;
await assert.rejects(async () => {
  for await (const _ of stream) if (++parts === 3) stream.abort();
}, /abort/i);

console.log("ok");
