/**
 * Who may import whom, type-only imports included. The arrows are those of docs/architecture.md; a new
 * import that crosses one is a design decision, not a convenience.
 *
 * @type {import('dependency-cruiser').IConfiguration}
 */
export default {
  forbidden: [
    {
      name: 'no-cycles',
      comment: 'No cycles, not even of types.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'resolvable',
      comment: 'Every import must resolve.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'plugin-knows-no-admin',
      comment:
        'The plugin runs in a media server: it never imports the order server, the player or the tools.',
      severity: 'error',
      from: { path: '^plugin/' },
      to: { path: '^(admin|player-demo|tools|bench|test|examples)/' },
    },
    {
      name: 'admin-imports-plugin-only',
      severity: 'error',
      from: { path: '^admin/' },
      to: { path: '^(player-demo|tools|bench|test|examples)/' },
    },
    {
      name: 'media-crypto-knows-no-tickets',
      comment: 'srtp and rtp are usable without tickets.',
      severity: 'error',
      from: { path: '^plugin/(srtp|rtp)/' },
      to: { path: '^plugin/', pathNot: '^plugin/(srtp|rtp)/|^plugin/errors\\.ts$' },
    },
    {
      name: 'rights-are-pure',
      comment: 'The vocabulary of rights imports the error table and zod, nothing else.',
      severity: 'error',
      from: { path: '^plugin/rights/' },
      to: { pathNot: ['^plugin/rights/', '^plugin/errors\\.ts$', '^node_modules/zod/'] },
    },
    {
      name: 'no-adapter-imports-another',
      comment: 'adapters/NAME.ts may import adapters/NAME/* and nothing of another adapter.',
      severity: 'error',
      from: { path: '^plugin/adapters/([^/.]+)' },
      to: { path: '^plugin/adapters/', pathNot: '^plugin/adapters/$1(/|\\.ts$)' },
    },
    {
      name: 'core-knows-no-adapter',
      comment: 'Only index.ts and the composition roots see the adapters.',
      severity: 'error',
      from: { path: '^plugin/', pathNot: '^plugin/((index|main|media-server|open-stage)\\.ts$|adapters/)' },
      to: { path: '^plugin/adapters/' },
    },
    {
      name: 'player-speaks-http-only',
      comment: 'Whatever the player knows of a server it learns over HTTP.',
      severity: 'error',
      from: { path: '^player-demo/' },
      to: { path: '^(admin|plugin|tools|bench|test|examples)/' },
    },
    {
      name: 'shipped-code-needs-no-dev-dependency',
      comment: 'mediasoup and node-media-server are the hosts, optional peers.',
      severity: 'error',
      from: { path: '^(plugin|admin)/', pathNot: '^admin/demo' },
      to: { dependencyTypes: ['npm-dev'], pathNot: '^node_modules/(mediasoup|node-media-server|@types)/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)dist/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'types', 'node', 'default'],
    },
  },
};
