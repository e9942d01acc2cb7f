import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { changedMail, resetMail } from '../../admin/mail/account-mails.ts';
import { createOutbox } from '../../admin/mail/outbox.ts';
import { openMailTransport, type Mail } from '../../admin/mail/transport.ts';

const from = 'usher@shop.example';
const MAIL: Mail = { to: 'viewer@example.com', subject: 'Hello', text: 'One line.\n.\nAnother ä.\n' };

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'usher-mail-'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

/** A mail server without TLS that takes everything; answers what it was told. */
async function startSmtp() {
  const told: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    let inData = false;
    socket.write('220 test ESMTP\r\n');
    createInterface({ input: socket }).on('line', (line) => {
      told.push(line);
      if (inData) {
        if (line !== '.') return;
        inData = false;
        socket.write('250 taken\r\n');
      } else if (/^EHLO/.test(line)) socket.write('250-test\r\n250 AUTH PLAIN\r\n');
      else if (line === 'DATA') {
        inData = true;
        socket.write('354 go on\r\n');
      } else if (/^AUTH/.test(line)) socket.write('235 welcome\r\n');
      else if (line === 'QUIT') socket.end('221 bye\r\n');
      else socket.write('250 ok\r\n');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    told,
    port: (server.address() as AddressInfo).port,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}

describe('mail', () => {
  it('goes to a mail server, with the user and password of its URL', async () => {
    const smtp = await startSmtp();
    const smtpUrl = `smtp://us%40er:p%3Ass@127.0.0.1:${smtp.port}`;
    const transport = openMailTransport({ smtpUrl, from, directory });
    await transport.send(MAIL);
    transport.close();
    await smtp.close();
    const credentials = Buffer.from('\0us@er\0p:ss').toString('base64');
    expect(smtp.told).toContain(`AUTH PLAIN ${credentials}`);
    expect(smtp.told.map((line) => line.toUpperCase())).toContain('RCPT TO:<VIEWER@EXAMPLE.COM>');
    expect(smtp.told).toContain(`From: ${from}`);
    expect(smtp.told).toContain('Subject: Hello');
  });

  it('goes to another machine encrypted or not at all', async () => {
    const smtp = await startSmtp();
    // 127.0.0.2 stands for it: loopback is known by its names.
    const smtpUrl = `smtp://user:password@127.0.0.2:${smtp.port}`;
    const elsewhere = createServer((socket) => {
      socket.write('220 test ESMTP\r\n');
      createInterface({ input: socket }).on('line', (line) => {
        smtp.told.push(line);
        socket.write(/^EHLO/.test(line) ? '250 test\r\n' : '500 no\r\n');
      });
    });
    elsewhere.listen(smtp.port, '127.0.0.2');
    await once(elsewhere, 'listening');
    const transport = openMailTransport({ smtpUrl, from, directory });
    await expect(transport.send(MAIL)).rejects.toThrow();
    transport.close();
    await new Promise((done) => elsewhere.close(done));
    await smtp.close();
    expect(smtp.told.some((line) => /^(?:AUTH|MAIL|RCPT)/i.test(line))).toBe(false);
  });

  it('is written into a file without a mail server, for its owner alone', async () => {
    const files = join(directory, 'files');
    await openMailTransport({ smtpUrl: undefined, from, directory: files }).send(MAIL);
    const [name, ...others] = await readdir(files);
    expect(others).toEqual([]);
    const path = join(files, name!);
    expect([(await stat(path)).mode & 0o777, (await stat(files)).mode & 0o777]).toEqual([0o600, 0o700]);
    const text = await readFile(path, 'utf8');
    for (const header of [`From: ${from}`, 'To: viewer@example.com', 'Subject: Hello']) {
      expect(text.split('\r\n')).toContain(header);
    }
  });

  it('that nobody fetches does not fill the disk', async () => {
    const files = join(directory, 'many');
    const transport = openMailTransport({ smtpUrl: undefined, from, directory: files });
    for (let count = 0; count < 203; count++) await transport.send(MAIL);
    expect(await readdir(files)).toHaveLength(200);
  });

  it('about accounts names the place, the token in the fragment and no names', () => {
    const reset = resetMail('a@b.example', 'TOKEN', 'https://shop.example/tv', 30);
    expect(reset.text).toContain('\nhttps://shop.example/tv/#/reset/TOKEN\n');
    expect(reset.text).toContain('30 minutes');
    expect(changedMail('a@b.example', 'https://shop.example/tv').text).toContain(
      'https://shop.example/tv/#/forgot',
    );
  });
});

describe('the outbox', () => {
  function open(send: (mail: Mail) => Promise<void>) {
    const logged: unknown[] = [];
    const outbox = createOutbox(
      { send, close: () => undefined },
      { error: (...line) => void logged.push(line) },
    );
    return { outbox, logged };
  }

  it('sends one after the other, and nothing where nothing was made', async () => {
    const sent: string[] = [];
    const { outbox } = open(async ({ subject }) => {
      await Promise.resolve();
      sent.push(subject);
    });
    outbox.post('notice', async () => ({ ...MAIL, subject: 'first' }));
    outbox.post('notice', async () => null);
    outbox.post('notice', async () => ({ ...MAIL, subject: 'second' }));
    expect(sent).toEqual([]);
    await outbox.idle();
    expect(sent).toEqual(['first', 'second']);
  });

  it('goes on after a failure, which is logged without the address', async () => {
    const sent: Mail[] = [];
    let first = true;
    const { outbox, logged } = open(async (mail) => {
      if (first) {
        first = false;
        throw Object.assign(new Error(`no such user: ${mail.to}`), { code: 'EENVELOPE' });
      }
      sent.push(mail);
    });
    outbox.post('notice', async () => MAIL);
    outbox.post('notice', async () => MAIL);
    await outbox.idle();
    expect(sent).toEqual([MAIL]);
    expect(logged).toEqual([[{ mailCode: 'EENVELOPE' }, 'a mail could not be sent']]);
  });

  it('keeps half of its room for what nobody can ask for as often as he likes, and logs what it turns away', async () => {
    let go = (): void => undefined;
    const held = new Promise<void>((done) => (go = done));
    const { outbox, logged } = open(() => held);
    const asked = Array.from({ length: 51 }, () => outbox.post('asked', async () => MAIL));
    expect(asked.filter(Boolean)).toHaveLength(50);
    expect(logged).toEqual([[{ mailCode: 'full' }, 'a mail could not be sent']]);
    expect(outbox.post('notice', async () => MAIL)).toBe(true);
    go();
    await outbox.idle();
  });

  it('takes a hundred, and none after its end', async () => {
    let go = (): void => undefined;
    const held = new Promise<void>((done) => (go = done));
    const { outbox } = open(() => held);
    const taken = Array.from({ length: 102 }, () => outbox.post('notice', async () => MAIL));
    expect(taken.filter(Boolean)).toHaveLength(100);
    const closing = outbox.close();
    go();
    await closing;
    expect(outbox.post('notice', async () => MAIL)).toBe(false);
  });
});
