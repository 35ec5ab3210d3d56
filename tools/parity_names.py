"""Every public name of SDK 2.5 and SDK 4.6, where it is here, and why one is not.

A line is `name(arguments) | what is better | why it, or an argument, is not there | where it is`.
Without the last it is where its group says. A reason that begins with `out:` means that it will not
come, any other that it comes later.
"""
# ruff: noqa: E501 - a line is a row

from __future__ import annotations

from typing import Final, NamedTuple


class Group(NamedTuple):
    """Names that belong together."""

    sdk: str
    title: str
    where: tuple[str, ...]
    lines: str


_BUCKETS: Final = ("gcouchbase.bucket.Bucket", "txcouchbase.bucket.Bucket")
_CLUSTERS: Final = ("gcouchbase.cluster.Cluster", "txcouchbase.cluster.Cluster")
_EXPIRY: Final = "ttl takes a timedelta and a datetime too; a number in the past is refused"
_COLLECTIONS: Final = "collections are being built"

_OPERATIONS: Final = f"""\
upsert(key, value, cas, ttl, format, persist_to, replicate_to) | {_EXPIRY}
insert(key, value, ttl, format, persist_to, replicate_to) | {_EXPIRY}
replace(key, value, cas, ttl, format, persist_to, replicate_to) | {_EXPIRY}
append(key, value, cas, format, persist_to, replicate_to)
prepend(key, value, cas, format, persist_to, replicate_to)
get(key, ttl, quiet, replica, no_format) | {_EXPIRY}; project= and with_expiry=
touch(key, ttl) | {_EXPIRY}
lock(key, ttl) | more than 30 seconds are refused: the server would take 15
unlock(key, cas) | a wrong CAS is an error of its own, and still a TemporaryFailError
remove(key, cas, quiet, persist_to, replicate_to)
counter(key, delta, initial, ttl)
rget(key, replica_index, quiet) | any replica: all are asked at once, the first answer counts
observe(key, master_only)
endure(key, persist_to, replicate_to, cas, check_removed, timeout, interval)
durability(persist_to, replicate_to, timeout)
stats(keys, keystats) | what a node fails with is raised with what the others said
lookup_in(key, *specs)
mutate_in(key, *specs)
retrieve_in(key, *paths)
append_items(items)
prepend_items(items)
flush()
upsert_multi(keys, ttl, format, persist_to, replicate_to) | any number of documents, one failure harms no other
insert_multi(keys, ttl, format, persist_to, replicate_to) | likewise
replace_multi(keys, ttl, format, persist_to, replicate_to) | likewise
append_multi(keys, format, persist_to, replicate_to) | likewise
prepend_multi(keys, format, persist_to, replicate_to) | likewise
get_multi(keys, ttl, quiet, replica, no_format) | likewise
touch_multi(keys, ttl) | likewise
lock_multi(keys, ttl) | likewise
unlock_multi(kvs) | likewise
remove_multi(kvs, quiet) | likewise
counter_multi(kvs, initial, delta, ttl) | likewise
rget_multi(keys, replica_index, quiet)
observe_multi(keys, master_only)
endure_multi(keys, persist_to, replicate_to, timeout, interval, check_removed)
set(key, value) | also takes what upsert takes
add(key, value) | also takes what insert takes
delete(key) | also takes what remove takes
incr(key, amount)
decr(key, amount)
set_multi(keys)
add_multi(keys)
delete_multi(kvs)
incr_multi(kvs, amount)
decr_multi(kvs, amount)
get_attribute | | out: a stub in 2.5 already
set_attribute | | out: a stub in 2.5 already
"""

_PROPERTIES: Final = """\
closed
connected | False after the close
bucket
btype | | out: a configuration does not tell an ephemeral bucket from others
lockmode
quiet
transcoder | set to None it is the usual one again
tracer | | out: observer= hears of each operation
default_format
data_passthrough
unlock_gil
server_nodes
configured_replica_count
is_ssl
timeout | infinity is refused
views_timeout
n1ql_timeout
compression
compression_min_size | what is no legal value is refused
compression_min_ratio | likewise
redaction
tracing_orphaned_queue_flush_interval
tracing_orphaned_queue_size
tracing_threshold_queue_flush_interval
tracing_threshold_queue_size
tracing_threshold_kv
tracing_threshold_n1ql
tracing_threshold_view
tracing_threshold_fts
tracing_threshold_analytics
lcb_version | | out: there is no libcouchbase; `couchloop.__version__`
add_bucket_creds | | out: users and their roles have replaced passwords of buckets
ping | RFC 0061's report too
diagnostics | RFC 0061's report; version=1 gives 2.5's
_close
_vbmap(key)
_cntl | | out: settings of libcouchbase's own; options of the connection string say the same
_cntlstr | | out: likewise
_mutinfo | four values each, which add_all takes; 2.5 gives three
_start_timings | | out: the option metrics logs percentiles
_get_timings | | out: likewise
_stop_timings | | out: likewise
_thr_lockop | | out: a Bucket has no lock; `threadsafe()` is for threads
"""

_DOTTED_QUERIES: Final = """\
query(design, view, use_devmode) | rows stream, their values are decoded into `type=`, and say no more of failures than `errors` and ViewEngineError; a failed query is asked anew until a row was given; parameters that exclude each other are refused
n1ql_query(query) | rows stream, and are decoded into `type=`; also of collections and in threads
analytics_query(query, host=None) | rows stream; the host need not be said; also on Twisted and in threads
search(index, query) | hits stream, their fields are decoded into `type=`; the service is told what it takes; also of scopes, collections and in threads
bucket_manager
design_create
design_get
design_publish
design_delete
register_crypto_provider | | encryption of fields has a wave of its own
unregister_crypto_provider | | likewise
encrypt_fields | | likewise
decrypt_fields | | likewise
"""

_STRUCTURES: Final = """\
map_add(key, mapkey, value, create)
map_get(key, mapkey)
map_remove(key, mapkey)
map_size(key)
list_append(key, value, create)
list_prepend(key, value, create)
list_set(key, index, value)
list_get(key, index)
list_remove(key, index)
list_size(key)
set_add(key, value, create)
set_remove(key, value)
set_contains(key, value)
set_size(key)
queue_push(key, value, create)
queue_pop(key)
queue_size(key)
"""

_EXCEPTIONS: Final = """\
CouchbaseError | names node, bucket, cause and cure; equal failures have equal texts
CouchbaseNetworkError
CouchbaseInputError
CouchbaseTransientError
CouchbaseFatalError
CouchbaseDataError
CouchbaseInternalError
InternalSDKError
ArgumentError
AuthError
DeltaBadvalError
TooBigError | before anything is sent
BusyError
InternalError
InvalidError
NoMemoryError
RangeError
TemporaryFailError
KeyExistsError
NotFoundError
DlopenFailedError | | out: nothing is loaded
DlsymFailedError | | out: likewise
NetworkError
NotMyVbucketError
NotStoredError
NotSupportedError
UnknownCommandError
UnknownHostError
ProtocolError
TimeoutError
ConnectError
BucketNotFoundError
ClientNoMemoryError | | out: Python raises MemoryError
ClientTemporaryFailError
BadHandleError | | out: there are no handles
ServerBugError | | out: ProtocolError
PluginVersionMismatchError | | out: there are no plugins
ValueFormatError
HTTPError
ObjectThreadError
ObjectDestroyedError
PipelineError
QueueEmpty
MixedAuthError
NoBucketError
MissingTokenError
NotReadyError
ViewEngineError
N1QLError | of a class that says what it is, with all that the service says
SearchError | | queries come with the wave after documents
NoChildrenError | | queries come with the wave after documents
AlreadyQueriedError
CryptoError | | encryption of fields has a wave of its own
SubdocPathNotFoundError
SubdocPathMismatchError
SubdocPathInvalidError
DocumentTooDeepError
SubdocCantInsertValueError
DocumentNotJsonError
SubdocNumberTooBigError
SubdocBadDeltaError
SubdocPathExistsError
SubdocMultipleErrors
SubdocValueTooDeepError
SubdocEmptyPathError
exc_from_rc(rc, msg, obj)
"""

GROUPS: Final = (
    Group(
        "2.5",
        "Cluster, credentials, connection strings",
        _CLUSTERS,
        """\
Cluster | | | gcouchbase.cluster.Cluster txcouchbase.cluster.Cluster
authenticate(authenticator, username, password)
open_bucket(bucket_name) | the same object for the same bucket
n1ql_query(query) | needs no open Bucket
cluster_manager
Authenticator | | | couchloop.auth.Authenticator
PasswordAuthenticator(username, password, cert_path) | | | couchloop.auth.PasswordAuthenticator
ClassicAuthenticator | | | couchloop.auth.ClassicAuthenticator
CertAuthenticator | | | couchloop.auth.CertAuthenticator
ConnectionString(bucket, hosts, options, scheme) | IPv6 and ports | | couchloop.connstr.ConnectionString
ConnectionString.parse | | | couchloop.connstr.ConnectionString.parse
ConnectionString.encode | | | couchloop.connstr.ConnectionString.encode
ConnectionString.get_option | | | couchloop.connstr.ConnectionString.get_option
ConnectionString.set_option | | | couchloop.connstr.ConnectionString.set_option
ConnectionString.clear_option | | | couchloop.connstr.ConnectionString.clear_option
Couchbase.connect | | out: a shim for SDK 1.x
Connection | | out: a shim for SDK 1.x
enable_logging | | out: logs go through the loop's own logging, which is always there
disable_logging | | out: likewise
""",
    ),
    Group("2.5", "Bucket: operations", _BUCKETS, _OPERATIONS),
    Group(
        "2.5",
        "Bucket: on gevent alone",
        ("gcouchbase.bucket.Bucket",),
        "pipeline() | each greenlet has its own\n_get_close_future\n",
    ),
    Group("2.5", "Bucket: state and settings", _BUCKETS, _PROPERTIES),
    Group("2.5", "Bucket: data structures", _BUCKETS, _STRUCTURES),
    Group("2.5", "Bucket: queries, management, encryption", _BUCKETS, _DOTTED_QUERIES),
    Group(
        "2.5",
        "Results and items",
        ("couchloop.result",),
        """\
Result
OperationResult
ValueResult | content_as
SubdocResult | content_as
MultiResult | split_results()
HttpResult | | | couchloop.management.http_request.HttpResult
ObserveInfo
AsyncResult | | | txcouchbase.bucket.AsyncResult
Item | | | couchloop.items.Item
ItemOptionDict | | | couchloop.items.ItemOptionDict
ItemSequence | | | couchloop.items.ItemSequence
OBS_FOUND
OBS_PERSISTED
OBS_NOTFOUND
OBS_LOGICALLY_DELETED
OBS_MASK
""",
    ),
    Group("2.5", "Exceptions", ("couchloop.exceptions",), _EXCEPTIONS),
    Group(
        "2.5",
        "Sub-document specs",
        ("couchloop.subdocument",),
        """\
get(path)
exists(path)
get_count(path)
upsert(path, value, create_parents)
replace(path, value)
insert(path, value, create_parents)
array_append(path, *values, create_parents)
array_prepend(path, *values, create_parents)
array_insert(path, *values)
array_addunique(path, value, create_parents)
counter(path, delta, create_parents)
remove(path)
MultiValue
Spec
""",
    ),
    Group(
        "2.5",
        "Formats and transcoders",
        ("couchloop.transcoder",),
        """\
FMT_JSON
FMT_PICKLE | read and written only with allow_pickle=True: whoever writes could run code
FMT_BYTES
FMT_UTF8
FMT_AUTO | numbers are JSON, not pickles
TranscoderPP
LegacyTranscoderPP
set_json_converters(encode, decode)
set_pickle_converters(encode, decode)
MutationState | of a vbucket the greatest number counts, in whichever order | | couchloop.mutation_state.MutationState
""",
    ),
    Group(
        "2.5",
        "Twisted",
        ("txcouchbase.bucket.Bucket",),
        """\
connect | each call has a Deferred of its own
registerDeferred(event, d)
getMulti
upsertMulti
insertMulti
replaceMulti
appendMulti
prependMulti
removeMulti
counterMulti
touchMulti
lockMulti
unlockMulti
setMulti
addMulti
deleteMulti
incrMulti
decrMulti
rgetMulti | | out: rget_multi
observeMulti | | out: observe_multi
endureMulti
queryEx(viewcls) | `on_rows` may return a Deferred, which pauses the rows
queryAll
n1qlQueryEx(cls) | `on_rows` may return a Deferred, which pauses the rows
n1qlQueryAll
searchQueryEx(cls) | `on_rows` may return a Deferred, which pauses the hits
searchQueryAll
RawBucket | shares the Bucket of the same arguments | | txcouchbase.bucket.RawBucket
RawBucket.defer(opres) | | | txcouchbase.bucket.RawBucket.defer
TxAsyncConnection | | out: deprecated in 2.5 already
""",
    ),
    Group(
        "2.5",
        "Queries: couchbase.n1ql",
        ("couchloop.n1ql.N1QLQuery",),
        """\
N1QLQuery(statement) | | | couchloop.n1ql.N1QLQuery
NOT_BOUNDED | | | couchloop.n1ql.NOT_BOUNDED
REQUEST_PLUS | | | couchloop.n1ql.REQUEST_PLUS
STATEMENT_PLUS | | | couchloop.n1ql.STATEMENT_PLUS
UNBOUNDED | | | couchloop.n1ql.UNBOUNDED
PROFILE_OFF | | | couchloop.n1ql.PROFILE_OFF
PROFILE_PHASES | | | couchloop.n1ql.PROFILE_PHASES
PROFILE_TIMINGS | | | couchloop.n1ql.PROFILE_TIMINGS
set_option(name, value)
metrics
statement
consistency
consistent_with(state)
adhoc | prepared statements are kept for all of a cluster, and prepared anew where they are forgotten
cross_bucket | changes nothing: users and their roles have replaced passwords of buckets
timeout
encoded
scan_cap
pipeline_batch
pipeline_cap
readonly | what is so is asked again where its answer is lost
profile
N1QLRequest | iterated once, as its rows come; on Twisted awaited | | gcouchbase.rows.N1QLRequest txcouchbase.rows.N1QLRequest
N1QLRequest.execute | | | gcouchbase.rows.N1QLRequest.execute txcouchbase.rows.N1QLRequest.execute
N1QLRequest.get_single_result | | | gcouchbase.rows.N1QLRequest.get_single_result txcouchbase.rows.N1QLRequest.get_single_result
N1QLRequest.meta | | | gcouchbase.rows.N1QLRequest.meta txcouchbase.rows.N1QLRequest.meta
N1QLRequest.metrics | | | gcouchbase.rows.N1QLRequest.metrics txcouchbase.rows.N1QLRequest.metrics
N1QLRequest.raw | | | gcouchbase.rows.N1QLRequest.raw txcouchbase.rows.N1QLRequest.raw
N1QLRequest.errors | | | gcouchbase.rows.N1QLRequest.errors txcouchbase.rows.N1QLRequest.errors
AsyncN1QLRequest | `on_rows` may return a Deferred, which pauses the rows | | txcouchbase.rows.RowsHandler
""",
    ),
    Group(
        "2.5",
        "Indexes for queries: BucketManager",
        ("gcouchbase.management.DesignManager", "txcouchbase.management.DesignManager"),
        """\
n1ql_index_create(ix, defer, ignore_exists, primary, fields, condition)
n1ql_index_create_primary(defer, ignore_exists)
n1ql_index_drop(ix, primary, ignore_missing)
n1ql_index_drop_primary
n1ql_index_list(other_buckets)
n1ql_index_build_deferred(other_buckets) | other_buckets does what it says; in 2.5 nothing
n1ql_index_watch(indexes, timeout, interval, watch_primary)
create_n1ql_index
create_n1ql_primary_index
drop_n1ql_index
drop_n1ql_primary_index
list_n1ql_indexes
build_n1ql_deferred_indexes
watch_n1ql_indexes
N1qlIndex | | | couchloop.management.n1ql_indexes.N1qlIndex
N1qlIndex.raw | changes nothing when it is changed | | couchloop.management.n1ql_indexes.N1qlIndex.raw
""",
    ),
    Group(
        "2.5",
        "Other modules",
        ("couchloop",),
        """\
crypto | | encryption of fields has a wave of its own
experimental | | out: nothing here is hidden behind a gate
asynchronous | | out: the core without I/O takes its place
""",
    ),
    Group(
        "4.6",
        "Cluster and Bucket",
        _CLUSTERS,
        f"""\
connect | | out: `Cluster(...)`, `authenticate` and `open_bucket` do no I/O or wait in the loop
bucket | | out: open_bucket
close | | out: each Bucket closes by itself, or by `close()`
set_authenticator(authenticator)
ping
diagnostics
wait_until_ready
query(statement) | rows stream; `readonly` is sent; what did not run is asked anew
analytics_query(statement) | rows stream; `readonly` and times are sent right; what did not run is asked anew
search_query(index, query) | as search
search(index, query) | hits stream; a lost answer is asked for anew; changes are told by both names of an index
buckets
users
query_indexes
search_indexes
analytics_indexes
eventing_functions
transactions | | transactions have a wave of their own
Bucket.name | | out: `bucket.bucket`
Bucket.scope | | {_COLLECTIONS} | gcouchbase.bucket.Bucket.scope txcouchbase.bucket.Bucket.scope
Bucket.default_scope | | {_COLLECTIONS} | gcouchbase.bucket.Bucket.default_scope txcouchbase.bucket.Bucket.default_scope
Bucket.collection | | {_COLLECTIONS} | gcouchbase.bucket.Bucket.collection txcouchbase.bucket.Bucket.collection
Bucket.default_collection | | {_COLLECTIONS} | gcouchbase.bucket.Bucket.default_collection txcouchbase.bucket.Bucket.default_collection
Bucket.collections | | {_COLLECTIONS} | gcouchbase.bucket.Bucket.collections txcouchbase.bucket.Bucket.collections
CollectionManager.get_all_scopes | over key-value, so that every user can | {_COLLECTIONS} | gcouchbase.management.CollectionManager.get_all_scopes txcouchbase.management.CollectionManager.get_all_scopes
CollectionManager.create_scope | waits until all nodes know it | | gcouchbase.management.CollectionManager.create_scope txcouchbase.management.CollectionManager.create_scope
CollectionManager.drop_scope | | | gcouchbase.management.CollectionManager.drop_scope txcouchbase.management.CollectionManager.drop_scope
CollectionManager.create_collection | waits until all nodes know it | | gcouchbase.management.CollectionManager.create_collection txcouchbase.management.CollectionManager.create_collection
CollectionManager.update_collection | waits until all nodes know it | | gcouchbase.management.CollectionManager.update_collection txcouchbase.management.CollectionManager.update_collection
CollectionManager.drop_collection | | | gcouchbase.management.CollectionManager.drop_collection txcouchbase.management.CollectionManager.drop_collection
Bucket.view_query | `scan_consistency` is sent; failures of nodes are not passed over | | gcouchbase.bucket.Bucket.view_query txcouchbase.bucket.Bucket.view_query
Bucket.ping | | | gcouchbase.bucket.Bucket.ping txcouchbase.bucket.Bucket.ping
Bucket.wait_until_ready | | | gcouchbase.bucket.Bucket.wait_until_ready txcouchbase.bucket.Bucket.wait_until_ready
PasswordAuthenticator.ldap_compatible | | out: sasl_mech_force=PLAIN
JwtAuthenticator | | few servers take tokens yet
apply_profile | | out: options of the connection string say the same
""",
    ),
    Group(
        "4.6",
        "Collection (here: Bucket)",
        _BUCKETS,
        """\
get(key, project, with_expiry)
exists(key) | true or false by itself
insert(key, value, expiry, durability) | keywords, no option classes
upsert(key, value, expiry, preserve_expiry, durability) | likewise
replace(key, value, cas, expiry, preserve_expiry, durability) | likewise
remove(key, cas, durability) | likewise
touch(key, expiry)
get_and_touch(key, expiry)
get_and_lock(key, lock_time)
unlock(key, cas)
get_any_replica(key)
get_all_replicas(key) | a list
lookup_in(key, *specs)
lookup_in_any_replica(key, *specs) | | sub-document reads of replicas are being built
lookup_in_all_replicas(key, *specs) | | likewise
mutate_in(key, *specs)
binary | | out: increment, decrement, append and prepend are methods of the Bucket
increment | | out: `counter(key, delta, initial)`
decrement | | out: `counter(key, -delta, initial)`
append(key, value)
prepend(key, value)
scan(scan_type) | options are arguments; a stream, also on Twisted
CouchbaseList | | | gcouchbase.datastructures.CouchbaseList txcouchbase.datastructures.CouchbaseList
CouchbaseMap | | | gcouchbase.datastructures.CouchbaseMap txcouchbase.datastructures.CouchbaseMap
CouchbaseSet | | | gcouchbase.datastructures.CouchbaseSet txcouchbase.datastructures.CouchbaseSet
CouchbaseQueue | | | gcouchbase.datastructures.CouchbaseQueue txcouchbase.datastructures.CouchbaseQueue
get_multi(keys) | all results come with the exception; return_exceptions is not needed
upsert_multi(keys)
insert_multi(keys)
replace_multi(keys)
remove_multi(kvs)
touch_multi(keys)
lock_multi(keys)
unlock_multi(kvs)
exists_multi(keys)
append_multi(keys)
prepend_multi(keys)
get_any_replica_multi(keys)
get_all_replicas_multi(keys) | a list for each key, with what failed in the exception
increment_multi | | out: counter_multi
decrement_multi | | out: counter_multi
""",
    ),
    Group(
        "4.6",
        "Queries",
        ("couchloop.n1ql",),
        """\
QueryOptions | `readonly` is sent, too; an unknown option is an error
QueryScanConsistency
QueryProfile
QueryMetaData | its `warnings()` works where there are warnings
QueryMetrics
QueryWarning
QueryIndexManager.create_index(bucket_name, index_name, keys) | | | gcouchbase.management.QueryIndexManager.create_index txcouchbase.management.QueryIndexManager.create_index
QueryIndexManager.create_primary_index(bucket_name) | | | gcouchbase.management.QueryIndexManager.create_primary_index txcouchbase.management.QueryIndexManager.create_primary_index
QueryIndexManager.drop_index(bucket_name, index_name) | | | gcouchbase.management.QueryIndexManager.drop_index txcouchbase.management.QueryIndexManager.drop_index
QueryIndexManager.drop_primary_index(bucket_name) | | | gcouchbase.management.QueryIndexManager.drop_primary_index txcouchbase.management.QueryIndexManager.drop_primary_index
QueryIndexManager.get_all_indexes(bucket_name) | | | gcouchbase.management.QueryIndexManager.get_all_indexes txcouchbase.management.QueryIndexManager.get_all_indexes
QueryIndexManager.build_deferred_indexes(bucket_name) | | | gcouchbase.management.QueryIndexManager.build_deferred_indexes txcouchbase.management.QueryIndexManager.build_deferred_indexes
QueryIndexManager.watch_indexes(bucket_name, index_names) | tells progress | | gcouchbase.management.QueryIndexManager.watch_indexes txcouchbase.management.QueryIndexManager.watch_indexes
CollectionQueryIndexManager | | | gcouchbase.management.CollectionQueryIndexManager txcouchbase.management.CollectionQueryIndexManager
Scope.query(statement) | | | gcouchbase.collection.Scope.query txcouchbase.collection.Scope.query
Collection.query_indexes | | | gcouchbase.collection.Collection.query_indexes txcouchbase.collection.Collection.query_indexes
""",
    ),
    Group(
        "4.6",
        "Values",
        ("couchloop.transcoder",),
        """\
JSONTranscoder
RawJSONTranscoder
RawStringTranscoder
RawBinaryTranscoder
LegacyTranscoder | pickles only with allow_pickle=True
Serializer | | out: Transcoder(json_encode=, json_decode=)
GetResult.content_as | checks the type | | couchloop.result.ValueResult.content_as
ExistsResult | | | couchloop.result.ExistsResult
MutationResult.mutation_token | an attribute; needs fetch_mutation_tokens=true | | couchloop.result.OperationResult.mutation_token
""",
    ),
    Group(
        "4.6",
        "Durability",
        ("couchloop.durability",),
        """\
Durability
DurabilityLevel
DurabilityType
ServerDurability(level)
ClientDurability(replicate_to, persist_to)
PersistTo | ACTIVE and ONE are the same: the active copy's disk is always one
ReplicateTo
""",
    ),
    Group(
        "4.6",
        "Watching",
        ("couchloop",),
        """\
ThresholdLoggingTracer | | out: the option enable_tracing
OrphanReporter | | out: likewise
LoggingMeter | | out: the option metrics
RequestTracer | | out: Observer
Observer | hears of each operation | | couchloop.observation.Observer
configure_logging | | out: logs go through the loop's own logging
""",
    ),
)
