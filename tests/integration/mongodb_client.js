// The Node driver of MongoDB at work: node mongodb_client.js PORT SECRET; prints what it publishes of its commands, a JSON array.
'use strict';
const { MongoClient } = require('mongodb');
const [port, secret] = process.argv.slice(2);
const lines = [];
const began = new Map();

const client = new MongoClient(`mongodb://127.0.0.1:${port}/?directConnection=true`, {
  maxPoolSize: 1, retryWrites: false, retryReads: false, monitorCommands: true,
});

client.on('commandStarted', (event) => {
  const { commandName: name, command } = event;
  const target = name === 'getMore' ? command.collection : command[name];
  const one = { operation: name, target: target === 'carts' ? target : null, namespace: event.databaseName, status: null, outcome: 'ok' };
  const documents = ['documents', 'updates', 'deletes'].map((key) => command[key]).find(Array.isArray);
  if (documents && documents.length !== 1) one['db.operation.batch.size'] = documents.length;
  began.set(event.requestId, one);
});
const ended = (event) => {
  const one = began.get(event.requestId);
  lines.push(one);
  return one;
};
client.on('commandSucceeded', (event) => {
  const one = ended(event);
  const reply = event.reply || {};
  const batch = reply.cursor && (reply.cursor.firstBatch || reply.cursor.nextBatch);
  if (batch) one['db.response.returned_rows'] = batch.length;
  if (reply.writeErrors) Object.assign(one, { status: String(reply.writeErrors[0].code), outcome: 'error' });
});
client.on('commandFailed', (event) => Object.assign(ended(event), { status: String(event.failure.code), outcome: 'error' }));

const fails = async (work) => {
  try { await work(); } catch { return; }
  throw new Error('it should have failed');
};

(async () => {
  const carts = client.db('shop').collection('carts');
  for (let i = 0; i < 100; i++) {
    await carts.insertMany(Array.from({ length: (i % 7) + 1 }, (_, n) => ({ _id: i * 100 + n, name: secret, find: { insert: n } })));
    await carts.find({ _id: { $gte: i * 50 } }, { batchSize: (i % 9) + 2, limit: 40 }).toArray();
    await carts.updateMany({ _id: i * 100 }, { $set: { name: secret.repeat(i % 50) } });
    await carts.findOne({ _id: i }, { comment: secret });
    if (i % 3 === 0) await fails(() => carts.insertMany([{ _id: i * 100 }, { _id: i * 100 + 99 }], { ordered: false }));
    else await fails(() => client.db('shop').command({ noSuchCommand: secret }));
    if (i % 10 === 0) {
      await client.db('admin').command({ ping: 1 });
      const cursor = carts.find({}, { batchSize: 2 });
      await cursor.next();
      await cursor.close();
    }
  }
  await carts.insertOne({ _id: 'large', note: 'x'.repeat(4_000_000) });
  await carts.findOne({ _id: 'large' });
  await carts.drop();
  // It would end its sessions by a message that wants no answer, and FerretDB answers it.
  process.stdout.write(`${JSON.stringify(lines)}\n`, () => process.exit(0));
})().catch((error) => { console.error(error); process.exit(1); });
