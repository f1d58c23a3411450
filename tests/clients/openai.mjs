// SPDX-License-Identifier: MIT
// npm's openai against a server: node openai.mjs URL MODEL. Prints "ok" at its end, or throws.
import assert from "node:assert/strict";
import OpenAI from "openai";

const [url, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
const body = { model, messages: [{ role: "user", content: "Say hello." }], temperature: 0, seed: 1, max_tokens: 16 };

assert.equal((await client.models.list()).data[0].id, `${model}:latest`);
const chat = await client.chat.completions.create(body);
let text = "";
for await (const part of await client.chat.completions.create({ ...body, stream: true })) text += part.choices[0]?.delta?.content ?? "";
assert.equal(text, chat.choices[0].message.content);
const embeddings = await client.embeddings.create({ model, input: ["a", "b"] });
assert.equal(embeddings.data.length, 2);

const response = await client.responses.create({ model, input: "Say hello.", temperature: 0, max_output_tokens: 16 });
text = "";
for await (const event of await client.responses.create({ model, input: "Say hello.", temperature: 0, max_output_tokens: 16, stream: true }))
  if (event.type === "response.output_text.delta") text += event.delta;
assert.equal(text, response.output_text);

await assert.rejects(client.chat.completions.create({ ...body, model: "nope" }), (e) => e.status === 404 && /not found/.test(e.message));
await assert.rejects(client.responses.create({ model, input: "x", store: true }), (e) => e.status === 400 && /store/.test(e.message));

// What had arrived before the abort is still handed out, so the count is a bound, not a number.
const stream = await client.chat.completions.create({ ...body, messages: [{ role: "user", content: "Write the numbers from 1 to 1000, separated by commas." }], max_tokens: 100000, stream: true });
let parts = 0;
for await (const _ of stream) if (++parts === 3) stream.controller.abort();
assert.ok(parts >= 3 && parts < 4000);
console.log("ok");
