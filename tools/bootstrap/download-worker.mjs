// @ts-check
/**
 * Fetches mediasoup's prebuilt worker:  download-worker.mjs URL FILE
 *
 * The release carries no checksums: what is trusted is the server's certificate. The parent limits the time.
 */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { gunzipSync } from 'node:zlib';

const MAX_ARCHIVE_BYTES = 64 * 2 ** 20;
const MAX_UNPACKED_BYTES = 256 * 2 ** 20;
const TAR_BLOCK_BYTES = 512;

const [url, file] = process.argv.slice(2);
if (url === undefined || file === undefined) throw new TypeError('usage: download-worker.mjs URL FILE');

try {
  const worker = fileInTar(
    gunzipSync(await fetchBytes(url), { maxOutputLength: MAX_UNPACKED_BYTES }),
    basename(file),
  );
  mkdirSync(dirname(file), { recursive: true });
  const unfinished = `${file}.${process.pid}`;
  writeFileSync(unfinished, worker, { mode: 0o755 });
  renameSync(unfinished, file);
} catch (error) {
  const { message, cause } = /** @type {Error & { cause?: Error }} */ (error);
  console.error(cause === undefined ? message : `${message}: ${cause.message}`);
  process.exit(1);
}

/** @param {string} address */
async function fetchBytes(address) {
  const response = await fetch(address);
  if (!response.ok || response.body === null) throw new Error(`the server answers ${response.status}`);
  const chunks = [];
  let bytes = 0;
  for await (const chunk of response.body) {
    bytes += chunk.length;
    if (bytes > MAX_ARCHIVE_BYTES) throw new Error('the archive is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/**
 * The content of a regular file in a tar archive (POSIX ustar: name at 0, octal size at 124, type at 156).
 *
 * @param {Buffer} tar
 * @param {string} name the last part of its path
 */
function fileInTar(tar, name) {
  for (let at = 0; at + TAR_BLOCK_BYTES <= tar.length;) {
    const header = tar.subarray(at, at + TAR_BLOCK_BYTES);
    const path = header.toString('latin1', 0, 100).replace(/\0.*$/s, '');
    const size = Number.parseInt(header.toString('latin1', 124, 136), 8) || 0;
    const start = at + TAR_BLOCK_BYTES;
    const isFile = header[156] === 0x30 || header[156] === 0;
    if (isFile && basename(path) === name) {
      if (start + size > tar.length) throw new Error('the archive is cut short');
      return tar.subarray(start, start + size);
    }
    at = start + Math.ceil(size / TAR_BLOCK_BYTES) * TAR_BLOCK_BYTES;
  }
  throw new Error(`the archive has no ${name}`);
}
