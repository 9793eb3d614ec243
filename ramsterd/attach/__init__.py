"""The helper that attaches an export to the kernel's nbd, and attaches it again when the connection ends."""
