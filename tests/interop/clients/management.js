// The official Node.js SDK as an administrator.
//
//     node management.js CONNECTION_STRING
//
// The lines are as those of battery.js.
'use strict'
const { BucketType, connect } = require('couchbase')

async function report(call, promise) {
  try {
    const result = await promise
    console.log(JSON.stringify({ call, ok: result === undefined ? null : result }))
  } catch (error) {
    console.log(JSON.stringify({ call, error: error.constructor.name }))
  }
}

const done = (promise) => promise.then(() => 'done')

async function buckets(manager) {
  const settings = {
    name: 'made', ramQuotaMB: 128, numReplicas: 2, flushEnabled: true, maxExpiry: 60,
    bucketType: BucketType.Couchbase
  }
  await report('create a bucket', done(manager.createBucket(settings)))
  await report('the bucket', manager.getBucket('made').then((b) =>
    [b.name, b.ramQuotaMB, b.numReplicas, b.flushEnabled, b.maxExpiry, b.bucketType]))
  await report('all buckets', manager.getAllBuckets().then((all) => all.map((b) => b.name).sort()))
  await report('create it again', manager.createBucket(settings))
  await report('update it', manager.updateBucket({ name: 'made', ramQuotaMB: 200 })
    .then(() => manager.getBucket('made')).then((b) => b.ramQuotaMB))
  await report('flush it', done(manager.flushBucket('made')))
  await report('flush what must not be flushed', manager.flushBucket('default'))
  await report('drop it', done(manager.dropBucket('made')))
  await report('drop it again', manager.dropBucket('made'))
}

async function collections(manager) {
  await report('create a scope', done(manager.createScope('s')))
  await report('create it again, the scope', manager.createScope('s'))
  await report('create a collection', done(manager.createCollection('c', 's', { maxExpiry: 90 })))
  await report('in no scope', manager.createCollection('c', 'none'))
  await report('create it again, the collection', manager.createCollection('c', 's'))
  await report('all scopes', manager.getAllScopes().then((scopes) => scopes.flatMap((scope) =>
    scope.collections.map((each) => [scope.name, each.name, each.maxExpiry])).sort()))
  await report('drop the collection', done(manager.dropCollection('c', 's')))
  await report('drop the scope', done(manager.dropScope('s')))
}

async function users(manager) {
  const role = (name) => ({ name, bucket: 'default' })
  await report('upsert a group', done(manager.upsertGroup(
    { name: 'g', description: 'They read.', roles: [role('data_reader')] })))
  await report('upsert a user', done(manager.upsertUser({
    username: 'ada', displayName: 'Ada', groups: ['g'], roles: [role('data_writer')],
    password: 'secret1'
  })))
  await report('the user', manager.getUser('ada').then((user) => [
    user.username, user.displayName, user.groups, user.effectiveRoles.map((each) => each.name).sort()
  ]))
  await report('roles', manager.getRoles().then((all) => all.some((each) => each.name === 'admin')))
  await report('drop the user', done(manager.dropUser('ada')))
  await report('the dropped user', manager.getUser('ada'))
  await report('drop the group', done(manager.dropGroup('g')))
}

async function main(address) {
  const cluster = await connect(address, { username: 'admin', password: 'password' })
  await buckets(cluster.buckets())
  await collections(cluster.bucket('default').collections())
  await users(cluster.users())
  await cluster.close()
}

main(process.argv[2]).then(() => process.exit(0))
