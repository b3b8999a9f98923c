// The OpenAI SDK for Node in a sandbox. Without an argument it learns of the proxy from the
// environment; with one it is given a base URL that leads through the proxy.

import OpenAI from "openai";

const step = (facts) => console.log(JSON.stringify(facts));
const baseURL = process.argv[2] ?? "https://openai.test/v1";
const client = new OpenAI({ baseURL, apiKey: "placeholder", maxRetries: 0 });

const models = [];
for await (const model of client.models.list()) models.push(model.id);
step({ models });

const messages = [{ role: "user", content: "Is the gate open?" }];
const answer = await client.chat.completions.create({ model: "gated", messages });
step({ answer: answer.choices[0].message.content });

const stream = await client.chat.completions.create({ model: "gated", messages, stream: true });
for await (const chunk of stream) {
  const word = chunk.choices[0]?.delta?.content;
  if (word) step({ word });
}

try {
  await client.embeddings.create({ model: "gated", input: "not allowed" });
} catch (error) {
  step({ name: error.constructor.name, status: error.status, denied: error.message });
}
