/* A whole pass of everyday requests: NBD's READs and WRITEs of whole pages, as frontends.nbd answers them.

   The twin of Transmission._serve, as far as every page of a request is here, or finds room without a word. */

#include "loops.h"

#define REQUEST_BYTES 28
#define READ_WORD 0x2560951300000000ull
#define WRITE_WORD 0x2560951300000001ull
#define READ_PAGES_MAX 128
#define SIMPLE_MAGIC 0x67446698u
#define SIMPLE_BYTES 16
#define CHUNK_MAGIC 0x668E33EFu
#define CHUNK_BYTES 20
#define DATA_HEAD_BYTES 8
#define HOLE_BODY_BYTES 12
#define LINE_BYTES 64
#define PREFETCHED_BYTES (8 * LINE_BYTES)
#define FLAG_DONE 1
#define TYPE_DATA 1
#define TYPE_HOLE 2

typedef struct {
    uint64_t size;
    int is_structured, is_writable;
    Py_ssize_t pages_max;
} Session;

typedef struct {
    int is_read;
    const uint8_t *cookie, *payload;
    uint64_t offset;
    uint32_t pages;
    Py_ssize_t length;
} Request;

typedef struct {
    uint8_t *at;
    Py_ssize_t reads, writes, pages_read, skip;
    Got got;
} Pass;

static inline uint64_t load_be(const uint8_t *from, int bytes) {
    uint64_t value = 0;
    for (int place = 0; place < bytes; place++)
        value = value << 8 | from[place];
    return value;
}

static inline uint8_t *store_be(uint8_t *to, uint64_t value, int bytes) {
    for (int place = 0; place < bytes; place++)
        to[place] = (uint8_t)(value >> 8 * (bytes - 1 - place));
    return to + bytes;
}

/* Whether a whole everyday request stands here. */
static int parse(const Session *session, const uint8_t *from, Py_ssize_t left, Request *request) {
    if (left < REQUEST_BYTES)
        return 0;
    uint64_t word = load_be(from, 8), length = load_be(from + 24, 4);
    request->offset = load_be(from + 16, 8);
    if (((request->offset | length) & (PAGE_BYTES - 1)) || !length || request->offset > session->size ||
        length > session->size - request->offset)
        return 0;
    request->is_read = word == READ_WORD;
    request->cookie = from + 8;
    request->payload = from + REQUEST_BYTES;
    request->pages = (uint32_t)(length / PAGE_BYTES);
    request->length = REQUEST_BYTES;
    if (request->is_read)
        return request->pages <= READ_PAGES_MAX;
    request->length += (Py_ssize_t)length;
    return session->is_writable && word == WRITE_WORD && request->length <= left;
}

/* Return the row of the page that a READ begins with, if it has one. */
static const Row *first_row(const Loops *self, const Tree *tree, const Request *request) {
    uint32_t address = find_entry(self, tree, request->offset / PAGE_BYTES);
    uint32_t entry = address ? ((const uint32_t *)self->entries.buf)[address] : HOLE;
    return entry >= FIRST_ROW ? row_at(self, entry) : NULL;
}

/* Return how long all replies may be, and have the processor fetch the rows that they need. */
static Py_ssize_t reply_room(const Loops *self, const Tree *tree, const Session *session, const Py_buffer *requests) {
    const uint8_t *from = requests->buf, *end = from + requests->len;
    Py_ssize_t room = 0, pages = 0;
    Request request;
    for (; pages < session->pages_max && parse(session, from, end - from, &request); from += request.length) {
        room += SIMPLE_BYTES;
        if (request.is_read) {
            room += (Py_ssize_t)request.pages * (PAGE_BYTES + CHUNK_BYTES + HOLE_BODY_BYTES);
            pages += request.pages;
            __builtin_prefetch(first_row(self, tree, &request));
        }
    }
    return room;
}

/* Have the processor fetch the zpage of the READ that comes next, while this one is unpacked. */
static void prefetch_next(const Loops *self, const Columns *columns, const Session *session, const Tree *tree,
                          const uint8_t *from, const uint8_t *end) {
    Request request;
    if (!parse(session, from, end - from, &request) || !request.is_read)
        return;
    const Row *row = first_row(self, tree, &request);
    int64_t start = row == NULL ? -1 : slot_start(self, columns, row->location, row->packed & ZPAGE_BYTES_MASK);
    if (start < 0)
        return;
    const uint8_t *zpage = (const uint8_t *)self->arena.buf + start;
    for (int line = 0; line < PREFETCHED_BYTES; line += LINE_BYTES)
        __builtin_prefetch(zpage + line);
}

static uint8_t *simple_head(uint8_t *at, const uint8_t *cookie) {
    at = store_be(at, (uint64_t)SIMPLE_MAGIC << 32, 8);
    memcpy(at, cookie, 8);
    return at + 8;
}

static uint8_t *chunk_head(uint8_t *at, int flags, int type, const uint8_t *cookie, uint64_t bytes, uint64_t offset) {
    at = store_be(at, (uint64_t)CHUNK_MAGIC << 32 | (uint64_t)flags << 16 | (uint64_t)type, 8);
    memcpy(at, cookie, 8);
    at = store_be(at + 8, bytes, 4);
    return store_be(at, offset, 8);
}

/* Note what stands in each page of a READ: a row, or no row for a hole; 0 if some page is not here whole. */
static int look(const Loops *self, const Tree *tree, const Request *request, const Row **rows, Got *got) {
    const uint32_t *entries = self->entries.buf;
    uint64_t index = request->offset / PAGE_BYTES;
    uint32_t address = 0;
    for (uint32_t page = 0; page < request->pages; page++, index++) {
        if (!page || !(index & (LEAF_PAGES - 1)))
            address = find_entry(self, tree, index);
        else if (address)
            address++;
        uint32_t entry = address ? entries[address] : HOLE;
        rows[page] = NULL;
        if (entry >= FIRST_ROW) {
            rows[page] = row_at(self, entry);
            if (rows[page] == NULL || !(rows[page]->location || rows[page]->packed == PACKED_FILL))
                return 0;
        } else if (entry == LOST) {
            return 0;
        }
        got->local += entry != HOLE;
        got->holes += entry == HOLE;
    }
    return 1;
}

static int read_pages(const Loops *self, const Columns *columns, const Session *session, const Tree *tree,
                      const Request *request, Pass *pass) {
    const Row *rows[READ_PAGES_MAX];
    Got got = pass->got;
    if (!look(self, tree, request, rows, &got))
        return 0;
    uint8_t *at = session->is_structured ? pass->at : simple_head(pass->at, request->cookie);
    for (uint32_t page = 0; page < request->pages;) {
        uint32_t stop = page + 1;
        while (stop < request->pages && (rows[stop] == NULL) == (rows[page] == NULL))
            stop++;
        uint64_t bytes = (uint64_t)(stop - page) * PAGE_BYTES;
        uint64_t offset = request->offset + (uint64_t)page * PAGE_BYTES;
        int flags = stop == request->pages ? FLAG_DONE : 0;
        if (rows[page] == NULL && session->is_structured) {
            at = chunk_head(at, flags, TYPE_HOLE, request->cookie, HOLE_BODY_BYTES, offset);
            at = store_be(at, bytes, 4);
            page = stop;
            continue;
        }
        if (session->is_structured)
            at = chunk_head(at, flags, TYPE_DATA, request->cookie, DATA_HEAD_BYTES + bytes, offset);
        for (; page < stop; page++, at += PAGE_BYTES) {
            if (rows[page] == NULL)
                memset(at, 0, PAGE_BYTES);
            else if (!decode_row(self, columns, rows[page], at))
                return 0;
        }
    }
    pass->at = at;
    pass->got = got;
    pass->reads++;
    pass->pages_read += request->pages;
    return 1;
}

/* Put what a WRITE has from page `skip` on; that is where it ends if not all of it was everyday. */
static int write_pages(Loops *self, Columns *columns, const Tree *tree, const Request *request, Pass *pass, Put *put) {
    for (; pass->skip < request->pages; pass->skip++) {
        uint32_t place = find_entry(self, tree, request->offset / PAGE_BYTES + (uint64_t)pass->skip);
        int result = place < FIRST_ADDRESS
                         ? 0
                         : put_page(self, columns, put, place, request->payload + pass->skip * PAGE_BYTES);
        if (result != 1)
            return result;
    }
    pass->skip = 0;
    pass->at = simple_head(pass->at, request->cookie);
    pass->writes++;
    return 1;
}

/* serve(root, shift, prefix, requests, size, is_structured, is_writable, pages_max, skip, family, blocks, serial,
         serial_limit)
   -> (replies or None, bytes served, reads, writes, pages read, of which local, holes, put or None, index, skip, chunks)

   Serve requests up to the first that is not everyday.  If that is a WRITE one of whose pages is for Python, `index` is
   the one of that page, else -1; `skip` is how many pages of a WRITE, here or in the first, are stored already, and
   `chunks` the class of a slot that this page needs and that is not ready, 0 if it is for Python otherwise. */
PyObject *loops_serve(Loops *self, PyObject *args) {
    Session session;
    Tree tree;
    Pass pass = {0};
    Put put;
    Py_buffer requests;
    unsigned long long prefix, size, serial, limit;
    Py_ssize_t family;
    PyObject *blocks;
    if (!PyArg_ParseTuple(args, "IiKy*KppnnnOKK", &tree.root, &tree.shift, &prefix, &requests, &size,
                          &session.is_structured, &session.is_writable, &session.pages_max, &pass.skip, &family,
                          &blocks, &serial, &limit))
        return NULL;
    tree.prefix = prefix;
    session.size = size;
    PyObject *result = NULL, *replies = NULL;
    Columns columns;
    if (put_begin(self, &put, family, blocks, serial, limit, 1) < 0)
        goto release_requests;
    if (columns_acquire(self, &columns, 1) < 0)
        goto release_requests;
    replies = PyBytes_FromStringAndSize(NULL, reply_room(self, &tree, &session, &requests));
    if (replies == NULL)
        goto release_columns;
    uint8_t *start = (uint8_t *)PyBytes_AS_STRING(replies);
    const uint8_t *from = requests.buf, *end = from + requests.len;
    pass.at = start;
    Request request;
    int served = 1;
    while (pass.pages_read < session.pages_max && parse(&session, from, end - from, &request)) {
        prefetch_next(self, &columns, &session, &tree, from + request.length, end);
        served = request.is_read ? read_pages(self, &columns, &session, &tree, &request, &pass)
                                 : write_pages(self, &columns, &tree, &request, &pass, &put);
        if (served != 1)
            break;
        from += request.length;
    }
    long long index = -1;
    if (!served && !request.is_read)
        index = (long long)(request.offset / PAGE_BYTES) + pass.skip;
    if (served < 0 || _PyBytes_Resize(&replies, pass.at - start) < 0)
        goto release_columns;
    PyObject *stored = put.serial == serial ? Py_NewRef(Py_None) : put_end(self, &columns, &put);
    if (stored != NULL)
        result = Py_BuildValue("OnnnnnnNLni", pass.at == start ? Py_None : replies,
                               (Py_ssize_t)(from - (const uint8_t *)requests.buf), pass.reads, pass.writes,
                               pass.pages_read, pass.got.local, pass.got.holes, stored, index, pass.skip,
                               index < 0 ? 0 : put.wanted_chunks);
release_columns:
    columns_release(&columns);
release_requests:
    Py_XDECREF(replies);
    PyBuffer_Release(&requests);
    return result;
}
