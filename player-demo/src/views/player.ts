import { fill, h, icon, type Child } from '../dom.ts';
import { wordsFor } from '../problems.ts';
import type { WatchState } from '../watch.ts';
import { playbackControls } from './controls.ts';

export interface PlayerActions {
  play(): void;
  stop(): void;
  /** Brings the viewer to the offers. */
  chooseTicket(): void;
  /** The pointer or the focus is at the play button: it may be pressed any moment. */
  warmUp(): void;
  announce(text: string): void;
}

export interface Player {
  readonly element: HTMLElement;
  /** `null`: there is no ticket yet. */
  show(state: WatchState | null): void;
  attach(stream: MediaStream): void;
  dispose(): void;
}

/** The 16:9 stage: picture, state, what to do next, controls. Everything lies over the picture, so nothing moves. */
export function playerView(art: Element, actions: PlayerActions): Player {
  const video = h('video', {
    class: 'video',
    playsinline: true,
    'data-testid': 'video',
    'aria-label': 'Live picture',
  });
  const chipText = h('span', {}, '');
  const chip = h('p', { class: 'chip', 'data-testid': 'status' }, h('span', { class: 'dot' }), chipText);
  const middle = h('div', { class: 'stage-middle', 'data-testid': 'message' });
  const soundHint = h(
    'button',
    { type: 'button', class: 'button is-small sound-hint', onclick: () => void (video.muted = false) },
    icon('muted'),
    'Turn sound on',
  );
  soundHint.hidden = true;
  const stage = h('section', {
    class: 'stage',
    'aria-label': 'Player',
    onkeydown: (e) => controls.onKey(e as KeyboardEvent),
  });
  const controls = playbackControls(video, stage, actions.stop);
  stage.append(art, video, h('div', { class: 'shade' }), middle, chip, soundHint, controls.element);

  video.addEventListener('volumechange', () => {
    if (!video.muted) soundHint.hidden = true;
  });
  /** The next frame, not the connection, is what the viewer waits for. */
  function showWithPicture(): void {
    video.requestVideoFrameCallback(() => {
      if (shown?.phase !== 'live' || stage.dataset['picture'] === 'on') return;
      stage.dataset['picture'] = 'on';
      show(shown);
    });
  }

  let shown: WatchState | null = null;
  let announced = '';

  function show(state: WatchState | null): void {
    const before = shown?.phase;
    shown = state;
    const phase = state?.phase ?? 'locked';
    if (phase !== 'live') delete stage.dataset['picture'];
    const playing = phase === 'live' && stage.dataset['picture'] === 'on';
    stage.dataset['phase'] = phase === 'live' && !playing ? 'connecting' : phase;
    if (phase === 'live' && before !== 'live') {
      controls.startClock();
      showWithPicture();
    }
    if (phase !== 'live') controls.stopClock();
    if (phase === 'idle' || phase === 'ended' || phase === 'locked') {
      if (document.fullscreenElement === stage) void document.exitFullscreen();
      soundHint.hidden = true;
      video.srcObject = null;
    }
    chip.hidden = phase === 'locked';
    chipText.textContent = chipWords(state, playing);
    // The same button would lose its focus if it were made anew.
    const content = middleOf(state, playing);
    const hadFocus = middle.contains(document.activeElement);
    fill(middle, content);
    const button = middle.querySelector('button');
    if (hadFocus && button !== null) button.focus();
    else if (hadFocus) stage.querySelector<HTMLElement>('.controls .tool')?.focus();
    tell(state, playing);
  }

  function tell(state: WatchState | null, playing: boolean): void {
    if (state === null || state.phase === 'idle') return;
    const text = 'code' in state ? sentence(state.code) : chipWords(state, playing);
    if (text !== announced) actions.announce(text);
    announced = text;
  }

  function middleOf(state: WatchState | null, playing: boolean): Child {
    if (state === null) {
      return message('lock', 'Choose a ticket to watch', 'It is made for this browser alone.', null);
    }
    switch (state.phase) {
      case 'idle':
        return bigPlay();
      case 'connecting':
        return h('span', { class: 'spinner', 'aria-hidden': 'true' });
      case 'live':
        return playing ? null : h('span', { class: 'spinner', 'aria-hidden': 'true' });
      case 'waiting': {
        const { title, text } = wordsFor(state.code);
        return message(null, title, text, null);
      }
      case 'ended':
        return endMessage(state.code);
    }
  }

  function bigPlay(): HTMLElement {
    return h(
      'button',
      {
        type: 'button',
        class: 'big-play',
        'aria-label': 'Watch',
        'data-testid': 'play',
        onclick: actions.play,
        onpointerenter: actions.warmUp,
        onfocus: actions.warmUp,
      },
      icon('play'),
    );
  }

  function endMessage(code: string): HTMLElement {
    const { title, text, remedy } = wordsFor(code);
    const action =
      remedy === 'buy'
        ? h('button', { type: 'button', class: 'button', onclick: actions.chooseTicket }, 'Choose a ticket')
        : remedy === 'none'
          ? null
          : h(
              'button',
              { type: 'button', class: 'button', onclick: actions.play, 'data-testid': 'play' },
              'Try again',
            );
    return message(null, title, text, action);
  }

  show(null);
  return {
    element: stage,
    show,
    attach(stream) {
      video.srcObject = stream;
      video.play().catch((error: unknown) => {
        // Browsers let a page start with sound only after the viewer has touched it.
        if (!(error instanceof DOMException) || error.name !== 'NotAllowedError') return;
        video.muted = true;
        soundHint.hidden = false;
        void video.play().catch(() => undefined);
      });
    },
    dispose() {
      controls.stopClock();
      video.srcObject = null;
    },
  };
}

function message(
  name: Parameters<typeof icon>[0] | null,
  title: string,
  text: string,
  action: Child,
): HTMLElement {
  return h(
    'div',
    { class: 'stage-message' },
    name === null ? null : icon(name),
    h('strong', {}, title),
    h('p', {}, text),
    action,
  );
}

function chipWords(state: WatchState | null, playing: boolean): string {
  switch (state?.phase) {
    case undefined:
      return '';
    case 'idle':
      return 'Ready';
    case 'connecting':
      return 'Connecting';
    case 'live':
      return playing ? 'Live' : 'Connecting';
    case 'waiting':
      return state.code === 'stream_offline' ? 'Off air: starts by itself' : 'Waiting: starts by itself';
    case 'ended':
      return 'Ended';
  }
}

function sentence(code: string): string {
  const { title, text } = wordsFor(code);
  return `${title}. ${text}`;
}
