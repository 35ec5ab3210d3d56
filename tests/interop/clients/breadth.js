// More of the official Node.js SDK: what clusters of today are used for.
//
//     node breadth.js CONNECTION_STRING [TRUST_STORE]
//
// The lines are as those of battery.js.
'use strict'
const couchbase = require('couchbase')
const { connect, DurabilityLevel, LookupInMacro, LookupInSpec: L, MutateInMacro } = couchbase
const { MutateInSpec: M, PrefixScan, RangeScan, SamplingScan, ScanTerm, StoreSemantics } = couchbase

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
const values = (promise) => content(promise).then((each) => each.map((one) => one.value))

async function collections(bucket) {
  const [first, second] = ['c1', 'c2'].map((name) => bucket.scope('app').collection(name))
  await report('c1 upsert', done(first.upsert('k', 'one')))
  await report('c2 upsert', done(second.upsert('k', 'two')))
  await report('c1 get', content(first.get('k')))
  await report('c2 get', content(second.get('k')))
  await report('unknown scope (500 ms)',
    bucket.scope('nosuch').collection('c1').get('x', { timeout: 500 }))
}

async function subdocument(c) {
  await c.upsert('s', { a: 1, l: [1, 2, { x: 'y' }] })
  await report('xattrs and macros', done(c.mutateIn('s', [
    M.upsert('meta.tags', ['x'], { xattr: true, createPath: true }),
    M.upsert('meta.cas', MutateInMacro.Cas, { xattr: true }),
    M.arrayAppend('l', [3, 4], { multi: true }), M.arrayPrepend('l', 0), M.arrayInsert('l[1]', 9),
    M.increment('n', 5, { createPath: true }), M.decrement('n', 2), M.replace('a', 2)
  ])))
  await report('look up', values(c.lookupIn('s', [
    L.get('meta.tags[0]', { xattr: true }), L.get('l'), L.get('n'), L.exists('z'), L.count('l'),
    L.get(LookupInMacro.IsDeleted, { xattr: true })
  ])))
  await report('unique exists', c.mutateIn('s', [M.arrayAddUnique('l', 9)]))
  await report('replace semantics, missing', c.mutateIn('absent', [M.upsert('a', 1)], {
    storeSemantics: StoreSemantics.Replace
  }))
  await report('insert semantics, existing', c.mutateIn('s', [M.upsert('a', 1)], {
    storeSemantics: StoreSemantics.Insert
  }))
  await report('path invalid', values(c.lookupIn('s', [L.get('l[')])))
  await report('look up in a missing document', c.lookupIn('absent', [L.get('a')]))
}

async function durable(c) {
  for (const [name, durabilityLevel] of Object.entries({
    majority: DurabilityLevel.Majority,
    'majority and persist on master': DurabilityLevel.MajorityAndPersistOnMaster,
    'persist to majority': DurabilityLevel.PersistToMajority
  })) {
    const key = `durable ${name}`
    await report(`insert, ${name}`, done(c.insert(key, 1, { durabilityLevel })))
    await report(`mutateIn, ${name}`, done(c.mutateIn(`${key} fields`, [M.upsert('a', 1)], {
      durabilityLevel, storeSemantics: StoreSemantics.Upsert
    })))
    await report(`increment, ${name}`, c.binary().increment(`${key} n`, 1, {
      initial: 5, durabilityLevel
    }).then((result) => result.value))
    await report(`insert existing, ${name}`, c.insert(key, 1, { durabilityLevel }))
    await report(`remove, ${name}`, done(c.remove(key, { durabilityLevel })))
  }
  await report('replicate to 1, persist to 1', done(c.upsert('observed', 1, {
    durabilityReplicateTo: 1, durabilityPersistTo: 1
  })))
}

async function copies(c) {
  const replicas = (all) => all.map((one) => one.isReplica).sort()
  await report('all replicas', c.getAllReplicas('s').then(replicas))
  await report('any replica', c.getAnyReplica('s').then((one) => one.content.a))
  await report('any replica of a missing one', c.getAnyReplica('absent'))
  await report('look up in all replicas', c.lookupInAllReplicas('s', [L.get('a')]).then(replicas))
  await report('look up in any replica', values(c.lookupInAnyReplica('s', [L.get('a')])))
}

async function scans(bucket) {
  const c = bucket.scope('app').collection('scanned')
  const numbers = Array.from({ length: 100 }, (_, i) => i)
  const name = (number) => `d${String(number).padStart(2, '0')}`
  const stored = await Promise.all(numbers.map((number) => c.upsert(name(number), { n: number })))
  const consistentWith = new couchbase.MutationState(...stored.map((one) => one.token))
  const ids = (kind, options) => c.scan(kind, { idsOnly: true, ...options }).then(
    (rows) => rows.map((row) => row.id).sort())
  await report('scan all', ids(new RangeScan()).then((all) => all.length))
  await report('scan prefix', ids(new PrefixScan('d4')))
  await report('scan exclusive range',
    ids(new RangeScan(new ScanTerm('d10', true), new ScanTerm('d14', true))))
  await report('scan documents', c.scan(new PrefixScan('d5'), {}).then(
    (rows) => rows.map((row) => row.content.n).sort()))
  await report('scan in small pieces', ids(new RangeScan(), { batchItemLimit: 1 }).then(
    (all) => all.length))
  await report('scan consistent with', ids(new RangeScan(), { consistentWith }).then(
    (all) => all.length))
  await report('sample', ids(new SamplingScan(10, 7)).then((all) => all.length))
}

async function main(address, trustStorePath) {
  const security = trustStorePath ? { trustStorePath } : undefined
  const cluster = await connect(address, { username: 'user', password: 'password', security })
  const bucket = cluster.bucket('default')
  await collections(bucket)
  await subdocument(bucket.defaultCollection())
  await durable(bucket.defaultCollection())
  await copies(bucket.defaultCollection())
  await scans(bucket)
  await cluster.close()
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error)
  process.exitCode = 1
})
