/** What one GraphQL document may cost. Depth and width are counted with fragments spread out. */
import {
  GraphQLError,
  Kind,
  parse,
  type DocumentNode,
  type FragmentDefinitionNode,
  type SelectionSetNode,
} from 'graphql';
import type { Plugin } from 'graphql-yoga';

export const MAX_TOKENS = 2000;
export const MAX_DEPTH = 12;
export const MAX_ALIASES = 30;
/** Fields after fragments are spread: they multiply, tokens do not. */
export const MAX_FIELDS = 1000;

/** Introspection nests deeper than any client's query; its answer is the same small text for everyone. */
const INTROSPECTION = new Set(['__schema', '__type']);

interface Cost {
  readonly depth: number;
  readonly aliases: number;
  readonly fields: number;
}

function costOf(document: DocumentNode): Cost {
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const definition of document.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition);
  }
  // Each fragment is measured once, however often it is spread; one that spreads itself costs without end.
  const measured = new Map<string, Cost | 'running'>();

  function ofFragment(name: string): Cost {
    const known = measured.get(name);
    if (known === 'running') return { depth: Infinity, aliases: Infinity, fields: Infinity };
    if (known !== undefined) return known;
    const fragment = fragments.get(name);
    if (fragment === undefined) return { depth: 0, aliases: 0, fields: 0 };
    measured.set(name, 'running');
    const cost = ofSelections(fragment.selectionSet);
    measured.set(name, cost);
    return cost;
  }

  function ofSelections(set: SelectionSetNode): Cost {
    let depth = 0;
    let aliases = 0;
    let fields = 0;
    for (const selection of set.selections) {
      let cost: Cost = { depth: 0, aliases: 0, fields: 0 };
      if (selection.kind === Kind.FRAGMENT_SPREAD) cost = ofFragment(selection.name.value);
      else if (selection.kind === Kind.INLINE_FRAGMENT) cost = ofSelections(selection.selectionSet);
      else if (!INTROSPECTION.has(selection.name.value)) {
        const inner = selection.selectionSet === undefined ? cost : ofSelections(selection.selectionSet);
        cost = {
          depth: inner.depth + 1,
          aliases: inner.aliases + (selection.alias === undefined ? 0 : 1),
          fields: inner.fields + 1,
        };
      }
      depth = Math.max(depth, cost.depth);
      aliases += cost.aliases;
      fields += cost.fields;
    }
    return { depth, aliases, fields };
  }

  const total = { depth: 0, aliases: 0, fields: 0 };
  for (const definition of document.definitions) {
    if (definition.kind !== Kind.OPERATION_DEFINITION) continue;
    const cost = ofSelections(definition.selectionSet);
    total.depth = Math.max(total.depth, cost.depth);
    total.aliases += cost.aliases;
    total.fields += cost.fields;
  }
  return total;
}

/** Yoga plugin: refuses documents that cost too much, before they run. */
export function useLimits(): Plugin {
  return {
    onParse: ({ setParseFn }) => {
      setParseFn((source: Parameters<typeof parse>[0]) => parse(source, { maxTokens: MAX_TOKENS }));
    },
    // Before the standard rules: some of those compare all fields with each other.
    onValidate: ({ params, setResult }) => {
      const { depth, aliases, fields } = costOf(params.documentAST as DocumentNode);
      if (depth > MAX_DEPTH || aliases > MAX_ALIASES || fields > MAX_FIELDS) {
        setResult([
          new GraphQLError(
            `the document has more than ${MAX_DEPTH} levels, ${MAX_ALIASES} aliases or ${MAX_FIELDS} fields`,
          ),
        ]);
      }
    },
  };
}
