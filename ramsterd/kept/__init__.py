"""Memory that outlives the process (docs/design/0015).

layout        pure      which mappings are kept, and what their items look like
super_page    pure      whose memory it is and how it stands: one page, and the gates in front of all the rest
record_log    pure      an append-only log whose torn tail is cut
names         pure      what the log says of pools and holders
name_log      pure      that log in its mapping: two halves, written in turn
trees         pure      which leaves the page tables reach
block_words   pure      what the words of blocks say of each slot
judge         pure      which pages can be vouched for
suspects      pure      the verdict on a row that is not as rows mostly are
repair        pure      stores what a judgement wants repaired
attach        pure      what was kept is judged and repaired, and the heap's side of it is built
journal       pure      notes what numbers mean, before anything has them
memory        shell     the memory of one node: mappings by name, the store in it, and how it stands
opening       files     what a keeper has: may this process use it, and is it whole
keepers       files     who keeps the mappings between two processes: systemd, a directory on tmpfs, nobody
"""
