/** Why nothing is played: the message is for people, and has no ticket, key or pass in it. */
export class PlayError extends Error {
  override readonly name = 'PlayError';
}
