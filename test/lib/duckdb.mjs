/*
 * duckdb.mjs
 *    What DuckDB reads in archives: node duckdb.mjs MODULES < question
 *
 * MODULES is the node_modules that holds @duckdb/node-api.  The question is
 * JSON: files (a glob), columns (names, in order), casts (label to expression).
 * The answer, a line each: c ID NUMBER SHA256 for every cell, by the column's
 * number, "null" for null; x ID LABEL VALUE for every cast; d ID LABEL for every
 * number that is not the one that its text says.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const { DuckDBInstance } = createRequire(`${process.argv[2]}/x.js`)('@duckdb/node-api');
const { files, columns, casts } = JSON.parse(readFileSync(0, 'utf8'));
const literal = (text) => `'${text.replaceAll("'", "''")}'`;
const name = (text) => `"${text.replaceAll('"', '""')}"`;
const types = columns.map((column) => `${literal(column)}: 'VARCHAR'`).join(', ');
const db = await (await DuckDBInstance.create(':memory:')).connect();
const rows = async (query) => (await db.runAndReadAll(query)).getRows();
const out = [];

await db.run(`CREATE TABLE t AS SELECT * FROM read_ndjson(${literal(files)}, columns = {${types}}, maximum_object_size = 67108864)`);
for (const [number, column] of columns.entries())
	for (const [id, digest] of await rows(`SELECT id, sha256(${name(column)}) FROM t`))
		out.push(`c ${id} ${number} ${digest ?? 'null'}`);
for (const [label, expression] of Object.entries(casts))
	for (const [id, value] of await rows(`SELECT id, (${expression})::VARCHAR FROM t`))
		out.push(`x ${id} ${label} ${value ?? 'null'}`);
// JavaScript's own numbers are doubles, and know NaN, Infinity and -0 by these names
for (const [column, type, exact] of [['c_float8', 'DOUBLE', (n) => n], ['c_float4', 'FLOAT', Math.fround]])
	for (const [id, text, value] of await rows(`SELECT id, ${column}, ${column}::${type} FROM t WHERE ${column} IS NOT NULL`))
		if (!Object.is(exact(Number(text)), value)) out.push(`d ${id} ${column}`);
process.stdout.write(out.join('\n') + '\n');
