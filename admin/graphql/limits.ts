/** What one GraphQL document may cost. Depth and width are counted with fragments spread out. */
import {
  GraphQLError,
  Kind,
  parse,
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  type SelectionSetNode,
} from 'graphql';
import type { Plugin } from 'graphql-yoga';

export const MAX_TOKENS = 2000;
export const MAX_DEPTH = 12;
export const MAX_ALIASES = 30;
/** Fields after fragments are spread: they multiply, tokens do not. */
export const MAX_FIELDS = 1000;
/** Fields that the answer may have: those of a page count as often as it has entries. */
export const MAX_ANSWER_FIELDS = 20_000;

/** Entries of a page when nothing is said, and at most; as the connections have it. */
const DEFAULT_PAGE = 20;
const MAX_PAGE = 100;

/** Introspection nests deeper than any client's query; its answer is the same small text for everyone. */
const INTROSPECTION = new Set(['__schema', '__type']);

interface Cost {
  readonly depth: number;
  readonly aliases: number;
  readonly fields: number;
  /** Fields of the answer, at most. */
  readonly answer: number;
  /** True if `edges` is among its outermost fields: what has them is a connection. */
  readonly hasEdges: boolean;
  /** Questions about the schema. */
  readonly introspections: number;
}

const NOTHING: Cost = {
  depth: 0,
  aliases: 0,
  fields: 0,
  answer: 0,
  hasEdges: false,
  introspections: 0,
};
const ENDLESS: Cost = {
  depth: Infinity,
  aliases: Infinity,
  fields: Infinity,
  answer: Infinity,
  hasEdges: false,
  introspections: Infinity,
};

/** The size of a page that a field names; `undefined` when it names none. */
function pageSizeOf({ arguments: args = [] }: FieldNode): number | undefined {
  const size = args.find(({ name }) => name.value === 'first' || name.value === 'last')?.value;
  // Fields that are skipped may say anything; what they cost is never less than nothing.
  if (size?.kind === Kind.INT) return Math.max(0, Math.min(Number(size.value), MAX_PAGE));
  // What a variable holds is not known yet.
  return size?.kind === Kind.VARIABLE ? MAX_PAGE : undefined;
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
    if (known === 'running') return ENDLESS;
    if (known !== undefined) return known;
    const fragment = fragments.get(name);
    if (fragment === undefined) return NOTHING;
    measured.set(name, 'running');
    const cost = ofSelections(fragment.selectionSet);
    measured.set(name, cost);
    return cost;
  }

  function ofSelections(set: SelectionSetNode): Cost {
    let depth = 0;
    let aliases = 0;
    let fields = 0;
    let answer = 0;
    let hasEdges = false;
    let introspections = 0;
    for (const selection of set.selections) {
      let cost = NOTHING;
      if (selection.kind === Kind.FRAGMENT_SPREAD) cost = ofFragment(selection.name.value);
      else if (selection.kind === Kind.INLINE_FRAGMENT) cost = ofSelections(selection.selectionSet);
      else if (INTROSPECTION.has(selection.name.value)) cost = { ...NOTHING, introspections: 1 };
      else {
        const inner = selection.selectionSet === undefined ? cost : ofSelections(selection.selectionSet);
        cost = {
          ...inner,
          depth: inner.depth + 1,
          aliases: inner.aliases + (selection.alias === undefined ? 0 : 1),
          fields: inner.fields + 1,
          // How often what is inside is answered.
          answer: inner.answer * (pageSizeOf(selection) ?? (inner.hasEdges ? DEFAULT_PAGE : 1)) + 1,
          hasEdges: selection.name.value === 'edges',
        };
      }
      depth = Math.max(depth, cost.depth);
      aliases += cost.aliases;
      fields += cost.fields;
      answer += cost.answer;
      hasEdges ||= cost.hasEdges;
      introspections += cost.introspections;
    }
    return { depth, aliases, fields, answer, hasEdges, introspections };
  }

  const total = { ...NOTHING };
  for (const definition of document.definitions) {
    if (definition.kind !== Kind.OPERATION_DEFINITION) continue;
    const cost = ofSelections(definition.selectionSet);
    total.depth = Math.max(total.depth, cost.depth);
    total.aliases += cost.aliases;
    total.fields += cost.fields;
    total.answer += cost.answer;
    total.introspections += cost.introspections;
  }
  return total;
}

/**
 * Yoga plugin: refuses documents that cost too much, before they run.
 * @param introspection false: nobody is told what the schema has
 */
export function useLimits(introspection: boolean): Plugin {
  return {
    onParse: ({ setParseFn }) => {
      setParseFn((source: Parameters<typeof parse>[0]) => parse(source, { maxTokens: MAX_TOKENS }));
    },
    // Before the standard rules: some of those compare all fields with each other.
    onValidate: ({ params, setResult }) => {
      const { depth, aliases, fields, answer, introspections } = costOf(params.documentAST as DocumentNode);
      const limits = [
        [depth, MAX_DEPTH, 'levels'],
        [aliases, MAX_ALIASES, 'aliases'],
        [fields, MAX_FIELDS, 'fields'],
        [answer, MAX_ANSWER_FIELDS, 'fields in its answer'],
      ] as const;
      const exceeded = limits.find(([value, limit]) => value > limit);
      if (exceeded !== undefined) {
        const [, limit, what] = exceeded;
        setResult([new GraphQLError(`the document has more than ${String(limit)} ${what}`)]);
      }
      if (introspection) return undefined;
      if (introspections > 0) setResult([new GraphQLError('introspection is off here')]);
      return ({ result, setResult: setErrors }) => {
        // Suggestions tell the schema name by name.
        setErrors(
          (result as readonly GraphQLError[]).map(
            (error) =>
              new GraphQLError(error.message.replace(/ Did you mean .*$/s, ''), {
                nodes: error.nodes ?? null,
              }),
          ),
        );
      };
    },
  };
}
