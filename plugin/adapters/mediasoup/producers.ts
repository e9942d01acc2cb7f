/** Producers of the app: what they make, and their way into this process. */
import type { types } from 'mediasoup';
import type { VideoCodec } from '../../ports.ts';
import { formOf } from './codecs.ts';

/** Packets of one producer, or of one of its layers, on their way here. */
export interface Source {
  readonly producer: types.Producer;
  readonly transport: types.DirectTransport;
  readonly consumer: types.Consumer;
}

/** The codec of a producer as the stage knows it. */
export function videoCodecOf({ rtpParameters }: types.Producer): VideoCodec | undefined {
  const { mimeType = '', parameters = {} } = rtpParameters.codecs[0] ?? {};
  const named: Record<string, unknown> = parameters;
  const { 'profile-level-id': h264, 'profile-id': vp9, profile: av1 } = named;
  switch (mimeType.toLowerCase()) {
    case 'video/h264':
      // What mediasoup takes it for when it is not said; RFC 6184 would have Baseline.
      return { name: 'H264', profileLevelId: typeof h264 === 'string' ? h264 : '42e01f' };
    case 'video/vp8':
      return { name: 'VP8' };
    case 'video/vp9':
      return { name: 'VP9', profileId: Number(vp9 ?? 0) };
    case 'video/av1':
      return { name: 'AV1', profile: Number(av1 ?? 0) };
    default:
      return undefined;
  }
}

/**
 * What producers must have in common to follow each other.
 * @throws TypeError saying what the stage does not carry
 */
export function formKeyOf(kind: types.MediaKind, producer: types.Producer): string {
  const { mimeType = 'nothing', channels } = producer.rtpParameters.codecs[0] ?? {};
  if (producer.kind !== kind) throw new TypeError(`the ${kind} producer makes ${producer.kind}`);
  if (producer.closed) throw new TypeError(`the ${kind} producer is closed`);
  if (kind === 'audio') {
    if (mimeType.toLowerCase() === 'audio/opus' && channels === 2) return 'opus';
    throw new TypeError(`the stage carries Opus, not ${mimeType}`);
  }
  const codec = videoCodecOf(producer);
  const form = codec && formOf(codec);
  if (form === undefined) throw new TypeError(`the stage does not carry ${mimeType} of this profile`);
  return form.key;
}

/** Simulcast layers of a producer, each an encoding of its own; 1 for one without. */
export const layersOf = ({ type, rtpParameters }: types.Producer): number =>
  type === 'simulcast' ? (rtpParameters.encodings?.length ?? 1) : 1;

/**
 * How many strands a producer is to feed, and with which of its layers: the topmost strand always gets its highest, so
 * that producers of fewer or more layers can follow each other.
 */
export function layersFor(producer: types.Producer, strands: number): number[] {
  const highest = layersOf(producer) - 1;
  return Array.from({ length: strands }, (_each, index) => (index === strands - 1 ? highest : index));
}

/** The layers that are in each of its packets' own encoding (SVC), where their codec shows them to the worker. */
export function scalabilityModeOf({ rtpParameters }: types.Producer): string | undefined {
  const isReadable = /^video\/(vp8|vp9)$/i.test(rtpParameters.codecs[0]?.mimeType ?? '');
  return isReadable
    ? rtpParameters.encodings?.find(({ scalabilityMode }) => scalabilityMode)?.scalabilityMode
    : undefined;
}

/**
 * Has a producer, or one of its simulcast layers, consumed into this process. While a layer is not sent, the next lower
 * one comes in its place, or the lowest that there is.
 * @param layer from 0, the lowest; above the highest it is the highest
 * @throws TypeError when it is not on the router
 */
export async function openSource(
  router: types.Router,
  producer: types.Producer,
  layer: number,
): Promise<Source> {
  // No retransmission, nor header extensions: the way here loses nothing, and extensions are for the one hop.
  const codecs = (router.rtpCapabilities.codecs ?? []).filter(({ mimeType }) => !/\/rtx$/i.test(mimeType));
  const wanted = { producerId: producer.id, rtpCapabilities: { codecs, headerExtensions: [] } };
  if (!router.canConsume(wanted)) throw new TypeError(`the ${producer.kind} producer is not on this router`);
  const transport = await router.createDirectTransport();
  try {
    const spatialLayer = Math.min(layer, layersOf(producer) - 1);
    const preferred = producer.type === 'simulcast' ? { preferredLayers: { spatialLayer } } : {};
    const options = { ...wanted, ...preferred, paused: true, enableRtx: false };
    return { producer, transport, consumer: await transport.consume(options) };
  } catch (error) {
    transport.close();
    throw error;
  }
}
