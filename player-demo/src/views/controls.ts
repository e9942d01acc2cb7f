import { fill, h, icon } from '../dom.ts';
import { formatClock } from '../format.ts';

export interface Controls {
  readonly element: HTMLElement;
  /** `M` and `F`, as players have them everywhere. */
  onKey(event: KeyboardEvent): void;
  /** Starts (or resets) the clock of this viewing. */
  startClock(): void;
  stopClock(): void;
}

/** The bar at the bottom of the picture: stop, sound, time, full screen. */
export function playbackControls(video: HTMLVideoElement, stage: HTMLElement, stop: () => void): Controls {
  const clock = h('span', { class: 'clock' });
  const mute = h('button', { type: 'button', class: 'tool', onclick: toggleMute, 'data-testid': 'mute' });
  const volume = h('input', {
    type: 'range',
    class: 'volume',
    min: 0,
    max: 100,
    value: 100,
    'aria-label': 'Volume',
    oninput: () => {
      video.volume = volume.valueAsNumber / 100;
      video.muted = volume.valueAsNumber === 0;
    },
  });
  const full = h('button', { type: 'button', class: 'tool', onclick: () => void toggleFullscreen() });
  full.hidden = !document.fullscreenEnabled;

  function toggleMute(): void {
    video.muted = !video.muted;
    if (!video.muted && video.volume === 0) video.volume = 0.5;
  }

  async function toggleFullscreen(): Promise<void> {
    if (document.fullscreenElement === null) await stage.requestFullscreen().catch(() => undefined);
    else await document.exitFullscreen().catch(() => undefined);
  }

  function showSound(): void {
    const silent = video.muted || video.volume === 0;
    setTool(mute, silent ? 'muted' : 'sound', silent ? 'Turn sound on' : 'Mute');
    volume.value = String(silent ? 0 : Math.round(video.volume * 100));
    volume.style.setProperty('--filled', `${volume.value}%`);
  }

  function showFullscreen(): void {
    const on = document.fullscreenElement !== null;
    setTool(full, on ? 'shrink' : 'fullscreen', on ? 'Leave full screen' : 'Full screen');
  }

  video.addEventListener('volumechange', showSound);
  stage.addEventListener('fullscreenchange', showFullscreen);
  showSound();
  showFullscreen();

  let timer: ReturnType<typeof setInterval> | undefined;
  const stopButton = h('button', { type: 'button', class: 'tool', onclick: stop, 'data-testid': 'stop' });
  setTool(stopButton, 'stop', 'Stop');
  return {
    element: h(
      'div',
      { class: 'controls', role: 'group', 'aria-label': 'Playback' },
      stopButton,
      mute,
      volume,
      clock,
      h('span', { class: 'spring' }),
      full,
    ),
    onKey(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === 'm') toggleMute();
      if (event.key === 'f') void toggleFullscreen();
    },
    startClock() {
      clearInterval(timer);
      const startMs = performance.now();
      const tick = (): void => void (clock.textContent = formatClock((performance.now() - startMs) / 1000));
      tick();
      timer = setInterval(tick, 1000);
    },
    stopClock() {
      clearInterval(timer);
      clock.textContent = '';
    },
  };
}

function setTool(button: HTMLButtonElement, name: Parameters<typeof icon>[0], label: string): void {
  fill(button, icon(name));
  button.setAttribute('aria-label', label);
  button.title = label;
}
