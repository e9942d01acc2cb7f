/** Builds what the npm package holds: dist/ (JavaScript and declarations) and the player's bundle. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, run } from './run.ts';

rmSync(join(ROOT, 'dist'), { recursive: true, force: true });
run('tsc', ['-p', 'tools/tsconfig.build.json']);
run('node', ['player-demo/build.ts']);
console.log('built dist/ and player-demo/dist/');
