/** Genuine tickets and proofs in requests that they are not for. */
import type { Mutate } from './ticket-mutants.ts';

export const REQUEST_MUTANTS: Readonly<Record<string, Mutate>> = {
  'request: no proof': ({ random }, { base, request }) =>
    base.holder === null ? null : { ...request, proof: random.pick([undefined, '']) },
  'request: a bound ticket as Bearer': (_world, { base, request }) =>
    base.holder === null ? null : { ...request, authorization: `Bearer ${base.ticket}` },
  'request: a bearer ticket as DPoP': (world, { base, request }) => {
    if (base.holder !== null) return null;
    const prover = world.bases.find(({ holder }) => holder !== null);
    const proof = prover === undefined ? undefined : world.honest(prover).request.proof;
    return { ...request, authorization: `DPoP ${base.ticket}`, proof };
  },
  'request: no ticket, or another scheme': ({ random }, { base, request }) => {
    const { ticket } = base;
    const headers = [
      undefined,
      '',
      ticket,
      'DPoP',
      'DPoP ',
      `Basic ${ticket}`,
      `Token ${ticket}`,
      `DPoP ${ticket}, DPoP ${ticket}`,
      `DPoP ${ticket} ${ticket}`,
      `DPoP\t${ticket}`,
      `DPoP token="${ticket}"`,
      `Bearer DPoP ${ticket}`,
    ];
    return { ...request, authorization: random.pick(headers) };
  },
  'request: the proof as the ticket': (_world, { base, request }) =>
    base.holder === null ? null : { ...request, authorization: `DPoP ${request.proof ?? ''}` },
  'request: the ticket as the proof': (_world, { base, request }) =>
    base.holder === null ? null : { ...request, proof: base.ticket },
  'request: ticket and proof in each other’s place': (_world, { base, request }) =>
    base.holder === null
      ? null
      : { ...request, authorization: `DPoP ${request.proof ?? ''}`, proof: base.ticket },
  'request: a client part as the ticket': ({ tools }, { base, request }) => {
    const part = tools.clientPartFrom(
      'forge',
      JSON.stringify({ jti: base.claims['jti'] }),
      tools.keys.client,
    );
    return { ...request, authorization: `DPoP ${part}` };
  },
  'request: the proof of another ticket': (world, { base, request }) => {
    if (base.holder === null) return null;
    const other = world.otherThan(base);
    const { proof } = world.honest(other).request;
    return proof === undefined ? null : { ...request, proof };
  },
  'request: for another stream': (world, { base, request }) => {
    const { uri, url } = world.otherThan(base);
    return { ...request, uri, url };
  },
  'request: for another stream, with the ticket’s URL': (world, { base, request }) => ({
    ...request,
    uri: world.otherThan(base).uri,
  }),
  'request: at another URL': ({ random }, { base, request }) =>
    base.holder === null
      ? null
      : { ...request, url: random.pick([`${request.url}/x`, 'https://edge-2.example.com/whep/live/a', '']) },
  'request: by another method': ({ random }, { base, request }) =>
    base.holder === null ? null : { ...request, method: random.pick(['GET', 'PATCH', 'DELETE', 'post']) },
  'request: with another fingerprint': ({ random }, { base, request }) =>
    base.holder === null
      ? null
      : { ...request, fingerprint: `sha-256 ${random.bytes(32).toString('hex').toUpperCase()}` },
  'request: from another address': ({ random }, { base, request }) =>
    'addr' in base.claims ? { ...request, peer: `192.0.2.${2 + random.int(200)}` } : null,
};
