const TEXT = 'fontcolor=white';
const PICTURE = [
  // Drawn small and scaled up: a tenth of the work, and a gradient loses nothing.
  'gradients=s=320x180:r=30:speed=0.02:n=4:seed=7:c0=0xb23a48:c1=0x6a2c91:c2=0x1d2f83:c3=0x0b1b3a:x0=0:y0=0:x1=320:y1=180',
  'scale=1280:720:flags=bilinear',
  "drawbox=x=iw-220:y=60:w=160:h=90:color=white:t=fill:enable='lt(mod(t,1),0.1)'",
];
const CLOCK = [
  `drawtext=text='USHER ONE':x=80:y=80:fontsize=36:${TEXT}`,
  `drawtext=text='%{localtime\\:%T}':x=(w-tw)/2:y=(h-th)/2:fontsize=150:${TEXT}`,
  `drawtext=text='a flash and a beep at every full second':x=(w-tw)/2:y=h-110:fontsize=28:${TEXT}`,
];
const BEEP = '0.3*sin(2*PI*1000*t)*lt(mod(t,1),0.1)';

/**
 * ffmpeg's arguments for the demo channel: a moving picture with a clock, a flash and a beep at each full second.
 * @param withClock false where ffmpeg has no font to draw it with
 */
export function demoEncoderArguments(rtmpUrl: string, withClock: boolean): string[] {
  const picture = [...PICTURE, ...(withClock ? CLOCK : []), 'format=yuv420p'].join(',');
  const live = (filter: string): string[] => ['-re', '-f', 'lavfi', '-i', filter];
  return [
    ...['-hide_banner', '-nostdin', '-loglevel', 'error'],
    ...live(picture),
    ...live(`aevalsrc='${BEEP}|${BEEP}':s=48000`),
    // No B-frames (WebRTC cannot show them) and a keyframe each second (a viewer waits for the next one).
    ...'-c:v libx264 -preset ultrafast -tune zerolatency -profile:v baseline -g 30'.split(' '),
    ...'-b:v 1500k -maxrate 1500k -bufsize 1500k -c:a aac -b:a 128k -f flv'.split(' '),
    rtmpUrl,
  ];
}
