// A shop of its own with a server of its own, and how many events its journal holds of each customer.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const program = process.env.PERENNIAL_PROGRAM;

export async function startShop() {
  const folder = mkdtempSync(join(tmpdir(), 'perennial-delivery-'));
  const shop = join(folder, 'shop');
  execFileSync(program, ['init', shop]);
  const server = spawn(program, ['serve', '--shop', shop, '--listen', '127.0.0.1:0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => server.once('exit', resolve));
  let said = '';
  const url = await new Promise((resolve, reject) => {
    server.once('exit', () => reject(new Error(`the server ended: ${said}`)));
    server.stdout.on('data', (text) => {
      said += text;
      const found = /Ctrl-C stops/.test(said) && /http:\/\/127\.0\.0\.1:\d+/.exec(said);
      if (found) resolve(found[0]);
    });
  });
  const counter = async (name) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(await (await fetch(`${url}/metrics`)).text())?.[1] ?? NaN);
  return {
    url,
    counter,
    async stop() {
      server.kill('SIGTERM');
      await ended;
    },
    // Of the stopped shop, from its journal.
    eventsOf(user) {
      const customer = JSON.parse(execFileSync(program, ['customer', '--shop', shop, user, '--json'], { maxBuffer: 1 << 28 }));
      return customer.events_total;
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
