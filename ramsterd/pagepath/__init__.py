"""The page path of one node: the engine joins store and peers; `peers` runs it over real links."""
