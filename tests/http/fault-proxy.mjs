// A bad network on 127.0.0.1: an HTTP proxy that delays, drops, cuts and doubles requests, by a seeded die. What a client
// hears of a request and what became of it at the server differ in every way in which they can:
//   delayed       the server gets it up to 200 ms later
//   refused       the connection breaks before the server has seen anything
//   cut_request   the server gets half of it, then its connection breaks too
//   cut_response  the server takes it whole, the client hears half an answer or none
//   doubled       the server gets it twice at once, the client hears one of the answers
//   unavailable   503, the server has seen nothing
//   limited       429 with Retry-After: 1, the server has seen nothing
import { createServer, request as send, Agent } from 'node:http';

export const kFaults = { delayed: 0.1, refused: 0.05, cut_request: 0.05, cut_response: 0.06, doubled: 0.08, unavailable: 0.02, limited: 0.01 };

// mulberry32: a small generator whose state is one number.
function die(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export async function startFaultProxy(target, { seed = 1, faults = kFaults } = {}) {
  const roll = die(seed);
  const upstream = new URL(target);
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const counts = { requests: 0, forwarded: 0, ...Object.fromEntries(Object.keys(faults).map((name) => [name, 0])) };

  // However few requests come, the two faults that repeat events are among them.
  const first = ['cut_response', 'doubled'];
  function pick() {
    if (first.length > 0) return first.shift();
    let left = roll();
    for (const [name, share] of Object.entries(faults)) {
      if (left < share) return name;
      left -= share;
    }
    return 'none';
  }

  // The server's whole answer, or undefined when it broke off.
  function forward({ method, url, headers }, body, cut = false) {
    return new Promise((resolve) => {
      ++counts.forwarded;
      const out = send({ host: upstream.hostname, port: upstream.port, method, path: url, headers, agent: cut ? undefined : agent }, (answer) => {
        const parts = [];
        answer.on('data', (part) => parts.push(part));
        answer.on('end', () => resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(parts) }));
        answer.on('error', () => resolve(undefined));
      });
      out.on('error', () => resolve(undefined));
      if (!cut) return out.end(body);
      out.write(body.subarray(0, body.length >> 1), () => setTimeout(() => out.destroy(), 5));
    });
  }

  const server = createServer(async (request, response) => {
    const parts = [];
    try {
      for await (const part of request) parts.push(part);
    } catch {
      return; // the client went away
    }
    const body = Buffer.concat(parts);
    ++counts.requests;
    const fault = request.method === 'POST' ? pick() : 'none'; // settings and preflights pass
    if (fault !== 'none') ++counts[fault];
    const answer = (given) => {
      if (!given) return request.socket.destroy();
      response.writeHead(given.status, given.headers);
      response.end(given.body);
    };
    switch (fault) {
      case 'delayed':
        await new Promise((resolve) => setTimeout(resolve, 200 * roll()));
        return answer(await forward(request, body));
      case 'refused':
        return request.socket.destroy();
      case 'cut_request':
        await forward(request, body, true);
        return request.socket.destroy();
      case 'cut_response':
        await forward(request, body);
        if (roll() < 0.5) request.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"succ');
        return request.socket.destroy();
      case 'doubled': {
        const [first, second] = await Promise.all([forward(request, body), forward(request, body)]);
        return answer(roll() < 0.5 ? first : second);
      }
      case 'unavailable':
        return answer({ status: 503, headers: {}, body: '' });
      case 'limited':
        return answer({ status: 429, headers: { 'retry-after': '1', 'access-control-allow-origin': '*', 'access-control-expose-headers': 'Retry-After' }, body: '' });
      default:
        return answer(await forward(request, body));
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    counts,
    close() {
      server.closeAllConnections();
      agent.destroy();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
