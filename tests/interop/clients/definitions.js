// The official Node.js SDK storing design documents, search indexes and eventing functions.
//
//     node definitions.js CONNECTION_STRING
//
// The lines are as those of battery.js.
'use strict'
const {
  connect, DesignDocument, DesignDocumentNamespace, DesignDocumentView, EventingFunction,
  EventingFunctionBucketAccess, EventingFunctionBucketBinding, EventingFunctionConstantBinding,
  EventingFunctionKeyspace, EventingFunctionSettings, EventingFunctionUrlAuthBasic,
  EventingFunctionUrlBinding
} = require('couchbase')

async function report(call, promise) {
  try {
    const result = await promise
    console.log(JSON.stringify({ call, ok: result === undefined ? null : result }))
  } catch (error) {
    console.log(JSON.stringify({ call, error: error.constructor.name }))
  }
}

const done = (promise) => promise.then(() => 'done')

async function views(manager) {
  const { Development, Production } = DesignDocumentNamespace
  const design = new DesignDocument({
    name: 'd', views: { v: new DesignDocumentView({ map: 'function (doc, meta) {}', reduce: '_count' }) }
  })
  await report('upsert a design document', done(manager.upsertDesignDocument(design, Development)))
  await report('the design document', manager.getDesignDocument('d', Development)
    .then((found) => [found.name, found.views.v.map, found.views.v.reduce]))
  await report('publish it', done(manager.publishDesignDocument('d')))
  await report('those of both namespaces', Promise.all(
    [Development, Production].map((where) => manager.getAllDesignDocuments(where)
      .then((all) => all.map((each) => each.name)))))
  await report('drop it', done(manager.dropDesignDocument('d', Production)))
  await report('drop it again', manager.dropDesignDocument('d', Production))
  await report('the dropped one', manager.getDesignDocument('d', Production))
}

async function indexes(manager, where) {
  const index = { name: 'i', sourceName: 'default', sourceType: 'couchbase', type: 'fulltext-index' }
  const each = (call, promise) => report(`${call}${where}`, promise)
  await each('upsert an index', done(manager.upsertIndex(index)))
  await each('upsert it again', manager.upsertIndex(index))
  await each('the index', manager.getIndex('i').then((found) => [found.type, Boolean(found.uuid)]))
  await each('all indexes', manager.getAllIndexes().then((all) => all.map((one) => one.name).sort()))
  await each('how many documents', manager.getIndexedDocumentsCount('i'))
  for (const name of ['pauseIngest', 'resumeIngest', 'disallowQuerying', 'allowQuerying',
    'freezePlan', 'unfreezePlan']) {
    await each(name, done(manager[name]('i')))
  }
  await each('analyze a document', manager.analyzeDocument('i', { a: 'b' })
    .then((found) => Object.keys(found[0])))
  await each('drop the index', done(manager.dropIndex('i')))
  await each('drop the index again', manager.dropIndex('i'))
}

function functionOf(name, metadata) {
  const keyspace = (scope, collection) =>
    new EventingFunctionKeyspace({ bucket: 'default', scope, collection })
  return new EventingFunction({
    name,
    code: 'function OnUpdate(doc, meta) {}',
    version: 'evt-7.6.2-3721-ee',
    metadataKeyspace: keyspace(...metadata),
    sourceKeyspace: keyspace('_default', '_default'),
    bucketBindings: [new EventingFunctionBucketBinding({
      alias: 'b', name: keyspace('_default', '_default'), access: EventingFunctionBucketAccess.ReadWrite
    })],
    urlBindings: [new EventingFunctionUrlBinding({
      alias: 'u', hostname: 'http://h', allowCookies: false, validateSslCertificate: false,
      auth: new EventingFunctionUrlAuthBasic({ username: 'user', password: 'secret' })
    })],
    constantBindings: [new EventingFunctionConstantBinding({ alias: 'c', literal: '1' })],
    settings: new EventingFunctionSettings({ executionTimeout: 5000 })
  })
}

async function functions(manager) {
  const states = () => manager.functionsStatus()
    .then((all) => all.functions.map((each) => [each.name, each.status]))
  await report('upsert a function', done(manager.upsertFunction(functionOf('f', ['s', 'metadata']))))
  await report('in its own source', manager.upsertFunction(functionOf('g', ['_default', '_default'])))
  await report('the function', manager.getFunction('f').then((found) => [
    found.name, found.bucketBindings[0].alias, found.urlBindings[0].hostname,
    found.constantBindings[0].literal
  ]))
  await report('all functions', manager.getAllFunctions().then((all) => all.map((each) => each.name)))
  await report('undeploy it', manager.undeployFunction('f'))
  await report('deploy it', done(manager.deployFunction('f')))
  await report('drop what is deployed', manager.dropFunction('f'))
  // It takes the nodes a moment.
  const deployed = async () => {
    for (let all = await states(); all[0][1] !== 'deployed'; all = await states());
    return states()
  }
  await report('how it is', deployed())
  await report('pause it', done(manager.pauseFunction('f')))
  await report('resume it', done(manager.resumeFunction('f')))
  await report('undeploy it then', deployed().then(() => done(manager.undeployFunction('f'))))
  const undeployed = async () => {
    for (let all = await states(); all[0][1] !== 'undeployed'; all = await states());
  }
  await report('drop the function', undeployed().then(() => done(manager.dropFunction('f'))))
  await report('the dropped function', manager.getFunction('f'))
}

async function main(address) {
  const cluster = await connect(address, { username: 'admin', password: 'password' })
  const bucket = cluster.bucket('default')
  // Some calls need what a bucket's configuration tells.
  await bucket.collections().createScope('s')
  await bucket.collections().createCollection('metadata', 's')
  await views(bucket.viewIndexes())
  await indexes(cluster.searchIndexes(), '')
  await indexes(bucket.scope('_default').searchIndexes(), ' of a scope')
  await functions(cluster.eventingFunctions())
  await cluster.close()
}

main(process.argv[2]).then(() => process.exit(0))
