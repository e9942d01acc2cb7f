/** The re-encoders among a process's children (Linux). */
import { readdirSync, readFileSync } from 'node:fs';

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // It has ended in the meantime.
  }
}

/** Process ids of the ffmpeg children that make video anew: they alone are given Matroska. */
export function reencodersOf(pid: number): number[] {
  return readdirSync(`/proc/${String(pid)}/task`)
    .flatMap((task) => read(`/proc/${String(pid)}/task/${task}/children`).split(' '))
    .filter((child) => child !== '' && read(`/proc/${child}/cmdline`).includes('\0matroska\0'))
    .map(Number);
}
