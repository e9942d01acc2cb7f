import type { RequestContext } from '../context.ts';

/**
 * Loads many things in one go: collects what is asked for within one turn of a request, so that a list of a hundred
 * costs as many queries as a list of one. Each key is loaded once per request; a subscription, whose request has no end,
 * loads it again for each event.
 */
export function createBatch<K, V>(
  load: (context: RequestContext, keys: readonly K[]) => Promise<ReadonlyMap<K, V>>,
): (context: RequestContext, key: K) => Promise<V> {
  interface State {
    readonly answers: Map<K, Promise<V>>;
    waiting: K[];
    loading: Promise<ReadonlyMap<K, V>> | undefined;
  }
  const states = new WeakMap<RequestContext, State>();

  async function answer(context: RequestContext, state: State, key: K): Promise<V> {
    state.waiting.push(key);
    state.loading ??= Promise.resolve().then(() => {
      const keys = state.waiting;
      state.waiting = [];
      state.loading = undefined;
      return load(context, keys);
    });
    const found = (await state.loading).get(key);
    if (found === undefined) throw new Error('a row that another one names is missing');
    return found;
  }

  return (context, key) => {
    let state = states.get(context);
    if (state === undefined)
      states.set(context, (state = { answers: new Map(), waiting: [], loading: undefined }));
    let known = state.answers.get(key);
    if (known !== undefined) return known;
    const { answers } = state;
    answers.set(key, (known = answer(context, state, key)));
    if (context.isSubscription) {
      const forget = (): void => void answers.delete(key);
      known.then(forget, forget);
    }
    return known;
  };
}
