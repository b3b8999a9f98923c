// A real OpenID provider on loopback. It consents to everything at once, for the account that
// `login_hint` names; `nobody` consents to nothing. Prints one line of JSON when it listens, and ends with its standard input.
//
// node oidc_provider.mjs CERTIFICATE KEY

import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import Provider from "oidc-provider";

// Only the one line goes to standard output, which nobody reads any longer than that.
console.info = console.warn = console.error;

const [certificate, key] = process.argv.slice(2);
const counts = {};
let handler;
const server = createServer(
  { cert: readFileSync(certificate), key: readFileSync(key) },
  (request, response) => handler(request, response),
);
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const issuer = `https://localhost:${server.address().port}`;

const client = {
  client_id: "sallygate",
  client_secret: "client:secret/with+reserved%characters",
  redirect_uris: [
    "https://control.example/callback",
    "https://control.example/api/v1/auth/oidc/callback",
  ],
  grant_types: [
    "authorization_code",
    "refresh_token",
    "client_credentials",
    "urn:ietf:params:oauth:grant-type:device_code",
  ],
};
const provider = new Provider(issuer, {
  clients: [
    client,
    { ...client, client_id: "in-body", token_endpoint_auth_method: "client_secret_post" },
  ],
  claims: { openid: ["sub"], groups: ["groups"], email: ["email", "email_verified"], profile: ["name"] },
  cookies: { keys: ["loopback"] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    deviceFlow: { enabled: true },
    revocation: { enabled: true },
  },
  findAccount: (_context, id) => ({
    accountId: id,
    claims: () => ({
      sub: id,
      email: `${id}@people.example`,
      email_verified: true,
      groups: id === "ada" ? ["everybody", "ops"] : ["everybody"],
      name: id,
    }),
  }),
  interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
  issueRefreshToken: async (_context, oneself) => oneself.grantTypeAllowed("refresh_token"),
  pkce: { required: () => true },
  rotateRefreshToken: true,
  scopes: ["openid", "offline_access", "email", "groups", "profile"],
  ttl: { AccessToken: 3600, ClientCredentials: 600, DeviceCode: 600, RefreshToken: 86400 },
});
provider.on("grant.success", (context) => {
  const grant = context.oidc.params.grant_type;
  counts[grant] = (counts[grant] ?? 0) + 1;
});

async function consent(request, response) {
  const { params, session } = await provider.interactionDetails(request, response);
  const accountId = session?.accountId ?? params.login_hint ?? "ada";
  if (params.login_hint === "nobody") {
    const denied = { error: "access_denied", error_description: "Not today." };
    await provider.interactionFinished(request, response, denied);
    return;
  }
  const grant = new provider.Grant({ accountId, clientId: params.client_id });
  grant.addOIDCScope("openid email groups profile offline_access");
  const grantId = await grant.save();
  const result = { login: { accountId }, consent: { grantId } };
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
}

const callback = provider.callback();
handler = (request, response) => {
  if (request.url === "/test/counts") {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(counts));
  } else if (request.url.startsWith("/interaction/")) {
    consent(request, response).catch((error) => {
      response.statusCode = 500;
      response.end(String(error));
    });
  } else {
    callback(request, response);
  }
};
console.log(JSON.stringify({ issuer, client_secret: client.client_secret }));
process.stdin.on("end", () => process.exit(0)).resume();
