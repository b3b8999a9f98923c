// Slack's SDK in a sandbox that may post messages.

import { WebClient, LogLevel } from "@slack/web-api";

const step = (facts) => console.log(JSON.stringify(facts));
const client = new WebClient("xoxb-placeholder", {
  slackApiUrl: "https://slack.test/api/",
  retryConfig: { retries: 0 },
  logLevel: LogLevel.ERROR,
});

const posted = await client.chat.postMessage({ channel: "C0GATE", text: "open" });
step({ posted: posted.ts });

try {
  await client.chat.delete({ channel: "C0GATE", ts: posted.ts });
  step({ deleted: "was allowed" });
} catch (error) {
  step({ deleted: error.code, denied: JSON.stringify(error) + error.message });
}
