/** Ticketed, encrypted streaming: what a media server of your own is composed of. Exports only. */
export { systemClock } from './clock.ts';
export { readMediaConfig, type MediaConfig } from './config.ts';
export {
  END_REASONS,
  HEALTH_WARNINGS,
  heartbeatSchema,
  publisherHealthSchema,
  receiptBatchSchema,
  receiptSchema,
  receiptsStoredSchema,
  redeemedSchema,
  redemptionSchema,
  revocationSchema,
  revocationsRequestSchema,
  snapshotSchema,
  streamsReportSchema,
  type AccessRequest,
  type EndReason,
  type Grant,
  type HealthWarning,
  type Protocol,
  type PublisherHealth,
  type Receipt,
  type ReceiptBatch,
  type ReceiptsStored,
  type Redeemed,
  type Redemption,
  type Revocation,
  type RevocationSnapshot,
  type RevocationsRequest,
  type SessionRequest,
  type StreamStatus,
} from './contract.ts';
export {
  asDenial,
  Denial,
  problemResponse,
  refusalOf,
  REFUSALS,
  type Code,
  type DenialOptions,
} from './errors.ts';
export { createGate, type Gate, type GateOptions, type Media } from './gate.ts';
export { createPassDesk, type PassClient, type PassDesk, type PassDeskOptions } from './http/pass.ts';
export { createLiveFeed } from './media/live.ts';
export { enrol, rotateServerKeys, type EnrolOptions, type RotateOptions } from './enrolment.ts';
export { createKeyVault, type KeyVault, type KeyVaultOptions } from './key-vault.ts';
export { createPinning, loadPins, type Pins } from './order-server-pins.ts';
export {
  createPublisherHealth,
  type PublisherHealthMeter,
  type PublisherHealthOptions,
} from './media/publisher-health.ts';
export { openGate, type OpenedGate } from './open-gate.ts';
export { openStage, type OpenedStage, type OpenStageOptions } from './open-stage.ts';
export type { NodeHandler } from './http/node-handler.ts';
export { createOrderServer, type OrderServer, type OrderServerOptions } from './order-server.ts';
export type * from './ports.ts';
export { playEndpoints, type PlayEndpoints, type PublicUrls } from './public-urls.ts';
export { createReceiptChain, receiptHash } from './receipts/chain.ts';
export {
  openDurableOutbox,
  type DurableOutbox,
  type DurableOutboxOptions,
} from './receipts/durable-outbox.ts';
export { createOutbox, type Outbox, type OutboxOptions } from './receipts/outbox.ts';
export { createReports, type ReportsOptions } from './reports.ts';
export {
  createRevocationFeed,
  type FeedStats,
  type RevocationFeed,
  type RevocationFeedOptions,
} from './revocations/feed.ts';
export * from './rights/index.ts';
export { loadOrCreateServerKeys, type ServerKeys } from './server-keys.ts';
export { createStreamsReport, type StreamsReport, type StreamsReportOptions } from './streams-report.ts';
export type { Session } from './session.ts';
