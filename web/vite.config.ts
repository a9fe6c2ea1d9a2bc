import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import react from '@vitejs/plugin-react';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

/** The server that `npm run dev` forwards to, e.g. one started with `plenum dev`. */
const SERVER = 'http://127.0.0.1:7880';

/** Puts `x.gz` beside every file that shrinks: aiohttp sends it to browsers that take it, a third of the bytes. */
function gzipped(): Plugin {
  return {
    name: 'gzipped',
    apply: 'build',
    writeBundle({ dir }, bundle) {
      for (const name of Object.keys(bundle).filter((file) => /\.(js|css)$/.test(file))) {
        const file = path.join(dir ?? '', name);
        writeFileSync(`${file}.gz`, gzipSync(readFileSync(file), { level: 9 }));
      }
    },
  };
}

/** The page handles tokens: nothing but its own files may run in it. (`npm run dev` needs inline scripts.) */
const POLICY = [
  "default-src 'self'",
  "connect-src 'self' ws: wss:",
  "img-src 'self' data: blob:",
  "media-src 'self' data: blob: mediastream:",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

function contentSecurityPolicy(): Plugin {
  return {
    name: 'content-security-policy',
    apply: 'build',
    transformIndexHtml: () => [
      { tag: 'meta', attrs: { 'http-equiv': 'Content-Security-Policy', content: POLICY }, injectTo: 'head-prepend' },
    ],
  };
}

export default defineConfig({
  // Relative URLs: the page works at `/` and mounted under any base path.
  base: './',
  plugins: [react(), contentSecurityPolicy(), gzipped()],
  build: {
    outDir: '../plenum/static',
    emptyOutDir: true,
    // livekit-client with its protocol messages is about 800 kB before compression; it is all needed to join.
    chunkSizeWarningLimit: 1000,
    license: false,
  },
  server: {
    proxy: {
      '/rtc': { target: SERVER, ws: true },
      // As an object: the short form changes the host, and then the server rightly takes the page for a stranger.
      '/token': { target: SERVER },
      '/page.json': { target: SERVER },
    },
  },
  test: {
    include: ['src/**/*.test.ts'],
    environment: 'node',
  },
});
