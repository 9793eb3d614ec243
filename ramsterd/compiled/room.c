/* Free slots of blocks that are there already, and free rows of frames: the twins of Zbud._find_room and FramedItems.refill,
   and the lists of core.lru that these stand in. */

#include "loops.h"

#define ROW_FRAME_ROWS (1u << ROW_FRAME_SHIFT)

static inline size_t nodes_of(const Lists *lists) { return (size_t)least(lists->next.len, lists->previous.len) / 4; }

/* Add what is in no list as the newest of one; as BlockLists.append. */
int list_append(Lists *lists, uint32_t list, uint32_t number) {
    uint32_t *next = lists->next.buf, *previous = lists->previous.buf;
    size_t nodes = nodes_of(lists), node = (size_t)lists->heads + number;
    if (list >= lists->heads || node >= nodes || next[node] != UNLISTED || previous[list] >= nodes)
        return 0;
    uint32_t before = previous[list];
    next[before] = previous[list] = (uint32_t)node;
    previous[node] = before;
    next[node] = list;
    return 1;
}

/* Return the oldest of a list, or -1. */
static int64_t oldest_of(const Lists *lists, uint32_t list) {
    if (list >= lists->heads || list >= nodes_of(lists))
        return -1;
    uint32_t node = ((const uint32_t *)lists->next.buf)[list];
    return node < lists->heads || node >= nodes_of(lists) ? -1 : (int64_t)node - lists->heads;
}

static int remove_oldest(Lists *lists, uint32_t list, uint32_t number) {
    uint32_t *next = lists->next.buf, *previous = lists->previous.buf, node = lists->heads + number;
    if (previous[node] != list || next[node] >= nodes_of(lists))
        return 0;
    next[list] = next[node];
    previous[next[node]] = list;
    next[node] = previous[node] = UNLISTED;
    return 1;
}

/* Move the free slots of the open block to its stack, the lowest on top. */
static int take_free_slots(Columns *columns, uint32_t block, PyObject *stack) {
    uint32_t mask = columns->free_slots[block];
    columns->free_slots[block] = 0;
    while (mask) {
        uint32_t slot = 31u - (uint32_t)__builtin_clz(mask);
        if (append_number(stack, block << SLOT_SHIFT | slot) < 0)
            return -1;
        mask ^= 1u << slot;
    }
    return 1;
}

static int open_block(Columns *columns, Room *room, uint32_t chunks, uint32_t before, uint32_t block) {
    PyObject *number = PyLong_FromUnsignedLong(block);
    if (number == NULL || PyList_SetItem(room->open_block, (Py_ssize_t)chunks, number) < 0)
        return -1;
    if (before)
        columns->block_state[before] = STATE_CLOSED;
    columns->block_state[block] = STATE_OPEN;
    return 1;
}

/* Have slots in the empty stack of a class; return 1, 0 if no block that is there has one, -1 for an exception. */
int find_slots(Columns *columns, Room *room, uint32_t chunks) {
    uint32_t before = (uint32_t)PyLong_AsUnsignedLong(PyList_GET_ITEM(room->open_block, chunks)), block = before;
    if (before >= columns->blocks)
        return 0;
    if (!before || !columns->free_slots[before]) {
        uint32_t list = room->first_list + chunks;
        int64_t oldest = oldest_of(&room->blocks, list);
        block = (uint32_t)oldest;
        if (oldest <= 0 || block >= columns->blocks || !columns->free_slots[block] ||
            !remove_oldest(&room->blocks, list, block))
            return 0;
        if (open_block(columns, room, chunks, before, block) < 0)
            return -1;
    }
    return take_free_slots(columns, block, PyList_GET_ITEM(room->stacks, chunks));
}

/* Count the free rows of a frame, which are chained; 0 if they are not all its own. */
static uint32_t count_chain(const Loops *self, uint32_t frame, uint32_t first) {
    uint32_t count = 0;
    for (uint32_t number = first; number; number = row_at(self, number)->address) {
        if (number >> ROW_FRAME_SHIFT != frame || row_at(self, number) == NULL || count++ == ROW_FRAME_ROWS)
            return 0;
    }
    return count;
}

/* Have rows on the empty stack; return 1, 0 if no frame that is there has one, -1 for an exception. */
int find_rows(Loops *self, Room *room) {
    uint32_t *free = room->free.buf, frame = room->open_frame;
    uint16_t *taken = room->taken.buf;
    size_t frames = (size_t)least(room->free.len / 4, room->taken.len / 2);
    int64_t oldest = frame < frames && free[frame] ? (int64_t)frame : oldest_of(&room->frames, 0);
    if (oldest < 0 || (size_t)oldest >= frames)
        return 0;
    uint32_t chosen = (uint32_t)oldest, number = free[chosen], count = count_chain(self, chosen, number);
    if (!count || (chosen != frame && !remove_oldest(&room->frames, 0, chosen)))
        return 0;
    for (; number; number = row_at(self, number)->address) {
        if (append_number(self->free_rows, number) < 0)
            return -1;
    }
    free[chosen] = 0;
    taken[chosen] = (uint16_t)(taken[chosen] + count);
    room->open_frame = chosen;
    room->rows_handed_out += count;
    return 1;
}

/* As FramedItems.free, if the frame has rows in use behind it; 0: it has not. */
int free_row(Loops *self, Room *room, uint32_t number) {
    uint32_t frame = number >> ROW_FRAME_SHIFT, *first_free = (uint32_t *)room->free.buf + frame;
    uint16_t *taken = (uint16_t *)room->taken.buf + frame;
    uint32_t left = *taken - 1u;
    int is_open = frame == room->open_frame;
    if (!is_open && (!left || (left == ROW_FRAME_ROWS - 1 && !list_append(&room->frames, 0, frame))))
        return 0;
    Row *row = (Row *)self->rows.buf + number;
    row->serial = 0;
    STORED("serial");
    row->address = *first_free;
    STORED("link");
    *first_free = number;
    *taken = (uint16_t)left;
    return 1;
}

/* Take a slot back if that changes nothing but its bit; as Zbud.free_many. */
static int free_slot(Loops *self, Columns *columns, PyObject *stacks, uint32_t location) {
    size_t block = location >> SLOT_SHIFT;
    uint32_t chunks = columns->chunks_of_block[block], before = columns->free_slots[block];
    uint32_t mask = before | 1u << (location & SLOT_MASK);
    int slots = ((uint8_t *)self->slots_of_class.buf)[chunks], state = columns->block_state[block];
    if (state == STATE_CLOSED && (!before || __builtin_popcount(mask) == slots))
        return 0;
    if (state == STATE_OPEN) {
        Py_ssize_t stacked = PyList_GET_SIZE(PyList_GET_ITEM(stacks, chunks));
        if (__builtin_popcount(mask) + stacked == slots)
            return 0;
    }
    columns->free_slots[block] = mask;
    return 1;
}

/* Take a slot back, if its block has zpages behind it; as Zbud.free_many.  0: it has not. */
int free_slot_with_room(Loops *self, Columns *columns, Room *room, uint32_t location) {
    size_t block = location >> SLOT_SHIFT;
    uint32_t chunks = columns->chunks_of_block[block];
    /* A block of any class has more than one slot. */
    if (columns->block_state[block] != STATE_CLOSED || columns->free_slots[block])
        return free_slot(self, columns, room->stacks, location);
    if (!list_append(&room->blocks, room->first_list + chunks, (uint32_t)block))
        return 0;
    columns->free_slots[block] = 1u << (location & SLOT_MASK);
    return 1;
}

void release_room(Room *room) {
    Py_buffer *buffers[] = {&room->blocks.next, &room->blocks.previous, &room->taken,
                            &room->free,        &room->frames.next,     &room->frames.previous};
    for (size_t place = 0; place < sizeof buffers / sizeof *buffers; place++)
        PyBuffer_Release(buffers[place]);
}
