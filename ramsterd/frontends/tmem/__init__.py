"""The tmem socket: frontswap and cleancache for programs, by runs of pages."""
