// SPDX-License-Identifier: MIT
// A node of the package: smokesignal.js send|read1|read2 PORT PORT PORT COUNT BYTES
const smoke = require('smokesignal');

const [kind, ...numbers] = process.argv.slice(2);
const [seed, one, two, count, size] = numbers.map(Number);
const port = { send: seed, read1: one, read2: two }[kind];
const node = smoke.createNode({
    port,
    address: '127.0.0.1',
    seeds: kind === 'send' ? [] : [{ port: seed, address: '127.0.0.1' }],
});
let got = 0;

// As streams want it: what says that it is full is not written to before it drains.
function send(left) {
    const data = Buffer.alloc(size, 'x');
    for (; left > 0; left--) {
        if (!node.broadcast.write(data))
            return node.broadcast.once('drain', () => setImmediate(send, left - 1));
    }
    console.log('sent');
}

node.broadcast.on('data', (data) => { got += data.length; });
process.stdin.once('data', () => { if (kind === 'send') send(count); });
process.on('SIGTERM', () => { console.log(got); process.exit(0); });
if (kind === 'send')
    console.log('ready');
else
    node.on('connect', () => console.log('ready'));
node.start();
