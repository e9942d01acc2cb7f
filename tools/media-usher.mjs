#!/usr/bin/env node
// @ts-check
/** `npx media-usher`: in a clone the sources run as they are; the package has what was built from them. */
import { existsSync } from 'node:fs';

const sources = new URL('../admin/cli.ts', import.meta.url);
await import((existsSync(sources) ? sources : new URL('../dist/admin/cli.js', import.meta.url)).href);
