"""Manual pages: those of the programs from their command lines, those of the files from the samples."""
