// GitHub's SDK in a sandbox that is bound to one repository.

import { Octokit } from "@octokit/rest";

const step = (facts) => console.log(JSON.stringify(facts));
// A problem document is no type that the SDK reads as JSON.
const text = (data) =>
  data instanceof ArrayBuffer ? new TextDecoder().decode(data) : JSON.stringify(data);
const octokit = new Octokit({ auth: "placeholder", baseUrl: "https://github.test/api" });
octokit.log.error = octokit.log.warn = () => {};

const pulls = await octokit.paginate(octokit.pulls.list, { owner: "acme", repo: "app" });
step({ pulls: pulls.map((pull) => pull.title) });

const issue = { owner: "acme", repo: "app", title: "The gate" };
step({ issue: (await octokit.issues.create(issue)).data.number });

const refusals = {
  other: () => octokit.pulls.list({ owner: "acme", repo: "secret" }),
  removal: () => octokit.repos.delete({ owner: "acme", repo: "app" }),
};
for (const [name, call] of Object.entries(refusals)) {
  try {
    await call();
    step({ [name]: "was allowed" });
  } catch (error) {
    step({ [name]: error.status, denied: text(error.response.data) });
  }
}
