// The official Node.js SDK, asking the analytics service and managing what it has.
//
//     node analytics.js CONNECTION_STRING
//
// The lines are as those of battery.js.
'use strict'
const {
  AnalyticsEncryptionLevel, AnalyticsLinkType, AnalyticsScanConsistency, AzureExternalAnalyticsLink,
  CouchbaseRemoteAnalyticsLink, S3ExternalAnalyticsLink, connect
} = require('couchbase')

const PLACE = 'travel/inventory'

async function report(call, promise) {
  try {
    const result = await promise
    console.log(JSON.stringify({ call, ok: result === undefined ? null : result }))
  } catch (error) {
    console.log(JSON.stringify({ call, error: error.constructor.name }))
  }
}

const done = (promise) => promise.then(() => 'done')

function remote(encryptionLevel) {
  const pem = Buffer.from('PEM')
  const encryption = { encryptionLevel }
  const login = { username: 'ada', password: 'hidden' }
  const full = { certificate: pem, clientCertificate: pem, clientKey: pem }
  const isFull = encryptionLevel === AnalyticsEncryptionLevel.Full
  return new CouchbaseRemoteAnalyticsLink({
    dataverse: PLACE, name: 'remote', hostname: '127.0.0.1:8091',
    encryption: isFull ? { ...encryption, ...full } : encryption, ...(isFull ? {} : login)
  })
}

const s3 = (region, dataverse = 'plain') => new S3ExternalAnalyticsLink(
  { dataverse, name: 's3', accessKeyId: 'id', secretAccessKey: 'hidden', region })

async function definitions(manager) {
  const there = { dataverseName: PLACE }
  await report('create a dataverse', done(manager.createDataverse(PLACE)))
  await report('create it again', manager.createDataverse(PLACE))
  await report('create it leniently', done(manager.createDataverse(PLACE, { ignoreIfExists: true })))
  await report('create another', done(manager.createDataverse('plain')))
  await report('create a dataset', done(manager.createDataset('default', 'all')))
  await report('create it again, the dataset', manager.createDataset('default', 'all'))
  await report('create one with a condition', done(manager.createDataset(
    'default', 'few', { condition: '`n` > 1', ignoreIfExists: true, ...there })))
  await report('in no dataverse', manager.createDataset('default', 'x', { dataverseName: 'no' }))
  await report('all datasets', manager.getAllDatasets().then((all) => all.map((each) =>
    [each.dataverseName, each.name, each.linkName, each.bucketName]).sort()))
  await report('create an index', done(manager.createIndex('all', 'ix', { n: 'int64' })))
  await report('create it again, the index', manager.createIndex('all', 'ix', { n: 'int64' }))
  await report('create one elsewhere', done(manager.createIndex(
    'few', 'iy', { name: 'string', 'a.b': 'double' }, there)))
  await report('of no dataset', manager.createIndex('no', 'ix', { n: 'int64' }))
  await report('all indexes', manager.getAllIndexes().then((all) => all.map((each) =>
    [each.dataverseName, each.datasetName, each.name, each.isPrimary]).sort()))
  await report('connect', done(manager.connectLink({ force: true, ...there })))
  await report('connect none', manager.connectLink({ linkName: 'no' }))
  await report('pending mutations', manager.getPendingMutations())
  await report('disconnect', done(manager.disconnectLink(there)))
}

async function links(manager) {
  const half = remote(AnalyticsEncryptionLevel.Half)
  const azure = new AzureExternalAnalyticsLink(
    { dataverse: 'plain', name: 'azure', accountName: 'ada', accountKey: 'hidden' })
  await report('create a link', done(manager.createLink(half)))
  await report('create it again, the link', manager.createLink(half))
  await report('replace it', done(manager.replaceLink(half)))
  // Full encryption the SDK's own core refuses, whatever it is given: nothing is sent.
  await report('encrypt it', manager.replaceLink(remote(AnalyticsEncryptionLevel.Full)))
  await report('create a link to S3', done(manager.createLink(s3('eu'))))
  await report('replace that', done(manager.replaceLink(s3('us'))))
  await report('create a link to Azure', done(manager.createLink(azure)))
  await report('create one in no dataverse', manager.createLink(s3('eu', 'no')))
  await report('all links', manager.getAllLinks().then((all) => all.map((each) => [
    each.dataverse, each.name, each.hostname || each.region || each.accountName,
    each.password || each.secretAccessKey || each.accountKey || ''
  ]).sort()))
  await report('the encryption', manager.getAllLinks({ dataverse: PLACE }).then(([link]) =>
    link.encryption.encryptionLevel))
  await report('links of a type', manager.getAllLinks({ linkType: AnalyticsLinkType.S3External })
    .then((all) => all.map((each) => each.name)))
  await report('drop a link', done(manager.dropLink('remote', PLACE)))
  await report('drop it again', manager.dropLink('remote', PLACE))
  await report('replace none', manager.replaceLink(remote(AnalyticsEncryptionLevel.Half)))
}

async function queries(cluster) {
  const ask = (statement, options) => cluster.analyticsQuery(statement, options)
  const rows = (statement, options) => ask(statement, options).then((found) => found.rows)
  const select = 'SELECT VALUE d.n FROM `all` AS d WHERE d.n >= '
  await report('positional', rows(select + '$1 ORDER BY d.n', { parameters: [2] }))
  await report('named', rows(select + '$n ORDER BY d.n', { parameters: { n: 2 } }))
  await report('options', ask('SELECT VALUE f.n FROM few AS f ORDER BY f.n', {
    clientContextId: 'mine', priority: true, queryContext: 'default:`travel`.`inventory`',
    raw: { pretty: true }, readOnly: true, timeout: 10000,
    scanConsistency: AnalyticsScanConsistency.RequestPlus
  }).then(({ rows, meta }) => [
    rows, meta.clientContextId, meta.status, meta.metrics.processedObjects, meta.warnings
  ]))
  await report('in a scope', cluster.bucket('travel').scope('inventory')
    .analyticsQuery('SELECT VALUE COUNT(*) FROM few').then(({ rows }) => rows))
  await report('syntax', rows('SELEC 1'))
  await report('no dataset', rows('SELECT 1 FROM nosuch'))
  await report('a change by what is read only', rows('DROP DATASET `all`', { readOnly: true }))
  await report('a change of documents', rows('DELETE FROM `all`'))
}

async function drops(manager) {
  const lenient = { ignoreIfNotExists: true }
  await report('drop an index', done(manager.dropIndex('all', 'ix')))
  await report('drop it again, the index', manager.dropIndex('all', 'ix'))
  await report('drop a dataset', done(manager.dropDataset('all')))
  await report('drop it again, the dataset', manager.dropDataset('all'))
  await report('drop it leniently', done(manager.dropDataset('all', lenient)))
  await report('drop a dataverse', done(manager.dropDataverse(PLACE)))
  await report('drop it again, the dataverse', manager.dropDataverse(PLACE))
}

async function main(address) {
  const cluster = await connect(address, { username: 'admin', password: 'password' })
  const collection = cluster.bucket('default').defaultCollection()
  for (let n = 0; n < 4; n++) await collection.upsert(`k${n}`, { n })
  const manager = cluster.analyticsIndexes()
  await definitions(manager)
  await links(manager)
  await queries(cluster)
  await drops(manager)
  await cluster.close()
}

main(process.argv[2])
