/** Writing MIKEY messages. */
import {
  AUTHENTICATIONS,
  DATA_TYPES,
  ENCRYPTIONS,
  ID_KINDS,
  LAST_PAYLOAD,
  MAC_BYTES,
  MAP_SRTP_ID,
  MAX_ID_BYTES,
  MAX_MESSAGE_BYTES,
  MAX_PARAMETERS,
  MAX_PAYLOADS,
  MAX_RAND_BYTES,
  MAX_SESSIONS,
  MIN_RAND_BYTES,
  PAYLOADS,
  PRF_MIKEY_1,
  PROTOCOL_SRTP,
  TIMESTAMPS,
  VERSION,
  type MacAlgorithm,
  type MikeyHeader,
  type MikeyMessage,
  type MikeyPayload,
  type PolicyPayload,
  type TimestampPayload,
} from './message.ts';
import { requireLength, uint16, uint32, uint64, uint8 } from './octets.ts';

/** The field TS value: 8 bytes, of a COUNTER 4. */
export function timestampBytes({ kind, value }: TimestampPayload): Buffer {
  return kind === 'COUNTER' ? uint32(Number(value)) : uint64(value);
}

function macParts(authentication: MacAlgorithm, mac: Uint8Array): Uint8Array[] {
  const bytes = authentication === 'NULL' ? 0 : MAC_BYTES;
  requireLength(mac, bytes, bytes, 'a MAC');
  return [uint8(AUTHENTICATIONS.indexOf(authentication)), mac];
}

function policyParts({ policy, parameters }: PolicyPayload): Uint8Array[] {
  const isRepeated = new Set(parameters.map(({ parameter }) => parameter)).size < parameters.length;
  if (parameters.length > MAX_PARAMETERS || isRepeated)
    throw new RangeError(`an SP has at most ${MAX_PARAMETERS} parameters, each once`);
  const content = parameters.flatMap(({ parameter, value }) => [
    uint8(parameter),
    uint8(value.length),
    value,
  ]);
  const bytes = content.reduce((sum, part) => sum + part.length, 0);
  return [uint8(policy), uint8(PROTOCOL_SRTP), uint16(bytes), ...content];
}

/** What follows the field "next payload". */
function payloadParts(payload: MikeyPayload): Uint8Array[] {
  switch (payload.type) {
    case 'T':
      return [uint8(TIMESTAMPS.indexOf(payload.kind)), timestampBytes(payload)];
    case 'RAND':
      requireLength(payload.rand, MIN_RAND_BYTES, MAX_RAND_BYTES, 'RAND');
      return [uint8(payload.rand.length), payload.rand];
    case 'SP':
      return policyParts(payload);
    case 'KEMAC': {
      const { encryption, data, authentication, mac } = payload;
      const head = [uint8(ENCRYPTIONS.indexOf(encryption)), uint16(data.length), data];
      return [...head, ...macParts(authentication, mac)];
    }
    case 'V':
      return macParts(payload.authentication, payload.mac);
    case 'ID':
      requireLength(payload.id, 0, MAX_ID_BYTES, 'an ID');
      return [uint8(ID_KINDS.indexOf(payload.kind)), uint16(payload.id.length), payload.id];
    case 'ERR':
      return [uint8(payload.errorNumber), uint16(0)];
    case 'EXT':
      return [uint8(payload.extension), uint16(payload.data.length), payload.data];
  }
}

function headerParts({ dataType, verify, csbId, sessions }: MikeyHeader, next: number): Uint8Array[] {
  if (sessions.length > MAX_SESSIONS)
    throw new RangeError(`a message has at most ${MAX_SESSIONS} crypto sessions`);
  const [dataNumber = 0] = [...DATA_TYPES].find(([, name]) => name === dataType) ?? [];
  const flags = (verify ? 0x80 : 0) | PRF_MIKEY_1;
  return [
    Buffer.from([VERSION, dataNumber, next, flags]),
    uint32(csbId),
    Buffer.from([sessions.length, MAP_SRTP_ID]),
    ...sessions.flatMap(({ policy, ssrc, roc }) => [uint8(policy), uint32(ssrc), uint32(roc)]),
  ];
}

/**
 * Writes a message; MACs are taken as they are.
 * @throws RangeError for what is out of bounds
 */
export function buildMikey({ header, payloads }: MikeyMessage): Buffer {
  if (payloads.length > MAX_PAYLOADS) throw new RangeError(`a message has at most ${MAX_PAYLOADS} payloads`);
  const numberAt = (index: number): number => {
    const payload = payloads[index];
    return payload === undefined ? LAST_PAYLOAD : PAYLOADS[payload.type];
  };
  const parts = payloads.flatMap((payload, index) => [uint8(numberAt(index + 1)), ...payloadParts(payload)]);
  const message = Buffer.concat([...headerParts(header, numberAt(0)), ...parts]);
  if (message.length > MAX_MESSAGE_BYTES)
    throw new RangeError(`a message has at most ${MAX_MESSAGE_BYTES} bytes`);
  return message;
}
