// SPDX-License-Identifier: MIT
// A call of a tool by all npm clients: node tools.mjs URL MODEL. Prints "ok" at its end, or throws.
import assert from "node:assert/strict";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import { Ollama } from "ollama";
import OpenAI from "openai";

const [url, model] = process.argv.slice(2);
const parameters = { type: "object", properties: { city: { type: "string", description: "Name of the city" } }, required: ["city"] };
const tools = [{ type: "function", function: { name: "get_weather", description: "Get the current weather of a city", parameters } }];
const prompt = "What is the weather in Paris right now? Use the tool.";
const messages = [{ role: "user", content: prompt }];

const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
const stream = openai.chat.completions.stream({ model, messages, tools, temperature: 0, max_tokens: 80 });
const [choice] = (await stream.finalChatCompletion()).choices;
assert.equal(choice.finish_reason, "tool_calls");
assert.equal(choice.message.tool_calls[0].function.name, "get_weather");
assert.deepEqual(JSON.parse(choice.message.tool_calls[0].function.arguments), { city: "Paris" });
const response = await openai.responses.create({ model, input: prompt, tools: [{ type: "function", name: "get_weather", parameters, strict: false }], temperature: 0, max_output_tokens: 80 });
assert.equal(response.output[0].type, "function_call");

const ollama = new Ollama({ host: url });
const chat = await ollama.chat({ model, messages, tools, options: { temperature: 0, num_predict: 80 } });
assert.deepEqual(chat.message.tool_calls[0].function.arguments, { city: "Paris" });

// Their loop: the call, what it gave, the answer.
const provider = createOpenAICompatible({ name: "drover", baseURL: `${url}/v1`, apiKey: "none" });
const get_weather = tool({ description: "Get the current weather of a city", inputSchema: jsonSchema(parameters), execute: async ({ city }) => `It is 17 degrees in ${city}.` });
const call = { model: provider(model), prompt, tools: { get_weather }, temperature: 0, maxOutputTokens: 80, maxRetries: 0, stopWhen: stepCountIs(2),
  prepareStep: ({ stepNumber }) => (stepNumber ? { toolChoice: "none" } : {}) };
const loop = await generateText(call);
assert.equal(loop.steps[0].finishReason, "tool-calls");
assert.deepEqual(loop.steps[0].toolCalls[0].input, { city: "Paris" });
assert.match(loop.text, /17/);
let text = "";
for await (const part of streamText(call).textStream) text += part;
assert.equal(text, loop.text);
console.log("ok");
