/** SETUP's `Transport` header (RFC 2326 section 12.39). */
import { RtspSyntaxError } from './syntax-error.ts';

/** One way to send that a client can take. */
export type RtspTransport =
  | {
      readonly lower: 'udp';
      /** As the client wrote it, to be repeated: ffmpeg asks for `RTP/AVP` where the description says `RTP/SAVP`. */
      readonly profile: string;
      /** 1024 to 65,535: RTP and RTCP. */
      readonly clientPorts: readonly [number, number];
    }
  | {
      readonly lower: 'tcp';
      readonly profile: string;
      /** 0 to 255, different; `undefined`: the server chooses. */
      readonly channels: readonly [number, number] | undefined;
    };

const MAX_CHARS = 2048;
const MAX_SPECS = 8;
const MAX_PARAMETERS = 16;
const PROFILE = /^(RTP\/S?AVPF?)(?:\/(UDP|TCP))?$/;
const PARAMETER = /^([A-Za-z0-9_-]{1,32})(?:=("[^"]{0,256}"|[^"]{0,256}))?$/;
const RANGE = /^([0-9]{1,5})(?:-([0-9]{1,5}))?$/;
/** Below are the ports of services, which nobody plays media at. */
const MIN_PORT = 1024;

function readRange(text: string | undefined, low: number, high: number): [number, number] | undefined {
  const [, first, second] = RANGE.exec(text ?? '') ?? [];
  if (first === undefined) return undefined;
  const range: [number, number] = [Number(first), Number(second ?? Number(first) + 1)];
  const isWithin = range.every((number) => number >= low && number <= high);
  return isWithin && range[0] !== range[1] ? range : undefined;
}

/** One way; `undefined` for one that this server does not have (multicast, recording, other protocols). */
function readSpec(spec: string): RtspTransport | undefined {
  const [name = '', ...rest] = spec.trim().split(';');
  if (rest.length > MAX_PARAMETERS) throw new RtspSyntaxError(400, 'a transport has too many parameters');
  const parameters = new Map<string, string>();
  for (const part of rest) {
    if (part === '') continue;
    const [, key, value = ''] = PARAMETER.exec(part.trim()) ?? [];
    if (key === undefined) throw new RtspSyntaxError(400, 'a parameter of the transport is malformed');
    const lower = key.toLowerCase();
    // Two of them could be read in two ways.
    if (parameters.has(lower)) throw new RtspSyntaxError(400, 'a parameter of the transport comes twice');
    parameters.set(lower, value.replace(/^"|"$/g, ''));
  }
  const [, profile, lower = 'UDP'] = PROFILE.exec(name) ?? [];
  const isPlay = (parameters.get('mode') ?? 'play').toLowerCase() === 'play';
  if (profile === undefined || parameters.has('multicast') || !isPlay) return undefined;
  if (lower === 'TCP') {
    const asked = parameters.get('interleaved');
    const channels = readRange(asked, 0, 255);
    if (asked !== undefined && channels === undefined) return undefined;
    return { lower: 'tcp', profile: name, channels };
  }
  // `destination` is not looked at: RTP goes to the address that asks, and to no other.
  const clientPorts = readRange(parameters.get('client_port'), MIN_PORT, 65_535);
  return clientPorts && { lower: 'udp', profile: name, clientPorts };
}

/**
 * The ways that a client offers, best first, without those that this server does not have.
 * @throws RtspSyntaxError
 */
export function parseTransport(value: string): RtspTransport[] {
  if (value.length > MAX_CHARS) throw new RtspSyntaxError(400, 'the transport is too long');
  const specs = value.split(',');
  if (specs.length > MAX_SPECS) throw new RtspSyntaxError(400, 'too many transports');
  return specs.map(readSpec).filter((spec) => spec !== undefined);
}

/** The way that was chosen, with what the server adds. */
export type ChosenTransport =
  | (Extract<RtspTransport, { lower: 'udp' }> & { readonly serverPorts: readonly [number, number] })
  | (Extract<RtspTransport, { lower: 'tcp' }> & { readonly channels: readonly [number, number] });

/** @param ssrc of the RTP that will be sent */
export function formatTransport(chosen: ChosenTransport, ssrc: number): string {
  const range = ([first, second]: readonly [number, number]): string => `${String(first)}-${String(second)}`;
  const way =
    chosen.lower === 'tcp'
      ? `interleaved=${range(chosen.channels)}`
      : `client_port=${range(chosen.clientPorts)};server_port=${range(chosen.serverPorts)}`;
  return `${chosen.profile};unicast;${way};ssrc=${ssrc.toString(16).toUpperCase().padStart(8, '0')};mode="PLAY"`;
}
