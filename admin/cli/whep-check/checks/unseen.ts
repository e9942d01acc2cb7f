/** What HTTP does not show. Named, so that nobody takes its absence for a success. */
import { notApplicable, type Check } from '../check.ts';

const MEDIA = 'needs a connected ICE and DTLS session, which this suite does not make';

const unseen = (
  id: string,
  section: string,
  level: Check<unknown>['level'],
  title: string,
  why: string,
): Check<unknown> => ({ id, section, level, title, judge: () => notApplicable(why) });

export const UNSEEN: readonly Check<unknown>[] = [
  unseen('consent', '4.2.8', 'MUST', 'A player that went away is noticed by consent freshness', MEDIA),
  unseen('revocation', '4.3', 'MUST', 'A session that is ended sends nothing more at once', MEDIA),
  unseen('bundled-media', '4.5.1', 'MUST', 'All media come over one transport', MEDIA),
  unseen('restart-candidates', '4.4.3', 'MUST', 'A restart replaces the candidates of before', MEDIA),
  unseen('restart-consent', '4.4.3', 'MUST', 'A failed restart ends with the consent', MEDIA),
  unseen(
    'rate-limits',
    '5',
    'SHOULD',
    'Floods of POST, PATCH and DELETE are held back',
    'this suite floods nobody',
  ),
];
