/** Why a MIKEY message is refused. */

/** The number of each refusal in an ERR payload (RFC 3830 section 6.12). */
const ERROR_NUMBERS = {
  unauthentic: 0,
  invalid_timestamp: 1,
  replayed: 1,
  unsupported_prf: 2,
  unsupported_mac: 3,
  unsupported_encryption: 4,
  invalid_policy: 9,
  unsupported_data_type: 11,
  malformed: 12,
  unsupported: 12,
  overloaded: 12,
} as const;

export type MikeyErrorCode = keyof typeof ERROR_NUMBERS;

/** Names the rule that a message breaks, and never what the message holds. */
export class MikeyError extends Error {
  override readonly name = 'MikeyError';
  readonly code: MikeyErrorCode;
  /** For an ERR payload in answer (section 6.12). */
  readonly errorNumber: number;

  constructor(code: MikeyErrorCode, message: string) {
    super(message);
    this.code = code;
    this.errorNumber = ERROR_NUMBERS[code];
  }
}
