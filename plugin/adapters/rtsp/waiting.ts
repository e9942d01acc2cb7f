/** Connections that have no session yet: how many there may be, of everybody and of one network. */
import { network } from '../../peer.ts';

export interface WaitingRoomOptions {
  readonly max: number;
  /** Of one network, as limits by address count them. */
  readonly maxOfNetwork: number;
}

export interface WaitingRoom {
  /**
   * Lets one more wait; answers what ends that, which may be called again; `undefined`: there is no room.
   * @param peer its address; `undefined` for one whose address says nothing of who it is
   */
  enter(peer: string | undefined): (() => void) | undefined;
}

export function createWaitingRoom({ max, maxOfNetwork }: WaitingRoomOptions): WaitingRoom {
  let waiting = 0;
  const byNetwork = new Map<string, number>();

  function count(name: string | undefined, by: 1 | -1): void {
    waiting += by;
    if (name === undefined) return;
    const left = (byNetwork.get(name) ?? 0) + by;
    if (left > 0) byNetwork.set(name, left);
    else byNetwork.delete(name);
  }

  return {
    enter(peer) {
      const name = peer && network(peer);
      const isFull = name !== undefined && (byNetwork.get(name) ?? 0) >= maxOfNetwork;
      if (waiting >= max || isFull) return undefined;
      count(name, 1);
      let isHere = true;
      return () => {
        if (isHere) count(name, -1);
        isHere = false;
      };
    },
  };
}
