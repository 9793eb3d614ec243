/* What a holder does with the pages of others, under their owner's serials: the twins of core.foreign_pages and, for
   pages that were flushed, of core.replace.

   What a peer claims was checked by the parser; here nothing is read or written outside of what Python gave, whatever
   stands in it. */

#include "loops.h"

#define GET_PAGES_MAX 128
#define RANGE_PAGES_MAX LEAF_PAGES
#define WANTS_ROW (-1)
#define LINE_BYTES 64

/* How Python passes a Room: core.twin_hold.Room. */
#define ROOM_FORMAT "(O!O!(w*w*I)I(w*w*)(w*w*I)I)"
#define ROOM_ARGUMENTS(room)                                                                                           \
    &PyList_Type, &(room)->stacks, &PyList_Type, &(room)->open_block, &(room)->blocks.next, &(room)->blocks.previous,  \
        &(room)->blocks.heads, &(room)->first_list, &(room)->taken, &(room)->free, &(room)->frames.next,               \
        &(room)->frames.previous, &(room)->frames.heads, &(room)->open_frame

static int check_room(const Room *room) {
    if (PyList_GET_SIZE(room->stacks) == CLASSES && PyList_GET_SIZE(room->open_block) == CLASSES)
        return 0;
    PyErr_SetString(PyExc_ValueError, "a stack and a block for each class");
    return -1;
}

/* Put. */

typedef struct {
    Py_buffer serials, checksums, packed, body;
    Room room;
    Py_ssize_t kept, zbytes;
    int wanted;
} Zpages;

/* Keep a zpage that is not here; return 1, 0 if there is no row or slot ready, -1 for an exception. */
static int keep_zpage(Loops *self, Columns *columns, Zpages *zpages, uint32_t place, Row *row, const uint8_t *zpage) {
    uint32_t zbytes = row->packed & ZPAGE_BYTES_MASK, chunks = (zbytes + (1u << CHUNK_SHIFT) - 1) >> CHUNK_SHIFT;
    if (!chunks || chunks >= CLASSES)
        return 0;
    PyObject *stack = PyList_GET_ITEM(zpages->room.stacks, chunks);
    if (!PyList_GET_SIZE(self->free_rows) && find_rows(self, &zpages->room) < 0)
        return -1;
    uint32_t number = top_of(self->free_rows);
    if (number && !PyList_GET_SIZE(stack) && find_slots(columns, &zpages->room, chunks) < 0)
        return -1;
    row->location = top_of(stack);
    if (!number || !row->location) {
        zpages->wanted = number ? (int)chunks : WANTS_ROW;
        return 0;
    }
    int64_t start = slot_start(self, columns, row->location, zbytes);
    if (start < 0 || row_at(self, number) == NULL)
        return 0;
    if (pop_from(stack) < 0 || pop_from(self->free_rows) < 0)
        return -1;
    memcpy((uint8_t *)self->arena.buf + start, zpage, zbytes);
    STORED("zpage");
    ((uint32_t *)self->slot_rows.buf)[row->location] = number;
    STORED("row of a slot");
    memcpy((Row *)self->rows.buf + number, row, sizeof *row);
    STORED("row");
    store_entry(self, place, number);
    columns->leaf_used[place >> LEAF_SHIFT]++;
    zpages->kept++;
    zpages->zbytes += zbytes;
    return 1;
}

/* put_zpages(root, shift, prefix, serials, checksums, packed, body, first, start, room)
   -> (how many, where the next zpage starts, kept, their bytes, what is wanted, the open frame, rows handed out)

   Keep zpages from the one at `first` on, which starts at `start` in the body, up to one that is not everyday: its leaf
   is not there, or no row, or no slot.  What is wanted is WANTS_ROW, or the class of a slot; 0: neither. */
PyObject *loops_put_zpages(Loops *self, PyObject *args) {
    Tree tree;
    Zpages zpages = {0};
    unsigned long long prefix;
    Py_ssize_t first, start;
    if (!PyArg_ParseTuple(args, "IiKy*y*y*y*nn" ROOM_FORMAT, &tree.root, &tree.shift, &prefix, &zpages.serials,
                          &zpages.checksums, &zpages.packed, &zpages.body, &first, &start,
                          ROOM_ARGUMENTS(&zpages.room)))
        return NULL;
    tree.prefix = prefix;
    PyObject *result = NULL;
    Columns columns;
    if (first < 0 || start < 0) {
        PyErr_SetString(PyExc_ValueError, "places below the first");
        goto release;
    }
    if (check_room(&zpages.room) < 0 || columns_acquire(self, &columns, 1) < 0)
        goto release;
    Py_ssize_t count = least(least(zpages.serials.len, zpages.checksums.len) / 8, zpages.packed.len / 2), at = first;
    int kept = 1;
    for (; at < count; at++) {
        uint64_t serial = load_word(&zpages.serials, at);
        uint32_t place = find_entry(self, &tree, serial), packed = load_half(&zpages.packed, at);
        Py_ssize_t zbytes = packed & ZPAGE_BYTES_MASK;
        if (!serial || place < FIRST_ADDRESS || place >> LEAF_SHIFT >= columns.leaves || zbytes > zpages.body.len - start)
            break;
        /* The same serial is the same bytes. */
        if (((const uint32_t *)self->entries.buf)[place] == HOLE) {
            Row row = {serial, load_word(&zpages.checksums, at), place, 0, (uint16_t)packed, {0, 0, 0}};
            kept = keep_zpage(self, &columns, &zpages, place, &row, (const uint8_t *)zpages.body.buf + start);
            if (kept != 1)
                break;
        }
        start += zbytes;
    }
    if (kept >= 0)
        result = Py_BuildValue("nnnniIn", at - first, start, zpages.kept, zpages.zbytes, zpages.wanted,
                               zpages.room.open_frame, zpages.room.rows_handed_out);
    columns_release(&columns);
release:
    PyBuffer_Release(&zpages.serials);
    PyBuffer_Release(&zpages.checksums);
    PyBuffer_Release(&zpages.packed);
    PyBuffer_Release(&zpages.body);
    release_room(&zpages.room);
    return result;
}

/* Get. */

typedef struct {
    const uint8_t *zpages[GET_PAGES_MAX];
    uint16_t packed[GET_PAGES_MAX];
    Py_ssize_t bytes;
} Gotten;

/* Find the rows of some serials in an object, where an earlier one had none; NULL: it is not here. */
static void look_up(const Loops *self, const Tree *tree, const Py_buffer *serials, Py_ssize_t count,
                    const Row **rows) {
    for (Py_ssize_t at = 0; at < count; at++) {
        uint32_t address = rows[at] == NULL ? find_entry(self, tree, load_word(serials, at)) : 0;
        uint32_t entry = address ? ((const uint32_t *)self->entries.buf)[address] : HOLE;
        if (entry < FIRST_ROW)
            continue;
        rows[at] = row_at(self, entry);
        __builtin_prefetch(rows[at]);
    }
}

/* Find the zpages of rows; 0 if one is not where a zpage can be. */
static int find_zpages(const Loops *self, const Columns *columns, const Row **rows, Py_ssize_t count, Gotten *gotten) {
    for (Py_ssize_t at = 0; at < count; at++) {
        gotten->packed[at] = 0;
        if (rows[at] == NULL)
            continue;
        uint32_t packed = rows[at]->packed, zbytes = packed & ZPAGE_BYTES_MASK;
        int64_t start = slot_start(self, columns, rows[at]->location, zbytes);
        if (start < 0)
            return 0;
        gotten->zpages[at] = (const uint8_t *)self->arena.buf + start;
        gotten->packed[at] = (uint16_t)packed;
        gotten->bytes += zbytes;
        for (uint32_t line = 0; line < zbytes; line += LINE_BYTES)
            __builtin_prefetch(gotten->zpages[at] + line);
    }
    return 1;
}

static void copy_zpages(const Gotten *gotten, Py_ssize_t count, uint8_t *table, uint8_t *body) {
    for (Py_ssize_t at = 0; at < count; at++) {
        uint32_t packed = gotten->packed[at], zbytes = packed & ZPAGE_BYTES_MASK;
        table[2 * at] = (uint8_t)packed;
        table[2 * at + 1] = (uint8_t)(packed >> 8);
        if (packed)
            memcpy(body, gotten->zpages[at], zbytes);
        body += zbytes;
    }
}

/* get_zpages(root, shift, prefix, root, shift, prefix, serials) -> (table, body) or None

   Get the zpages of up to GET_PAGES_MAX serials from two objects: where one is in both, from the first.  The table has
   what GET_PAGES is answered, two bytes a page; None: not everyday. */
PyObject *loops_get_zpages(Loops *self, PyObject *args) {
    Tree trees[2];
    unsigned long long prefixes[2];
    Py_buffer serials;
    if (!PyArg_ParseTuple(args, "IiKIiKy*", &trees[0].root, &trees[0].shift, &prefixes[0], &trees[1].root,
                          &trees[1].shift, &prefixes[1], &serials))
        return NULL;
    Gotten gotten;
    gotten.bytes = 0;
    const Row *rows[GET_PAGES_MAX] = {0};
    Py_ssize_t count = serials.len / 8;
    Columns columns;
    PyObject *result = NULL, *table = NULL, *body = NULL;
    if (columns_acquire(self, &columns, 0) < 0)
        goto release_serials;
    if (count > GET_PAGES_MAX) {
        result = Py_NewRef(Py_None);
        goto release;
    }
    for (int at = 0; at < 2; at++) {
        trees[at].prefix = prefixes[at];
        look_up(self, &trees[at], &serials, count, rows);
    }
    if (!find_zpages(self, &columns, rows, count, &gotten)) {
        result = Py_NewRef(Py_None);
        goto release;
    }
    table = PyBytes_FromStringAndSize(NULL, 2 * count);
    body = PyBytes_FromStringAndSize(NULL, gotten.bytes);
    if (table != NULL && body != NULL) {
        copy_zpages(&gotten, count, (uint8_t *)PyBytes_AS_STRING(table), (uint8_t *)PyBytes_AS_STRING(body));
        result = Py_BuildValue("OO", table, body);
    }
release:
    columns_release(&columns);
release_serials:
    PyBuffer_Release(&serials);
    Py_XDECREF(table);
    Py_XDECREF(body);
    return result;
}

/* Drop. */

typedef struct {
    Py_buffer firsts, lasts;
    Room room;
    PyObject *rows, *slots, *leaves;
    Py_ssize_t pages, zbytes, rows_freed;
} Drop;

/* Whether a page may be dropped here: the row says so itself, and everything that it names is there. */
static int may_drop(const Loops *self, const Columns *columns, const Drop *drop, uint32_t address, uint32_t entry) {
    const Row *row = entry < FIRST_ROW ? NULL : row_at(self, entry);
    uint32_t frame = entry >> ROW_FRAME_SHIFT;
    if (row == NULL || row->address != address || row->holders[0] || frame >= (size_t)drop->room.free.len / 4 ||
        frame >= (size_t)drop->room.taken.len / 2 || !((const uint16_t *)drop->room.taken.buf)[frame])
        return 0;
    return slot_start(self, columns, row->location, row->packed & ZPAGE_BYTES_MASK) >= 0 &&
           columns->chunks_of_block[row->location >> SLOT_SHIFT] < CLASSES;
}

/* Go to the entry of the next page of a range: the entries of a leaf stand side by side. */
static inline uint32_t step(const Loops *self, const Tree *tree, uint64_t first, uint64_t index, uint32_t address) {
    if (index == first || !(index & (LEAF_PAGES - 1)))
        return find_entry(self, tree, index);
    return address ? address + 1 : 0;
}

static int may_drop_range(const Loops *self, const Columns *columns, const Drop *drop, const Tree *tree, uint64_t first,
                          uint64_t last) {
    uint32_t address = 0;
    for (uint64_t index = first; index <= last; index++) {
        address = step(self, tree, first, index, address);
        if (!address)
            continue;
        if (address < FIRST_ADDRESS || address >> LEAF_SHIFT >= columns->leaves)
            return 0;
        uint32_t entry = ((const uint32_t *)self->entries.buf)[address];
        if (entry != HOLE && !may_drop(self, columns, drop, address, entry))
            return 0;
    }
    return 1;
}

static int drop_page(Loops *self, Columns *columns, Drop *drop, uint32_t address) {
    uint32_t number = ((const uint32_t *)self->entries.buf)[address], leaf = address >> LEAF_SHIFT;
    Row row = *row_at(self, number);
    store_entry(self, address, HOLE);
    drop->pages++;
    drop->zbytes += row.packed & ZPAGE_BYTES_MASK;
    if (free_row(self, &drop->room, number))
        drop->rows_freed++;
    else if (append_number(drop->rows, number) < 0)
        return -1;
    if (!free_slot_with_room(self, columns, &drop->room, row.location) && append_number(drop->slots, row.location) < 0)
        return -1;
    return --columns->leaf_used[leaf] ? 0 : append_number(drop->leaves, leaf);
}

static int drop_range(Loops *self, Columns *columns, Drop *drop, const Tree *tree, uint64_t first, uint64_t last) {
    uint32_t address = 0;
    for (uint64_t index = first; index <= last; index++) {
        address = step(self, tree, first, index, address);
        if (address && ((const uint32_t *)self->entries.buf)[address] != HOLE &&
            drop_page(self, columns, drop, address) < 0)
            return -1;
    }
    return 0;
}

/* Drop ranges up to one that is not everyday; return where that is, -1 for an exception. */
static Py_ssize_t drop_ranges(Loops *self, Columns *columns, Drop *drop, const Tree *tree, Py_ssize_t at, uint64_t below,
                              Py_ssize_t range_units, Py_ssize_t units_max) {
    Py_ssize_t count = least(drop->firsts.len, drop->lasts.len) / 8, ranges = 0;
    for (; at < count && ranges * range_units + drop->pages < units_max; at++, ranges++) {
        uint64_t first = load_word(&drop->firsts, at), last = load_word(&drop->lasts, at);
        if (last < first || last - first >= RANGE_PAGES_MAX || last >= below ||
            !may_drop_range(self, columns, drop, tree, first, last))
            break;
        if (drop_range(self, columns, drop, tree, first, last) < 0)
            return -1;
    }
    return at;
}

/* drop(root, shift, prefix, firsts, lasts, first, below, range_units, units_max, room)
   -> (how many ranges, pages, their bytes, rows freed, rows, slots, leaves)

   Drop the pages of ranges from the one at `first` on, up to one that is long, reaches serial `below`, or has a page that
   is not everyday; or until so many units of work were done.  The rows, the slots and the leaves without pages that
   Python has to free come in their order. */
PyObject *loops_drop(Loops *self, PyObject *args) {
    Tree tree;
    Drop drop = {0};
    unsigned long long prefix, below;
    Py_ssize_t first, range_units, units_max;
    if (!PyArg_ParseTuple(args, "IiKy*y*nKnn" ROOM_FORMAT, &tree.root, &tree.shift, &prefix, &drop.firsts, &drop.lasts,
                          &first, &below, &range_units, &units_max, ROOM_ARGUMENTS(&drop.room)))
        return NULL;
    tree.prefix = prefix;
    PyObject *result = NULL;
    Columns columns;
    if (first < 0) {
        PyErr_SetString(PyExc_ValueError, "a place below the first");
        goto release;
    }
    drop.rows = PyList_New(0);
    drop.slots = PyList_New(0);
    drop.leaves = PyList_New(0);
    if (drop.rows == NULL || drop.slots == NULL || drop.leaves == NULL || check_room(&drop.room) < 0 ||
        columns_acquire(self, &columns, 1) < 0)
        goto release;
    Py_ssize_t reached = drop_ranges(self, &columns, &drop, &tree, first, below, range_units, units_max);
    if (reached >= 0)
        result = Py_BuildValue("nnnnOOO", reached - first, drop.pages, drop.zbytes, drop.rows_freed, drop.rows,
                               drop.slots, drop.leaves);
    columns_release(&columns);
release:
    Py_XDECREF(drop.rows);
    Py_XDECREF(drop.slots);
    Py_XDECREF(drop.leaves);
    PyBuffer_Release(&drop.firsts);
    PyBuffer_Release(&drop.lasts);
    release_room(&drop.room);
    return result;
}
