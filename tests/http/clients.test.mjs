// Unmodified tracking clients, and plain requests, against a running server (PERENNIAL_URL): every event that a client
// reports as delivered is counted by the server, once. Client tests skip with a message where `npm ci` has not been run.
// The server must take nothing else meanwhile: deliveries are checked by its counters.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';

const url = process.env.PERENNIAL_URL;
const writeKey = process.env.PERENNIAL_WRITE_KEY ?? 'any';
const apiKey = process.env.PERENNIAL_API_KEY ?? '';
const kEvents = 1000;
const patience = { timeout: 60_000, skip: url ? false : 'PERENNIAL_URL is not set: start `perennial serve` and name it there' };

const apiHeaders = apiKey ? { 'x-api-key': apiKey } : {};
const trackingHeaders = { authorization: `Basic ${Buffer.from(`${writeKey}:`).toString('base64')}` };

const post = (path, body, headers = trackingHeaders) =>
  fetch(url + path, { method: 'POST', headers, body: typeof body === 'string' ? body : JSON.stringify(body) });

async function counters() {
  const text = await (await fetch(`${url}/metrics`, { headers: apiHeaders })).text();
  const read = (name) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? NaN);
  return {
    accepted: read('perennial_events_accepted_total'),
    duplicate: read('perennial_events_duplicate_total'),
    rejected: read('perennial_events_rejected_total'),
  };
}

async function expectDelivered(before, wanted) {
  const after = await counters();
  for (const name of Object.keys(wanted)) assert.equal(after[name] - before[name], wanted[name], name);
}

async function client(t, name) {
  try {
    return await import(name);
  } catch (failure) {
    if (failure.code !== 'ERR_MODULE_NOT_FOUND') throw failure;
    t.skip(`${name} is not installed: run npm ci in tests/http`);
    return undefined;
  }
}

const product = (i) => ({ product_id: `sku-${i % 300}`, name: `Shirt ${i % 300}`, category: 'Shirts', price: 19.99, currency: 'EUR' });

test('a thousand events of @segment/analytics-node arrive once each', patience, async (t) => {
  const module = await client(t, '@segment/analytics-node');
  if (!module) return;
  const before = await counters();
  const analytics = new module.Analytics({ writeKey, host: url, maxRetries: 3 });
  const errors = [];
  let calledBack = 0;
  analytics.on('error', (error) => errors.push(error));
  const run = randomUUID();
  const done = (error) => (error ? errors.push(error) : ++calledBack);
  for (let i = 0; i < kEvents; ++i) {
    const userId = `${run}-${i % 50}`;
    if (i % 100 === 0) analytics.identify({ userId, traits: { email: `${userId}@example.com` } }, done);
    else if (i % 100 === 1) analytics.page({ userId, name: 'Home' }, done);
    else if (i % 100 === 2) analytics.alias({ userId, previousId: `device-${userId}` }, done);
    else if (i % 100 === 3) analytics.group({ userId, groupId: 'club' }, done);
    else analytics.track({ userId, event: 'Product Viewed', properties: product(i) }, done);
  }
  await analytics.closeAndFlush({ timeout: 30_000 });
  assert.deepEqual(errors, []);
  assert.equal(calledBack, kEvents);
  await expectDelivered(before, { accepted: kEvents, duplicate: 0, rejected: 0 });
});

test('events of @segment/analytics-node sent twice under the same messageId are taken once', patience, async (t) => {
  const module = await client(t, '@segment/analytics-node');
  if (!module) return;
  const before = await counters();
  const run = randomUUID();
  for (let round = 0; round < 2; ++round) {
    const analytics = new module.Analytics({ writeKey, host: url });
    for (let i = 0; i < 100; ++i)
      analytics.track({ userId: run, event: 'Product Viewed', messageId: `${run}-${i}`, properties: product(i) });
    await analytics.closeAndFlush({ timeout: 30_000 });
  }
  await expectDelivered(before, { accepted: 100, duplicate: 100, rejected: 0 });
});

test('a thousand gzipped events of @rudderstack/rudder-sdk-node arrive once each', patience, async (t) => {
  const module = await client(t, '@rudderstack/rudder-sdk-node');
  if (!module) return;
  const before = await counters();
  const RudderAnalytics = module.default.default ?? module.default;
  const errors = [];
  const rudder = new RudderAnalytics(writeKey, { dataPlaneUrl: url, flushAt: 100, maxInternalQueueSize: 10_000, errorHandler: (error) => errors.push(error) });
  const run = randomUUID();
  const delivered = [];
  for (let i = 0; i < kEvents; ++i)
    delivered.push(new Promise((resolve) =>
      rudder.track({ userId: `${run}-${i % 50}`, event: 'Product Viewed', properties: product(i) }, (error) => resolve(error))));
  await rudder.flush();
  for (const error of await Promise.all(delivered)) assert.equal(error ?? undefined, undefined);
  assert.deepEqual(errors, []);
  await expectDelivered(before, { accepted: kEvents, duplicate: 0, rejected: 0 });
});

test('plain requests are answered as docs/formats/http.md says', patience, async () => {
  const before = await counters();
  const run = randomUUID();
  const good = { type: 'track', event: 'Product Viewed', userId: run, anonymousId: null, messageId: run, properties: product(1) };
  const answers = [
    await post('/v1/track', good),
    await post('/v1/t', good),
    await post('/v1/batch', { batch: [good, { type: 'track', event: 'of nobody' }] }),
    await post('/v1/batch', JSON.stringify({ batch: [good], writeKey }), { 'content-type': 'text/plain' }),
  ];
  for (const answer of answers) {
    assert.equal(answer.status, 200);
    assert.deepEqual(await answer.json(), { success: true });
  }
  await expectDelivered(before, { accepted: 1, duplicate: 3, rejected: 1 });

  const customer = await fetch(`${url}/v1/customers/${run}`, { headers: apiHeaders });
  assert.equal(customer.status, 200, 'an acknowledged event is visible at once');

  const refusals = [
    [await post('/v1/batch', '{"batch":'), 400],
    [await post('/v1/batch', 'x'.repeat(600 * 1024)), 413],
    [await fetch(`${url}/v1/track`), 405],
    [await fetch(`${url}/v1/nothing`), 404],
    [await fetch(`${url}/v1/recommendations`, { headers: apiHeaders }), 400],
    [await fetch(`${url}/v1/recommendations?user_id=1&n=101`, { headers: apiHeaders }), 400],
    [await fetch(`${url}/v1/customers/nobody-${run}`, { headers: apiHeaders }), 404],
  ];
  for (const [answer, status] of refusals) {
    assert.equal(answer.status, status, answer.url);
    const { code, message } = await answer.json();
    assert.ok(code && message, answer.url);
  }
});

test('keys are asked for when they are set', { ...patience, skip: patience.skip || (apiKey ? false : 'PERENNIAL_API_KEY is not set') }, async () => {
  for (const [path, method] of [['/v1/batch', 'POST'], ['/v1/customers/1', 'GET'], ['/metrics', 'GET'], ['/', 'GET']]) {
    const answer = await fetch(url + path, { method, headers: { 'x-api-key': 'wrong' }, body: method === 'POST' ? '{"batch":[]}' : undefined });
    assert.equal(answer.status, 401, path);
  }
});

test('health, readiness and the API description need no key', patience, async () => {
  for (const path of ['/healthz', '/readyz']) assert.equal((await fetch(url + path)).status, 200, path);
  const description = await (await fetch(`${url}/openapi.json`)).json();
  assert.equal(description.openapi, '3.1.0');
  for (const path of Object.keys(description.paths)) {
    const wrong = await fetch(url + path.replace(/\{.*?\}/, '1'), { method: 'PUT' });
    assert.equal(wrong.status, 405, path);
  }
});
