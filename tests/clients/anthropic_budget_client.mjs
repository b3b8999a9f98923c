// Anthropic's SDK at the end of a budget.

import Anthropic from "@anthropic-ai/sdk";

const step = (facts) => console.log(JSON.stringify(facts));
const client = new Anthropic({
  apiKey: "placeholder",
  baseURL: "https://anthropic.test",
  maxRetries: 0,
});
const model = "claude-gated-20260101";
const messages = [{ role: "user", content: "Is the gate open?" }];

const ask = async () => {
  const stream = client.messages.stream({ model, max_tokens: 16, messages });
  return (await stream.finalMessage()).usage;
};
step({ first: (await ask()).input_tokens });
step({ second: (await ask()).output_tokens });
try {
  await ask();
  step({ status: 200, third: "was allowed" });
} catch (error) {
  step({ status: error.status, third: error.message });
}
step({ counted: (await client.messages.countTokens({ model, messages })).input_tokens });
