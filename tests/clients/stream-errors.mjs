// SPDX-License-Identifier: MIT
// Streams of all npm clients at once, which the server ends with an error: node stream-errors.mjs URL MODEL. Prints "begun NAME" at the first piece of each,
// and at its end "NAME: MESSAGE" of what was thrown, or "NAME: no error".
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { streamText } from "ai";
import { Ollama } from "ollama";
import OpenAI from "openai";

const [url, model] = process.argv.slice(2);
const ollama = new Ollama({ host: url });
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
const provider = createOpenAICompatible({ name: "drover", baseURL: `${url}/v1`, apiKey: "none" });
const prompt = "Tell me a very long story about a dragon.";
const messages = [{ role: "user", content: prompt }];
const options = { temperature: 0 };

// The full stream of the AI SDK has errors as parts.
async function* partsOf(stream) {
  for await (const part of stream) {
    if (part.type === "error") throw part.error;
    if (part.type === "text-delta") yield part;
  }
}

const streams = {
  "ollama generate": () => ollama.generate({ model, prompt, options, stream: true }),
  "ollama chat": () => ollama.chat({ model, messages, options, stream: true }),
  "openai chat": () => openai.chat.completions.create({ model, messages, temperature: 0, stream: true }),
  "openai completions": () => openai.completions.create({ model, prompt, temperature: 0, stream: true }),
  "openai responses": () => openai.responses.create({ model, input: prompt, temperature: 0, stream: true }),
  "ai-sdk": () => partsOf(streamText({ model: provider(model), prompt, temperature: 0, maxRetries: 0, onError() {} }).fullStream),
};

async function follow(name, open) {
  let pieces = 0;
  try {
    for await (const _ of await open()) if (++pieces === 3) console.log(`begun ${name}`);
    console.log(`${name}: no error`);
  } catch (e) {
    console.log(`${name}: ${e.message ?? JSON.stringify(e)}`);
  }
}

await Promise.all(Object.entries(streams).map(([name, open]) => follow(name, open)));
