// Anthropic's SDK in a sandbox.

import Anthropic from "@anthropic-ai/sdk";

const step = (facts) => console.log(JSON.stringify(facts));
const client = new Anthropic({
  apiKey: "placeholder",
  baseURL: "https://anthropic.test",
  maxRetries: 0,
});
const messages = [{ role: "user", content: "Is the gate open?" }];
const stream = client.messages.stream({ model: "claude-gated", max_tokens: 16, messages });
for await (const event of stream) {
  if (event.type === "content_block_delta") step({ word: event.delta.text });
}
step({ usage: (await stream.finalMessage()).usage.output_tokens });

try {
  await client.delete("/v1/messages/anything");
  step({ deleted: "was allowed" });
} catch (error) {
  step({ deleted: error.status, denied: error.message });
}
