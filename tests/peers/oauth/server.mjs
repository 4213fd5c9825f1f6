// oidc-provider as HMPPS Auth would answer a client-credentials request: Basic only, JWT access tokens.
//
//   node server.mjs '{"clients": [{"id": "…", "secret": "…"}], "ttl": 1200}'
//
// Prints its port as one line once it listens on 127.0.0.1. A line `clients [...]` on stdin replaces the clients: a
// rotation. `GET /api` checks the bearer token as a resource server would, by its signature and end, and answers 200 or 401.

import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { generateKeyPairSync, verify } from 'node:crypto';
import { Provider } from 'oidc-provider';

const options = JSON.parse(process.argv[2]);
const api = 'urn:delius:api';
const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const jwk = { ...privateKey.export({ format: 'jwk' }), kid: 'test-key', alg: 'RS256', use: 'sig' };

let handler;

function serve(clients) {
  const provider = new Provider(`http://127.0.0.1:${server.address().port}`, {
    clients: clients.map(({ id, secret }) => ({
      client_id: id,
      client_secret: secret,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      token_endpoint_auth_method: 'client_secret_basic',
    })),
    jwks: { keys: [jwk] },
    scopes: ['read', 'write'],
    ttl: { ClientCredentials: options.ttl ?? 1200 },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => api,
        getResourceServerInfo: () => ({ scope: 'read write', accessTokenFormat: 'jwt', accessTokenTTL: options.ttl ?? 1200 }),
      },
    },
  });
  handler = provider.callback();
}

function authorised(header) {
  const token = /^Bearer (\S+)$/.exec(header ?? '')?.[1];
  const [head, claims, signature] = (token ?? '').split('.');
  if (!signature) return false;
  const genuine = verify('sha256', Buffer.from(`${head}.${claims}`), publicKey, Buffer.from(signature, 'base64url'));
  return genuine && JSON.parse(Buffer.from(claims, 'base64url')).exp * 1000 > Date.now();
}

const server = createServer((request, response) => {
  if (request.url === '/api') {
    response.writeHead(authorised(request.headers.authorization) ? 200 : 401).end();
    return;
  }
  handler(request, response);
});

server.listen(0, '127.0.0.1', () => {
  serve(options.clients);
  console.log(server.address().port);
});

createInterface({ input: process.stdin })
  .on('line', (line) => {
    if (line.startsWith('clients ')) {
      serve(JSON.parse(line.slice('clients '.length)));
      console.log('ok');
    }
  })
  .on('close', () => process.exit(0));
