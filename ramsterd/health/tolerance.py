"""The failure tolerance of a node: how many other nodes may end without its losing a page.  Pure."""

from ramsterd.health.facts import Facts


def failure_tolerance(facts: Facts) -> int:
    """Return how many of the other nodes may end at once, and no page of this node is lost.

    A page that is not here is on as many peers as its export or pool wants copies, and is lost with
    the last of them.  So it is the smallest number of copies that any export or pool with pages
    wants, less one; without pages, that of the pages to come.  No more copies count than there are
    peers with a link: a peer that can't be asked can't give a page back.

    While pages are at risk, or are looked through for some that are, it is 0: nobody knows how few
    copies the worst of them has.  It may say less than is true, and never more.

    It is of the pages of *this* node, which end with it unless they are kept.  What other nodes may
    lose is theirs to say: the failure tolerance of a cluster is the smallest of its nodes.  In a
    cluster of one node it is 0.
    """
    pages = facts.pages
    if pages.at_risk or pages.is_counting_risk:
        return 0
    linked = sum(peer.is_linked for peer in facts.peers)
    return max(0, min(pages.copies, linked) - 1)
