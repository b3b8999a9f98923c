// The OpenAI SDK as it is used most: it has its key from the environment, and does not start
// without one.
import OpenAI from "openai";

const step = (facts) => console.log(JSON.stringify(facts));

let client;
try {
  client = new OpenAI({ baseURL: "https://openai.test/v1", maxRetries: 0 });
} catch (error) {
  step({ refused: String(error) });
  process.exit(3);
}
step({ shape: client.apiKey.slice(0, 8), length: client.apiKey.length });
const models = [];
for await (const model of client.models.list()) models.push(model.id);
step({ models });
