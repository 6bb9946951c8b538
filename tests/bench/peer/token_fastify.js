// Vestal's token read by Fastify and pg, with the schemas by which Fastify is fast.
import fastify from 'fastify';
import { answer, note } from './token.js';

const text = { type: 'string' }, orNull = (type) => ({ type, nullable: true });
const schema = {
  querystring: { type: 'object', properties: { provider: text, min_ttl: { type: 'integer', minimum: 0 } } },
  response: { 200: { type: 'object', properties: {
    access_token: text, token_type: text, authorization_scheme: text, expires_at: orNull('string'),
    expires_in: orNull('integer'), generation: { type: 'integer' }, api_domain: orNull('string'), degraded: { type: 'boolean' },
  } } },
};
const app = fastify();
app.get('/api/oauth/token/:clientId', { schema }, async (request, reply) => {
  const began = Date.now();
  const { provider, min_ttl: minTtl } = request.query;
  const { status, etag, body } = await answer({ client: request.params.clientId, provider, minTtl, headers: request.headers });
  reply.code(status).header('Cache-Control', 'no-store');
  if (etag) reply.header('ETag', etag);
  reply.send(body);
  note(request.headers, status, began);
  return reply;
});
await app.listen({ path: process.env.SOCKET });
console.log('listening');
