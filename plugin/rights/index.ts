export { coversPath, isStreamPath } from './path.ts';
export {
  askSchema,
  authorizeAsk,
  isCounted,
  requireAsMuch,
  rightsSchema,
  tierOf,
  tierSchema,
  UNLIMITED_PLAY,
} from './rights.ts';
export type { Ask, Rights, Tier } from './rights.ts';
