// SPDX-License-Identifier: MIT
// A client of NATS: nats.js send|read1|read2 PORT COUNT BYTES
const { connect } = require('nats');

const [kind, ...numbers] = process.argv.slice(2);
const [port, count, size] = numbers.map(Number);
let got = 0;

async function send(nc) {
    const data = Buffer.alloc(size, 'x');
    for (let i = 0; i < count; i++) {
        nc.publish('all', data);
        if (i % 64 === 63)
            await nc.flush();
    }
    await nc.flush();
    console.log('sent');
}

async function main() {
    const nc = await connect({ servers: '127.0.0.1:' + port });
    if (kind === 'send')
        process.stdin.once('data', () => send(nc));
    else
        nc.subscribe('all', { callback: (error, message) => { got += message.data.length; } });
    await nc.flush();
    console.log('ready');
}

process.on('SIGTERM', () => { console.log(got); process.exit(0); });
main();
