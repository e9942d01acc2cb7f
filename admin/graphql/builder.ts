import SchemaBuilder from '@pothos/core';
import RelayPlugin from '@pothos/plugin-relay';
import { GraphQLError } from 'graphql';
import type { RequestContext } from '../context.ts';

export const builder = new SchemaBuilder<{
  Context: RequestContext;
  DefaultFieldNullability: false;
  DefaultInputFieldRequiredness: true;
  DefaultEdgesNullability: { list: false; items: false };
  Scalars: {
    DateTime: { Input: Date; Output: Date };
    SafeInt: { Input: number; Output: number };
    ID: { Input: string; Output: string | number };
  };
}>({
  plugins: [RelayPlugin],
  defaultFieldNullability: false,
  defaultInputFieldRequiredness: true,
  relay: {
    cursorType: 'String',
    nodeQueryOptions: false,
    nodesQueryOptions: false,
    edgesFieldOptions: { nullable: { list: false, items: false } },
  },
});

builder.scalarType('DateTime', {
  description: 'A moment, ISO 8601 in UTC.',
  serialize: (value) => value.toISOString(),
  parseValue: (value) => {
    const date = typeof value === 'string' ? new Date(value) : new Date(Number.NaN);
    if (Number.isNaN(date.getTime())) throw new GraphQLError('DateTime is ISO 8601 text');
    return date;
  },
});

builder.scalarType('SafeInt', {
  description: 'An integer between -(2^53 - 1) and 2^53 - 1.',
  serialize: (value) => value,
  parseValue: (value) => {
    if (!Number.isSafeInteger(value)) throw new GraphQLError('SafeInt is an integer');
    return value as number;
  },
});

builder.queryType({ description: 'Reading.' });
builder.mutationType({ description: 'Writing.' });
builder.subscriptionType({ description: 'Looking on: POST with `accept: text/event-stream`.' });
