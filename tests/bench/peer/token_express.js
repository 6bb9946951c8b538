// Vestal's token read by Express and pg.
import express from 'express';
import { answer, note } from './token.js';

const app = express();
app.disable('x-powered-by');
app.disable('etag');
app.get('/api/oauth/token/:clientId', async (request, response) => {
  const began = Date.now();
  const { provider, min_ttl: minTtl } = request.query;
  const { status, etag, body } = await answer({ client: request.params.clientId, provider, minTtl, headers: request.headers });
  response.status(status).set('Cache-Control', 'no-store');
  if (etag) response.set('ETag', etag);
  if (body) response.json(body);
  else response.end();
  note(request.headers, status, began);
});
app.listen(process.env.SOCKET, (error) => {
  if (error) throw error;
  console.log('listening');
});
