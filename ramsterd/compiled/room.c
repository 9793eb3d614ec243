/* Free slots of blocks that are there already: the twin of Zbud._find_room. */

#include "loops.h"

#define UNLISTED 0xFFFFFFFFu

/* Take a block off the list of those with room, of which it is the oldest. */
static int unlink_block(RoomLists *lists, uint32_t list, uint32_t node) {
    uint32_t *next = lists->next.buf, *previous = lists->previous.buf;
    size_t nodes = (size_t)(lists->next.len < lists->previous.len ? lists->next.len : lists->previous.len) / 4;
    if (node >= nodes || previous[node] != list || next[node] >= nodes)
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

static int open_block(Columns *columns, RoomLists *lists, uint32_t chunks, uint32_t before, uint32_t block) {
    PyObject *number = PyLong_FromUnsignedLong(block);
    if (number == NULL || PyList_SetItem(lists->open_blocks, (Py_ssize_t)chunks, number) < 0)
        return -1;
    if (before)
        columns->block_state[before] = STATE_CLOSED;
    columns->block_state[block] = STATE_OPEN;
    return 1;
}

/* Have slots in the empty stack of a class; return 1, 0 if no block that is there has one, -1 for an exception. */
int find_room(Columns *columns, RoomLists *lists, uint32_t chunks, PyObject *stack) {
    uint32_t list = lists->first_list + chunks;
    uint32_t block = (uint32_t)PyLong_AsUnsignedLong(PyList_GET_ITEM(lists->open_blocks, chunks));
    if (block >= columns->blocks || list >= (size_t)lists->next.len / 4)
        return 0;
    if (!block || !columns->free_slots[block]) {
        uint32_t node = ((const uint32_t *)lists->next.buf)[list], before = block;
        block = node - lists->heads;
        if (node < lists->heads || !block || block >= columns->blocks || !columns->free_slots[block] ||
            !unlink_block(lists, list, node))
            return 0;
        if (open_block(columns, lists, chunks, before, block) < 0)
            return -1;
    }
    return take_free_slots(columns, block, stack);
}
