/** An order server in this process, on a port and a directory of its own, with the demo in it. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Config } from '../../admin/config.ts';
import type { Database } from '../../admin/db/connect.ts';
import { DEMO_LOGINS, seedDemo, type Seeded } from '../../admin/seed.ts';
import { createOrderServer } from '../../admin/server.ts';
import {
  generateSealingKey,
  generateSigningKey,
  signServerMessage,
  type ServerMessageTyp,
  type SigningKeyPair,
} from '../../plugin/ticket/index.ts';

export const PUBLIC_URL = 'http://localhost:4000';
export const SERVER_ID = 'ss-1';

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly fields: object;
  readonly message: string;
}

export interface TestOrderServer {
  readonly url: string;
  readonly db: Database;
  readonly demo: Seeded;
  readonly dataDir: string;
  readonly serverKey: SigningKeyPair;
  readonly logged: readonly LogLine[];
  /** Moves the server's clock, wall and monotonic. */
  advance(ms: number): void;
  /** One GraphQL operation: status and body. */
  graphql(query: string, variables?: object, token?: string): Promise<GraphqlResult>;
  /** A session token of one of the demo's accounts. */
  tokenOf(what: 'viewer' | 'second' | 'staff'): Promise<string>;
  /** Sends a message of the registered streaming server. */
  send(path: string, typ: ServerMessageTyp, payload: object, key?: SigningKeyPair): Promise<Response>;
  close(): Promise<void>;
}

/** An answer of any shape, as tests look into it. */
export interface Json {
  readonly [member: string]: Json;
}

export interface GraphqlResult {
  readonly status: number;
  readonly data: Record<string, Json> | null | undefined;
  /** Codes of the errors. */
  readonly codes: readonly string[];
}

export function testConfig(dataDir: string, changes: Partial<Config> = {}): Config {
  return {
    port: 0,
    host: '127.0.0.1',
    publicUrl: PUBLIC_URL,
    dataDir,
    trustedProxies: 0,
    countryHeader: undefined,
    drainSeconds: 0,
    introspection: true,
    tls: 'off',
    tlsCertFile: undefined,
    tlsKeyFile: undefined,
    logLevel: 'silent',
    demo: true,
    demoServerFile: undefined,
    databaseUrl: undefined,
    masterKey: undefined,
    oldMasterKey: undefined,
    testCardSecret: undefined,
    smtpUrl: undefined,
    mailFrom: 'usher@example.com',
    ...changes,
  };
}

export async function startOrderServer(changes: Partial<Config> = {}): Promise<TestOrderServer> {
  const dataDir = await mkdtemp(join(tmpdir(), 'usher-orders-'));
  const [serverKey, sealingKey] = await Promise.all([generateSigningKey(), generateSealingKey()]);
  const serverFile = join(dataDir, 'server.json');
  const registration = {
    id: SERVER_ID,
    publicUrl: 'http://localhost:4001',
    signingKey: serverKey.publicJwk,
    sealingKey: sealingKey.publicJwk,
  };
  await writeFile(serverFile, JSON.stringify(registration));

  let offsetMs = 0;
  const clock = {
    nowMs: () => Date.now() + offsetMs,
    monotonicMs: () => performance.now() + offsetMs,
  };
  const logged: LogLine[] = [];
  const at = (level: LogLine['level']) => (fields: object, message: string) => {
    logged.push({ level, fields, message });
  };
  const log = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
  const server = await createOrderServer(testConfig(dataDir, changes), log, clock);
  const demo = await seedDemo(server.db, { dataDir, serverFile, now: new Date(clock.nowMs()) });

  const graphql: TestOrderServer['graphql'] = async (query, variables = {}, token) => {
    const response = await fetch(`${server.url}/graphql`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify({ query, variables }),
    });
    const body = (await response.json()) as {
      data?: Record<string, Json> | null;
      errors?: { extensions: { code: string } }[];
      code?: string;
    };
    const codes =
      body.errors?.map((error) => error.extensions.code) ?? (body.code === undefined ? [] : [body.code]);
    return { status: response.status, data: body.data, codes };
  };
  const tokens = new Map<string, Promise<string>>();
  const signIn = async (what: string): Promise<string> => {
    const login = DEMO_LOGINS.find(({ email }) => email.startsWith(what));
    const { data } = await graphql(
      'mutation ($email: String!, $password: String!) { signIn(email: $email, password: $password) { token } }',
      { email: login?.email, password: login?.password },
    );
    return String(data?.['signIn']?.['token']);
  };
  return {
    url: server.url,
    db: server.db,
    demo,
    dataDir,
    serverKey,
    logged,
    advance: (ms) => {
      offsetMs += ms;
    },
    graphql,
    tokenOf: (what) => {
      const known = tokens.get(what) ?? signIn(what);
      tokens.set(what, known);
      return known;
    },
    send: async (path, typ, payload, key = serverKey) =>
      fetch(server.url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/jose' },
        body: await signServerMessage({ typ, payload, iss: SERVER_ID, aud: PUBLIC_URL, key, clock }),
      }),
    close: async () => {
      await server.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
