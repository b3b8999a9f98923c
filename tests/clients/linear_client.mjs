// Linear's SDK in a sandbox that may read issues and create comments.

import { LinearClient } from "@linear/sdk";

const step = (facts) => console.log(JSON.stringify(facts));
const client = new LinearClient({ apiKey: "placeholder", apiUrl: "https://linear.test/graphql" });

step({ viewer: (await client.viewer).name });

try {
  await client.deleteIssue("LIN-1");
  step({ deleted: "was allowed" });
} catch (error) {
  step({ deleted: error.constructor.name, denied: JSON.stringify(error) + error.message });
}
