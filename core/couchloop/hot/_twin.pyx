# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, auto_pickle=False
"""The compiled twin of the hot path: requests, their way out and in, and the walk over JSON's types.

Each class and function stands for the one of the same name in Python, whose docstrings say what it
does: `request.py`, `operation.py`, `pipe.py`, `submit.py`, `deadlines.py`, and `transcoder.py`.
What happens seldom is left to the same Python code. A test feeds both the same.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Next
from cpython.float cimport PyFloat_AS_DOUBLE
from cpython.object cimport PyObject
from libc.math cimport isfinite
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from math import inf
from couchloop.arguments.times import exact_seconds
from couchloop.hot.encoding import bad_key, exact_cas, exact_key, not_encoded
from couchloop.hot.frames import MAX_BODY
from couchloop.retries import check_strategy
from couchloop.wire import snappy
from couchloop.wire.framing import framed
from couchloop.wire.keys import UNNUMBERED

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #ifdef Py_LIMITED_API
    /* It has no look into objects: these are calls. */
    #define PyBytes_AS_STRING PyBytes_AsString
    #define PyBytes_GET_SIZE PyBytes_Size
    #define PyFloat_AS_DOUBLE PyFloat_AsDouble
    #endif
    #ifndef COUCHLOOP_VERSION
    #define COUCHLOOP_VERSION ""
    #endif
    static inline uint16_t read16(const char *p) {
        const unsigned char *b = (const unsigned char *)p;
        return (uint16_t)((b[0] << 8) | b[1]);
    }
    static inline uint32_t read32(const char *p) {
        return ((uint32_t)read16(p) << 16) | read16(p + 2);
    }
    static inline uint64_t read64(const char *p) {
        return ((uint64_t)read32(p) << 32) | read32(p + 4);
    }
    static inline void write16(char *p, uint16_t v) {
        p[0] = (char)(v >> 8); p[1] = (char)v;
    }
    static inline void write32(char *p, uint32_t v) {
        write16(p, (uint16_t)(v >> 16)); write16(p + 2, (uint16_t)v);
    }
    static inline void write64(char *p, uint64_t v) {
        write32(p, (uint32_t)(v >> 32)); write32(p + 4, (uint32_t)v);
    }
    /* CRC-32 of zlib: what the server hashes keys with. */
    static uint32_t crc_table[256];
    static void crc_begin(void) {
        for (uint32_t n = 0; n < 256; n++) {
            uint32_t c = n;
            for (int k = 0; k < 8; k++) c = c & 1 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
            crc_table[n] = c;
        }
    }
    static inline uint32_t crc_of(const char *p, Py_ssize_t size) {
        uint32_t c = 0xFFFFFFFFu;
        while (size--) c = crc_table[(c ^ (unsigned char)*p++) & 255] ^ (c >> 8);
        return ~c;
    }
    """
    const char *COUCHLOOP_VERSION
    uint16_t read16(const char *) noexcept
    uint32_t read32(const char *) noexcept
    uint64_t read64(const char *) noexcept
    void write16(char *, uint16_t) noexcept
    void write32(char *, uint32_t) noexcept
    void write64(char *, uint64_t) noexcept
    void crc_begin() noexcept
    uint32_t crc_of(const char *, Py_ssize_t) noexcept

VERSION = (<bytes>COUCHLOOP_VERSION).decode()
crc_begin()

cdef Py_ssize_t LARGE = 4096
cdef uint32_t MOST = MAX_BODY
cdef object _UNNUMBERED = UNNUMBERED


cdef class RequestCore:
    """See `request.py`."""

    cdef public object batch, connection, error, extras, fields, framing, parked, prefix, queue
    cdef public object raw, timeout, value
    cdef public object defaults, key, obstacle, owner, reasons, retry_strategy, waiter
    cdef public uint64_t cas
    cdef public double deadline
    cdef public long attempts, opcode, place, vbucket
    cdef public uint32_t opaque
    cdef public bint quiet

    # Without arguments of its own it costs no tuple and no dict of the constructor's.
    def __cinit__(self):
        self.framing = b""
        self.reasons = ()

    def __init__(
        self, long opcode, bytes raw, timeout, bytes extras=b"", bytes value=b"", uint64_t cas=0,
        bint quiet=False,
    ):
        self.opcode = opcode
        self.raw = raw
        self.timeout = timeout
        self.extras = extras
        self.value = value
        self.cas = cas
        self.quiet = quiet


def begin(
    RequestCore self, long opcode, defaults, key, timeout, bytes extras=b"", bytes value=b"", cas=0,
    retry_strategy=None, *, bint quiet=False,
):
    """See `Operation.__init__`."""
    try:
        raw = defaults.transcoder.encode_key(key)
    except Exception as error:
        not_encoded(error, "encode_key", self.name, key)
    if type(raw) is not bytes:
        raw = exact_key(raw, self.name, key)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(raw)
    if not size or size > <Py_ssize_t>defaults.max_key:
        raise bad_key(key, raw, defaults)
    timeout = defaults.timeout if timeout is None else exact_seconds(timeout, key)
    self.cas = exact_cas(cas, key) if cas != 0 else 0
    if retry_strategy is not None:
        check_strategy(retry_strategy, key)
    self.opcode = opcode
    self.raw = raw
    self.timeout = timeout
    self.extras = extras
    self.value = value
    self.quiet = quiet
    self.prefix = defaults.prefix
    self.defaults = defaults
    self.key = key
    self.retry_strategy = retry_strategy


cdef class Flow:
    """See `pipe.py`."""

    cdef public object _compress_from, _compress_ratio, _out, _owner, _prefix, address, bucket
    cdef public object features, last_activity
    cdef public dict pending
    cdef public Py_ssize_t _room
    cdef public uint32_t opaque
    cdef public bint _queued, _snappy

    def __init__(self, owner, uint32_t opaque):
        self._owner = owner
        self.opaque = opaque
        self.pending = {}
        self.last_activity = 0.0
        self._out = []
        self._queued = False
        self._room = -1
        self._prefix = b""
        self._snappy = False
        self._compress_from = 0
        self._compress_ratio = 0.0

    def send(self, RequestCore op, long vbucket):
        send(self, op, vbucket)

    def _complete(self, bytes data, now):
        return complete(self, data, now)


cdef send(Flow self, RequestCore op, long vbucket):
    framing = op.framing
    if framing and self._refuses(op, framing):
        return
    cdef bytes prefix, raw = op.raw, extras = op.extras, value
    found = op.prefix
    if found is None:
        prefix = self._prefix
    elif found is _UNNUMBERED or (found and not self._prefix):
        if self._owner.unnumbered(op, self, vbucket):
            return
        prefix = op.prefix or b""
    else:
        prefix = found
    # Who looked at the collection may have changed what is sent.
    raw, extras, value = op.raw, op.extras, op.value
    cdef uint32_t opaque = self.opaque + 1
    number = opaque
    while number in self.pending:
        opaque += 1
        number = opaque
    self.opaque = opaque
    self.pending[number] = op
    op.opaque = opaque
    op.connection = self
    op.vbucket = vbucket
    cdef Py_ssize_t raw_size = PyBytes_GET_SIZE(raw), extras_size = PyBytes_GET_SIZE(extras)
    cdef Py_ssize_t prefix_size = PyBytes_GET_SIZE(prefix) if raw_size else 0
    cdef Py_ssize_t size = PyBytes_GET_SIZE(value)
    cdef uint8_t datatype = 0
    if (
        self._snappy
        and op.opcode in (0x01, 0x02, 0x03, 0x0E, 0x0F)
        and size >= self._compress_from
    ):
        compressed = snappy.compress(value)
        if len(compressed) <= size * self._compress_ratio:
            value, datatype = compressed, 2
            size = PyBytes_GET_SIZE(value)
    cdef Py_ssize_t before = 24 + extras_size + prefix_size + raw_size
    cdef Py_ssize_t length = before + size
    cdef bytes written = PyBytes_FromStringAndSize(NULL, length if size < LARGE else before)
    cdef char *p = PyBytes_AS_STRING(written)
    p[0] = <char>0x80
    p[1] = <char>op.opcode
    write16(p + 2, <uint16_t>(prefix_size + raw_size))
    p[4] = <char>extras_size
    p[5] = <char>datatype
    write16(p + 6, <uint16_t>vbucket)
    write32(p + 8, <uint32_t>(length - 24))
    write32(p + 12, opaque)
    write64(p + 16, op.cas)
    p += 24
    memcpy(p, PyBytes_AS_STRING(extras), extras_size)
    p += extras_size
    memcpy(p, PyBytes_AS_STRING(prefix), prefix_size)
    p += prefix_size
    memcpy(p, PyBytes_AS_STRING(raw), raw_size)
    p += raw_size
    if size < LARGE:
        memcpy(p, PyBytes_AS_STRING(value), size)
    if framing:
        header = framed(written[:24], framing)
        length += len(header) - 24
        written = header + written[24:]
    (<list>self._out).append(written)
    if size >= LARGE:
        (<list>self._out).append(value)
    self._room -= length
    if self._room < 0:
        self._used_up(length)


cdef complete(Flow self, bytes data, now):
    owner = self._owner
    completed, deliver = owner.completed, owner.delivers
    cdef dict pending = self.pending
    cdef const char *p = PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data), position = 0, start, end
    cdef Py_ssize_t framing_size, extras_size, key_size
    cdef uint32_t body, opaque
    cdef uint16_t status
    cdef uint8_t magic, opcode
    cdef RequestCore op
    try:
        while size - position >= 24:
            magic = <uint8_t>p[position]
            opcode = <uint8_t>p[position + 1]
            extras_size = <uint8_t>p[position + 4]
            status = read16(p + position + 6)
            body = read32(p + position + 8)
            opaque = read32(p + position + 12)
            start = position + 24
            end = start + body
            found = pending.get(opaque)
            if found is None:
                break
            op = found
            if (
                op.opcode != opcode
                or (status and not (status == 1 and op.quiet))
                or end > size
                or op.has_many_answers
            ):
                break
            if magic == 0x18:
                framing_size = <uint8_t>p[position + 2]
                key_size = <uint8_t>p[position + 3]
            elif magic == 0x81:
                framing_size = 0
                key_size = read16(p + position + 2)
            else:
                break
            if framing_size + extras_size + key_size > <Py_ssize_t>body or body > MOST:
                break
            framing = PyBytes_FromStringAndSize(p + start, framing_size)
            start += framing_size
            extras = PyBytes_FromStringAndSize(p + start, extras_size)
            start += extras_size
            key = PyBytes_FromStringAndSize(p + start, key_size)
            start += key_size
            fields = (
                magic,
                opcode,
                <uint8_t>p[position + 5],
                status,
                opaque,
                read64(p + position + 16),
                framing,
                extras,
                key,
                PyBytes_FromStringAndSize(p + start, end - start),
            )
            self.last_activity = now
            position = end
            del pending[opaque]
            op.fields = fields
            if deliver is None:
                completed(op)
                continue
            settle(op, deliver)
    except BaseException:
        if position < size:
            self._put_back(data[position:])
        raise
    return position


cdef settle(RequestCore op, deliver):
    queue = op.queue
    if queue is not None:
        del queue[op]
        op.queue = None
    batch = op.batch
    if batch is None:
        deliver(op)
    else:
        op.batch = None
        if batch.member_done(op):
            deliver(batch)


cdef class Alarm:
    """See `deadlines.py`."""

    cdef public double wakeup

    def __init__(self):
        self.wakeup = inf


cdef class Routes:
    """See `submit.py`."""

    cdef public list route

    def __init__(self):
        self.route = []


cdef class Submitter:
    """See `submit.py`."""

    cdef public Routes _routes
    cdef public object _deadlines, _deliver, _queues
    cdef public Alarm _alarm
    cdef public bint _is_guarded

    def __init__(self, Routes routes, deadlines, deliver):
        self._routes = routes
        self._deadlines = deadlines
        self._queues = deadlines.by_timeout
        self._alarm = deadlines.alarm
        self._deliver = deliver
        self._is_guarded = False

    def submit(self, RequestCore op, double now):
        submit(self, op, now)

    def submit_all(self, operations, double now):
        cdef RequestCore op
        for op in operations:
            if op.error is None:
                submit(self, op, now)

    @property
    def delivers(self):
        return self._deliver

    def completed(self, RequestCore op):
        settle(op, self._deliver)

    def admits(self, op, now):
        raise NotImplementedError

    def send_or_park(self, op, now, *, is_new=True):
        raise NotImplementedError


cdef submit(Submitter self, RequestCore op, double now):
    if self._is_guarded and not self.admits(op, now):
        return
    timeout = op.timeout
    op.deadline = now + <double>timeout
    queue = self._queues.get(timeout)
    if queue is None:
        queue = self._deadlines.queue(timeout)
    queue[op] = None
    op.queue = queue
    cdef Alarm alarm = self._alarm
    if op.deadline < alarm.wakeup:
        alarm.wakeup = op.deadline
    cdef list route = self._routes.route
    cdef uint32_t vbucket
    if route and op.is_plain:
        vbucket = (crc_of(PyBytes_AS_STRING(op.raw), PyBytes_GET_SIZE(op.raw)) >> 16) & 0x7FFF
        vbucket %= <uint32_t>len(route)
        pipe = route[vbucket]
        if isinstance(pipe, Flow):
            send(pipe, op, vbucket)
            return
        if pipe is not None:
            pipe.send(op, vbucket)
            return
    self.send_or_park(op, now)


cdef bint is_plain(object value, int depth):
    cdef PyObject *key
    cdef PyObject *each
    cdef Py_ssize_t place = 0
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return True
    if kind is float:
        return isfinite(PyFloat_AS_DOUBLE(value))
    if depth > 254:
        return False
    if kind is dict:
        while PyDict_Next(value, &place, &key, &each):
            if not is_plain(<object>each, depth + 1):
                return False
        return True
    if kind is list:
        for one in <list>value:
            if not is_plain(one, depth + 1):
                return False
        return True
    if kind is tuple:
        for one in <tuple>value:
            if not is_plain(one, depth + 1):
                return False
        return True
    return False


def json_encoder(slowly):
    """Return what writes JSON as *slowly* does, which finds out by marshal what orjson may write."""
    try:
        from orjson import dumps
    except ImportError:
        return slowly

    def encode_json(value):
        if is_plain(value, 0):
            try:
                return dumps(value)
            except (TypeError, ValueError, RecursionError):
                # An integer of more than 64 bits, say.
                pass
        return slowly(value)

    return encode_json
