/** The list of the API's operations for docs/graphql.md, made from the schema. */
import type * as Graphql from 'graphql';
import type { GraphQLArgument, GraphQLField, GraphQLObjectType, GraphQLSchema } from 'graphql';
import { createRequire } from 'node:module';
import { format } from 'prettier';
import { ruleOf, type Access } from '../admin/graphql/access.ts';

// As Node resolves it, for Pothos too: in tests Vite would take graphql's other copy, which knows no type of this one.
const { astFromValue, print } = createRequire(import.meta.url)('graphql') as typeof Graphql;

const START = '<!-- The rest is made from the schema: npm run schema:print -->';

const WHO: Partial<Record<Access, string>> = { anyone: 'anyone', account: 'an account' };

/** As the schema writes it: an enum's value is no string. */
function defaultOf({ type, defaultValue }: GraphQLArgument): string {
  const value = defaultValue === undefined ? null : astFromValue(defaultValue, type);
  return value === null || value === undefined ? '' : ` = ${print(value)}`;
}

function lineOf(field: GraphQLField<unknown, unknown>): string {
  const args = field.args.map(
    (argument) => `${argument.name}: ${String(argument.type)}${defaultOf(argument)}`,
  );
  const signature = `${field.name}${args.length === 0 ? '' : `(${args.join(', ')})`}: ${String(field.type)}`;
  const rule = ruleOf(field);
  const text = (field.description ?? '').replaceAll(/\s+/g, ' ');
  return `- \`${signature}\` (${WHO[rule] ?? `\`${rule}\``})${text === '' ? '' : `: ${text}`}`;
}

function section(type: GraphQLObjectType | null | undefined): string {
  const fields = Object.values(type?.getFields() ?? {}).sort((a, b) => (a.name < b.name ? -1 : 1));
  return `### ${type?.name ?? ''}\n\n${fields.map(lineOf).join('\n')}`;
}

/** The page with its reference as the schema has it. @throws Error when the page has no place for it. */
export async function withReference(page: string, schema: GraphQLSchema): Promise<string> {
  const start = page.indexOf(START);
  if (start < 0) throw new Error('docs/graphql.md has no place for the reference');
  const sections = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()].map(
    section,
  );
  const text = `${page.slice(0, start)}${START}\n\n## Reference\n\n${sections.join('\n\n')}\n`;
  return format(text, { parser: 'markdown', printWidth: 110, singleQuote: true });
}
