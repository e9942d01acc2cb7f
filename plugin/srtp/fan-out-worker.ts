/** A thread of a fan-out. */
import { parentPort, workerData } from 'node:worker_threads';
import { createLane } from './fan-out-lane.ts';
import { openSocket } from './fan-out-socket.ts';
import { RECORD_HEAD_BYTES, type ThreadData, type ThreadMessage } from './fan-out-thread.ts';

const { local, maxQueuedBytes, done } = workerData as ThreadData;
const doneBytes = new Uint32Array(done);
const socket = await openSocket(local);
const lane = createLane(socket, maxQueuedBytes);

function sendAll(packets: Uint8Array): void {
  const records = Buffer.from(packets.buffer, packets.byteOffset, packets.length);
  for (let at = 0; at < records.length;) {
    const start = at + RECORD_HEAD_BYTES;
    const end = start + records.readUInt32LE(at + 4);
    lane.send(records.readUInt32LE(at), records.subarray(start, end));
    Atomics.add(doneBytes, 0, end - at);
    at = end;
  }
}

function obey(message: ThreadMessage): void {
  switch (message.do) {
    case 'add':
      lane.add(message.stream, message.id, message.outlet, message.counters);
      break;
    case 'rekey':
      lane.rekey(message.id, message.key);
      break;
    case 'pause':
      lane.setPaused(message.id, message.isPaused);
      break;
    case 'remove':
      lane.remove(message.id);
      break;
    case 'closeStream':
      lane.closeStream(message.stream);
      break;
    case 'send':
      sendAll(message.packets);
      break;
    case 'close':
      lane.close();
      socket.close();
      parentPort?.close();
  }
}

parentPort?.on('message', obey);
parentPort?.postMessage('open');
