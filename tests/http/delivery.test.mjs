// Unmodified tracking clients over a good network and over a bad one (fault-proxy.mjs): every event stands in the journal
// exactly once. PERENNIAL_PROGRAM names the program; PERENNIAL_EVENTS (default 2,000) is how many events a node client
// sends, PERENNIAL_BROWSER_SECONDS (default 4) how long the browser goes on. Each test prints what it measured.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import test from 'node:test';
import { startFaultProxy } from './fault-proxy.mjs';
import { program, startShop } from './shop.mjs';

const kEvents = Number(process.env.PERENNIAL_EVENTS ?? 2000);
const kBrowserSeconds = Number(process.env.PERENNIAL_BROWSER_SECONDS ?? 4);
const kUsers = 20;
const kBatch = kEvents > 10_000 ? 100 : 20;
const kOutstanding = 5000; // events whose delivery has not been heard of yet
const writeKey = 'key';
const patience = { timeout: 1_200_000, skip: program ? false : 'PERENNIAL_PROGRAM is not set: name the built program there' };

const product = (i) => ({ product_id: `sku-${i % 300}`, name: `Shirt ${i % 300}`, category: 'Shirts', price: 19.99, currency: 'EUR' });

// Runs `body(url)`, which returns the events it sent by user, then counts the journal's.
async function expectEachOnce(t, bad, body) {
  const shop = await startShop();
  const proxy = bad ? await startFaultProxy(shop.url) : undefined;
  try {
    const start = performance.now();
    const sent = await body(proxy?.url ?? shop.url, shop);
    const seconds = (performance.now() - start) / 1000;
    const events = sent.reduce((sum, count) => sum + count, 0);
    const duplicates = await shop.counter('perennial_events_duplicate_total');
    assert.equal(await shop.counter('perennial_events_rejected_total'), 0);
    await shop.stop();
    for (let user = 0; user < sent.length; ++user) assert.equal(shop.eventsOf(`user-${user}`), sent[user], `events of user-${user}`);
    t.diagnostic(JSON.stringify({ events, seconds: +seconds.toFixed(1), per_second: Math.round(events / seconds), duplicates_dropped: duplicates, ...proxy?.counts }));
    if (bad) assert.ok(proxy.counts.cut_response + proxy.counts.doubled > 0, 'the network was bad');
  } finally {
    await proxy?.close();
    await shop.stop();
    shop.remove();
  }
}

// Calls send(i) for each event, never more than kOutstanding ahead of what was delivered.
async function sendAll(count, send) {
  let outstanding = 0;
  let wake = () => {};
  const all = [];
  for (let i = 0; i < count; ++i) {
    while (outstanding >= kOutstanding) await new Promise((resolve) => (wake = resolve));
    ++outstanding;
    all.push(send(i).finally(() => (--outstanding, wake())));
    if (i % 200 === 199) await new Promise(setImmediate);
  }
  return all;
}

const byUser = (count) => Array.from({ length: kUsers }, (_, user) => Math.floor(count / kUsers) + (user < count % kUsers ? 1 : 0));

async function sendWithSegment(url) {
  const { Analytics } = await import('@segment/analytics-node');
  const analytics = new Analytics({ writeKey, host: url, flushAt: kBatch, flushInterval: 500 });
  const send = (i) =>
    new Promise((resolve, reject) =>
      analytics.track({ userId: `user-${i % kUsers}`, event: 'Product Viewed', properties: product(i) }, (error) => (error ? reject(error) : resolve())));
  await Promise.all(await sendAll(kEvents, send));
  await analytics.closeAndFlush({ timeout: 60_000 });
  return byUser(kEvents);
}

// This client gives up after three repeats and tells its caller, who then sends the event again under the same id.
async function sendWithRudder(url) {
  const module = await import('@rudderstack/rudder-sdk-node');
  const RudderAnalytics = module.default.default ?? module.default;
  const rudder = new RudderAnalytics(writeKey, { dataPlaneUrl: url, flushAt: kBatch, flushInterval: 500, maxInternalQueueSize: 20_000, logLevel: 'none', errorHandler: () => {} });
  const once = (i, messageId) =>
    new Promise((resolve) => rudder.track({ messageId, userId: `user-${i % kUsers}`, event: 'Product Viewed', properties: product(i) }, (error) => resolve(!error)));
  const send = async (i) => {
    const messageId = randomUUID();
    while (!(await once(i, messageId)));
  };
  const waiting = sendAll(kEvents, send);
  await Promise.all(await waiting);
  await rudder.flush();
  return byUser(kEvents);
}

for (const bad of [false, true]) {
  const network = bad ? 'a bad network' : 'a good network';
  test(`@segment/analytics-node over ${network}`, patience, (t) => expectEachOnce(t, bad, sendWithSegment));
  test(`@rudderstack/rudder-sdk-node over ${network}`, patience, (t) => expectEachOnce(t, bad, sendWithRudder));
}

// A page of another origin that loads the library as it is published and names this server as its cdnURL, nothing else.
async function withPage(body) {
  const { chromium } = await import('playwright-core');
  const folder = new URL('node_modules/@segment/analytics-next/dist/umd/', import.meta.url);
  const site = createServer((request, response) => {
    if (request.url === '/') return response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>shop</title><script src="/index.js"></script>');
    const file = new URL(request.url.slice(1), folder);
    if (!existsSync(file)) return response.writeHead(404).end();
    response.writeHead(200, { 'content-type': 'text/javascript' }).end(readFileSync(file));
  });
  await new Promise((resolve) => site.listen(0, '127.0.0.1', resolve));
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${site.address().port}/`);
    return await body(page);
  } finally {
    await browser.close();
    site.close();
  }
}

const browserPatience = { ...patience, skip: patience.skip || (process.env.CHROMIUM === 'none' ? 'there is no Chromium' : false) };

function sendFromBrowser(strategy) {
  return (url, shop) =>
    withPage(async (page) => {
      const sent = await page.evaluate(
        async ({ url, writeKey, strategy, seconds }) => {
          const delivery = strategy === 'batching' ? { deliveryStrategy: { strategy, config: { size: 25, timeout: 200 } } } : {};
          const [analytics] = await window.AnalyticsNext.AnalyticsBrowser.load({ writeKey, cdnURL: url }, { integrations: { 'Segment.io': delivery } });
          await analytics.identify('user-0', { plan: 'pro' });
          let sent = 1;
          const until = performance.now() + 1000 * seconds;
          const one = async () => {
            while (performance.now() < until) {
              const i = sent++;
              await analytics.track('Product Viewed', { product_id: `sku-${i % 300}`, name: `Shirt ${i % 300}`, price: 19.99, currency: 'EUR' });
            }
          };
          await Promise.all(Array.from({ length: 500 }, one));
          return sent;
        },
        { url, writeKey, strategy, seconds: kBrowserSeconds },
      );
      // What waits in the page for another try is sent as long as the page stays open.
      const patienceMs = 120_000;
      for (const start = performance.now(); performance.now() - start < patienceMs; await new Promise((resolve) => setTimeout(resolve, 100)))
        if ((await shop.counter('perennial_events_accepted_total')) >= sent) break;
      return [sent];
    });
}

for (const bad of [false, true])
  for (const strategy of ['standard', 'batching'])
    test(`@segment/analytics-next in Chromium, ${strategy}, over ${bad ? 'a bad' : 'a good'} network`, browserPatience, (t) => expectEachOnce(t, bad, sendFromBrowser(strategy)));

test('navigator.sendBeacon delivers a batch as text/plain with the key in its body', browserPatience, (t) =>
  expectEachOnce(t, false, (url, shop) =>
    withPage(async (page) => {
      const batch = Array.from({ length: 50 }, (_, i) => ({ type: 'track', event: 'Product Viewed', userId: 'user-0', messageId: `beacon-${i}`, properties: product(i) }));
      assert.ok(await page.evaluate(({ to, body }) => navigator.sendBeacon(to, body), { to: `${url}/v1/batch`, body: JSON.stringify({ writeKey, batch }) }));
      for (let i = 0; i < 100 && (await shop.counter('perennial_events_accepted_total')) < 50; ++i) await new Promise((resolve) => setTimeout(resolve, 50));
      return [50];
    })));
