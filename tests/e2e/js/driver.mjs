// Drives one browser for the tests: one page per client, commands and events as JSON lines on stdin and stdout.
//
// Owns the browser process, the pages and the small web server they load from. Knows nothing of LiveKit: what happens in
// a page is in page.js and in the tests. The first argument is `chromium`, `chromium-refusing` or `firefox`;
// more are Chromium's own.
//
// Command:  {"id": 1, "do": "open"|"run"|"close"|"quit", "page": "p1", "body": "<js>", "args": {}}, and visitor.mjs's
// Answer:   {"id": 1, "value": …} or {"id": 1, "error": "…"};   event: {"page": "p1", "event": "<name>", "args": […]}
import { readFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';

import puppeteer from 'puppeteer-core';

import { visitorCommands } from './visitor.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const kind = process.argv[2];
const FILES = {
  '/': ['text/html', '<!doctype html><meta charset="utf-8"><title>e2e</title>'
    + '<script src="/livekit-client.js"></script><script src="/page.js"></script>'],
  '/livekit-client.js': ['text/javascript', readFileSync(path.join(here, 'node_modules/livekit-client/dist/livekit-client.umd.js'))],
  '/livekit-e2ee.js': ['text/javascript', readFileSync(path.join(here, 'node_modules/livekit-client/dist/livekit-client.e2ee.worker.js'))],
  '/livekit-metadata.js': ['text/javascript', readFileSync(path.join(here, 'node_modules/livekit-client/dist/livekit-client.fm.worker.js'))],
  '/page.js': ['text/javascript', readFileSync(path.join(here, 'page.js'))],
};

const write = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

function serve() {
  const server = http.createServer((request, response) => {
    const [type, body] = FILES[request.url] ?? ['text/plain', undefined];
    response.writeHead(body === undefined ? 404 : 200, { 'Content-Type': type });
    response.end(body);
  });
  return new Promise((resolve) => { server.listen(0, '127.0.0.1', () => resolve(server)); });
}

const chromiumWith = (...more) => ({
  executablePath: process.env.PLENUM_E2E_CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox', '--disable-gpu', '--use-fake-device-for-media-stream',
    '--auto-accept-this-tab-capture', '--autoplay-policy=no-user-gesture-required',
    '--disable-background-timer-throttling', '--disable-renderer-backgrounding',
    '--disable-backgrounding-occluded-windows', '--disable-dev-shm-usage', ...more,
  ],
});

const launchOptions = {
  chromium: chromiumWith('--use-fake-ui-for-media-stream', ...process.argv.slice(3)),
  // Nobody answers the question whether the page may use the devices but `visit`, with no.
  'chromium-refusing': chromiumWith(),
  firefox: {
    browser: 'firefox',
    executablePath: process.env.PLENUM_E2E_FIREFOX ?? '/usr/bin/firefox-esr',
    extraPrefsFirefox: {
      'media.navigator.streams.fake': true, 'media.navigator.permission.disabled': true, 'media.autoplay.default': 0,
      'media.navigator.audio.fake_frequency': 440,
      'media.peerconnection.ice.obfuscate_host_addresses': false, 'dom.min_background_timeout_value': 4,
    },
  },
}[kind];

const server = await serve();
const address = `http://127.0.0.1:${server.address().port}/`;
const browser = await puppeteer.launch({ headless: true, protocolTimeout: 180_000, ...launchOptions });
const pages = new Map();

async function open(name) {
  const page = await browser.newPage();
  page.on('pageerror', (error) => write({ page: name, event: 'pageerror', args: [String(error)] }));
  page.on('console', (line) => write({ page: name, event: 'console', args: [line.type(), line.text()] }));
  await page.exposeFunction('e2eNotify', (event, args) => write({ page: name, event, args }));
  await page.goto(address);
  pages.set(name, page);
}

const commands = {
  ...visitorCommands(browser, pages, write),
  open: ({ page }) => open(page),
  run: async ({ page, body, args }) => pages.get(page).evaluate((text, given) => window.e2e.run(text, given), body, args ?? {}),
  close: async ({ page }) => { await pages.get(page)?.close(); pages.delete(page); },
  quit: async () => { await browser.close(); server.close(); },
};

async function obey(line) {
  const command = JSON.parse(line);
  try {
    const value = await commands[command.do](command);
    write({ id: command.id, value: value ?? null });
  } catch (error) {
    write({ id: command.id, error: String(error?.message ?? error) });
  }
  if (command.do === 'quit') process.exit(0);
}

const input = readline.createInterface({ input: process.stdin });
input.on('line', (line) => { obey(line); });
input.on('close', async () => { await browser.close().catch(() => {}); process.exit(0); });
write({ ready: await browser.version() });
