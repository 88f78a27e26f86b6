// A login provider on loopback: node-oidc-provider, with machine clients and tokens that are JWTs.
//
//   node provider.mjs PORT KEY    the key is a private JWK in a file; made if it is not there
//
// Resources: urn:cairn, whose tokens are for "cairn"; urn:other, for "other"; urn:short, for "cairn" and
// over in two seconds.
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import Provider from 'oidc-provider';

const [port, file] = process.argv.slice(2);
if (!existsSync(file)) {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const key = { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256' };
  writeFileSync(file, JSON.stringify({ ...key, kid: key.n.slice(0, 16) }), { mode: 0o600 });
}
const resource = (audience, ttl) => ({
  scope: 'imaging.read imaging.write',
  audience,
  accessTokenTTL: ttl,
  accessTokenFormat: 'jwt',
  jwt: { sign: { alg: 'RS256' } },
});
const resources = {
  'urn:cairn': resource('cairn', 300),
  'urn:other': resource('other', 300),
  'urn:short': resource('cairn', 2),
};
const client = (id) => ({
  client_id: id,
  client_secret: 'not a secret',
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
  token_endpoint_auth_method: 'client_secret_post',
});
const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks: { keys: [JSON.parse(readFileSync(file))] },
  clients: [client('viewer'), client('intruder')],
  scopes: ['imaging.read', 'imaging.write'],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, name) => resources[name],
    },
  },
});
provider.listen(Number(port), '127.0.0.1', () => console.log('listening'));
