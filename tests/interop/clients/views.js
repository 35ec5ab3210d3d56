// The official Node.js SDK, asking views.
//
//     node views.js CONNECTION_STRING
//
// The lines are as those of battery.js; people are there already.
'use strict'
const couchbase = require('couchbase')
const { connect, DesignDocumentNamespace, ViewErrorMode, ViewOrdering, ViewScanConsistency } = couchbase

const ULM = ['de', 'Ulm']
const QUERIES = {
  all: ['plain', {}],
  'limit, skip': ['plain', { limit: 2, skip: 1 }],
  descending: ['plain', { order: ViewOrdering.Descending }],
  key: ['plain', { key: ULM }],
  keys: ['plain', { keys: [['fr', 'Pau'], ULM] }],
  range: ['plain', { range: { start: ULM, end: ['fr'] } }],
  exclusive: ['plain', { range: { start: ['de'], end: ULM, inclusiveEnd: false } }],
  request_plus: ['plain', { scanConsistency: ViewScanConsistency.RequestPlus }],
  on_error: ['plain', { onError: ViewErrorMode.Stop, limit: 1 }],
  development: ['plain', { namespace: DesignDocumentNamespace.Development, fullSet: true }],
  reduced: ['stats', {}],
  grouped: ['stats', { group: true }],
  'grouped by level': ['stats', { groupLevel: 1 }],
  'not reduced': ['stats', { reduce: false, limit: 1 }],
  'no view': ['nosuch', {}],
  'group of a map': ['plain', { group: true }]
}

async function main() {
  const cluster = await connect(process.argv[2], { username: 'user', password: 'password' })
  const bucket = cluster.bucket('default')
  for (const [call, [view, options]] of Object.entries(QUERIES)) {
    try {
      const found = await bucket.viewQuery('d', view, options)
      const ok = found.rows.map((row) => [row.id === undefined ? null : row.id, row.key, row.value])
      console.log(JSON.stringify({ call, ok }))
    } catch (error) {
      console.log(JSON.stringify({ call, error: error.constructor.name }))
    }
  }
  await cluster.close()
}

main()
