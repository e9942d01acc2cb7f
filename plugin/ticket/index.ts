/** Tickets: issuing, opening, keys, and proof of possession. Exports only. */
export { parseAuthorization, type PresentedTicket } from './authorization.ts';
export {
  CHARGING_MODES,
  MAX_TICKET_CHARS,
  serverIdSchema,
  SUITES,
  ticketClaimsSchema,
  type TicketClaims,
} from './claims.ts';
export { openClientPart } from './client-part.ts';
export { inspectTicket, type Inspection, type InspectOptions } from './inspect.ts';
export { isSealKey, issueTicket, type IssuedTicket, type TicketOrder } from './issue.ts';
export { createRemoteKeySource, createStaticKeySource, type RemoteKeySourceOptions } from './key-sources.ts';
export {
  generateSealingKey,
  generateSigningKey,
  importSigningKey,
  importVerifyKey,
  signingAlgOf,
  thumbprint,
  toPublicJwk,
  type SealingCurve,
  type SealingKeyPair,
  type SigningAlg,
  type SigningKey,
  type SigningKeyPair,
} from './keys.ts';
export { createNonces, type Nonces, type NoncesOptions } from './nonces.ts';
export {
  authorizeTicket,
  CLOCK_TOLERANCE_SECONDS,
  openTicket,
  unsealTicket,
  verifyTicket,
  type OpenedTicket,
  type TicketSecret,
  type VerifyTicketOptions,
} from './open.ts';
export { createPassBook, isPass, PASS_SECONDS, type PassBook, type TakenPass } from './pass.ts';
export {
  createProof,
  createProofVerifier,
  MAX_PROOF_CHARS,
  type ProofClaims,
  type ProofOptions,
  type ProofRequest,
  type ProofVerifier,
  type ProofVerifierOptions,
} from './proof.ts';
export { openSharedReplay, type SharedReplay, type SharedReplayOptions } from './replay-log.ts';
export { createReplayMemory, type ReplayMemory, type ReplayMemoryOptions } from './replay.ts';
export { importSealingKey, type Recipient } from './sealed.ts';
export {
  signServerMessage,
  verifyServerMessage,
  type ServerMessageTyp,
  type SignServerMessageOptions,
  type VerifyServerMessageOptions,
} from './server-message.ts';
export { createStreamKey, hashStreamKey, isStreamKey } from './stream-key.ts';
export { normalizeUrl } from './url.ts';
