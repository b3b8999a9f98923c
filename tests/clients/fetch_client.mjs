// Node's own fetch in a sandbox.

const step = (facts) => console.log(JSON.stringify(facts));
const api = "https://api.test";

const got = await fetch(`${api}/get`, { headers: { authorization: "Bearer placeholder" } });
step({ get: await got.json(), status: got.status });

const posted = await fetch(`${api}/anything`, { method: "POST", body: JSON.stringify({ text: "ä" }) });
step({ post: await posted.json() });

const events = await fetch(`${api}/sse`);
const decoder = new TextDecoder();
let text = "";
for await (const piece of events.body) {
  text += decoder.decode(piece, { stream: true });
  for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
    step({ event: text.slice(0, end).split("\n")[1] });
  }
}

const refused = await fetch(`${api}/get`, { method: "DELETE" });
const reason = refused.statusText;
step({ denied: await refused.text(), reason, refused: refused.status });
