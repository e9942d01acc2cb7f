/** Bundles the player: `node player-demo/build.ts` writes player-demo/dist. No plug-ins, no network. */
import { build } from 'esbuild';
import { copyFile, mkdir, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

/** Browsers with Ed25519 or at least P-256 in WebCrypto, and WebRTC as WHEP needs it. */
const TARGETS = ['chrome116', 'firefox121', 'safari17'];
const COPIED = ['index.html', 'favicon.svg'];

const here = fileURLToPath(new URL('.', import.meta.url));

/** Builds into `outDir`, which is emptied first. */
export async function buildPlayer(outDir = `${here}dist`): Promise<void> {
  await rm(outDir, { recursive: true, force: true });
  await mkdir(outDir, { recursive: true });
  await Promise.all([
    build({
      entryPoints: { app: `${here}src/main.ts` },
      outdir: outDir,
      bundle: true,
      minify: true,
      format: 'esm',
      platform: 'browser',
      target: TARGETS,
      legalComments: 'none',
      logLevel: 'warning',
    }),
    build({
      entryPoints: { app: `${here}app.css` },
      bundle: true,
      outdir: outDir,
      minify: true,
      target: TARGETS,
      logLevel: 'warning',
    }),
    ...COPIED.map((name) => copyFile(`${here}${name}`, `${outDir}/${name}`)),
  ]);
}

if (import.meta.main) await buildPlayer();
