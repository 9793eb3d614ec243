"""What a node keeps on disk about itself: which exports and pools had pages, and its last incarnation.

content   pure      what stands in the file
marks     pure      which export or pool may be written, and what is to be written to the file next
folder    blocks    the folder: its lock, and reading and writing the file
keeper    trio      writes in a thread what the marks want
start     blocks    before a daemon serves: the folder is found and read, or the file replaced by hand
"""
