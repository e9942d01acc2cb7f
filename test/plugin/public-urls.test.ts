import { expect, it } from 'vitest';
import { readMediaConfig } from '../../plugin/config.ts';
import { playEndpoints, type PublicUrls } from '../../plugin/public-urls.ts';

const FILES = { USHER_TLS: 'files', USHER_TLS_CERT: 'c', USHER_TLS_KEY: 'k' };

it.each<[string, NodeJS.ProcessEnv, PublicUrls]>([
  ['nothing set', {}, { http: 'http://localhost:8000', rtmp: 'rtmp://localhost:1935' }],
  [
    'a host and ports',
    {
      USHER_MEDIA_PUBLIC_URL: 'https://media.example:4001/base',
      USHER_NMS_HTTP_PORT: '81',
      USHER_RTMP_PORT: '82',
      USHER_NMS_HTTPS_PORT: '83',
      USHER_RTMPS_PORT: '84',
    },
    { http: 'http://media.example:81', rtmp: 'rtmp://media.example:82' },
  ],
  [
    'an IPv6 host',
    { USHER_MEDIA_PUBLIC_URL: 'http://[::1]:4001' },
    { http: 'http://[::1]:8000', rtmp: 'rtmp://[::1]:1935' },
  ],
  [
    'TLS',
    FILES,
    {
      http: 'http://localhost:8000',
      https: 'https://localhost:8443',
      rtmp: 'rtmp://localhost:1935',
      rtmps: 'rtmps://localhost:1936',
    },
  ],
  [
    'bases of proxies with the certificate, in front of the plain listeners',
    { USHER_FLV_PUBLIC_URL: 'https://flv.example/', USHER_RTMP_PUBLIC_URL: 'rtmps://rtmp.example' },
    { http: 'https://flv.example', rtmp: 'rtmps://rtmp.example' },
  ],
  [
    'a path of a proxy before FLV',
    { USHER_FLV_PUBLIC_URL: 'https://example.com/usher/flv/' },
    { http: 'https://example.com/usher/flv', rtmp: 'rtmp://localhost:1935' },
  ],
  [
    'bases and TLS',
    {
      ...FILES,
      USHER_FLV_PUBLIC_URL: 'https://flv.example',
      USHER_RTMP_PUBLIC_URL: 'rtmps://rtmp.example:443',
    },
    {
      http: 'http://localhost:8000',
      https: 'https://flv.example',
      rtmp: 'rtmp://localhost:1935',
      rtmps: 'rtmps://rtmp.example:443',
    },
  ],
])('with %s, viewers find the listeners', (_name, env, urls) => {
  expect(readMediaConfig(env).playUrls).toEqual(urls);
});

it.each<[string, NodeJS.ProcessEnv, ReturnType<typeof readMediaConfig>['rtspUrls']]>([
  ['nothing set', {}, { rtsp: 'rtsp://localhost:8554', rtsps: undefined }],
  [
    'a host, a port and TLS',
    { ...FILES, USHER_MEDIA_PUBLIC_URL: 'https://media.example:4001/base', USHER_RTSPS_PORT: '85' },
    { rtsp: 'rtsp://media.example:8554', rtsps: 'rtsps://media.example:85' },
  ],
  [
    'a base of a proxy with the certificate',
    { USHER_RTSP_PUBLIC_URL: 'rtsps://rtsp.example' },
    { rtsp: 'rtsps://rtsp.example', rtsps: undefined },
  ],
  [
    'a base and TLS',
    { ...FILES, USHER_RTSP_PUBLIC_URL: 'rtsps://rtsp.example:322' },
    { rtsp: 'rtsp://localhost:8554', rtsps: 'rtsps://rtsp.example:322' },
  ],
])('with %s, viewers find RTSP', (_name, env, urls) => {
  expect(readMediaConfig(env).rtspUrls).toEqual(urls);
});

it('RTSP has no path but that of the stream', () => {
  const env = { USHER_RTSP_PUBLIC_URL: 'rtsps://rtsp.example/base' };
  expect(() => readMediaConfig(env)).toThrow(/^USHER_RTSP_PUBLIC_URL: /);
});

it.each([
  ['USHER_FLV_PUBLIC_URL', 'rtmp://host'],
  ['USHER_FLV_PUBLIC_URL', 'http://host/?a=b'],
  ['USHER_FLV_PUBLIC_URL', 'http://user:password@host'],
  ['USHER_FLV_PUBLIC_URL', 'http://host/nms//x'],
  ['USHER_FLV_PUBLIC_URL', 'http://host/n%20ms'],
  ['USHER_MEDIA_PUBLIC_URL', 'http://host/?a=b'],
  ['USHER_ORDER_SERVER_URL', 'http://host/;a'],
  ['USHER_RTMP_PUBLIC_URL', 'rtmp://host/app'],
  ['USHER_RTMP_PUBLIC_URL', 'http://host'],
  ['USHER_RTMP_PUBLIC_URL', 'rtmp://host//'],
  ['USHER_RTMP_PUBLIC_URL', 'rtmp://host/#x'],
])('%s refuses %s, and does not repeat it', (name, value) => {
  expect(() => readMediaConfig({ [name]: value })).toThrow(new RegExp(`^${name}: (?!.*password)`));
});

it.each<[string, PublicUrls, object]>([
  ['nothing', {}, {}],
  [
    'plain listeners',
    { http: 'http://h:8000', rtmp: 'rtmp://h' },
    {
      'http-flv': 'http://h:8000/live/a.flv',
      'ws-flv': 'ws://h:8000/live/a.flv',
      rtmp: 'rtmp://h/live/a',
    },
  ],
  [
    'listeners with TLS beside plain ones',
    { http: 'http://h', https: 'https://h:8443/x', rtmp: 'rtmp://h', rtmps: 'rtmps://h:1936' },
    {
      'http-flv': 'https://h:8443/x/live/a.flv',
      'ws-flv': 'wss://h:8443/x/live/a.flv',
      rtmp: 'rtmps://h:1936/live/a',
    },
  ],
  ['RTMP alone', { rtmp: 'rtmp://h' }, { rtmp: 'rtmp://h/live/a' }],
])('the ways to play with %s', (_name, urls, endpoints) => {
  expect(JSON.parse(JSON.stringify(playEndpoints(urls, '/live/a')))).toEqual(endpoints);
});
