import type { HttpBindings } from '@hono/node-server';

/** What every request brings along. */
export type AppEnv = {
  Bindings: HttpBindings;
  Variables: {
    /** Names it in logs, in its answer and in the audit log. */
    requestId: string;
  };
};
