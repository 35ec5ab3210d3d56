// The official Node.js SDK, searching: a query of each class, each option, a search by vectors.
//
//     node searches.js CONNECTION_STRING
//
// The lines are as those of battery.js.
'use strict'
const couchbase = require('couchbase')
const { connect, HighlightStyle, MutationState, SearchFacet, SearchQuery, SearchRequest } = couchbase
const { SearchSort, VectorQuery, VectorSearch } = couchbase

const PLACES = {
  a: { name: 'The Old Mill', stars: 3, open: true, at: [2.35, 48.86], near: [1, 1] },
  b: { name: 'New Mill', stars: 5, open: false, at: [2.36, 48.87], near: [1, 2] },
  c: { name: 'Walking Town', stars: 1, built: '1999-12-31', near: [9, 9] }
}
const KINDS = {
  name: { type: 'text', analyzer: 'en' },
  near: { type: 'vector', dims: 2 },
  stars: { type: 'number' },
  open: { type: 'boolean' },
  at: { type: 'geopoint' },
  built: { type: 'datetime' }
}
const SHARED = {
  index: true, store: true, docvalues: true, include_in_all: true, include_term_vectors: true
}

function definition () {
  const properties = {}
  for (const [name, kind] of Object.entries(KINDS)) {
    properties[name] = { fields: [{ name, ...kind, ...SHARED }] }
  }
  return {
    name: 'i',
    sourceName: 'default',
    sourceType: 'couchbase',
    type: 'fulltext-index',
    params: {
      mapping: { default_mapping: { dynamic: false, enabled: true, properties } },
      doc_config: { mode: 'type_field', type_field: 'type' }
    }
  }
}

const old = () => SearchQuery.term('old').field('name')
const mill = () => SearchQuery.match('mills').field('name')
const QUERIES = {
  query_string: () => SearchQuery.queryString('+name:mill -name:old'),
  match: () => SearchQuery.match('walked').field('name'),
  match_fuzzy: () => SearchQuery.match('mull').field('name').fuzziness(1).prefixLength(1),
  match_phrase: () => SearchQuery.matchPhrase('old mill').field('name'),
  term: old,
  phrase: () => SearchQuery.phrase(['old', 'mill']).field('name'),
  prefix: () => SearchQuery.prefix('tow').field('name'),
  wildcard: () => SearchQuery.wildcard('t?w*').field('name'),
  regexp: () => SearchQuery.regexp('(old|town)').field('name'),
  ids: () => SearchQuery.docIds('c', 'a'),
  numbers: () => SearchQuery.numericRange().min(3).max(5, true).field('stars'),
  dates: () => SearchQuery.dateRange().start('1999-01-01').end('2000-01-01').field('built'),
  terms: () => SearchQuery.termRange().min('o').max('p').field('name'),
  distance: () => SearchQuery.geoDistance(2.35, 48.86, '500m').field('at'),
  box: () => SearchQuery.geoBoundingBox(2.3, 48.9, 2.355, 48.8).field('at'),
  conjunction: () => SearchQuery.conjuncts(old(), mill()),
  disjunction: () => SearchQuery.disjuncts(old(), mill()),
  boolean: () => SearchQuery.boolean()
    .must(SearchQuery.conjuncts(mill())).mustNot(SearchQuery.disjuncts(old())),
  match_all: () => SearchQuery.matchAll(),
  match_none: () => SearchQuery.matchNone(),
  bool: () => SearchQuery.booleanField(true).field('open')
}
const OPTIONS = {
  page: { limit: 1, skip: 1, sort: ['_id'] },
  fields: { fields: ['*'], sort: ['_id'] },
  highlight: { highlight: { style: HighlightStyle.HTML }, sort: ['_id'] },
  locations: { includeLocations: true, sort: ['_id'] },
  by_field: { sort: [SearchSort.field('stars').type('number').descending(true)] },
  by_place: { sort: [SearchSort.geoDistance('at', 48.87, 2.36)] },
  by_score: { sort: [SearchSort.score().descending(true), SearchSort.id()] },
  explain: { explain: true, sort: ['_id'] },
  unscored: { disableScoring: true, sort: ['_id'] }
}

async function report (call, asked) {
  try {
    console.log(JSON.stringify({ call, ok: await asked() }))
  } catch (error) {
    console.log(JSON.stringify({ call, error: error.constructor.name }))
  }
}

function places (locations) {
  return (locations || []).map((each) => [each.field, each.term, each.position, each.end_offset])
}

function row (hit) {
  const told = [hit.id, hit.fields, hit.fragments, places(hit.locations)]
  return told.filter((each) => each && (typeof each === 'string' || Object.keys(each).length))
}

async function main () {
  const cluster = await connect(process.argv[2], { username: 'admin', password: 'password' })
  const bucket = cluster.bucket('default')
  const collection = bucket.defaultCollection()
  for (const [key, place] of Object.entries(PLACES)) await collection.upsert(key, place)
  await cluster.searchIndexes().upsertIndex(definition())
  const scope = bucket.scope('_default')
  await scope.searchIndexes().upsertIndex(definition())
  const ids = async (asked) => (await asked).rows.map((hit) => hit.id)
  for (const [call, query] of Object.entries(QUERIES)) {
    await report(call, () => ids(cluster.searchQuery('i', query(), { sort: ['_id'] })))
  }
  const all = SearchQuery.disjuncts(SearchQuery.match('mill').field('name'), SearchQuery.matchAll())
  for (const [call, options] of Object.entries(OPTIONS)) {
    await report(call, async () => (await cluster.searchQuery('i', all, options)).rows.map(row))
  }
  await report('facets', async () => {
    const facets = {
      terms: SearchFacet.term('name', 2),
      numbers: SearchFacet.numeric('stars', 2).addRange('few', undefined, 4),
      dates: SearchFacet.date('built', 2).addRange('old', undefined, new Date('2000-01-01'))
    }
    const { meta } = await cluster.searchQuery('i', SearchQuery.matchAll(), { facets })
    return Object.values(meta.facets).map((each) => [each.name, each.total, each.missing]).sort()
  })
  await report('metadata', async () => {
    const { meta } = await cluster.searchQuery('i', SearchQuery.matchAll())
    const { metrics } = meta
    return [metrics.total_rows, metrics.success_partition_count, metrics.max_score]
  })
  await report('vectors', async () => {
    const near = VectorSearch.fromVectorQuery(VectorQuery.create('near', [1, 1.5]).numCandidates(2))
    const both = SearchRequest.create(SearchQuery.match('town').field('name')).withVectorSearch(near)
    const alone = await ids(cluster.search('i', SearchRequest.create(near)))
    return [alone.sort(), (await ids(cluster.search('i', both))).sort()]
  })
  await report('scoped', () => ids(scope.search('i', SearchRequest.create(old()))))
  await report('consistent', async () => {
    const consistentWith = new MutationState((await collection.upsert('d', { name: 'hot spring' })).token)
    return ids(cluster.searchQuery('i', SearchQuery.match('springs').field('name'), { consistentWith }))
  })
  await report('missing', () => ids(cluster.searchQuery('j', SearchQuery.matchAll())))
  await cluster.close()
}

main()
