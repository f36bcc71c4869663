/*
 * payloads.mjs
 *	  GitHub's own example payloads as rows for COPY, on standard output.
 *
 *	  node payloads.mjs INDEX.JSON TENANT FIRST COUNT
 *
 * INDEX.JSON is api.github.com/index.json of the npm package
 * @octokit/webhooks-examples: an array of events, each with example payloads.
 * Deliveries are numbered; number n carries example n modulo their number, so
 * any range of numbers holds every event.  They are spread over the last 180
 * days.  What the same number holds is the same in every run, except the clock.
 *
 * Columns: tenant_id, delivery_id, event, action, status, attempts, headers,
 * payload, payload_digest, trace_id, received_at.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

const [file, tenant, first, count] = process.argv.slice(2);
const days = 180 * 86400e3;
const now = Date.now();

const hex = (text, length) => createHash('sha256').update(text).digest('hex').slice(0, length);
const escape = (text) => text.replace(/[\\\n\r\t]/g,
	(c) => ({ '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' })[c]);

// each example is written and escaped once, however often it is delivered
const examples = JSON.parse(readFileSync(file, 'utf8')).flatMap(({ name, examples }) =>
	examples.map((payload) => {
		const text = JSON.stringify(payload);
		return {
			event: name,
			action: payload.action ?? '\\N',
			payload: escape(text),
			digest: 'sha256:' + hex(text, 64),
		};
	}));

function* rows() {
	for (let n = Number(first), last = n + Number(count); n < last; n++) {
		const example = examples[n % examples.length];
		const h = hex(`delivery ${n}`, 64);
		const id = `${h.slice(0, 8)}-${h.slice(8, 12)}-4${h.slice(13, 16)}-8${h.slice(17, 20)}-${h.slice(20, 32)}`;
		const age = parseInt(h.slice(32, 44), 16) / 2 ** 48 * days;
		const headers = {
			'Content-Type': 'application/json',
			'User-Agent': 'GitHub-Hookshot/' + h.slice(44, 51),
			'X-GitHub-Delivery': id,
			'X-GitHub-Event': example.event,
		};
		yield [tenant, id, example.event, example.action, 'delivered', 1, escape(JSON.stringify(headers)),
			example.payload, example.digest, h.slice(32), new Date(now - age).toISOString()].join('\t') + '\n';
	}
}

await pipeline(Readable.from(rows(), { objectMode: false, highWaterMark: 1 << 20 }), process.stdout);
