/** `node --import` this: `media-usher` is this repository's source, as package.json exports it, without a build. */
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { z } from 'zod';

const root = new URL('../../', import.meta.url);
const manifest = z.object({
  name: z.string(),
  exports: z.record(z.string(), z.union([z.string(), z.object({ default: z.string() })])),
});
const { name, exports } = manifest.parse(JSON.parse(readFileSync(new URL('package.json', root), 'utf8')));

registerHooks({
  resolve(specifier, context, next) {
    if (specifier !== name && !specifier.startsWith(`${name}/`)) return next(specifier, context);
    const entry = exports[`.${specifier.slice(name.length)}`];
    if (typeof entry !== 'object') return next(specifier, context);
    const source = entry.default.replace(/^\.\/dist\//, './').replace(/\.js$/, '.ts');
    return next(new URL(source, root).href, context);
  },
});
