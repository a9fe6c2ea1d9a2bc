import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

/** The server that `npm run dev` forwards to, e.g. one started with `plenum dev`. */
const SERVER = 'http://127.0.0.1:7880';

export default defineConfig({
  // Relative URLs: the page works at `/` and mounted under any base path.
  base: './',
  plugins: [react()],
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
      '/token': SERVER,
      '/page.json': SERVER,
    },
  },
  test: {
    include: ['src/**/*.test.ts'],
    environment: 'node',
  },
} as Parameters<typeof defineConfig>[0]);
