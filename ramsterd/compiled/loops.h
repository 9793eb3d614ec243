/* The memory of a store as the compiled loops see it.

   All numbers and layouts here are those of core (rows, redo, table_words, size_classes, codec); `LAYOUT` of the
   module is compared with them before any loop runs. */

#ifndef RAMSTER_LOOPS_H
#define RAMSTER_LOOPS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define PAGE_BYTES 4096
#define WORDS_PER_PAGE (PAGE_BYTES / 8)
#define HOLE 0u
#define ZERO 1u
#define LOST 2u
#define FIRST_ROW 3u
#define LEAF_SHIFT 6
#define LEAF_PAGES (1u << LEAF_SHIFT)
#define FIRST_ADDRESS (2u << LEAF_SHIFT)
#define INDEX_BITS 48
#define BLOCK_SHIFT 16
#define SLOT_SHIFT 5
#define SLOT_MASK ((1u << SLOT_SHIFT) - 1)
#define CHUNK_SHIFT 6
#define CLASSES 65
#define ZPAGE_BYTES_MAX (PAGE_BYTES * 7 / 8)
#define ZPAGE_BYTES_MASK 0x1FFFu
#define PACKED_RAW (1u << 13 | PAGE_BYTES)
#define PACKED_FILL (2u << 13)
#define PACKED_ZSTD (3u << 13)
#define REDO_ROW 32
#define REDO_ZPAGE 64
#define REDO_BYTES 8192
#define STATE_OPEN 1
#define STATE_CLOSED 2
#define STATE_LEAVING 3
/* A put takes no more pages than this at a time: what it frees is noted on the stack. */
#define PUT_PAGES_MAX 256
#define ROW_FRAME_SHIFT 7
/* What a node of core.lru links to that is in no list. */
#define UNLISTED 0xFFFFFFFFu

typedef struct {
    uint64_t serial, checksum;
    uint32_t address, location;
    uint16_t packed, holders[3];
} Row;

_Static_assert(sizeof(Row) == 32, "a row is 32 bytes");

/* The mappings stay where they are; the arrays grow, so their memory is asked for anew by each call. */
typedef struct {
    PyObject_HEAD
    Py_buffer arena, slot_rows, rows, redo, entries, slots_of_class;
    PyObject *chunks_of_block, *block_state, *free_slots, *leaf_used, *free_rows;
    /* By family: a stack and an open block for each class; and the lists of closed blocks with free slots. */
    PyObject *stacks, *open_blocks, *room_next, *room_previous;
} Loops;

/* What a call has of the arrays. */
typedef struct {
    Py_buffer buffers[4];
    int count;
    uint8_t *chunks_of_block, *block_state, *leaf_used;
    uint32_t *free_slots;
    size_t blocks, leaves;
} Columns;

/* The tree of an object: see core.table. */
typedef struct {
    uint32_t root;
    int shift;
    uint64_t prefix;
} Tree;

/* What a get found, and what a put did: one call returns them all. */
typedef struct {
    Py_ssize_t local, holes, lost;
} Got;

typedef struct {
    PyObject *stacks, *blocks;
    Py_ssize_t family;
    int takes_slots;
    /* The newest serial, and the last that may be used. */
    uint64_t serial, serial_limit;
    Py_ssize_t zpages, zbytes, stored_bytes, raws, zeros, fills, holes;
    int ends_count, leaves_count, versions_count, drops_rows, has_freed;
    /* The class of the page that ended it, if that found no slot ready; -1: it needs one, and may take none; else 0. */
    int wanted_chunks;
    /* Slots and, as negative numbers, rows that are to be freed, in this order. */
    int64_t ends[PUT_PAGES_MAX];
    /* Leaves that may have nothing but zeros. */
    uint32_t leaves[PUT_PAGES_MAX];
    /* Versions that were replaced, and that holders are to be told of. */
    Row versions[PUT_PAGES_MAX];
} Put;

/* Lists of core.lru. */
typedef struct {
    Py_buffer next, previous;
    uint32_t heads;
} Lists;

/* Where a family has free slots, and where there are free rows. */
typedef struct {
    PyObject *stacks, *open_block;
    /* Closed blocks with free slots, and the first list of this family. */
    Lists blocks;
    uint32_t first_list;
    /* Of each frame of rows how many are not free, and the first that is; frames that have both; and the open one. */
    Py_buffer taken, free;
    Lists frames;
    uint32_t open_frame;
    Py_ssize_t rows_handed_out;
} Room;

static inline Py_ssize_t least(Py_ssize_t one, Py_ssize_t other) { return one < other ? one : other; }

int list_append(Lists *lists, uint32_t list, uint32_t number);
int find_slots(Columns *columns, Room *room, uint32_t chunks);
int find_rows(Loops *self, Room *room);
int free_row(Loops *self, Room *room, uint32_t number);
int free_slot_with_room(Loops *self, Columns *columns, Room *room, uint32_t location);
void release_room(Room *room);
/* The owner's side of the remote path. */
PyObject *loops_get_each(Loops *self, PyObject *args);
PyObject *loops_gather(Loops *self, PyObject *args);
PyObject *loops_hand_over(Loops *self, PyObject *args);
PyObject *loops_forget(Loops *self, PyObject *args);
PyObject *loops_places(Loops *self, PyObject *elsewhere);
PyObject *loops_find_elsewhere(Loops *self, PyObject *args);
PyObject *loops_come_home(Loops *self, PyObject *args);

int columns_acquire(Loops *self, Columns *columns, int writable);
void columns_release(Columns *columns);

/* Called with the name of a place after each store that another process may find, by tests only. */
extern PyObject *loops_watcher;
void loops_stored(const char *place);

#define BARRIER() __atomic_signal_fence(__ATOMIC_SEQ_CST)
/* What stands before this in the program is stored before what follows: the process may end in between. */
#define STORED(place)                                     \
    do {                                                  \
        BARRIER();                                        \
        if (__builtin_expect(loops_watcher != NULL, 0))   \
            loops_stored(place);                          \
    } while (0)

/* A zpage is somewhere else in the arena from now on; 0: it is not there. */
static inline void store_location(Row *row, uint32_t location) {
    __atomic_store_n(&row->location, location, __ATOMIC_RELEASE);
    STORED("location");
}

static inline const Row *row_at(const Loops *self, uint32_t row) {
    return (size_t)row < (size_t)self->rows.len / sizeof(Row) ? (const Row *)self->rows.buf + row : NULL;
}

/* Return the address of the entry of a page, 0 for a hole; as PageTable.find. */
static inline uint32_t find_entry(const Loops *self, const Tree *tree, uint64_t index) {
    const uint32_t *entries = self->entries.buf;
    size_t nodes = (size_t)self->entries.len / (LEAF_PAGES * sizeof(uint32_t));
    int shift = tree->shift;
    uint32_t node = index >> (shift + LEAF_SHIFT) == tree->prefix ? tree->root : HOLE;
    for (; shift; shift -= LEAF_SHIFT) {
        if (node >= nodes)
            return 0;
        node = entries[node << LEAF_SHIFT | (index >> shift & (LEAF_PAGES - 1))];
    }
    return node && node < nodes ? node << LEAF_SHIFT | (index & (LEAF_PAGES - 1)) : 0;
}

/* Return where a slot of `zbytes` starts in the arena, or -1 if that is no slot. */
static inline int64_t slot_start(const Loops *self, const Columns *columns, uint32_t location, uint32_t zbytes) {
    size_t block = location >> SLOT_SHIFT;
    if (!block || block >= columns->blocks)
        return -1;
    uint32_t slot_bytes = (uint32_t)columns->chunks_of_block[block] << CHUNK_SHIFT;
    uint64_t start = ((uint64_t)block << BLOCK_SHIFT) + (uint64_t)(location & SLOT_MASK) * slot_bytes;
    return zbytes <= slot_bytes && start + zbytes <= (uint64_t)self->arena.len ? (int64_t)start : -1;
}

/* Columns of a frame stand anywhere. */
static inline uint64_t load_word(const Py_buffer *column, Py_ssize_t place) {
    uint64_t word;
    memcpy(&word, (const uint8_t *)column->buf + place * (Py_ssize_t)sizeof word, sizeof word);
    return word;
}

static inline uint16_t load_half(const Py_buffer *column, Py_ssize_t place) {
    uint16_t half;
    memcpy(&half, (const uint8_t *)column->buf + place * (Py_ssize_t)sizeof half, sizeof half);
    return half;
}

int decode_zpage(uint32_t packed, const uint8_t *zpage, uint64_t checksum, uint8_t *page);
int decode_row(const Loops *self, const Columns *columns, const Row *row, uint8_t *page);
int put_page(Loops *self, Columns *columns, Put *put, uint32_t place, const uint8_t *page);
int put_begin(const Loops *self, Put *put, Py_ssize_t family, PyObject *blocks, uint64_t serial, uint64_t limit,
              int takes_slots);
PyObject *put_end(Loops *self, Columns *columns, Put *put);

/* Parts of a put that other loops have, too: see put.c. */
void store_entry(Loops *self, uint32_t place, uint32_t entry);
uint32_t top_of(PyObject *stack);
int pop_from(PyObject *stack);
int append_number(PyObject *list, int64_t number);

PyObject *loops_get(Loops *self, PyObject *args);
PyObject *loops_put(Loops *self, PyObject *args);
PyObject *loops_serve(Loops *self, PyObject *args);
PyObject *loops_put_zpages(Loops *self, PyObject *args);
PyObject *loops_get_zpages(Loops *self, PyObject *args);
PyObject *loops_drop(Loops *self, PyObject *args);
PyObject *loops_are_zpages(PyObject *module, PyObject *args);
PyObject *loops_are_serials(PyObject *module, PyObject *args);
PyObject *loops_are_ranges(PyObject *module, PyObject *args);

#endif
