// The official Node.js SDK at work, found by the NODE_PATH that tools/peers.py prepares.
//
//     node battery.js CONNECTION_STRING [TRUST_STORE]
//
// Prints a JSON line for each call: {"call": …, "ok": result} or {"call": …, "error": name}.
// Where a recording of a real node has the same call under the same name, the result must be the
// recorded one; "done" stands for results that hold a CAS.
'use strict'
const couchbase = require('couchbase')

async function report(call, promise) {
  try {
    const result = await promise
    console.log(JSON.stringify({ call, ok: result === undefined ? null : result }))
  } catch (error) {
    console.log(JSON.stringify({ call, error: error.constructor.name }))
  }
}

const done = (promise) => promise.then(() => 'done')
const content = (promise) => promise.then((result) => result.content)

async function main(address, trustStorePath) {
  const connect = (username, password) => couchbase.connect(address, {
    username, password, security: trustStorePath ? { trustStorePath } : undefined
  })
  await report('wrong password', connect('user', 'wrong'))
  const cluster = await connect('user', 'password')
  const bucket = cluster.bucket('default')
  const c = bucket.defaultCollection()
  const { LookupInSpec: L, MutateInSpec: M } = couchbase

  await report('upsert', done(c.upsert('n1', { a: 1, l: [1] })))
  await report('get', content(c.get('n1')))
  await report('get with expiry', content(c.get('n1', { withExpiry: true })))
  await report('get project', content(c.get('n1', { project: ['a'] })))
  await report('get missing', c.get('nope'))
  await report('insert', done(c.insert('n0', 1)))
  await report('insert existing', c.insert('n1', 1))
  await report('replace missing', c.replace('nope', 1))
  const { cas: before } = await c.get('n0')
  await report('replace with the CAS', done(c.replace('n0', 2, { cas: before })))
  await report('replace with the CAS of before', c.replace('n0', 3, { cas: before }))
  await report('remove missing', c.remove('nope'))
  await report('touch missing', c.touch('nope', 10))
  await report('exists', done(c.exists('n1')))
  await report('exists missing', c.exists('nope').then((result) => result.exists))
  await report('upsert with expiry', done(c.upsert('n2', 1, { expiry: 100 })))
  await report('upsert preserve expiry', done(c.upsert('n2', 2, { preserveExpiry: true })))
  await report('it still expires', c.get('n2', { withExpiry: true }).then(
    (result) => result.expiryTime > Date.now() / 1000 && result.expiryTime < Date.now() / 1000 + 101))
  await report('touch', done(c.touch('n2', 200)))
  await report('get and touch', content(c.getAndTouch('n2', 200)))
  const { cas } = await c.getAndLock('n1', 15)
  await report('upsert of a locked document, 300 ms', c.upsert('n1', 1, { timeout: 300 }))
  await report('unlock', c.unlock('n1', cas))
  await report('unlock again', c.unlock('n1', cas))
  await report('increment', c.binary().increment('nc', 1, { initial: 10 }).then((r) => r.value))
  await report('decrement', c.binary().decrement('nc', 3).then((r) => r.value))
  await report('append missing', c.binary().append('nope', Buffer.from('x')))
  await report('upsert buffer', done(c.upsert('nb', Buffer.from('abc'))))
  await report('append', done(c.binary().append('nb', Buffer.from('def'))))
  await report('prepend', done(c.binary().prepend('nb', Buffer.from('000'))))
  await report('get buffer', c.get('nb').then((result) => result.content.toString('latin1')))
  await report('lookupIn', content(
    c.lookupIn('n1', [L.get('a'), L.exists('zz'), L.count('l'), L.get('zz')])))
  await report('mutateIn', content(c.mutateIn('n1', [
    M.upsert('b', 1), M.arrayAppend('l', 2), M.increment('n', 5, { createPath: true }),
    M.upsert('x', { y: 1 }, { xattr: true })
  ])))
  await report('mutateIn failing', c.mutateIn('n1', [M.insert('a', 1)]))
  await report('durable upsert', done(c.upsert('nd', 1, {
    durabilityLevel: couchbase.DurabilityLevel.Majority
  })))
  await report('getAnyReplica', content(c.getAnyReplica('n1')))
  await report('getAllReplicas', done(c.getAllReplicas('n1')))
  await report('collection upsert', done(bucket.scope('app').collection('c1').upsert('nx', 1)))
  await report('unknown collection, 500 ms',
    bucket.scope('app').collection('nosuch').get('x', { timeout: 500 }))
  await report('upsert compressible', done(c.upsert('nz', { x: 'y'.repeat(2000) })))
  await report('get compressible', content(c.get('nz')))
  const keys = Array.from({ length: 64 }, (_, i) => `many${i}`)
  await Promise.all(keys.map((key, i) => c.upsert(key, i)))
  await report('64 at once', Promise.all(keys.map((key) => content(c.get(key)))))
  await report('remove', done(c.remove('n1')))
  await report('ping', done(bucket.ping()))
  await cluster.close()
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error)
  process.exitCode = 1
})
