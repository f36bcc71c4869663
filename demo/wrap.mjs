/*
 * wrap.mjs
 *	  A table on standard output whose cells are wrapped between words, and
 *	  words that are too long between their parts.
 *
 *	  psql -A -F $'\t' ... | node wrap.mjs WIDTH...
 *
 * Standard input: the column names, then a row a line, separated by tabs.
 * psql's own wrapped format breaks inside words.
 */
import { readFileSync } from 'node:fs';

const widths = process.argv.slice(2).map(Number);

const wrap = (text, width) => {
	const lines = [''];
	for (let word of text.split(' ')) {
		const last = lines[lines.length - 1];
		if (last !== '' && last.length + 1 + word.length <= width) {
			lines[lines.length - 1] += ' ' + word;
			continue;
		}
		if (last !== '')
			lines.push('');
		while (word.length > width) {
			const [head] = word.slice(0, width).match(/^.*(?:[-_./(]|[a-z](?=[A-Z]))/) ?? [word.slice(0, width)];
			lines[lines.length - 1] = head;
			lines.push('');
			word = word.slice(head.length);
		}
		lines[lines.length - 1] = word;
	}
	return lines;
};

const print = (cells) => {
	const wrapped = cells.map((cell, i) => wrap(cell, widths[i]));
	for (let n = 0; n < Math.max(...wrapped.map((lines) => lines.length)); n++)
		console.log(wrapped.map((lines, i) => (lines[n] ?? '').padEnd(widths[i])).join('  ').trimEnd());
};

const [names, ...rows] = readFileSync(0, 'utf8').trimEnd().split('\n').map((line) => line.split('\t'));
print(names);
print(widths.map((width) => '─'.repeat(width)));
rows.forEach((row, n) => {
	if (n > 0 && widths.length > 4)
		console.log();
	print(row);
});
