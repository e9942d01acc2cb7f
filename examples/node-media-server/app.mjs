// The stock app of node-media-server; the lines that end in "usher" are all that is added.
import { readFileSync } from 'node:fs';
import NodeMediaServer from 'node-media-server';
import { openGate } from 'media-usher'; // usher
import { guardNodeMediaServer } from 'media-usher/adapters/node-media-server'; // usher

const configFile = process.argv[2] ?? new URL('config.json', import.meta.url);
const config = JSON.parse(readFileSync(configFile, 'utf8'));
const nms = new NodeMediaServer(config);

const usher = await openGate(); // usher
guardNodeMediaServer(nms, usher.gate, usher); // usher
usher.exitOnSignals(() => nms.stop()); // usher

nms.run();
